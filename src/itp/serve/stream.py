"""One decision as server-sent events: what goes over the wire while the planner imagines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from itp.envs.remote.wire import Refusal, encode
from itp.serve.messages import event_of
from itp.types import Decision, HorizonChosen, ImaginedStep

HEARTBEAT = 10.0
"""Seconds of silence after which a comment is sent: proxies cut silent connections, and only who writes notices that
nobody reads."""
Events: TypeAlias = AsyncIterator[HorizonChosen | ImaginedStep | Decision]


class EventStream(StreamingResponse):
    """The answer to a request with `stream: true`.

    Args:
        events: of the decision.
        refusal: what an error is answered with.
        release: called at the end, however that comes, even if nobody ever reads.
    """

    def __init__(
        self,
        events: Events,
        refusal: Callable[[Exception], Refusal],
        release: Callable[[], None] = lambda: None,
    ) -> None:
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(as_server_sent(events, refusal), media_type="text/event-stream", headers=headers)
        self._release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI calls it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._release()


async def as_server_sent(
    events: Events, refusal: Callable[[Exception], Refusal], heartbeat: float = HEARTBEAT
) -> AsyncIterator[bytes]:
    """Events as they come; an error is the last one."""
    imagined = 0
    waited: asyncio.Future[Any] | None = None
    try:
        while True:
            waited = waited or asyncio.ensure_future(_next(events))
            done, _ = await asyncio.wait([waited], timeout=heartbeat)
            if not done:
                yield b": thinking\n\n"
                continue
            event, waited = waited.result(), None
            if event is None:
                return
            if isinstance(event, Exception):
                yield _sent("error", refusal(event).fields())
                return
            yield _sent(*event_of(event, imagined))
            imagined += isinstance(event, ImaginedStep)
    finally:
        if waited is not None:
            waited.cancel()  # the reader went away: the decision leaves the queue


async def _next(events: Events) -> HorizonChosen | ImaginedStep | Decision | Exception | None:
    """The next event, or what came instead of it; None at the end."""
    try:
        return await anext(events, None)
    except Exception as error:
        return error


def _sent(name: str, data: dict[str, Any]) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + encode(data) + b"\n\n"
