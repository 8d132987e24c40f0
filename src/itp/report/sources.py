"""Where a report's material lies: run folders of evaluations, trainings and world-model evaluations.

A run is read while it may still be written: `TraceTail` takes the whole lines and leaves a torn last one for later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from itp.errors import DataError, RunFolderError
from itp.run_folder import CONFIG_NAME, read_config
from itp.trace.schema import TraceFormatError, trajectory_from_dict
from itp.types import Trajectory

TRACES, METRICS, RESULTS, FIDELITY = "traces.jsonl", "metrics.jsonl", "results.json", "fidelity.json"
DEPTH = 3
"""How deep below a folder that is no run itself its runs may lie."""


@dataclass(frozen=True)
class RunSource:
    """One run folder: its name in the report, and what its `config.yaml` says."""

    name: str
    path: Path
    command: str = ""
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def traces(self) -> Path | None:
        """The file of episodes; None for a run that is no evaluation. It need not exist yet."""
        path = self.path / TRACES
        return path if self.command == "eval" or path.is_file() else None

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file of the folder; empty where there is none, or where it cannot be read as an object."""
        try:
            content = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def metrics(self) -> list[dict[str, Any]]:
        """The whole lines of `metrics.jsonl`, oldest first."""
        try:
            text = (self.path / METRICS).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return []
        return list(_objects(text))


def find_runs(paths: Sequence[Path]) -> list[RunSource]:
    """The runs at these paths, or at most `DEPTH` folders below a path that is no run itself; each once.

    Raises:
        DataError: a path does not exist, or holds no run.
        RunFolderError: a `config.yaml` cannot be read.
    """
    folders: list[Path] = []
    for path in paths:
        found = [path] if _is_run(path) else _runs_below(path)
        if not found:
            there = "holds no run" if path.is_dir() else "is no folder"
            raise DataError(
                f"{path} {there}: name folders written by `itp eval`, `itp train` or `itp world-model eval`"
            )
        folders += [folder for folder in found if folder.resolve() not in {other.resolve() for other in folders}]
    return [_source(name, folder) for name, folder in zip(_names(folders), folders, strict=True)]


class TraceTail:
    """The episodes of a file that grows; each `poll` reads what was added since the last one.

    Args:
        path: `traces.jsonl`; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0
        self._offset = 0
        self._seen: tuple[int, int] = (0, 0)

    def poll(self) -> Iterator[tuple[Trajectory, int]]:
        """Yield (episode, byte offset of its line). A line without its end is left for the next call.

        Raises:
            RunFolderError: a line that has another behind it cannot be read; names file and line number.
        """
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return
        if (status.st_size, status.st_mtime_ns) == self._seen:
            return
        with self.path.open("rb") as stream:
            stream.seek(self._offset)
            held: RunFolderError | None = None
            for line in stream:
                if held is not None:
                    raise held
                if not line.endswith(b"\n"):
                    break
                try:
                    trajectory = _parse(line)
                except (ValueError, AttributeError) as error:
                    held = self._damage(error)  # after a power failure a torn last line may have an end
                    continue
                start, self._offset, self.lines = self._offset, self._offset + len(line), self.lines + 1
                yield trajectory, start
        self._seen = (status.st_size, status.st_mtime_ns)

    def read_at(self, offset: int) -> Trajectory:
        """The episode whose line begins at an offset that `poll` gave."""
        with self.path.open("rb") as stream:
            stream.seek(offset)
            return _parse(stream.readline())

    def _damage(self, error: Exception) -> RunFolderError:
        reason = " ".join(str(error).split())
        return RunFolderError(f"{self.path} line {self.lines + 1} is no episode ({reason}): delete that line")


def _parse(line: bytes) -> Trajectory:
    record = json.loads(line.decode("utf-8", "surrogatepass"))
    if not isinstance(record, dict):
        raise TraceFormatError("not a JSON object")
    return trajectory_from_dict(record)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            content = json.loads(line)
        except ValueError:
            continue  # torn: the run goes on
        if isinstance(content, dict):
            yield content


def _is_run(path: Path) -> bool:
    return any((path / name).is_file() for name in (CONFIG_NAME, TRACES, METRICS, RESULTS, FIDELITY))


def _runs_below(path: Path) -> list[Path]:
    level, found = [path], []
    for _ in range(DEPTH):
        below = [entry for folder in level if folder.is_dir() for entry in sorted(folder.iterdir()) if entry.is_dir()]
        found += [folder for folder in below if _is_run(folder)]
        level = [folder for folder in below if not _is_run(folder)]
    return found


def _names(folders: Sequence[Path]) -> list[str]:
    """The shortest path ends that tell the folders apart."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max((len(part) for part in parts), default=1) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def _source(name: str, path: Path) -> RunSource:
    if not (path / CONFIG_NAME).is_file():
        return RunSource(name, path)
    content = read_config(path)
    return RunSource(name, path, str(content["command"]), content["config"])
