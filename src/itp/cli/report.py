"""`itp report`: runs as one HTML file that needs neither network nor server.

    itp report out/eval/* --out report.html
    itp report out/eval/itp out/a2c out/fidelity --out report.html --title "First try"

Evaluations give the summary, the charts and the trace viewer, trainings their curves, `itp world-model eval` its
fidelity by horizon. A folder that is no run stands for the runs in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from itp.errors import ConfigError


@dataclass
class Config:
    """Write runs into one self-contained HTML file: summary, charts and every episode step by step."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders written by `itp eval`, `itp train` or `itp world-model eval`, or folders that hold such."""
    out: Path = Path("report.html")
    """The file, replacing what is there."""
    title: str = ""
    """Heading of the page (default: what was played)."""


def run(config: Config) -> None:
    """Write the report and say how large it is."""
    from itp.report.build import write_report
    from itp.report.sources import find_runs

    if not config.runs:
        raise ConfigError("itp report needs at least one run: name folders written by `itp eval` or `itp train`")
    if config.out.is_dir():
        raise ConfigError(f"--out {config.out} is a folder: name a file, such as {config.out / 'report.html'}")
    done = write_report(find_runs(config.runs), config.out, title=config.title)
    print(
        f"{config.out}: {done.runs} runs, {done.episodes:,} episodes, {done.steps:,} steps, {done.size / 1e6:.1f} MB; "
        "open it in a browser"
    )
