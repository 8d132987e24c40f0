"""The ScienceWorld simulator in a JVM, and the pool of JVMs that environments take turns with.

Two sessions in one JVM disturb each other (simplifications are static), so each running episode has a JVM of its own.
Java's identity hashes order the things in a room, and differ from run to run; with `-XX:hashCode=2` they are all equal,
the order is that of insertion, and the same commands give the same text in every JVM.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itp.envs.jvm import Jvm
from itp.errors import ConfigError

TIMEOUT = 60.0
"""Seconds that one call may take; loading the largest task with its gold path takes about one."""
HEAP_MB = 1024
_BROKEN = "ERROR:"  # the simulator calls its portals "ERROR: SHOULD USE OVERRIDE FOR PORTAL."
_TERMINAL = " terminal "
"""Parts of things that conduct; the list of valid actions leaves those of some out."""
RECYCLE_MB = 1200
"""Resident memory above which a JVM is not used for another episode."""
OPTIONS = ("-XX:+UseSerialGC", "-XX:+UnlockExperimentalVMOptions", "-XX:hashCode=2", f"-Xmx{HEAP_MB}m")
SIMPLIFICATIONS = (
    "easy", "teleportAction", "selfWateringFlowerPots", "openContainers", "openDoors", "noElectricalAction",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """What the simulator says to a command. `score` is in points: 100 is success, below 0 a fatal mistake."""

    text: str
    score: int
    completed: bool


class Simulator:
    """One JVM with one session.

    Args:
        timeout: seconds that one call may take.

    Raises:
        ConfigError: scienceworld, py4j or Java is missing.
        EnvError: the JVM does not start; and from any method, when it died or did not answer in time.
    """

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self.timeout = timeout
        self._jvm = Jvm("scienceworld", _jar(), OPTIONS, timeout)
        self._named: tuple[str, ...] | None = None
        self._names: tuple[str, ...] = ()
        self.server: Any = self._jvm.call(lambda: self._jvm.classes.scienceworld.runtime.pythonapi.PythonInterface())

    @property
    def pid(self) -> int:
        """Process id of the JVM."""
        return self._jvm.pid

    @property
    def usable(self) -> bool:
        """Whether the JVM lives and is small enough for another episode."""
        return self._jvm.alive and 0 < self._jvm.memory() < RECYCLE_MB << 20

    def load(self, name: str, variation: int, simplifications: str, gold: bool) -> str:
        """Start a task as the official `load` and `reset` do; returns the first look around.

        The simulator's `load` leaves the same state as a `reset` behind it, which makes all of it again, and whether
        wanted or not a gold path: 0.2 to 2.9 seconds.
        """

        def start() -> str:
            self._named = None
            self.server.load(name, variation, simplifications, gold)
            return self.server.step("look around")

        return self._jvm.call(start)

    def step(self, command: str) -> Answer:
        """Carry out a command: three calls, and none of the official step's look, inventory and valid actions."""
        server = self.server
        return self._jvm.call(
            lambda: Answer(server.step(command), round(100 * server.getScore()), bool(server.getCompleted()))
        )

    def official_step(self, env: Any, command: str) -> Answer:
        """The same by `ScienceWorldEnv.step` of the library."""

        def step() -> Answer:
            text, _, completed, info = env.step(command)
            return Answer(text, int(info["score"]), bool(completed))

        return self._jvm.call(step)

    def task_description(self) -> str:
        """The task in words."""
        return self._jvm.call(lambda: self.server.freeActionTaskDesc())

    def valid_actions(self) -> list[str]:
        """Every command that the simulator takes now, sorted: 100 to 1,600 of them, in 10 to 100 ms."""
        text = self._jvm.call(lambda: self.server.getValidActionObjectCombinationsJSON())
        return sorted({entry["action"] for entry in json.loads(text)["validActions"]})

    def names(self) -> tuple[str, ...]:
        """Every name that the simulator takes now for a thing in sight or a part of one, sorted.

        Listing them takes about 50 ms; they are kept while the same things are in sight.
        """
        unique = tuple(self._jvm.call(lambda: list(self.server.getPossibleObjects())))
        if self._named != unique:
            self._named, self._names = unique, self._list_names(unique)
        return self._names

    def _list_names(self, unique: Sequence[str]) -> tuple[str, ...]:
        server = self.server
        valid = self._jvm.call(lambda: server.getValidActionObjectCombinationsJSON())
        table = self._jvm.call(lambda: server.getAllObjectIdsTypesReferentsLUTJSON())
        in_sight = {str(number) for entry in json.loads(valid)["validActions"] for number in entry["obj_ids"]}
        known = {number: entry["referents"] for number, entry in json.loads(table).items()}
        names = {*unique, *(name for number in in_sight & known.keys() for name in known[number])}
        parts = {name for others in known.values() for name in others if _TERMINAL in name}
        names |= {part for part in parts if part.partition(_TERMINAL)[0] in names}
        return tuple(sorted(name for name in names if not name.startswith(_BROKEN)))

    def gold_path(self) -> list[str]:
        """Commands that solve the task, if it was loaded with `gold`."""
        return self._jvm.call(lambda: list(self.server.getGoldActionSequence()))

    def close(self) -> None:
        """End the JVM. Calling it twice is harmless."""
        self._jvm.close()


def official_env(simulator: Simulator, name: str, variation: int, simplifications: str) -> Any:
    """A `ScienceWorldEnv` of the library on our JVM, without a step limit of its own."""
    from scienceworld import ScienceWorldEnv

    class OnOurJvm(ScienceWorldEnv):
        def __init__(self) -> None:
            self.server = simulator.server
            self.lastStepScore, self.envStepLimit = 0, 2**31
            self.taskName, self.variationIdx, self.simplificationStr = name, variation, simplifications
            self.goldPathGenerated = False
            self.clear_run_histories()

        def close(self) -> None:
            """The JVM is not this object's to close."""

    return OnOurJvm()


class SimulatorPool:
    """Simulators that no episode needs at the moment; starting one takes a second."""

    def __init__(self) -> None:
        self._idle: list[Simulator] = []
        self._lock = threading.Lock()
        self._owner = os.getpid()
        atexit.register(self.close)

    def take(self, timeout: float) -> Simulator:
        """An idle simulator with this time-out, or a new one."""
        with self._lock:
            if self._owner != os.getpid():  # after a fork the parent's JVMs are not ours
                self._idle, self._owner = [], os.getpid()
            fitting = next((s for s in self._idle if s.timeout == timeout), None)
            if fitting is not None:
                self._idle.remove(fitting)
        if fitting is not None and fitting.usable:
            return fitting
        if fitting is not None:
            fitting.close()
        return Simulator(timeout)

    def give(self, simulator: Simulator) -> None:
        """Take a simulator back; one that is dead or too large is closed."""
        if simulator.usable:
            with self._lock:
                self._idle.append(simulator)
        else:
            simulator.close()

    def close(self) -> None:
        """Close all idle simulators."""
        with self._lock:
            idle, self._idle = self._idle, []
        for simulator in idle:
            simulator.close()


POOL = SimulatorPool()


def _jar() -> Path:
    try:
        import py4j  # noqa: F401
        import scienceworld
    except ImportError as error:
        raise ConfigError(
            f"scienceworld is not installed ({error}); pip install 'imagine-then-plan[scienceworld]'"
        ) from error
    return Path(scienceworld.__file__).parent / "scienceworld.jar"
