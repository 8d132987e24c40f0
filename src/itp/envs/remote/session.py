"""One session of an environment server, the answers it keeps, and the limits of all of them; `sessions` runs them."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from itp.envs.base import TextEnv
from itp.envs.remote.thread import EnvThread
from itp.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server allows.

    Args:
        max_sessions: sessions at once, those included whose environment is still busy closing.
        idle_timeout: seconds without a request after which a session is closed.
        step_timeout: seconds that one call of an environment may take.
        max_body: bytes of a request.

    Raises:
        ConfigError: one of them is not positive.
    """

    max_sessions: int = 256
    idle_timeout: float = 600.0
    step_timeout: float = 60.0
    max_body: int = 1 << 20

    def __post_init__(self) -> None:
        for name in ("max_sessions", "idle_timeout", "step_timeout", "max_body"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"--{name.replace('_', '-')} {getattr(self, name)} must be more than 0")


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a reset or step: as sent, and the parts that are asked for again."""

    status: int
    body: bytes
    observation: str = ""
    available_actions: list[str] | None = None


@dataclass(eq=False, slots=True)
class Session:
    """One environment and who may call it: whoever knows the id.

    Attributes:
        seq: resets and steps carried out. A request that names the next number is carried out once, however often it
            is sent; the last answer is kept for that.
    """

    id: str
    key: str | None
    used: float
    thread: EnvThread = field(default_factory=EnvThread)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    env: TextEnv | None = None
    seq: int = 0
    request: Hashable = None
    answer: Answer | None = None
    shown: Answer | None = None
    """The last answer that was no error."""
    waiting: int = 0
    ended: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    """What was told when the session was made."""


def env_of(session: Session) -> TextEnv:
    """The session's environment, once it is made."""
    assert session.env is not None
    return session.env


def close_env(session: Session) -> None:
    """Close the session's environment, if it was ever made."""
    env, session.env = session.env, None
    if env is not None:
        env.close()
