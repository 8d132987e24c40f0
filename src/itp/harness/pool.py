"""Runs over a few processes of this machine, each of which plays one after another.

Used by `itp sweep --jobs N`. A process that dies costs its own run this attempt, never the others; when the parent
dies, by kill -9 too, its processes end at once, so that the same command can go on where they stopped.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from itp.errors import ItpError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What became of one item: `error` is one line, "" when all is well; `bug` holds a traceback."""

    item: T
    value: Any = None
    error: str = ""
    bug: str = ""


def run_all(
    work: Callable[[T], Any],
    items: Sequence[T],
    *,
    jobs: int,
    alike: Callable[[T, T], bool],
    on_start: Callable[[T], None],
    on_end: Callable[[Outcome[T]], None],
) -> None:
    """Call `work` on every item, in `jobs` processes.

    Args:
        work: a function of a module; it, the items and its results are pickled. An `ItpError` is that item's outcome.
        items: what to work on, in this order but for `alike`.
        jobs: processes.
        alike: whether a process that has done the first does well to take the second next (their models are shared).
        on_start: told in this process when an item is handed out.
        on_end: told when it is done, or lost.
    """
    pool = _Pool(work, list(items), alike, on_start, on_end)
    try:
        for _ in range(min(jobs, len(items))):
            pool.start(None)
        pool.run()
    finally:
        pool.kill()


class _Pool(Generic[T]):
    def __init__(
        self,
        work: Callable[[T], Any],
        waiting: list[T],
        alike: Callable[[T, T], bool],
        on_start: Callable[[T], None],
        on_end: Callable[[Outcome[T]], None],
    ) -> None:
        self._work, self._waiting, self._alike = work, waiting, alike
        self._on_start, self._on_end = on_start, on_end
        self._busy: dict[Connection, tuple[Any, T]] = {}
        self._processes: list[Any] = []

    def start(self, last: T | None) -> None:
        """A new process, with its first item."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, pickle.dumps(self._work)), name="itp-run")
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C is the parent's to answer
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
        self._processes.append(process)
        self._give(ours, process, last)

    def run(self) -> None:
        """Take answers and hand out items until none is left."""
        while self._busy:
            for connection in wait(list(self._busy)):
                assert isinstance(connection, Connection)
                process, item = self._busy.pop(connection)
                try:
                    value, error, bug = connection.recv()
                except (EOFError, OSError):
                    process.join()
                    self._on_end(Outcome(item, error=f"its process died (exit code {process.exitcode})"))
                    connection.close()
                    if self._waiting:
                        self.start(item)
                    continue
                self._on_end(Outcome(item, value, error, bug))
                self._give(connection, process, item)

    def kill(self) -> None:
        """End all processes; what they have written stays."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()

    def _give(self, connection: Connection, process: Any, last: T | None) -> None:
        if not self._waiting:
            connection.close()  # the process sees the end of its work, and ends
            return
        near = 0
        if last is not None:
            near = next((i for i, item in enumerate(self._waiting) if self._alike(last, item)), 0)
        item = self._waiting.pop(near)
        self._busy[connection] = (process, item)
        self._on_start(item)
        with contextlib.suppress(OSError):  # it died while idle: the next wait finds out
            connection.send(item)


def _serve(connection: Connection, work: bytes) -> None:
    """The process: work on what comes, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_follow_parent, daemon=True).start()
    function = pickle.loads(work)
    while True:
        try:
            item = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer = (function(item), "", "")
        except ItpError as error:
            answer = (None, str(error), "")
        except Exception as error:  # the other runs go on; the traceback is shown with the outcome
            answer = (None, f"{type(error).__name__}: {error}", traceback.format_exc())
        connection.send(answer)


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
