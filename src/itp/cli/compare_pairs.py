"""The part of `itp compare` that goes task by task: which runs are comparable, and the rows to print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from itp.errors import ConfigError
from itp.evaluation.pairs import PairedComparison, compare_pairs, families
from itp.evaluation.stats import holm
from itp.evaluation.table import pair_row
from itp.types import Trajectory

ALPHA = 0.05
"""Corrected p-values below this get their star."""


def paired_rows(
    runs: Sequence[Path], results: Sequence[Mapping[str, Any]], against: Path | None
) -> list[tuple[str, list[tuple[str, ...]]]]:
    """A title and the rows of each paired comparison: all tasks first, then by family.

    Args:
        runs: folders, as given.
        results: their results.
        against: the reference; None takes the first of exactly two runs, and compares nothing otherwise.

    Raises:
        ConfigError: `against` is given and a comparison is impossible.
    """
    if against is None and (len(runs) != 2 or _obstacle(runs[0], results[0], runs[1], results[1])):
        return []
    reference = against or runs[0]
    number = next((n for n, run in enumerate(runs) if run.resolve() == reference.resolve()), None)
    if number is None:
        raise ConfigError(f"--against {reference} is not among the runs: name it there too")
    others = [n for n in range(len(runs)) if n != number]
    for n in others:
        if obstacle := _obstacle(runs[number], results[number], runs[n], results[n]):
            raise ConfigError(f"{runs[n]} cannot be compared with {reference} by task: {obstacle}")
    first = _episodes(runs[number])
    compared = []
    for n in others:
        second = _episodes(runs[n])
        parts = {"all": compare_pairs(first, second)}
        parts |= {family: compare_pairs(first, second, family) for family in families(first, second)}
        compared.append((n, parts))
    return _tables(runs, results, number, compared)


def _tables(
    runs: Sequence[Path],
    results: Sequence[Mapping[str, Any]],
    number: int,
    compared: Sequence[tuple[int, Mapping[str, PairedComparison]]],
) -> list[tuple[str, list[tuple[str, ...]]]]:
    corrected = holm([parts["all"].p_value for _, parts in compared])
    tables = []
    for (n, parts), p_value in zip(compared, corrected, strict=True):
        title = f"{_name(runs[n], results[n])} against {_name(runs[number], results[number])}, task by task"
        if len(compared) > 1:
            title += f" (p of all tasks after Holm, {len(compared)} comparisons)"
        by_family = holm([part.p_value for name, part in parts.items() if name != "all"])
        rows = [pair_row("all", parts["all"], p_value, p_value < ALPHA)]
        rest = [(name, part) for name, part in parts.items() if name != "all"]
        rows += [pair_row(name, part, p, p < ALPHA) for (name, part), p in zip(rest, by_family, strict=True)]
        tables.append((title, rows))
    return tables


def _obstacle(first: Path, one: Mapping[str, Any], second: Path, two: Mapping[str, Any]) -> str:
    """Why two runs cannot be compared by task; nothing when they can."""
    if (one["env"], one["split"]) != (two["env"], two["split"]):
        return f"one plays {one['env']}/{one['split']}, the other {two['env']}/{two['split']}"
    for run in (first, second):
        if not _traces(run).is_file():
            return f"{_traces(run)} is missing"
    shared = {t.task.task_id for t in _episodes(first)} & {t.task.task_id for t in _episodes(second)}
    return "" if shared else "they have no task in common"


def _traces(run: Path) -> Path:
    return (run if run.is_dir() else run.parent) / "traces.jsonl"


def _episodes(run: Path) -> list[Trajectory]:
    from itp.trace.store import TraceStore

    return TraceStore(_traces(run)).read()


def _name(run: Path, result: Mapping[str, Any]) -> str:
    return f"{result['planner']} ({run.name if run.is_dir() else run.parent.name})"
