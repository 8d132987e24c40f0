"""A thread that one environment lives in: made, stepped and closed there, beside an event loop that never waits.

Each session of the server has one. So a slow environment delays nobody else, one that hangs takes only its own thread
along, and libraries that tie state to a thread work.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

Outcome = tuple[Any, BaseException | None]
"""What a call returned, or what it raised."""
_Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Outcome]"]


class EnvThread:
    """Carries out calls one after the other, in the order given. A daemon: it never keeps the process alive."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="itp-env", daemon=True).start()

    def call(self, function: Callable[[], Any]) -> asyncio.Future[Outcome]:
        """Have a function called; the future is never cancelled by the thread and never raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._jobs.put((function, loop, future))
        return future

    def stop(self) -> None:
        """End the thread once it has done what was given to it."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, loop, future = job
            try:
                outcome: Outcome = (function(), None)
            except BaseException as error:  # SystemExit too: an environment must not end the server
                outcome = (None, error)
            with contextlib.suppress(RuntimeError):  # the loop is closed, nobody waits any more
                loop.call_soon_threadsafe(_settle, future, outcome)
            del job, function, future, outcome  # an idle thread keeps nothing alive


def _settle(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)
