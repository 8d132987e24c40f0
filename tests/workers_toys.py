"""Environments that tests send to worker processes, hence in a module of their own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from itp.envs.base import InfoDict, TextEnv
from itp.types import CommandGrammar


class Walk(TextEnv):
    """Task "t<goal>": say "up" until the value is the goal. A task id may end in a trap: "t5-die" dies at value 2.

    Traps spring once per flag file, so that a replaced worker can play the task again: "die" kills the process,
    "hang" sleeps, "raise" raises, "odd" returns an info that cannot be pickled.
    """

    def __init__(self, count: int = 40, flags: str = "") -> None:
        super().__init__()
        self.count, self.flags = count, flags

    @property
    def task_ids(self) -> Sequence[str]:
        return [f"t{3 + n % 5}-{n}" for n in range(self.count)]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, InfoDict]:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.task_id = (options or {})["task_id"]
        self.goal, self.trap, self.value = int(self.task_id[1]), self.task_id.partition("-")[2], 0
        return f"value 0, seed {seed}", self.info()

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.value += {"up": 1, "down": -1}.get(action, 0)
        if self.value == 2 and self.sprung():
            return "trap", 0.0, False, False, {**self.info(), "odd": lambda: None}  # pyright: ignore[reportReturnType]
        won = self.value == self.goal
        return f"value {self.value}", float(won), won, False, self.info()

    def sprung(self) -> bool:
        flag = Path(self.flags) / self.task_id
        if not self.flags or self.trap not in ("die", "hang", "raise", "odd") or flag.exists():
            return False
        flag.touch()
        if self.trap == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.trap == "hang":
            time.sleep(600)
        if self.trap == "raise":
            raise RuntimeError("engine lost")
        return True

    def info(self) -> InfoDict:
        return InfoDict(
            task=f"reach {self.goal}",
            task_id=self.task_id,
            task_type="walk",
            admissible_commands=["down", "up"],
            won=self.value == self.goal,
            score=float(self.value == self.goal),
        )


class Told(Walk):
    """A walk that a "jump" spoils for good, for collection: it tells plan, commands and their grammar when asked to."""

    def __init__(
        self, count: int, commands: bool, expert: bool, sleep: float, max_steps: int | None, grammar: bool
    ) -> None:
        super().__init__(count)
        self.grammar = grammar
        self.commands, self.expert, self.sleep, self.max_steps = commands, expert, sleep, max_steps or 9

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, InfoDict]:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.spoilt, self.steps = False, 0
        return super().reset(seed=seed, options=options)

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]:  # pyright: ignore[reportIncompatibleMethodOverride]
        time.sleep(self.sleep)
        self.spoilt |= action == "jump"
        self.steps += 1
        observation, reward, won, _, info = super().step(action)
        return observation, reward, won or self.spoilt, self.steps >= self.max_steps, info

    def info(self) -> InfoDict:
        info: InfoDict = {**super().info(), "admissible_commands": None, "irreversible": self.spoilt}
        if self.commands:
            info["admissible_commands"] = ["down", "jump", "up"]
        if self.grammar:
            info["command_grammar"] = CommandGrammar(("up", "down"), ())
        if self.expert:
            info["expert_plan"] = ["up"] * (0 if self.spoilt else self.goal - self.value)
        return info


def told(
    count: int = 12,
    commands: bool = False,
    expert: bool = False,
    sleep: float = 0.0,
    max_steps: int | None = None,
    grammar: bool = False,
) -> Told:
    return Told(count, commands, expert, sleep, max_steps, grammar)
