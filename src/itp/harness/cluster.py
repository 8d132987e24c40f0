"""Episodes over a Ray cluster: actors that hold the models play chunks of tasks, this process keeps the record.

Each actor builds the planner once (a replica of the models, or clients of model servers) and plays the chunks it is
handed. An actor or a machine that is lost costs its chunk another attempt: first as it was, then episode by episode,
so that one episode that kills its process cannot drag others along. An episode that used up its attempts is recorded
as an error. Ray itself is imported here only.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from itp import __version__
from itp.errors import ConfigError, EnvError, ItpError
from itp.harness.play import ExecutorFlags, Play
from itp.types import StopReason, Task, Trajectory

START_TIMEOUT = 300.0
"""Seconds without any living actor after which the run gives up; it can be resumed."""
CONNECT_TIMEOUT = 10.0
"""Seconds in which the head of a cluster must answer."""
FALSE_STARTS = 3
"""Actors in a row that may die while they load; then the fault is not their machines'."""


class EpisodeActor:
    """What runs in one process of the cluster. Errors that a user can mend are returned: a raised one is a bug."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._planner: Any = None

    def prepare(self) -> str | ItpError:
        """Load the models; returns this machine's version of itp."""
        try:
            self._planner = self._play.make_planner()
        except ItpError as error:
            return error
        return __version__

    def run(self, tasks: Sequence[str]) -> list[Trajectory] | ItpError:
        """Play a chunk."""
        try:
            return self._play.run(self._planner, tasks)
        except ItpError as error:
            return error


def ray_library() -> Any:
    """The optional library; ModuleNotFoundError, which the command line words, where it is not installed."""
    return importlib.import_module("ray")


def connect(flags: ExecutorFlags) -> None:
    """Join the cluster, or start one on this machine, unless this process has done so already."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = ray_library()
    if ray.is_initialized():
        return
    address = flags.ray_address or os.environ.get("RAY_ADDRESS") or "local"
    _check_answers(address)
    local = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **local)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"--ray-address {address}: no Ray cluster can be joined there ({reason}); start one with "
            "`ray start --head`, or leave the flag out to use this machine"
        ) from error


def _check_answers(address: str) -> None:
    """Refuse an address where nothing listens: Ray itself would try for many minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT).close()
    except OSError as error:
        raise ConfigError(
            f"--ray-address {address}: nothing answers there ({error.strerror or error}); start a cluster with "
            "`ray start --head`, or leave the flag out to use this machine"
        ) from error


def play_on_ray(
    play: Play, tasks: Sequence[str], on_episode: Callable[[Trajectory], None], flags: ExecutorFlags
) -> None:
    """Play tasks over the cluster. See `itp.harness.play.play_episodes`.

    Raises:
        ConfigError: no such cluster, or one without room for a single actor.
        EnvError: no actor lives, or none comes up.
        ItpError: whatever the planner refuses.
    """
    connect(flags)
    size = flags.ray_chunk or play.batch_size
    chunks = [list(tasks[start : start + size]) for start in range(0, len(tasks), size)]
    fleet = _Fleet(play, chunks, on_episode, flags)
    try:
        fleet.run(_fleet_size(flags, len(chunks)))
    finally:
        fleet.close()


def _fleet_size(flags: ExecutorFlags, chunks: int) -> int:
    """Actors to ask for: no more than chunks; what the cluster has no room for yet waits for machines to join."""
    if flags.ray_actors:
        return min(flags.ray_actors, chunks)
    total = ray_library().cluster_resources()
    wanted = {"CPU": flags.ray_cpus, "GPU": flags.ray_gpus}
    room = min((int(total.get(kind, 0.0) / need) for kind, need in wanted.items() if need), default=1)
    if not room:
        have = ", ".join(f"{total.get(kind, 0.0):g} {kind}" for kind in wanted)
        raise ConfigError(
            f"--ray-cpus {flags.ray_cpus:g} --ray-gpus {flags.ray_gpus:g}: the cluster has {have}; ask for less"
        )
    return min(room, chunks)


class _Fleet:
    """The actors of one run, and which of them plays what."""

    def __init__(
        self, play: Play, chunks: list[list[str]], on_episode: Callable[[Trajectory], None], flags: ExecutorFlags
    ) -> None:
        self._ray = ray = ray_library()
        self._play = ray.put(play)
        self._waiting = deque(chunks)
        self._on_episode = on_episode
        self._retries = flags.ray_retries
        actor = ray.remote(EpisodeActor)
        self._actor = actor.options(
            num_cpus=flags.ray_cpus,
            num_gpus=flags.ray_gpus,
            max_restarts=0,
            runtime_env={"env_vars": {"PYTHONPATH": _module_path()}},
        )
        self._starting: dict[Any, Any] = {}
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, list[str]]] = {}
        self._losses: Counter[str] = Counter()
        self._false_starts = 0
        self._alive = time.monotonic()

    def run(self, size: int) -> None:
        """Start the actors and hand out chunks until every task has its episode."""
        for _ in range(size):
            self._start()
        while self._waiting or self._busy:
            while self._waiting and self._idle:
                actor, chunk = self._idle.pop(), self._waiting.popleft()
                self._busy[actor.run.remote(chunk)] = (actor, chunk)
            ready, _ = self._ray.wait([*self._busy, *self._starting], timeout=1.0)
            for reference in ready:
                self._take(reference)
            self._check_alive()

    def close(self) -> None:
        """End all actors."""
        actors = [*self._idle, *self._starting.values(), *(actor for actor, _ in self._busy.values())]
        for actor in actors:
            self._end(actor)

    def _start(self) -> None:
        actor = self._actor.remote(self._play)
        self._starting[actor.prepare.remote()] = actor

    def _end(self, actor: Any) -> None:
        with contextlib.suppress(Exception):  # it may be gone already, and the cluster with it
            self._ray.kill(actor)

    def _take(self, reference: Any) -> None:
        """Take in what an actor answered, or that it was lost."""
        starting = reference in self._starting
        actor, chunk = (self._starting.pop(reference), []) if starting else self._busy.pop(reference)
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError:  # an exception of our own code: a bug, shown as one
            self._end(actor)
            raise
        except self._ray.exceptions.RayError as error:  # the actor, its machine or its answer is lost
            self._end(actor)
            self._lost(chunk, error, starting)
            return
        self._idle.append(actor)
        if isinstance(answer, ItpError):
            raise answer
        if starting:
            self._false_starts = 0
            _check_version(answer)
            return
        for trajectory in answer:
            self._on_episode(trajectory)

    def _lost(self, chunk: list[str], error: Exception, starting: bool) -> None:
        """Owe the episodes again, or give them up; and replace the actor."""
        reason = " ".join(str(error).split())[:300]
        self._false_starts += starting
        if self._false_starts > FALSE_STARTS and not self._busy and not self._idle:
            raise EnvError(f"{self._false_starts} Ray actors in a row died while they loaded; the last: {reason}")
        again = []
        for task in chunk:
            self._losses[task] += 1
            if self._losses[task] > self._retries:
                message = f"lost {self._losses[task]} times with the process or machine that played it: {reason}"
                self._on_episode(Trajectory(Task(task, ""), "", (), StopReason.ERROR, error=message))
            else:
                again.append(task)
        if again:
            alone = self._losses[again[0]] > 1
            self._waiting.extend([[task] for task in again] if alone else [again])
        self._start()

    def _check_alive(self) -> None:
        now = time.monotonic()
        if self._busy or self._idle:
            self._alive = now
        elif now - self._alive > START_TIMEOUT:
            raise EnvError(
                f"no Ray actor has come up for {START_TIMEOUT:.0f} s: see `ray status` for what the cluster lacks; "
                "the same command resumes the run"
            )


def _module_path() -> str:
    """Where the user's own modules lie (`--env MODULE:FACTORY`), for machines that see the same files."""
    installed = (sys.prefix, sys.base_prefix)
    own = [str(Path(entry).resolve()) for entry in [*sys.path, "."] if not entry.startswith(installed)]
    return os.pathsep.join(dict.fromkeys(own))


def _check_version(theirs: str) -> None:
    if theirs != __version__:
        raise ConfigError(
            f"a machine of the Ray cluster has itp {theirs}, this one {__version__}: install the same version on all"
        )
