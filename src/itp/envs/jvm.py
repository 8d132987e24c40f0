"""A Java simulator in a process of its own, called through py4j: for ScienceWorld and TextWorld-Express.

A JVM ends when the pipe to its standard input closes, hence with its parent, however that ends. It has a process group
of its own: Ctrl-C is for Python, which then closes the pipe. A call that is not answered in time kills it.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from itp.errors import ConfigError, EnvError

T = TypeVar("T")


class Jvm:
    """A running JVM.

    Args:
        name: the simulator, for messages.
        jar: its jar file; the JVM works in the jar's folder.
        options: of the JVM.
        timeout: seconds that one call may take.

    Attributes:
        pid: of the Java process.
        classes: py4j's view of the JVM's packages.

    Raises:
        ConfigError: there is no Java.
        EnvError: the JVM does not start.
    """

    def __init__(self, name: str, jar: Path, options: Sequence[str], timeout: float) -> None:
        from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway

        if shutil.which("java") is None:
            raise ConfigError(
                f"{name} needs Java (17 is tested) on the PATH; on Debian: apt install default-jre-headless"
            )
        logging.getLogger("py4j").setLevel(logging.CRITICAL)  # it prints tracebacks of what is raised anyway
        self.name, self._timeout = name, timeout
        try:
            launched: Any = launch_gateway(
                classpath=str(jar),
                javaopts=list(options),
                cwd=str(jar.parent),
                die_on_exit=True,
                create_new_process_group=True,
                return_proc=True,
            )
        except Exception as error:  # py4j raises whatever went wrong while it read the port
            raise EnvError(f"the JVM of {name} did not start ({type(error).__name__}: {error})") from error
        self._process: Any = launched[1]
        parameters = GatewayParameters(port=launched[0], read_timeout=timeout)
        self._gateway: Any = JavaGateway(gateway_parameters=parameters)
        self.pid: int = self._process.pid
        self.classes: Any = self._gateway.jvm
        self._owner = os.getpid()
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        """Whether the JVM still runs and belongs to this process."""
        return self._owner == os.getpid() and self._process.poll() is None

    def call(self, function: Callable[[], T]) -> T:
        """Run a function that calls into the JVM.

        Raises:
            EnvError: Java raised an exception; or the JVM died or did not answer in time, and is gone now.
        """
        from py4j.protocol import Py4JError, Py4JJavaError

        try:
            return function()
        except Py4JJavaError as error:
            raise EnvError(f"{self.name} failed: {str(error.java_exception)[:200]}") from error
        except (Py4JError, OSError) as error:
            died = True
            try:
                self._process.wait(timeout=0.5)  # a process that was killed takes a moment to be gone
            except subprocess.TimeoutExpired:
                died = False
            self._kill()
            reason = "died" if died else f"gave no answer for {self._timeout:g} s, or broke the connection"
            raise EnvError(f"the JVM of {self.name} (pid {self.pid}) {reason}; start the episode again") from error

    def memory(self) -> int:
        """Resident memory of the process in bytes; 0 when it is gone."""
        import psutil

        try:
            return psutil.Process(self.pid).memory_info().rss
        except psutil.Error:
            return 0

    def close(self) -> None:
        """End the process. Calling it twice is harmless."""
        if self._owner != os.getpid():
            return
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1)
        self._kill()

    def _kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(Exception):
            self._gateway.close()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError, AttributeError):
                stream.close()
        atexit.unregister(self.close)
