"""`--retry-errors`: take the episodes that ended in an error out of a trace file, so that they are owed again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from itp.trace.store import TraceStore
from itp.types import StopReason


def drop_errors(path: Path) -> int:
    """Rewrite a trace file without its error episodes, in one piece; returns how many there were.

    A process killed on the way leaves the old file or the new one. A torn last line is left out as well.
    """
    episodes = TraceStore(path).read()
    kept = [trajectory for trajectory in episodes if trajectory.stop is not StopReason.ERROR]
    if len(kept) == len(episodes):
        return 0
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        copy = TraceStore(temporary)
        for trajectory in kept:
            copy.append(trajectory)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return len(episodes) - len(kept)
