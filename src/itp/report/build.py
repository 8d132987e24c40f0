"""`itp report`: write one HTML file that needs no network and no server.

Episodes are read, packed and written one chunk at a time: memory grows with the index of episodes, not with their
steps.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from itp import __version__
from itp.errors import ConfigError
from itp.report.episodes import index_entry, payload
from itp.report.overview import RunState, overview
from itp.report.pack import app_script, chunks, compress, content_policy, plotly_script, script_json, style, to_json
from itp.report.sources import RunSource

VERSION = 1
"""Of the data inside the page."""
CHUNKS_HERE = "<!--episodes-->"


@dataclass(frozen=True)
class Summary:
    """What was written: runs, episodes, steps, and the file's size in bytes."""

    runs: int
    episodes: int
    steps: int
    size: int


def write_report(sources: Sequence[RunSource], out: Path, *, title: str = "") -> Summary:
    """Write the report of these runs.

    Args:
        sources: the runs; see `find_runs`.
        out: the HTML file; it appears in one piece, when it is whole.
        title: the page's heading; by default what the runs are.

    Raises:
        ConfigError: `out` cannot be written.
    """
    runs = [RunState(number, source) for number, source in enumerate(sources)]
    entries: list[dict[str, Any]] = []
    temporary = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile("w+", encoding="ascii", dir=out.parent) as packed:
            _pack(runs, entries, packed)
            packed.seek(0)
            before, _, after = page(runs, entries, title=title).rpartition(CHUNKS_HERE)
            with temporary.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
                file.write(before)
                shutil.copyfileobj(packed, file)
                file.write(after)
        temporary.replace(out)
    except OSError as error:
        raise ConfigError(f"--out {out} cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return Summary(len(runs), len(entries), sum(run.tally.steps for run in runs), out.stat().st_size)


def page(runs: Sequence[RunState], entries: Sequence[dict[str, Any]], *, title: str = "", live: bool = False) -> str:
    """The page's HTML, with `CHUNKS_HERE` where the episodes go. A live page asks its server for them instead."""
    app, plotly = app_script(), plotly_script()
    first_page = overview(runs)
    title = title or _title(runs)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    meta = {"version": VERSION, "title": title, "live": live, "created": created, "itp": __version__}
    environment = Environment(loader=PackageLoader("itp.report"), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("page.html.j2").render(
        meta=meta,
        subtitle=subtitle(runs),
        overview=first_page,
        policy=content_policy((app, plotly), live=live),
        style=Markup(style()),
        app=Markup(app),
        data=Markup(script_json({"meta": meta, "overview": first_page})),
        index=compress(to_json(list(entries))),
        plotly=compress(plotly, 9),
        chunks_here=Markup(CHUNKS_HERE),
    )


def subtitle(runs: Sequence[RunState]) -> str:
    """What the page is about, in figures."""
    counts = Counter(run.source.command or "run" for run in runs)
    parts = [f"{count} × {command}" for command, count in counts.items()]
    episodes, steps = (sum(values) for values in ([r.tally.n for r in runs], [r.tally.steps for r in runs]))
    if episodes:
        parts += [f"{episodes:,} episodes", f"{steps:,} steps"]
    return " · ".join(parts)


def _pack(runs: Sequence[RunState], entries: list[dict[str, Any]], packed: IO[str]) -> None:
    """Write the script elements of all episodes to `packed`; `entries` becomes the index."""

    def payloads() -> Iterator[dict[str, Any]]:
        for run in runs:
            for trajectory, number, _ in run.poll():
                entries.append(index_entry(trajectory, run=run.number, number=number))
                yield payload(trajectory)

    done = 0
    for chunk, (text, count) in enumerate(chunks(payloads())):
        for at, entry in enumerate(entries[done : done + count]):
            entry.update(chunk=chunk, at=at)
        done += count
        packed.write(f'<script type="application/gzip" id="chunk-{chunk}">{text}</script>\n')


def _title(runs: Sequence[RunState]) -> str:
    places = dict.fromkeys(run.place for run in runs if run.tail is not None)
    return ", ".join(places) or "Training"
