"""What server and client agree on: errors and answers as JSON.

An error is `{"error": one line, "kind": a word}` with a fitting status. The answer to a reset or step is an object with
the fields of `reset_fields` and `step_fields`; `available_actions` is what `info["admissible_commands"]` is locally, so
that long lists travel once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

import numpy as np

from itp import errors
from itp.envs.base import InfoDict
from itp.errors import EnvError, ItpError
from itp.types import CommandGrammar

TOKEN_VARIABLE = "ITP_TOKEN"
"""Environment variable that holds the bearer token, on both sides."""
_COMMANDS, _GRAMMAR = "admissible_commands", "command_grammar"


class Refusal(Exception):  # noqa: N818 (most of them are the asker's mistakes)
    """A request that is answered with an error.

    Args:
        status: HTTP status.
        kind: word for programs: the class of an `ItpError`, or what went wrong otherwise.
        message: line for people.
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind

    def fields(self) -> dict[str, Any]:
        """The error as a JSON object."""
        return {"error": " ".join(str(self).split()), "kind": self.kind}


def refusal_of(error: BaseException) -> Refusal:
    """What an environment raised, as a refusal: its own one-line errors as they are, anything else as a failure."""
    if isinstance(error, ItpError):
        return Refusal(400, type(error).__name__, str(error))
    return Refusal(500, "env_failed", f"the environment raised {type(error).__name__}: {error}")


def error_of(fields: Mapping[str, Any], server: str) -> ItpError:
    """The exception that an error answer stands for: the environment's own class and line, or an `EnvError`."""
    kind, message = str(fields.get("kind", "")), str(fields.get("error", ""))
    found = getattr(errors, kind, None)
    if isinstance(found, type) and issubclass(found, ItpError):
        return found(message)
    return EnvError(f"{server}: {message}")


def reset_fields(observation: str, info: InfoDict) -> dict[str, Any]:
    """The answer to a reset, AgentGym's names included: `task_type`, `task_description`, `score`."""
    return {
        **_common_fields(observation, info),
        "task_type": info["task_type"],
        "task_description": info["task"],
        "done": False,
        "reward": 0.0,
    }


def step_fields(observation: str, reward: float, terminated: bool, truncated: bool, info: InfoDict) -> dict[str, Any]:
    """The answer to a step."""
    return {
        **_common_fields(observation, info),
        "reward": float(reward),
        "terminated": bool(terminated),
        "truncated": bool(truncated),
        "done": bool(terminated or truncated),
    }


def info_of(fields: Mapping[str, Any]) -> InfoDict:
    """The info dictionary of an answer, as the environment gave it."""
    info = {**fields["info"], _COMMANDS: fields["available_actions"]}
    if _GRAMMAR in info:
        info[_GRAMMAR] = CommandGrammar(**{key: tuple(texts) for key, texts in info[_GRAMMAR].items()})
    return info  # pyright: ignore[reportReturnType]


def encode(fields: object) -> bytes:
    """JSON, in ASCII so that any string can travel, lone surrogates too.

    Raises:
        EnvError: a value that JSON has no word for, such as an infinite reward.
    """
    try:
        return json.dumps(fields, default=_plain, allow_nan=False, separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise EnvError(f"this cannot be sent as JSON ({error}): use str, float, bool, list and dict") from error


def _common_fields(observation: str, info: InfoDict) -> dict[str, Any]:
    return {
        "observation": observation,
        "available_actions": info[_COMMANDS],
        "score": info["score"],
        "info": {
            key: asdict(value) if isinstance(value, CommandGrammar) else value
            for key, value in info.items()
            if key != _COMMANDS
        },
    }


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} {str(value)[:40]!r}")
