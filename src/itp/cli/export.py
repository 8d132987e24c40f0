"""`itp export`: finished runs in the formats of other tools.

itp export out/eval-itp --to inspect --out itp.eval          # inspect view
itp export out/eval/* --to parquet --out steps.parquet       # one row a step; csv too
itp export out/eval/* --to figures --out figures             # PNG and PDF
itp export out/eval/* --to latex --out table.tex             # the paper's rows beside ours, marked; markdown too
itp export out/eval/* --to lm-eval --out results.json
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from itp.cli.compare import fill_budgets, read_results
from itp.errors import ConfigError
from itp.export.runs import ExportRun, names

SUFFIXES = {
    "inspect": ".eval", "lm-eval": ".json", "csv": ".csv", "parquet": ".parquet", "figures": "", "latex": ".tex",
    "markdown": ".md",
}  # fmt: skip
"""Formats, and how the file to write must end; figures go into a folder."""


@dataclass
class Config:
    """Write finished runs in the format of another tool."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders written by `itp eval`."""
    to: str
    """inspect (one run), lm-eval, csv, parquet, figures, latex or markdown."""
    out: Path
    """File to write, replacing what is there; with figures, a folder."""


def run(config: Config) -> None:
    """Write the export and say what is in it."""
    _check(config)
    results = fill_budgets([read_results(path) for path in config.runs])
    folders = [path if path.is_dir() else path.parent for path in config.runs]
    runs = [ExportRun(*given) for given in zip(folders, results, names(folders), strict=True)]
    config.out.parent.mkdir(parents=True, exist_ok=True)
    print(_WRITERS[config.to](runs, config.out))


def _check(config: Config) -> None:
    if config.to not in SUFFIXES:
        raise ConfigError(f"--to {config.to} is unknown: choose one of {', '.join(SUFFIXES)}")
    if not config.runs:
        raise ConfigError("itp export needs at least one run: name folders written by `itp eval`")
    if config.to == "inspect" and len(config.runs) > 1:
        raise ConfigError(
            f"--to inspect writes one run to a file, and {len(config.runs)} are given: export them in turn"
        )
    suffix = SUFFIXES[config.to]
    if suffix and config.out.suffix != suffix:
        raise ConfigError(f"--out {config.out} does not end in {suffix}, as --to {config.to} does: name it so")
    if suffix and config.out.is_dir():
        raise ConfigError(f"--out {config.out} is a folder: name a file")
    if not suffix and config.out.exists() and not config.out.is_dir():
        raise ConfigError(f"--out {config.out} is a file: figures go into a folder")


def _steps(runs: Sequence[ExportRun], out: Path) -> str:
    from itp.export.steps import write_steps

    return f"{out}: {write_steps(runs, out)} steps of {len(runs)} runs"


def _inspect(runs: Sequence[ExportRun], out: Path) -> str:
    from itp.export.inspect_log import write_inspect

    return f"{out}: {write_inspect(runs[0], out)} episodes; open it with `inspect view --log-dir {out.parent}`"


def _lm_eval(runs: Sequence[ExportRun], out: Path) -> str:
    from itp.export.lm_eval import write_lm_eval

    return f"{out}: {write_lm_eval(runs, out)} runs"


def _figures(runs: Sequence[ExportRun], out: Path) -> str:
    from itp.export.figures import write_figures

    return "\n".join(str(file) for file in write_figures(runs, out))


def _latex(runs: Sequence[ExportRun], out: Path) -> str:
    from itp.export.paper import latex

    out.write_text(latex(runs), encoding="utf-8")
    return f"{out}: {len(runs)} runs"


def _markdown(runs: Sequence[ExportRun], out: Path) -> str:
    from itp.export.paper import markdown

    out.write_text(markdown(runs), encoding="utf-8")
    return f"{out}: {len(runs)} runs"


_WRITERS: dict[str, Callable[[Sequence[ExportRun], Path], str]] = {
    "inspect": _inspect,
    "lm-eval": _lm_eval,
    "csv": _steps,
    "parquet": _steps,
    "figures": _figures,
    "latex": _latex,
    "markdown": _markdown,
}
