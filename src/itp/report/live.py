"""`itp view`: the report's page served on loopback while runs go on; it asks every two seconds for what is new.

Episodes stay in their trace files: the server remembers where each line begins and reads one when it is looked at.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse, Response

from itp.errors import ItpError
from itp.report.build import page, subtitle
from itp.report.episodes import index_entry, payload
from itp.report.overview import RunState, overview
from itp.report.pack import to_json
from itp.report.sources import RESULTS, RunSource

IDLE = 30.0
"""Seconds without a new episode after which a run without `results.json` is no longer called live."""


class LiveRuns:
    """Runs as read so far; safe to ask from several threads.

    Args:
        sources: the runs; see `find_runs`.
    """

    def __init__(self, sources: Sequence[RunSource]) -> None:
        self.runs = [RunState(number, source) for number, source in enumerate(sources)]
        self.entries: list[dict[str, Any]] = []
        self._offsets: dict[tuple[int, int], int] = {}
        self._lock = threading.Lock()
        self._changed = time.monotonic()

    def poll(self) -> None:
        """Take in what was added to the trace files. Raises RunFolderError for a damaged one."""
        with self._lock:
            before = len(self.entries)
            for run in self.runs:
                for trajectory, number, offset in run.poll():
                    self.entries.append(index_entry(trajectory, run=run.number, number=number))
                    self._offsets[run.number, number] = offset
            if len(self.entries) > before:
                self._changed = time.monotonic()

    def state(self, since: int) -> dict[str, Any]:
        """Entries from number `since` on, and the first page where there are such."""
        self.poll()
        new = self.entries[since:]
        first_page = overview(self.runs) if new else None
        return {"entries": new, "overview": first_page, "subtitle": subtitle(self.runs), "running": self.running}

    @property
    def running(self) -> bool:
        """Whether some evaluation is not finished, as far as its folder tells."""
        owed = any(not (run.source.path / RESULTS).is_file() for run in self.runs if run.tail is not None)
        return owed and time.monotonic() - self._changed < IDLE

    def episode(self, run: int, number: int) -> dict[str, Any] | None:
        """The episode's steps; None for one that is not known."""
        offset, tail = self._offsets.get((run, number)), self.runs[run].tail if 0 <= run < len(self.runs) else None
        return None if offset is None or tail is None else payload(tail.read_at(offset))


def live_app(sources: Sequence[RunSource], title: str = "") -> FastAPI:
    """The app: the page, `api/state?since=N` and `api/episode?run=R&number=N`."""
    live = LiveRuns(sources)
    live.poll()
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/")
    def root() -> HTMLResponse:
        live.poll()
        return HTMLResponse(page(live.runs, live.entries, title=title, live=True), headers=_HEADERS)

    @app.get("/api/state")
    def state(since: int = 0) -> Response:
        try:
            return _json(live.state(max(since, 0)))
        except ItpError as error:
            raise HTTPException(500, str(error)) from error

    @app.get("/api/episode")
    def episode(run: int, number: int) -> Response:
        found = live.episode(run, number)
        if found is None:
            raise HTTPException(404, f"run {run} has no episode {number}")
        return _json(found)

    return app


_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def _json(content: object) -> Response:
    return Response(to_json(content), media_type="application/json", headers=_HEADERS)
