"""HTTP as the client needs it: JSON requests over one kept connection, sent again when the network fails.

Every request may be sent twice: creating and cloning carry a key, resets and steps a number, and the server answers a
repetition with what it recorded. Only the standard library is used, so a client needs no extra to be installed.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from itp.envs.remote.wire import TOKEN_VARIABLE, encode, error_of
from itp.errors import ConfigError, EnvError

PAUSE = 0.2
"""Seconds before the second repetition; doubled each time. The first comes at once."""


class Connection:
    """One client's connection to a server.

    Args:
        url: of the server, with a path if it stands behind a proxy.
        token: bearer token; None takes that of ITP_TOKEN, if any.
        timeout: seconds that an answer may take.
        retries: repetitions after a network failure.

    Raises:
        ConfigError: an argument is not allowed.
    """

    def __init__(self, url: str, *, token: str | None, timeout: float, retries: int) -> None:
        self.url = url.rstrip("/")
        self._secure, self._host, self._port, self._path = _parts(url)
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0:
            raise ConfigError(f"timeout={timeout!r} is not allowed: give seconds, more than 0")
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise ConfigError(f"retries={retries!r} is not allowed: give a number of repetitions, 0 or more")
        self._token = os.environ.get(TOKEN_VARIABLE, "").strip() if token is None else str(token)
        self._given_token, self._timeout, self._retries = token, timeout, retries
        self._http: http.client.HTTPConnection | None = None

    def twin(self) -> Connection:
        """Another connection to the same server."""
        return Connection(self.url, token=self._given_token, timeout=self._timeout, retries=self._retries)

    def get(self, path: str) -> dict[str, Any]:
        """GET; see `request`."""
        return self.request("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST; see `request`."""
        return self.request("POST", path, encode(body))

    def request(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        """Send a request and return the JSON object of the answer, that of an error as well.

        Raises:
            EnvError: the server cannot be reached, or what answers is no environment server.
            ConfigError: the token is missing or wrong.
        """
        status, content = self._send_surely(method, path, body)
        fields = _object(content)
        if fields is None:
            what = f"HTTP {status}, {content[:60].decode('utf-8', 'replace')!r}"
            raise EnvError(f"{self.url} answered {path} with {what}: this is no server of `itp serve-env`")
        if status == 401:
            raise ConfigError(f"{self.url}: {fields.get('error')}; give token=..., or set {TOKEN_VARIABLE}")
        return fields

    def error(self, fields: Mapping[str, Any]) -> Exception:
        """The exception that an error answer stands for."""
        return error_of(fields, self.url)

    def close(self) -> None:
        """Drop the connection; the next request opens another."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _send_surely(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        attempt = 0
        while True:
            try:
                return self._send(method, path, body)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if attempt == self._retries:
                    tried = f" ({attempt + 1} attempts)" if attempt else ""
                    raise EnvError(f"environment server {self.url} cannot be reached: {_why(error)}{tried}") from error
            if attempt:
                time.sleep(PAUSE * 2 ** (attempt - 1))
            attempt += 1

    def _send(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        if self._http is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            self._http = kind(self._host, self._port, timeout=self._timeout)
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        self._http.request(method, self._path + path, body, headers)
        response = self._http.getresponse()
        content = response.read()
        if response.will_close:
            self.close()
        return response.status, content


def _parts(url: str) -> tuple[bool, str, int | None, str]:
    """Whether TLS, host, port and path of a URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"environment {url!r} is no URL ({error}): write http://HOST:PORT") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ConfigError(f"environment {url!r} is no server's URL: write http://HOST:PORT, and a token as token=...")
    return parts.scheme == "https", parts.hostname, port, parts.path.rstrip("/")


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        fields = json.loads(content)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer in time; raise timeout=... if it is only slow"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused; start it with `itp serve-env`, or check host and port"
    return str(error) or type(error).__name__
