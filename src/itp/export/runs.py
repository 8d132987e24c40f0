"""A finished run as the exporters read it: its results, and its episodes one after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itp.errors import DataError
from itp.trace.store import TraceStore
from itp.types import Trajectory


@dataclass(frozen=True, slots=True)
class ExportRun:
    """One run folder of `itp eval`.

    Attributes:
        path: the folder.
        results: its `results.json`.
        name: what it is called in tables; see `names`.
    """

    path: Path
    results: Mapping[str, Any]
    name: str

    @property
    def label(self) -> str:
        """What it is in a figure or table: "itp fixed:3 (run-7)"."""
        return f"{self.results['planner']} ({self.name})"

    def episodes(self) -> Iterator[Trajectory]:
        """Its episodes, in the order in which they ended.

        Raises:
            DataError: there is no trace file.
        """
        store = TraceStore(self.path / "traces.jsonl")
        if not store.path.is_file():
            raise DataError(f"{store.path} does not exist: name the folder that `itp eval` wrote, with its traces")
        yield from store


def names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart: "itp", or "seed-0/eval/itp" and "seed-1/eval/itp"."""
    parts = [path.resolve().parts for path in paths]
    for length in range(1, max(map(len, parts), default=0) + 1):
        ends = ["/".join(part[-length:]) for part in parts]
        if len(set(ends)) == len(set(parts)):
            return ends
    return []
