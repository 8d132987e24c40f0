"""Append-only file of episodes, one JSON line each: written as they end, read by evaluation and training.

A process that dies while writing leaves a torn last line: that episode is dropped and owed again. Damage anywhere else
is an error that names the line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from itp.errors import RunFolderError
from itp.trace.schema import TraceFormatError, trajectory_from_dict, trajectory_to_dict
from itp.types import Trajectory


class TraceStore:
    """The episodes of one run, in the order in which they ended.

    Args:
        path: the JSONL file; it need not exist yet. One process writes at a time (the run folder's lock sees to that),
            any number may read.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._repaired = False

    def append(self, trajectory: Trajectory) -> None:
        """Write one episode and push it to the operating system before returning."""
        if not self._repaired:
            self._cut_torn_line()
            self._repaired = True
        line = json.dumps(trajectory_to_dict(trajectory), ensure_ascii=False, separators=(",", ":"))
        with self.path.open("ab") as stream:
            stream.write(line.encode("utf-8", "surrogatepass") + b"\n")

    def read(self) -> list[Trajectory]:
        """All whole episodes.

        Raises:
            RunFolderError: a line other than the last cannot be read; names file and line number.
        """
        return list(self)

    def __iter__(self) -> Iterator[Trajectory]:
        if not self.path.exists():
            return
        with self.path.open("rb") as stream:
            for number, (line, is_last) in enumerate(_with_last(stream), start=1):
                trajectory = self._parse(line, number, is_last)
                if trajectory is not None:
                    yield trajectory

    def completed_ids(self) -> set[str]:
        """Task ids of the whole episodes: what a resumed run need not play again."""
        return {trajectory.task.task_id for trajectory in self}

    def _parse(self, line: bytes, number: int, is_last: bool) -> Trajectory | None:
        if is_last and _is_torn(line):
            return None
        try:
            return trajectory_from_dict(json.loads(line.decode("utf-8", "surrogatepass")))
        except (json.JSONDecodeError, UnicodeDecodeError, TraceFormatError, AttributeError) as error:
            raise RunFolderError(
                f"{self.path} line {number} is no episode ({' '.join(str(error).split())}): "
                "delete that line to play the episode again, or use another folder"
            ) from error

    def _cut_torn_line(self) -> None:
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return
        with self.path.open("r+b") as stream:
            size = start = 0
            last = b""
            for line in stream:
                start, last = size, line
                size += len(line)
            if last and _is_torn(last):
                stream.truncate(start)
                stream.flush()
                os.fsync(stream.fileno())


def _is_torn(line: bytes) -> bool:
    """A line without its end, or (after a power failure) with an end but no readable JSON before it."""
    if not line.endswith(b"\n"):
        return True
    try:
        json.loads(line)
    except ValueError:
        return True
    return False


def _with_last(lines: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    previous: bytes | None = None
    for line in lines:
        if previous is not None:
            yield previous, False
        previous = line
    if previous is not None:
        yield previous, True
