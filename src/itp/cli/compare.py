"""`itp compare`: the results of several runs in one table, and task by task.

    itp compare out/eval-act out/eval-itp                          # two runs: the table, then the paired comparison
    itp compare out/eval/* --against out/eval/act --markdown       # every run against one, p-values after Holm
    itp compare out/seed*/eval/* --by-seed                         # runs that differ in seed and checkpoint alone: mean

Where the runs of one environment and split include both K = 0 (`--planner act` or `--horizon fixed:0`) and a fixed
K_max, the normalised budget NB of each run is filled in: 0 costs as much as never imagining, 1 as always K_max steps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from itp.cli.console import wide_console
from itp.errors import ConfigError, DataError, RunFolderError


@dataclass
class Config:
    """Print the results of several runs side by side."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders written by `itp eval`, or their results.json files."""
    against: Path | None = None
    """Run that all others are compared with, task by task (default with two runs: the first of them)."""
    by_seed: bool = False
    """One row for runs that differ in --seed and checkpoints alone: mean over them, with its interval."""
    markdown: bool = False
    """Print GitHub's Markdown instead of a terminal table."""


def run(config: Config) -> None:
    """Print the tables."""
    from itp.cli.compare_pairs import paired_rows
    from itp.evaluation.seeds import seed_rows
    from itp.evaluation.table import (
        PAIR_HEADERS,
        SEED_HEADERS,
        markdown_table,
        markdown_text,
        results_table,
        text_table,
    )

    if not config.runs:
        raise ConfigError("itp compare needs at least one run: name folders written by `itp eval`")
    results = fill_budgets([read_results(path) for path in config.runs])
    pairs = paired_rows(config.runs, results, config.against)
    further = [("seeds", SEED_HEADERS, seed_rows(results))] if config.by_seed else []
    further += [(title, PAIR_HEADERS, rows) for title, rows in pairs]
    if config.markdown:
        print(markdown_table(results), end="")
        for title, headers, rows in further:
            print(f"\n{title}\n\n{markdown_text(headers, rows)}", end="")
        return
    console = wide_console()
    console.print(results_table(results))
    for title, headers, rows in further:
        console.print(text_table(headers, rows, title))


def read_results(path: Path) -> dict[str, Any]:
    """The content of a run's `results.json`."""
    from itp.evaluation.metrics import SCHEMA_VERSION

    file = path / "results.json" if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"{file} does not exist: name a folder of a finished `itp eval`")
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunFolderError(f"{file} is not JSON: run `itp eval` there again") from error
    version = results.get("schema_version") if isinstance(results, dict) else None
    if version != SCHEMA_VERSION:
        raise RunFolderError(f"{file} has schema version {version}, this itp reads {SCHEMA_VERSION}")
    return results


def fill_budgets(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Copies of the results with `normalized_budget` where the references are among them and cost different amounts.

    References are runs of the same environment and split: those with the same checkpoint where there are both ends.
    """
    from itp.evaluation.metrics import normalized_budget

    filled = []
    for result in results:
        peers = [peer for peer in results if (peer["env"], peer["split"]) == (result["env"], result["split"])]
        own = _fixed_costs([peer for peer in peers if peer["config"].get("policy") == result["config"].get("policy")])
        fixed = own if len(own) > 1 and 0 in own else _fixed_costs(peers)
        budget = result["normalized_budget"]
        if len(fixed) > 1 and 0 in fixed and fixed[max(fixed)] != fixed[0]:
            budget = normalized_budget(result["tokens"]["per_episode"], fixed[0], fixed[max(fixed)])
        filled.append({**result, "normalized_budget": budget})
    return filled


def _fixed_costs(results: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """Tokens per episode at each fixed K."""
    return {k: one["tokens"]["per_episode"] for one in results if (k := fixed_horizon(one)) is not None}


def fixed_horizon(result: Mapping[str, Any]) -> int | None:
    """K of a run that always imagined K steps (0 for `act`), None for any other."""
    settings = result["config"]
    if settings.get("planner") == "act":
        return 0
    kind, _, number = str(settings.get("horizon")).partition(":")
    return int(number) if settings.get("planner") in ("itp", "itp-i") and kind == "fixed" else None
