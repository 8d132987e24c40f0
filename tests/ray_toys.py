"""Environments and planners that tests send to the processes of a Ray cluster."""

from __future__ import annotations

import os
import time
from typing import Any

from itp import make_env
from itp.envs.base import InfoDict, TextEnv
from itp.errors import ConfigError
from itp.planners.base import Planner
from itp.planners.simple import RandomPlanner

DEADLY = 5
"""Number of the task whose reset kills the process."""


class Wrapped(TextEnv):
    """A household that waits at every step, or dies with its process at one task."""

    def __init__(self, env: TextEnv, *, pause: float = 0.0, deadly: str = "") -> None:
        super().__init__()
        self.env, self.pause, self.deadly = env, pause, deadly

    @property
    def task_ids(self) -> Any:
        return self.env.task_ids

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, InfoDict]:
        if self.deadly and options is not None and options["task_id"] == self.deadly:
            os._exit(1)
        return self.env.reset(seed=seed, options=options)

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]:
        time.sleep(self.pause)
        return self.env.step(action)


def slow_household(**options: Any) -> TextEnv:
    pause = options.pop("pause", 0.004)
    return Wrapped(make_env("household", **options), pause=pause)


def deadly_household() -> TextEnv:
    env = make_env("household", split="valid")
    return Wrapped(env, deadly=env.task_ids[DEADLY])


def random_planner() -> Planner:
    return RandomPlanner()


def refuse(message: str) -> Planner:
    raise ConfigError(message)
