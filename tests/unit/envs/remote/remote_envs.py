"""An environment that misbehaves when told to, and a server for it in a thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from itp.envs.base import InfoDict, TextEnv
from itp.envs.remote.app import Offer, create_app
from itp.envs.remote.server import EnvServer, bind, url_of
from itp.envs.remote.session import Limits
from itp.errors import ConfigError, EnvError


@dataclass
class Log:
    """What happened to all environments of one factory."""

    made: list[dict[str, Any]] = field(default_factory=list)
    closed: int = 0
    actions: list[str] = field(default_factory=list)
    running: int = 0
    """Steps under way now, over all environments."""
    most_running: int = 0
    release: threading.Event = field(default_factory=threading.Event)
    """Lets go of environments that hang."""


class OddEnv(TextEnv):
    """Counts its steps. Some actions raise, hang, sleep, or answer what cannot be sent."""

    def __init__(self, log: Log, max_steps: int | None = None) -> None:
        super().__init__()
        self.log, self.max_steps, self.count, self.task_id = log, max_steps or 50, -1, ""
        self.inside = False

    @property
    def task_ids(self) -> list[str]:
        return ["a", "b", "c"]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, InfoDict]:
        self.task_id = (options or {}).get("task_id", "abc"[(seed or 0) % 3])
        if self.task_id not in self.task_ids:
            raise ConfigError(f"task_id {self.task_id!r} is unknown")
        self.count = 0
        return "a room", self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]:
        if self.count < 0:
            raise EnvError("call reset first")
        assert not self.inside, "two steps at once"
        self.inside = True
        self.log.actions.append(action)
        self.log.running += 1
        self.log.most_running = max(self.log.most_running, self.log.running)
        try:
            reward = self._odd(action)
        finally:
            self.inside = False
            self.log.running -= 1
        self.count += 1
        return f"{self.count}: {action}", reward, False, self.count >= self.max_steps, self._info()

    def _odd(self, action: str) -> float:
        if action == "raise":
            raise ValueError("two\nlines")
        if action == "exit":
            raise SystemExit(3)
        if action == "hang":
            self.log.release.wait(30)
        if action.startswith("sleep "):
            time.sleep(float(action.split()[1]))
        return float("nan") if action == "nan" else 0.5

    def clone(self) -> Self:
        if self.task_id == "c":
            return super().clone()
        twin = type(self)(self.log, self.max_steps)
        twin.count, twin.task_id = self.count, self.task_id
        return twin

    def close(self) -> None:
        self.log.closed += 1

    def _info(self) -> InfoDict:
        return InfoDict(
            task="count", task_id=self.task_id, task_type="t", admissible_commands=["x"], won=False, score=1.5
        )


def offer(log: Log) -> Offer:
    def make(**given: Any) -> TextEnv:
        if given["split"] == "bad":
            raise ConfigError("split 'bad' is unknown")
        if given["split"] == "broken":
            raise OSError("no disk")
        log.made.append(given)
        return OddEnv(log, given["max_steps"])

    return Offer(make, "odd", "train")


@contextlib.contextmanager
def served(what: Offer, limits: Limits | None = None, *, token: str = "") -> Iterator[str]:
    """A server in a thread; its URL."""
    with bind("127.0.0.1", 0) as socket:
        server = EnvServer(create_app(what, limits, token=token), socket)
        thread = threading.Thread(target=server.serve_here)
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield url_of(socket)
        finally:
            server.stop()
            thread.join(20)
            assert not thread.is_alive()


def wait_until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)
