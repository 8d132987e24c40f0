"""A remote environment as a `TextEnv`: `itp.make_env("http://127.0.0.1:8000", split="valid")`.

Behaves as the environment that the server makes would behave here: the same observations, rewards, infos and errors.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from itp.envs.base import InfoDict, TextEnv
from itp.envs.remote.connection import Connection
from itp.envs.remote.wire import info_of
from itp.errors import ConfigError, EnvError, ItpError

TIMEOUT = 120.0
"""Seconds; longer than a server's usual --step-timeout, so that its own error arrives."""
RETRIES = 3


def make_remote_env(
    url: str,
    *,
    split: str = "train",
    engine: str = "fast",
    data: str | Path | None = None,
    max_steps: int | None = None,
    token: str | None = None,
    timeout: float = TIMEOUT,
    retries: int = RETRIES,
) -> TextEnv:
    """Open a session on an environment server.

    Args:
        url: http://HOST:PORT of `itp serve-env`.
        split: which tasks; the server makes its environment with this split.
        engine: must be "fast": the server's own flags choose the engine.
        data: must be None: the server has its own data.
        max_steps: steps before an episode is truncated; None leaves it to the server.
        token: bearer token, if the server wants one; None takes that of the variable ITP_TOKEN.
        timeout: seconds that an answer may take.
        retries: repetitions of a request after a network failure; no step is ever taken twice.

    Raises:
        ConfigError: an argument is not allowed, here or by the server's environment.
        EnvError: the server cannot be reached, or has no room.
    """
    if engine != "fast" or data is not None:
        given = f"data={str(data)!r}" if data is not None else f"engine={engine!r}"
        raise ConfigError(f"{given}: a remote environment has the server's; give it to `itp serve-env` instead")
    connection = Connection(url, token=token, timeout=timeout, retries=retries)
    return RemoteEnv(connection, {"split": split, "max_steps": max_steps})


class RemoteEnv(TextEnv):
    """One session of an environment server. `close` ends it; so does the server, when nothing is asked for long.

    Args:
        connection: to the server; belongs to this environment alone.
        wanted: `split` and `max_steps`, as `POST /create` takes them.
        session: what the server told of a session that exists already; None opens one.

    Attributes:
        max_steps: step limit of the server's environment, as far as it tells.

    Raises:
        ItpError: what the server's environment raised when it was made, or an `EnvError` of the network.
    """

    dear_clones = True

    def __init__(self, connection: Connection, wanted: dict[str, Any], session: dict[str, Any] | None = None) -> None:
        super().__init__()
        self._connection = connection
        self._wanted = wanted
        self._seq = 0
        self._task_ids: tuple[str, ...] | None = None
        self._closed = False
        if session is None:
            session = self._ask("/create", {**wanted, "key": secrets.token_hex(16)})
        if not isinstance(session.get("id"), str) or "tasks" not in session:
            raise EnvError(f"{connection.url} answered {str(session)[:60]}: this is no server of `itp serve-env`")
        self._session = session
        self._id: str = session["id"]
        self.max_steps: int | None = session["max_steps"]

    @property
    def task_ids(self) -> Sequence[str]:
        """Task ids of the split, in a fixed order; fetched when first asked for."""
        if self._task_ids is None:
            ids: list[str] = []
            while len(ids) < self._session["tasks"]:
                page = self._checked(self._connection.get(f"/tasks?id={self._id}&offset={len(ids)}"))["task_ids"]
                if not page:
                    break
                ids.extend(page)
            self._task_ids = tuple(ids)
        return self._task_ids

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, InfoDict]:
        """Start an episode; see `TextEnv.reset` and the server's environment."""
        body = {"seed": None if seed is None else int(seed), "options": options}
        answer = self._play("/reset", body)
        return answer["observation"], info_of(answer)

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]:
        """Take an action; see `TextEnv.step` and the server's environment.

        Raises:
            EnvError: the network failed, the session has ended, or the environment raised.
        """
        if not isinstance(action, str):
            raise EnvError(f"an action must be a string, found {type(action).__name__} {action!r}")
        answer = self._play("/step", {"action": action})
        terminated, truncated = answer["terminated"], answer["truncated"]
        return answer["observation"], answer["reward"], terminated, truncated, info_of(answer)

    def clone(self) -> Self:
        """An independent session in the same state, if the server's environment can be cloned.

        Raises:
            EnvError: it cannot be, or the server has no room.
        """
        session = self._ask("/clone", {"id": self._id, "key": secrets.token_hex(16)})
        twin = type(self)(self._connection.twin(), self._wanted, session)
        twin._seq, twin._task_ids = self._seq, self._task_ids
        return twin

    def close(self) -> None:
        """End the session. A server that is gone has ended it already."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(ItpError):
                self._connection.post("/close", {"id": self._id})
            self._connection.close()

    def _play(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """A reset or step, under its own number: repeated by the connection, it is still carried out once."""
        return self._ask(path, {"id": self._id, "seq": self._seq + 1, **body})

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if self._closed:
            raise EnvError("the environment is closed; make another")
        return self._checked(self._connection.post(path, body))

    def _checked(self, answer: dict[str, Any]) -> dict[str, Any]:
        self._seq = answer.get("seq", self._seq)
        if "error" in answer:
            raise self._connection.error(answer)
        return answer
