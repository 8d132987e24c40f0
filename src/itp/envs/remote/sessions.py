"""The sessions of an environment server: made, called with a time-out, cloned, reaped when idle, closed.

Knows nothing of HTTP. `app` translates requests into calls of `Sessions`; every call to an environment runs in its
session's own thread (`thread.EnvThread`), one at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable
from typing import Any

from itp.envs.base import TextEnv
from itp.envs.remote.session import Answer, Limits, Session, close_env, env_of
from itp.envs.remote.thread import Outcome
from itp.envs.remote.wire import Refusal, encode, refusal_of

MAX_WAITING = 16
"""Requests that may wait for one session; more are refused."""
REMEMBERED = 4096
"""Ended sessions whose ending can still be told."""
CLOSING_PATIENCE = 5.0
"""Seconds that a closing is waited for; it goes on alone after that."""


class Sessions:
    """All sessions of a server. Every method belongs to the event loop's thread.

    Args:
        limits: what is allowed.
        clock: seconds, for idleness.
        on_failure: told of every exception of an environment that is no `ItpError`, in the environment's thread.
        serial: let all environments take turns, as libraries want that are not made for threads; waiting for the turn
            counts towards the time-out then.

    Attributes:
        counts: how often what happened: created, resets, steps, closed, reaped, timed_out, failed, ...
    """

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_failure: Callable[[BaseException], None] = lambda _: None,
        serial: bool = False,
    ) -> None:
        self.limits = limits
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._on_failure = on_failure
        self._gate = threading.Lock() if serial else contextlib.nullcontext()
        self._sessions: dict[str, Session] = {}
        self._keys: dict[str, Session] = {}
        self._closing: set[Session] = set()
        self._ended: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def closing(self) -> int:
        """Sessions that have ended and whose environment is not yet closed, because it is busy or hangs."""
        return len(self._closing)

    def get(self, session_id: str) -> Session:
        """The session of an id.

        Raises:
            Refusal: 410 if it has ended, with the reason; 404 if it never was.
        """
        session = self._sessions.get(session_id)
        if session is not None:
            session.used = self._clock()
            return session
        if ended := self._ended.get(session_id):
            raise Refusal(410, "session_ended", f"session {session_id} has ended: {ended}; create another")
        raise Refusal(404, "unknown_session", f"session {session_id[:64]!r} is unknown; POST /create makes one")

    async def create(
        self, make: Callable[[], TextEnv], describe: Callable[[TextEnv], dict[str, Any]], key: str | None
    ) -> Session:
        """Make an environment and a session for it.

        Args:
            make: makes the environment.
            describe: what to tell about it, kept in `details`; called in its thread like `make`.
            key: chosen by the client; the same key again gives the same session, so that asking twice is safe.

        Raises:
            Refusal: no room, or the environment cannot be made.
        """

        def work(session: Session) -> None:
            session.env = make()
            session.details = describe(session.env)

        return await self._new(work, key)

    async def clone(self, session: Session, key: str | None) -> Session:
        """A second session whose environment is in the same state.

        Raises:
            Refusal: no room, the session has ended, or its environment cannot be cloned.
        """
        async with self._turn(session):
            if key is not None and key in self._keys:
                return await self._existing(self._keys[key])
            self._require_room()
            twin_env = await self._call(session, lambda: env_of(session).clone())

            def work(twin: Session) -> None:
                twin.env, twin.details = twin_env, session.details
                twin.seq, twin.request, twin.answer = session.seq, session.request, session.answer
                twin.shown = session.shown

            try:
                return await self._new(work, key)
            except Refusal:
                session.thread.call(lambda: self._gated(twin_env.close))
                raise

    async def ask(self, session: Session, function: Callable[[TextEnv], Any]) -> Any:
        """Call a function that changes nothing with the environment."""
        async with self._turn(session):
            return await self._call(session, lambda: function(env_of(session)))

    async def play(
        self, session: Session, seq: int | None, request: Hashable, function: Callable[[TextEnv], dict[str, Any]]
    ) -> Answer:
        """Reset or step, once for each sequence number.

        Args:
            session: whose environment.
            seq: number of this reset or step, from 1, or None for a client that does not count.
            request: what was asked; a repeated number must ask the same.
            function: does it and gives the fields of the answer.

        Raises:
            Refusal: a number that is neither the last nor the next, a time-out, or the session has ended.
        """
        async with self._turn(session):
            if seq is not None and seq != session.seq + 1:
                return self._again(session, seq, request)
            number = session.seq + 1
            answer = await self._call(session, lambda: self._answer(session, number, function))
            session.seq, session.request, session.answer = number, request, answer
            if answer.status == 200:
                session.shown = answer
            return answer

    async def close(self, session: Session, reason: str, count: str = "closed") -> None:
        """End a session: it is unknown at once, and its environment is closed as soon as it is free."""
        if not session.ended:
            await asyncio.wait({self._end(session, reason, count)}, timeout=CLOSING_PATIENCE)

    async def reap(self) -> int:
        """Close the sessions that have been idle too long; their number."""
        limit = self.limits.idle_timeout
        now = self._clock()
        idle = [s for s in self._sessions.values() if not s.waiting and now - s.used > limit]
        reason = f"no request for {limit:g} s"
        await asyncio.gather(*(self.close(session, reason, "reaped") for session in idle))
        return len(idle)

    async def close_all(self) -> int:
        """Close every session, at the end of the server; the number of environments that would not close in time."""
        sessions = list(self._sessions.values())
        await asyncio.gather(*(self.close(session, "the server stops") for session in sessions))
        return self.closing

    async def _new(self, work: Callable[[Session], None], key: str | None) -> Session:
        if key is not None and key in self._keys:
            return await self._existing(self._keys[key])
        self._require_room()
        session = Session(secrets.token_hex(16), key, self._clock())
        self._sessions[session.id] = session
        if key is not None:
            self._keys[key] = session
        async with self._turn(session):
            try:
                await self._call(session, lambda: work(session))
            except Refusal:
                await self.close(session, "its environment could not be made", "refused")
                raise
        self.counts["created"] += 1
        return session

    async def _existing(self, session: Session) -> Session:
        async with self._turn(session):  # until it is made
            return session

    def _require_room(self) -> None:
        limit = self.limits.max_sessions
        if len(self._sessions) + len(self._closing) >= limit:
            self.counts["full"] += 1
            busy = f", {self.closing} of them ended but still busy" if self._closing else ""
            raise Refusal(503, "full", f"the server holds {limit} sessions{busy}: close some, or raise --max-sessions")

    @contextlib.asynccontextmanager
    async def _turn(self, session: Session) -> AsyncIterator[None]:
        """Wait until the session is free, and hold it."""
        if session.waiting >= MAX_WAITING:
            raise Refusal(429, "busy", f"{session.waiting} requests wait for session {session.id} already")
        session.waiting += 1
        try:
            async with session.lock:
                if session.ended:
                    self.get(session.id)
                yield
        finally:
            session.waiting -= 1
            session.used = self._clock()

    async def _call(self, session: Session, function: Callable[[], Any]) -> Any:
        """Call a function in the session's thread. One that takes too long costs the session, and nothing else."""
        limit = self.limits.step_timeout
        future = session.thread.call(lambda: self._gated(function))
        done, _ = await asyncio.wait({future}, timeout=limit)
        if not done:
            reason = f"a call of its environment took longer than {limit:g} s"
            self._end(session, reason, "timed_out")
            raise Refusal(504, "timeout", f"session {session.id} has ended: {reason}")
        value, error = future.result()
        if error is not None:
            raise self._refusal(error)
        return value

    def _gated(self, function: Callable[[], Any]) -> Any:
        with self._gate:
            return function()

    def _answer(self, session: Session, seq: int, function: Callable[[TextEnv], dict[str, Any]]) -> Answer:
        """Do it and encode the answer, an error too: whoever asks again must hear the same. In the session's thread."""
        try:
            fields = function(env_of(session))
            body = encode({"id": session.id, "seq": seq, **fields})
        except BaseException as error:  # an environment may raise anything
            refusal = self._refusal(error)
            return Answer(refusal.status, encode({"id": session.id, "seq": seq, **refusal.fields()}))
        return Answer(200, body, fields["observation"], fields["available_actions"])

    def _refusal(self, error: BaseException) -> Refusal:
        refusal = refusal_of(error)
        if refusal.status >= 500:
            self.counts["failed"] += 1
            self._on_failure(error)
        return refusal

    def _again(self, session: Session, seq: int, request: Hashable) -> Answer:
        if seq == session.seq and request == session.request and session.answer is not None:
            self.counts["repeated"] += 1
            return session.answer
        what = "asked something else" if seq == session.seq else f"is not the next, {session.seq + 1}"
        raise Refusal(409, "out_of_order", f"request {seq} of session {session.id} {what}: one client at a time")

    def _end(self, session: Session, reason: str, count: str) -> asyncio.Future[Outcome]:
        """Forget a session and have its environment closed after what its thread still does; that closing."""
        self.counts[count] += 1
        session.ended = reason
        self._sessions.pop(session.id, None)
        if session.key is not None:
            self._keys.pop(session.key, None)
        self._ended[session.id] = reason
        while len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        self._closing.add(session)
        closed = session.thread.call(lambda: self._gated(lambda: close_env(session)))
        session.thread.stop()
        closed.add_done_callback(lambda _: self._closing.discard(session))
        return closed
