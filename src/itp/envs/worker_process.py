"""One worker process: the parent's handle on it, and what runs inside it. `itp.envs.workers` uses them."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from itp.envs.base import TextEnv
from itp.envs.vector import Failure, Outcome, SerialVectorEnv

START_TIMEOUT = 60.0
"""Seconds that a new process may take, beyond the time-out, before its first answer."""
CLOSE_PATIENCE = 5.0
"""Seconds that a process may take to close its environments."""
DONE = None
"""The message that ends a process."""
READY = -1
"""In the place of a slot: the process has started."""


class WorkerProcess:
    """A process, the connection to it, and the slots whose answers it owes.

    Past its deadline the watching thread kills it: even a call stuck in the middle of a message then comes back.

    Args:
        factory: a pickled function that makes one environment.
        num_envs: number of slots of the whole vector environment.

    Attributes:
        owed: slots whose answers are awaited.
        deadline: `time.monotonic()` by which the next answer is due.
        late: it was killed because an answer was overdue.
        ready: it has started.
    """

    def __init__(self, factory: bytes, num_envs: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.owed: set[int] = set()
        self.deadline = math.inf
        self.late = self.ready = False
        self._process = context.Process(
            target=_serve, args=(theirs, factory, num_envs, os.getpid()), name="itp-env-worker", daemon=True
        )
        # A Ctrl-C before the process has learned to ignore it would print a traceback.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def allow(self, seconds: float) -> None:
        """Set the time by which the next answer is due; a process that is not ready yet gets more."""
        self.deadline = time.monotonic() + seconds + (0.0 if self.ready else START_TIMEOUT)

    def ask(self, message: Any) -> bool:
        """Send a message; False when nobody is there."""
        try:
            self.connection.send(message)
        except (BrokenPipeError, OSError):
            return False
        return True

    def check(self, now: float) -> None:
        """Kill the process when its answer is overdue."""
        if self.deadline <= now:
            self.late = True
            self.deadline = math.inf
            self._process.kill()

    def join(self) -> None:
        """Wait for the process until its deadline."""
        self._process.join(min(CLOSE_PATIENCE, max(0.0, self.deadline - time.monotonic())))

    def end(self) -> int | None:
        """Kill the process unless it has ended; returns its exit code."""
        self.deadline = math.inf
        self._process.join(0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        with contextlib.suppress(OSError):
            self.connection.close()
        return self._process.exitcode


def watch(workers: Sequence[WorkerProcess], closed: threading.Event) -> None:
    """Kill workers that are overdue, until `closed` is set; runs in a thread of its own."""
    while not closed.wait(0.1):
        for worker in list(workers):
            worker.check(time.monotonic())


def kill_all(workers: Sequence[WorkerProcess], closed: threading.Event) -> None:
    """End every worker at once, and the thread that watches them."""
    closed.set()
    for worker in workers:
        worker.end()


def _serve(connection: Connection, factory: bytes, num_envs: int, parent: int) -> None:
    """A worker's life: answer until told to stop, or until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()

    def make_env() -> TextEnv:
        return pickle.loads(factory)()  # here, so that a module that cannot be imported is the slot's failure

    envs = SerialVectorEnv(make_env, num_envs)
    try:
        connection.send_bytes(pickle.dumps((READY, None)))
        while (message := connection.recv()) is not DONE:
            method, requests = message
            for slot, outcome in getattr(envs, method)(requests):
                connection.send_bytes(_packed(slot, outcome))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        envs.close()


def _packed(slot: int, outcome: Outcome) -> bytes:
    try:
        return pickle.dumps((slot, outcome))
    except Exception as error:  # whatever an environment's own classes do when they are pickled
        message = f"EnvError: info cannot be sent between processes ({type(error).__name__}: {error})"
        return pickle.dumps((slot, Failure(message, outcome.seconds)))


def _leave_with(parent: int) -> None:
    """End this process when its parent died without a word, even in the middle of a long step."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
