"""Environments in worker processes: parallel stepping that outlives a worker that dies or hangs.

Slot n lives in worker `n % workers`. A call sends every worker its share and reads the answers as they come, slot by
slot; results depend on tasks, seeds and actions only, never on the number of workers. A worker that dies, or is silent
for `timeout` seconds, is killed and replaced; the episodes it held fail with one line each, and the others go on.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from itp.envs.vector import EnvFactory, Episode, Failure, Outcome, SerialVectorEnv, VectorEnv
from itp.errors import ConfigError

TIMEOUT = 120.0
"""Seconds of silence after which a worker counts as hung; the first reset in it may have to start a simulator."""
_DONE = None


class WorkerVectorEnv(VectorEnv):
    """Slots spread over processes: for environments that take milliseconds, or that may crash or hang.

    Args:
        make_env: creates one environment; it is pickled.
        num_envs: number of slots.
        workers: processes; at most one per slot is started.
        timeout: seconds that one reset or step may take.

    Raises:
        ConfigError: a number that is not allowed, or a factory that cannot be pickled.
    """

    def __init__(self, make_env: EnvFactory, num_envs: int, *, workers: int, timeout: float = TIMEOUT) -> None:
        super().__init__(num_envs)
        if workers < 1 or timeout <= 0:
            raise ConfigError(f"workers={workers}, timeout={timeout:g}: give at least 1 worker and more than 0 seconds")
        try:
            self._factory = pickle.dumps(make_env)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"make_env cannot be sent to worker processes ({error}): give a function of a module, or workers=0"
            ) from error
        self._make_env = make_env
        self._timeout = timeout
        self._task_ids: Sequence[str] | None = None
        self._lost: dict[int, Failure] = {}
        self._workers = [_Worker(self._factory, num_envs) for _ in range(min(workers, num_envs))]
        self._finalizer = weakref.finalize(self, _kill_all, self._workers)

    @property
    def task_ids(self) -> Sequence[str]:
        """Task ids of the split, in a fixed order."""
        if self._task_ids is None:
            env = self._make_env()
            self._task_ids = env.task_ids
            env.close()
        return self._task_ids

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.pid for worker in self._workers]

    def reset(self, episodes: Mapping[int, Episode]) -> dict[int, Outcome]:
        """See `VectorEnv.reset`."""
        for slot in episodes:
            self._lost.pop(slot, None)
        return self._call("resets", episodes)

    def step(self, actions: Mapping[int, str]) -> dict[int, Outcome]:
        """See `VectorEnv.step`."""
        lost = {slot: self._lost.pop(slot) for slot in actions if slot in self._lost}
        return {**self._call("steps", {s: a for s, a in actions.items() if s not in lost}), **lost}

    def close(self) -> None:
        """End all workers, kindly where they listen. Calling it twice is harmless."""
        for worker in self._workers:
            worker.ask(_DONE)
        deadline = time.monotonic() + 5.0
        for worker in self._workers:
            worker.end(max(0.0, deadline - time.monotonic()))
        self._finalizer.detach()

    def _call(self, method: str, requests: Mapping[int, Any]) -> dict[int, Outcome]:
        shares: list[dict[int, Any]] = [{} for _ in self._workers]
        for slot, request in requests.items():
            if not 0 <= slot < self.num_envs:
                raise ConfigError(f"slot {slot} does not exist: there are {self.num_envs}, numbered from 0")
            shares[slot % len(shares)][slot] = request
        waiting = {}
        results: dict[int, Outcome] = {}
        for number, (worker, share) in enumerate(zip(self._workers, shares, strict=True)):
            if share:
                worker.owed = set(share)
                if worker.ask((method, share)):
                    waiting[number] = time.monotonic() + self._timeout
                else:
                    self._replace(number, "died", results)
        while waiting:
            self._read(waiting, results)
        return {slot: results[slot] for slot in requests}

    def _read(self, waiting: dict[int, float], results: dict[int, Outcome]) -> None:
        """Take the answers that have come; a worker past its deadline or without a connection is replaced."""
        connections = {self._workers[number].connection: number for number in waiting}
        ready = wait(list(connections), max(0.0, min(waiting.values()) - time.monotonic()))
        for connection in ready:
            number = connections[connection]  # pyright: ignore[reportArgumentType]
            worker = self._workers[number]
            try:
                slot, outcome = worker.connection.recv()
            except (EOFError, OSError):
                del waiting[number]
                self._replace(number, "died", results)
                continue
            results[slot] = outcome
            worker.owed.discard(slot)
            waiting[number] = time.monotonic() + self._timeout
            if not worker.owed:
                del waiting[number]
        for number in [number for number, deadline in waiting.items() if deadline <= time.monotonic()]:
            if self._workers[number].connection not in ready:
                del waiting[number]
                self._replace(number, f"gave no answer for {self._timeout:g} s", results)

    def _replace(self, number: int, reason: str, results: dict[int, Outcome]) -> None:
        """Kill a worker and start another. Answers that came before stand; those episodes fail at their next step."""
        old = self._workers[number]
        code = old.end(0.0)
        how = f" (exit code {code})" if reason == "died" else ""
        failure = Failure(f"EnvError: worker {number} (pid {old.pid}) {reason}{how}; it was replaced")
        for slot in range(number, self.num_envs, len(self._workers)):
            (results if slot in old.owed else self._lost)[slot] = failure
        self._workers[number] = _Worker(self._factory, self.num_envs)


class _Worker:
    """One process, the connection to it, and the slots whose answers it owes."""

    def __init__(self, factory: bytes, num_envs: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.owed: set[int] = set()
        self._process = context.Process(
            target=_serve, args=(theirs, factory, num_envs, os.getpid()), name="itp-env-worker", daemon=True
        )
        self._process.start()
        theirs.close()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def ask(self, message: Any) -> bool:
        """Send a message; False when nobody is there."""
        try:
            self.connection.send(message)
        except (BrokenPipeError, OSError):
            return False
        return True

    def end(self, patience: float) -> int | None:
        """Wait a while for the process to end, then kill it; returns its exit code."""
        if self._process.is_alive():
            self._process.join(patience)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        with contextlib.suppress(OSError):
            self.connection.close()
        return self._process.exitcode


def _kill_all(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.end(0.0)


def _serve(connection: Connection, factory: bytes, num_envs: int, parent: int) -> None:
    """A worker's life: answer until told to stop, or until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    envs = SerialVectorEnv(pickle.loads(factory), num_envs)
    try:
        while (message := connection.recv()) is not _DONE:
            method, requests = message
            for slot, outcome in getattr(envs, method)(requests):
                _send(connection, slot, outcome)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        envs.close()


def _send(connection: Connection, slot: int, outcome: Outcome) -> None:
    try:
        connection.send((slot, outcome))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        connection.send((slot, Failure(f"EnvError: info cannot be sent between processes ({error})", outcome.seconds)))


def _leave_with(parent: int) -> None:
    """End this process when its parent died without a word, even in the middle of a long step."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
