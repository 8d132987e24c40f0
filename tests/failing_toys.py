"""Environments and functions that fail in chosen ways."""

from __future__ import annotations

import os
from typing import Any

from itp import make_env
from itp.envs.base import InfoDict, TextEnv
from itp.errors import ConfigError


class Flaky(TextEnv):
    """A household of five tasks, two of which fail while the variable FLAKY is set."""

    def __init__(self, env: TextEnv) -> None:
        super().__init__()
        self.env = env
        self.broken = env.task_ids[1:3]

    @property
    def task_ids(self) -> Any:
        return self.env.task_ids[:5]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, InfoDict]:
        if os.environ.get("FLAKY") and options is not None and options["task_id"] in self.broken:
            raise OSError("the disk is full")
        return self.env.reset(seed=seed, options=options)

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]:
        return self.env.step(action)


def flaky_household(**options: Any) -> TextEnv:
    return Flaky(make_env("household", **options))


def square(number: int) -> int:
    if number == 2:
        os._exit(9)
    if number == 3:
        raise ConfigError("three is refused")
    if number == 4:
        raise ZeroDivisionError("four")
    return number * number
