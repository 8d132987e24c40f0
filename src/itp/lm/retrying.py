"""Requests to a model server: which failures are worth another attempt, how long to wait, and when to give up.

Knows nothing of what is asked: `itp.lm.openai` hands in one attempt as a coroutine function.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from itp.errors import ServerError

T = TypeVar("T")
_JITTER = random.Random()  # a generator of its own: waiting must not disturb a run's seeds
_RETRIED = (408, 409, 425, 429)
_FATAL = (401, 403, 404)


@dataclass(frozen=True, slots=True)
class Retries:
    """How long to insist. All times in seconds."""

    attempts: int = 8
    """Most attempts of one request."""
    first_wait: float = 1.0
    """Wait after the first failure; it doubles with each further one, and a random part of up to half is taken off."""
    longest_wait: float = 60.0
    """Upper limit of the doubled wait. A server's Retry-After is honoured even beyond it."""
    timeout: float = 300.0
    """Limit of one attempt, from connecting to the last byte."""
    give_up_after: float = 900.0
    """Limit of one request with all its attempts and waits."""

    def wait(self, failures: int, asked: float | None) -> float:
        """Seconds to wait after so many failures; `asked` is what the server asked for."""
        doubled = min(self.longest_wait, self.first_wait * 2 ** (failures - 1)) * _JITTER.uniform(0.5, 1.0)
        return doubled if asked is None else max(asked, 0.0) + 0.1 * doubled


class AttemptFailed(Exception):  # noqa: N818 - never leaves this package
    """One attempt did not succeed.

    Args:
        reason: what happened, one line without secrets.
        status: HTTP status, None without an answer.
        retry_after: seconds that the server asked to wait.
    """

    def __init__(self, reason: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.status, self.retry_after = status, retry_after

    @property
    def final(self) -> bool:
        """Whether the same request would be refused again."""
        return self.status is not None and 400 <= self.status < 500 and self.status not in _RETRIED


class Insistence:
    """Sends requests to one server until they succeed or `Retries` is used up.

    Once the server was given up, further requests get a single attempt each until one succeeds: an outage costs the
    wait once, not once for every prompt.

    Args:
        retries: the limits.
        where: server and model, for errors.
        advise: what to change, from the last failure.
    """

    def __init__(self, retries: Retries, where: str, advise: Callable[[AttemptFailed], str]) -> None:
        self.retries, self._where, self._advise = retries, where, advise
        self._given_up = False

    async def send(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """The result of the first attempt that succeeds.

        Raises:
            ServerError: refused, or given up.
        """
        began, failures = time.monotonic(), 0
        while True:
            left = self.retries.give_up_after - (time.monotonic() - began)
            try:
                result = await self._once(attempt, min(self.retries.timeout, max(left, 0.001)))
            except AttemptFailed as failure:
                failures += 1
                wait = self.retries.wait(failures, failure.retry_after)
                elapsed = time.monotonic() - began
                too_late = elapsed + wait > self.retries.give_up_after
                if failure.final or self._given_up or failures >= self.retries.attempts or too_late:
                    error = self._error(failure, failures, elapsed)
                    self._given_up = self._given_up or not failure.final
                    # The cause may quote the key: it is not shown.
                    raise error from None
                await asyncio.sleep(wait)
            else:
                self._given_up = False
                return result

    async def _once(self, attempt: Callable[[], Awaitable[T]], limit: float) -> T:
        try:
            async with asyncio.timeout(limit):
                return await attempt()
        except TimeoutError:
            raise AttemptFailed(f"no answer within {limit:.3g} s") from None

    def _error(self, failure: AttemptFailed, attempts: int, elapsed: float) -> ServerError:
        tried = f" ({attempts} attempt{'s' if attempts > 1 else ''} in {elapsed:.3g} s)"
        if self._given_up:
            tried = " (once more, after it was given up)"
        if failure.final:
            tried = ""
        message = f"{self._where}: {failure}{tried}: {self._advise(failure)}"
        return ServerError(message, status=failure.status, fatal=failure.status in _FATAL)


def retry_after(value: str | None) -> float | None:
    """Seconds named by a Retry-After header, which holds seconds or a date; None when it is absent or unreadable."""
    if not value:
        return None
    try:
        return float(value)
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
