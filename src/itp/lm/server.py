"""One OpenAI-compatible server: its address and key, a limit of requests, and JSON answers.

The `openai` client speaks the protocol; requests run side by side on an event loop in a thread of its own, so that
callers stay synchronous. `itp.lm.openai` says what is asked, `itp.lm.retrying` how long to insist.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any
from urllib.parse import urlsplit

from itp.errors import ConfigError, ServerError
from itp.lm.retrying import AttemptFailed, Insistence, Retries, retry_after

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_NO_KEY = "none"
_MAX_QUOTED = 300
"""Letters of what a server said that an error repeats."""


class ModelServer:
    """Requests to one server about one model.

    Args:
        url: address of the API, such as `http://127.0.0.1:8000/v1`.
        model: name by which the server knows the model.
        key_env: environment variable that holds the key; a server on loopback needs none. The key goes into the
            header of requests and nowhere else.
        max_concurrency: requests under way at any time, over all threads.
        retries: time-outs and retries.
    """

    def __init__(self, url: str, model: str, key_env: str, max_concurrency: int, retries: Retries) -> None:
        if max_concurrency < 1:
            raise ConfigError(f"--max-concurrency {max_concurrency} is not allowed: give 1 or more")
        self._key_env = key_env
        self._client = _client(url, key_env)
        self._slots = asyncio.Semaphore(max_concurrency)
        where = f"model server {url}, model {model}" if model else f"model server {url}"
        self._insistence = Insistence(retries, where, self._advice)

    async def chat(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer of /chat/completions; it has at least one choice. Raises ServerError."""
        return await self._ask(lambda: self._client.chat.completions.with_raw_response.create(**request), "choices")

    async def complete(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer of /completions; it has at least one choice. Raises ServerError."""
        return await self._ask(lambda: self._client.completions.with_raw_response.create(**request), "choices")

    def models(self) -> list[str]:
        """Names of the models that the server offers. Raises ServerError."""
        (listed,) = self.gather([self._ask(self._client.models.with_raw_response.list, "data")])
        if isinstance(listed, ServerError):
            raise listed
        return [entry["id"] for entry in listed["data"] if isinstance(entry, dict) and isinstance(entry.get("id"), str)]

    def gather(self, requests: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
        """Results in order, a `ServerError` where a request failed; an interrupt drops what is under way."""

        async def all_of() -> list[Any]:
            results = await asyncio.gather(*requests, return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException) and not isinstance(result, ServerError):
                    raise result
            return results

        future = asyncio.run_coroutine_threadsafe(all_of(), _event_loop(os.getpid()))
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _ask(self, call: Callable[[], Awaitable[Any]], key: str) -> dict[str, Any]:
        """A JSON object with a list under `key`, insisted on."""
        async with self._slots:
            return await self._insistence.send(lambda: self._attempt(call, key))

    async def _attempt(self, call: Callable[[], Awaitable[Any]], key: str) -> dict[str, Any]:
        import openai

        try:
            reply = await call()
        except openai.APIStatusError as error:
            after = retry_after(error.response.headers.get("retry-after"))
            said = self._quote(f"HTTP {error.status_code}, {_reason(error.response.text)}")
            raise AttemptFailed(said, status=error.status_code, retry_after=after) from None
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            raise AttemptFailed(self._quote(f"{type(cause).__name__}, {cause}")) from None
        except openai.OpenAIError as error:
            raise AttemptFailed(self._quote(f"{type(error).__name__}, {error}")) from None
        return _object(reply.text, key)

    def _quote(self, text: str) -> str:
        """One line of what was said, without the key: servers are known to repeat it."""
        key = self._client.api_key
        return " ".join((text if key == _NO_KEY else text.replace(key, "***")).split())[:_MAX_QUOTED]

    def _advice(self, failure: AttemptFailed) -> str:
        """What the user can change."""
        match failure.status:
            case 401 | 403:
                return f"put a key that it accepts into the environment variable {self._key_env}, or name another"
            case 404:
                return "check the model's name, and that the address ends as the API does, usually in /v1"
            case 429:
                return "lower --max-concurrency, or wait"
            case None:
                return "check that a model server runs at this address and keeps up with --max-concurrency"
            case status if status >= 500:
                return "see the server's log (some fail so when a model has no chat template)"
        return "check the model's name; where the prompt is too long, lower --max-prompt-tokens"


def _client(url: str, key_env: str) -> Any:
    """The asynchronous client, without retries of its own and, on loopback, without a proxy."""
    try:
        import openai
    except ImportError:
        raise ConfigError("openai: models need the openai client: pip install 'imagine-then-plan[openai]'") from None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password or parts.query:
        raise ConfigError(
            f"openai:{parts.scheme or 'http'}://{parts.hostname or ''}... is no address of a server: give "
            "http(s)://HOST:PORT/v1, and a key by --key-env"
        )
    local = parts.hostname in _LOOPBACK
    key = os.environ.get(key_env, "").strip() or (_NO_KEY if local else "")
    if not key or not key.isascii():
        raise ConfigError(
            f"the environment variable {key_env} holds no key for {url}: export it (any word for a server without "
            "keys), or name another variable with --key-env"
        )
    http = openai.DefaultAsyncHttpxClient(trust_env=not local)
    return openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0, timeout=None, http_client=http)


def _reason(text: str) -> str:
    """What a server says of an error: OpenAI's `error.message`, FastAPI's `detail`, or the text as it stands."""
    try:
        data = json.loads(text)
    except ValueError:
        return text
    error = data.get("error", data) if isinstance(data, dict) else data
    said = error.get("message") or error.get("detail") if isinstance(error, dict) else error
    return said if isinstance(said, str) else text


def _object(text: str, key: str) -> dict[str, Any]:
    """A reply's JSON object, which must hold a list under `key`, and choices must not be empty."""
    try:
        data = json.loads(text)
    except ValueError:
        raise AttemptFailed("the answer is no JSON") from None
    if not isinstance(data, dict) or not isinstance(data.get(key), list) or (key == "choices" and not data[key]):
        raise AttemptFailed(f"the answer holds no {key}")
    return data


@functools.cache
def _event_loop(process: int) -> asyncio.AbstractEventLoop:
    """The loop that all servers of a process share, in a thread that ends with it; a forked process gets its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="itp-model-servers", daemon=True).start()
    return loop
