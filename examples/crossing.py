"""Bring three things over a river, one at a time: an environment of one's own. See docs/environments.md."""

import copy
from typing import Any, Self

from itp.envs.base import InfoDict, TextEnv
from itp.errors import EnvError

TASKS = {"farm": ("wolf", "goat", "cabbage"), "pond": ("fox", "goose", "corn"), "barn": ("cat", "mouse", "cheese")}


class CrossingEnv(TextEnv):
    """The first of the three eats the second, and the second the third, wherever they are left without you."""

    running = False

    @property
    def task_ids(self) -> list[str]:
        """The three threesomes."""
        return list(TASKS)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, InfoDict]:
        """Everybody is on the near bank."""
        self.task_id = self.choose_task(seed, options)
        self.crossed, self.running = set[str](), True
        return self.answer()

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]:
        """Cross the river, alone or with one thing; any other command does nothing."""
        if not self.running or not isinstance(action, str):
            raise EnvError(f"action {action!r}: step needs a string, and reset before it")
        if action in self.commands:
            self.crossed ^= {"you", *action.split()[3:]}  # "cross alone", "cross with the goat"
        text, info = self.answer()
        self.running = not (info["won"] or "eats" in text)
        return text, info["score"], not self.running, False, info

    def clone(self) -> Self:
        """An independent copy in the same state."""
        return copy.deepcopy(self)

    def answer(self) -> tuple[str, InfoDict]:
        """Observation and info."""
        things, over, you = TASKS[self.task_id], self.crossed, "you" in self.crossed
        self.commands = ["cross alone", *(f"cross with the {one}" for one in things if (one in over) == you)]
        eaten = [f" The {a} eats the {b}." for a, b in (things[:2], things[1:]) if (a in over) == (b in over) != you]
        text = f"On the far bank: {', '.join(sorted(over)) or 'nobody'}.{''.join(eaten)}"
        info = InfoDict(
            task=f"bring {', '.join(things)} over the river.",
            task_id=self.task_id,
            task_type="crossing",
            admissible_commands=list(self.commands),
            won=len(over) == 4,
            score=float(len(over) == 4),
            irreversible=bool(eaten),
        )
        return text, info
