"""The Java simulator of TextWorld-Express: one Java process for all environments of a Python process.

Serves `itp.envs.textworld_express`. A session of the simulator is a light Java object, so that hundreds share a JVM.
The game of sorting is the exception: there two games of one seed share their objects, so each session gets its own JVM.
"""

from __future__ import annotations

import json
import threading
import weakref
from pathlib import Path
from typing import Any

from itp.envs.jvm import Jvm
from itp.errors import ConfigError, EnvError

TIMEOUT = 60.0
"""Seconds that a call may take before the JVM counts as hung and is killed."""
JAVA_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC")
NOT_SHARED = frozenset({"sorting"})
"""Games whose sessions disturb each other within one JVM."""


class Session:
    """One simulator of TextWorld-Express, independent of every other.

    Args:
        game: a game it will play; decides whether the session shares its JVM.

    Raises:
        ConfigError: Java, py4j or textworld-express is missing.
        EnvError: the JVM does not start.
    """

    def __init__(self, game: str) -> None:
        self.shared = game not in NOT_SHARED
        self._jvm = _shared_jvm() if self.shared else _start()
        if not self.shared:
            weakref.finalize(self, self._jvm.close)
        self._java: Any = self._jvm.call(lambda: self._jvm.classes.textworldexpress.runtime.PythonInterface())
        self._loaded: tuple[str, str] | None = None

    @property
    def alive(self) -> bool:
        """Whether the JVM still runs and belongs to this process."""
        return self._jvm.alive

    def new_game(self, game: str, params: str, seed: int, split: str, gold: bool) -> tuple[dict[str, Any], str]:
        """Start a game; the simulator's first answer and the task description.

        Raises:
            ConfigError: the simulator refuses the game or its parameters.
            EnvError: the simulator died or hung.
        """
        if self._loaded != (game, params):
            self._loaded = None
            if refusal := self._jvm.call(lambda: self._java.load(game, params)):
                raise ConfigError(f"textworld-express refuses game {game!r} with params {params!r}: {refusal.strip()}")
            self._loaded = (game, params)
        answer = json.loads(self._jvm.call(lambda: self._java.generateNewGameJSON(seed, split, gold)))
        if "observation" not in answer:
            raise EnvError(f"textworld-express made no game {game} of {split} seed {seed}: {answer}")
        return answer, self._jvm.call(lambda: self._java.getTaskDescription())

    def step(self, command: str) -> dict[str, Any]:
        """The simulator's answer to a command."""
        return json.loads(self._jvm.call(lambda: self._java.stepJSON(command)))

    def gold_path(self) -> list[str]:
        """Commands that solve the game, if it was started with `gold`."""
        return self._jvm.call(lambda: list(self._java.getGoldActionSequence()))

    def close(self) -> None:
        """End the JVM, if no other session uses it."""
        if not self.shared:
            self._jvm.close()


def _start() -> Jvm:
    try:
        import textworld_express
    except ImportError as error:
        raise ConfigError(
            f"textworld-express is not installed ({error}); pip install 'imagine-then-plan[textworld]'"
        ) from error
    jar = Path(textworld_express.__file__).parent / "textworld-express.jar"
    return Jvm("textworld-express", jar, JAVA_OPTIONS, TIMEOUT)


_running: Jvm | None = None
_lock = threading.Lock()


def _shared_jvm() -> Jvm:
    """The JVM of this process; a new one after a fork, or when the old one is dead."""
    global _running
    with _lock:
        if _running is None or not _running.alive:
            _running = _start()
        return _running


def close_jvm() -> None:
    """End the shared JVM, if there is one; sessions in it are lost."""
    global _running
    if _running is not None:
        _running.close()
        _running = None
