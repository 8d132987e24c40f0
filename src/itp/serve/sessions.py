"""The sessions of a server of decisions: made, found, one request at a time, forgotten when idle. Knows no HTTP but
`Refusal`."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from itp.agent.agent import Agent
from itp.agent.session import AgentSession
from itp.envs.remote.wire import Refusal
from itp.errors import ConfigError, EnvError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server allows.

    Args:
        max_sessions: sessions at once.
        idle_timeout: seconds without a request after which a session is forgotten.
        max_steps: steps of a session, and of the history of a single decision.
        max_commands: admissible commands of one decision.
        max_body: bytes of a request; a session may hold no more letters either.

    Raises:
        ConfigError: one of them is not positive.
    """

    max_sessions: int = 1000
    idle_timeout: float = 1800.0
    max_steps: int = 1000
    max_commands: int = 1000
    max_body: int = 1 << 20

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise ConfigError(f"--{name.replace('_', '-')} {getattr(self, name)} must be more than 0")


@dataclass(eq=False, slots=True)
class Held:
    """A session with what the server must know of it."""

    id: str
    session: AgentSession
    used: float
    size: int = 0
    """Letters of its texts."""
    busy: bool = False


class Sessions:
    """All sessions of a server. Every method belongs to the event loop's thread.

    Args:
        agent: who decides.
        limits: what is allowed.
        clock: seconds, for idleness.

    Attributes:
        created: how many there were.
    """

    def __init__(self, agent: Agent, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.agent, self.limits = agent, limits
        self.created = 0
        self._clock = clock
        self._held: dict[str, Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def create(self, task: str, observation: str) -> Held:
        """A new session. Raises Refusal (429) where there are too many; idle ones make room."""
        if len(self._held) >= self.limits.max_sessions:
            self.forget_idle()
        if len(self._held) >= self.limits.max_sessions:
            raise Refusal(429, "too_many_sessions", f"{len(self._held)} sessions are open, and no more may be")
        session = self.agent.session(task=task, observation=observation)
        held = Held(secrets.token_urlsafe(16), session, self._clock(), len(task) + len(observation))
        self._held[held.id] = held
        self.created += 1
        return held

    def get(self, session_id: str) -> Held:
        """The session of an id. Raises Refusal (404)."""
        held = self._held.get(session_id)
        if held is None:
            raise Refusal(
                404, "unknown_session", f"session {session_id[:64]!r} is unknown or has ended: POST /v1/sessions"
            )
        held.used = self._clock()
        return held

    @contextlib.contextmanager
    def turn(self, session_id: str) -> Iterator[Held]:
        """A session for one request alone. Raises Refusal: 404, 409 (busy, or as long as a session may be)."""
        held = self.get(session_id)
        if held.busy:
            raise Refusal(409, "busy", f"session {held.id} is deciding: one request at a time")
        held.busy = True
        try:
            yield held
        finally:
            held.busy, held.used = False, self._clock()

    def check_room(self, held: Held) -> None:
        """Raises Refusal (409) where a session is as long as it may be."""
        steps = len(held.session.history)
        if steps >= self.limits.max_steps:
            raise Refusal(409, "too_long", f"the session has {steps} steps, the server's --max-steps")
        if held.size > self.limits.max_body:
            raise Refusal(409, "too_long", f"the session has {held.size} letters, beyond the server's --max-body")

    def observe(self, held: Held, observation: str, action: str | None) -> None:
        """Take in what an action led to. Raises Refusal (409) where nothing was decided."""
        session = held.session
        try:
            session.observe(observation, action)
        except EnvError as error:
            raise Refusal(409, "nothing_decided", str(error)) from None
        held.size += sum(map(len, session.history[-1])) + len(session.decisions[-1].thought)
        session.decisions.clear()  # a server keeps no log of them

    def close(self, session_id: str) -> None:
        """Forget a session. Raises Refusal (404)."""
        del self._held[self.get(session_id).id]

    def forget_idle(self) -> None:
        """Forget all that had no request for too long."""
        before = self._clock() - self.limits.idle_timeout
        for held in [held for held in self._held.values() if held.used < before and not held.busy]:
            del self._held[held.id]
