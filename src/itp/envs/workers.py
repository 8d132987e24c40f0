"""Environments in worker processes: parallel stepping that outlives a worker that dies or hangs.

Slot n lives in worker `n % workers`. A call sends every worker its share and reads the answers as they come, slot by
slot; results depend on tasks, seeds and actions only, never on the number of workers. A worker that dies, or is silent
for `timeout` seconds, is killed and replaced; the episodes it held fail with one line each, and the others go on.
"""

from __future__ import annotations

import math
import pickle
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from multiprocessing.util import Finalize
from typing import Any

from itp.envs.vector import EnvFactory, Episode, Failure, Outcome, VectorEnv
from itp.envs.worker_process import CLOSE_PATIENCE, DONE, READY, WorkerProcess, kill_all, watch
from itp.errors import ConfigError, EnvError

TIMEOUT = 120.0
"""Seconds of silence after which a worker counts as hung; the first reset in it may have to start a simulator."""
FALSE_STARTS = 3
"""Processes in a row that may end before they are ready; then the fault is not theirs."""


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
        self._false_starts = 0
        self._workers: list[WorkerProcess] = []
        closed = threading.Event()
        self._closed = closed
        # Unlike weakref.finalize, this runs before multiprocessing waits for its children at exit.
        self._kill_all = Finalize(self, kill_all, args=(self._workers, closed), exitpriority=10)
        self._workers += [WorkerProcess(self._factory, num_envs) for _ in range(min(workers, num_envs))]
        threading.Thread(target=watch, args=(self._workers, closed), name="itp-env-watch", daemon=True).start()

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
        try:
            if not self._closed.is_set():
                for worker in self._workers:
                    worker.deadline = time.monotonic() + CLOSE_PATIENCE
                    worker.ask(DONE)
                for worker in self._workers:
                    worker.join()
        finally:
            self._kill_all()

    def _call(self, method: str, requests: Mapping[int, Any]) -> dict[int, Outcome]:
        if self._closed.is_set():
            raise EnvError("these environments are closed; make new ones")
        shares = self._shares(requests)
        try:
            results = self._exchange(method, shares)
        except BaseException:  # Ctrl-C, above all: answers still under way would pass for those of the next call
            self._kill_all()
            raise
        return {slot: results[slot] for slot in requests}

    def _exchange(self, method: str, shares: Mapping[int, dict[int, Any]]) -> dict[int, Outcome]:
        """Send every worker its share, then read until all have answered."""
        results: dict[int, Outcome] = {}
        waiting: set[int] = set()
        for number, share in shares.items():
            worker = self._workers[number]
            worker.owed = set(share)
            worker.allow(self._timeout)
            if worker.ask((method, share)):
                waiting.add(number)
            else:
                self._replace(number, "died", results)
        while waiting:
            numbers = {self._workers[number].connection: number for number in waiting}
            for connection in wait(list(numbers)):
                number = numbers[connection]  # pyright: ignore[reportArgumentType]
                self._take(number, results)
                if not self._workers[number].owed:
                    waiting.remove(number)
        return results

    def _shares(self, requests: Mapping[int, Any]) -> dict[int, dict[int, Any]]:
        """The requests of each worker that has any."""
        shares: dict[int, dict[int, Any]] = {}
        for slot, request in requests.items():
            if not 0 <= slot < self.num_envs:
                raise ConfigError(f"slot {slot} does not exist: there are {self.num_envs}, numbered from 0")
            shares.setdefault(slot % len(self._workers), {})[slot] = request
        return shares

    def _take(self, number: int, results: dict[int, Outcome]) -> None:
        """Take one message that has come from a worker, or replace the worker when its connection is gone."""
        worker = self._workers[number]
        try:
            slot, outcome = pickle.loads(worker.connection.recv_bytes())
        except (EOFError, OSError):
            self._replace(number, "died", results)
            return
        except Exception as error:  # whatever an environment's own classes do when they are unpickled
            self._replace(number, f"sent an answer that cannot be read ({type(error).__name__}: {error})", results)
            return
        if slot == READY:
            worker.ready, self._false_starts = True, 0
        else:
            results[slot] = outcome
            worker.owed.discard(slot)
        worker.allow(self._timeout if worker.owed else math.inf)

    def _replace(self, number: int, reason: str, results: dict[int, Outcome]) -> None:
        """Kill a worker and start another. Answers that came before stand; those episodes fail at their next step."""
        old = self._workers[number]
        code = old.end()
        if old.late:
            reason = f"gave no answer for {self._timeout:g} s"
        elif reason == "died":
            reason = f"died (exit code {code})"
        failure = Failure(f"EnvError: worker {number} (pid {old.pid}) {reason}; it was replaced")
        for slot in range(number, self.num_envs, len(self._workers)):
            (results if slot in old.owed else self._lost)[slot] = failure
        self._false_starts += not old.ready
        if self._false_starts == FALSE_STARTS:
            raise EnvError(
                f"{FALSE_STARTS} worker processes in a row could not start; the last {reason}. What they printed is "
                "above; a script that uses workers must keep its own code behind `if __name__ == '__main__':`"
            )
        self._workers[number] = WorkerProcess(self._factory, self.num_envs)
