"""The Java simulator of TextWorld-Express: one Java process for all environments of a Python process.

Serves `itp.envs.textworld_express`. A session of the simulator is a light Java object, so that hundreds share a JVM.
The game of sorting is the exception: there two games of one seed share their objects, so each session gets its own JVM.
A JVM ends when the pipe to its standard input closes, hence with its parent, however that ends.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import shutil
import subprocess
import weakref
from pathlib import Path
from typing import Any

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
        self._jvm = _shared_jvm() if self.shared else _Jvm()
        if not self.shared:
            weakref.finalize(self, self._jvm.close)
        self._java: Any = self._jvm.call(self._jvm.new_session)
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


class _Jvm:
    """A Java process that holds sessions."""

    def __init__(self) -> None:
        try:
            import textworld_express
            from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway
        except ImportError as error:
            raise ConfigError(
                f"textworld-express is not installed ({error}); pip install 'imagine-then-plan[textworld]'"
            ) from error
        if shutil.which("java") is None:
            raise ConfigError(
                "textworld-express needs Java 8 or later on the PATH; on Debian: apt install default-jre-headless"
            )
        folder = Path(textworld_express.__file__).parent
        # A group of its own: Ctrl-C is for Python, which then closes the pipe.
        logging.getLogger("py4j").setLevel(logging.CRITICAL)  # it prints tracebacks of what is raised anyway
        launched: Any = launch_gateway(
            classpath=str(folder / "textworld-express.jar"),
            javaopts=list(JAVA_OPTIONS),
            cwd=str(folder),
            die_on_exit=True,
            create_new_process_group=True,
            return_proc=True,
        )
        self._process: Any = launched[1]
        parameters = GatewayParameters(port=launched[0], read_timeout=TIMEOUT)
        self._gateway: Any = JavaGateway(gateway_parameters=parameters)
        self._owner = os.getpid()
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        return self._owner == os.getpid() and self._process.poll() is None

    def new_session(self) -> Any:
        return self._gateway.jvm.textworldexpress.runtime.PythonInterface()

    def call(self, function: Any) -> Any:
        """Call the JVM; one that does not answer is killed."""
        from py4j.protocol import Py4JError, Py4JJavaError

        try:
            return function()
        except Py4JJavaError as error:
            raise EnvError(f"textworld-express failed: {str(error.java_exception)[:200]}") from error
        except (Py4JError, OSError) as error:
            self.close()
            raise EnvError(f"the JVM of textworld-express died or took over {TIMEOUT:.0f} s ({error})") from error

    def close(self) -> None:
        """End the process; called twice, it does nothing."""
        if self._owner != os.getpid():
            return
        with contextlib.suppress(Exception):
            self._gateway.shutdown()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        atexit.unregister(self.close)


_running: _Jvm | None = None


def _shared_jvm() -> _Jvm:
    """The JVM of this process; a new one after a fork, or when the old one is dead."""
    global _running
    if _running is None or not _running.alive:
        _running = _Jvm()
    return _running


def close_jvm() -> None:
    """End the shared JVM, if there is one; sessions in it are lost."""
    global _running
    if _running is not None:
        _running.close()
        _running = None
