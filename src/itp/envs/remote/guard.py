"""What a request must pass before the app sees it: the token, and a body that is neither too large nor endless.

Plain ASGI around the app, so that a refused request costs next to nothing and a body is never kept beyond the limit.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from itp.envs.remote.wire import Refusal, encode

BODY_PATIENCE = 30.0
"""Seconds that a client may take to send a body."""
LINGER = 1 << 24
"""Bytes beyond the limit that are read and dropped: a client that is still sending would not hear the answer."""
OPEN_PATHS = ("/health",)
"""Answered without a token, for supervisors."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """Middleware that answers 401, 408 and 413 itself.

    Args:
        app: what is guarded.
        token: bearer token that every request must carry; empty for none.
        max_body: bytes.
        patience: seconds that a body may take.
        open_paths: answered without a token.
    """

    def __init__(
        self,
        app: App,
        *,
        token: str,
        max_body: int,
        patience: float = BODY_PATIENCE,
        open_paths: Collection[str] = OPEN_PATHS,
    ) -> None:
        self._app, self._max_body, self._patience, self._open_paths = app, max_body, patience, open_paths
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection event, as ASGI calls it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        try:
            self._check_token(scope["path"], headers)
            async with asyncio.timeout(self._patience):
                body = await self._read(headers, receive)
        except Refusal as refusal:
            await refuse(send, refusal)
            return
        except TimeoutError:
            await refuse(send, Refusal(408, "timeout", f"the body did not come within {self._patience:g} s"))
            return
        if body is not None:
            await self._app(scope, _replay(body, receive), send)

    def _check_token(self, path: str, headers: dict[bytes, bytes]) -> None:
        if not self._token or path in self._open_paths:
            return
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
            what = "the token is wrong" if given else "a token is needed"
            raise Refusal(401, "unauthorized", f"{what}: send it as `Authorization: Bearer TOKEN`")

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
        """The whole body; None if the client went away."""
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > self._max_body + LINGER:
            raise self._too_large()
        body, seen = bytearray(), 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            chunk = message.get("body", b"")
            seen += len(chunk)
            if seen <= self._max_body:
                body += chunk
            last = not message.get("more_body", False)
            if seen > self._max_body and (last or seen > self._max_body + LINGER):
                raise self._too_large()
            if last:
                return bytes(body)

    def _too_large(self) -> Refusal:
        return Refusal(413, "too_large", f"the body is larger than {self._max_body} bytes, the server's --max-body")


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once, then what comes after it."""
    given = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def refuse(send: Send, refusal: Refusal) -> None:
    """Send an error answer."""
    body = encode(refusal.fields())
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
