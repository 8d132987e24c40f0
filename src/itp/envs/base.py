"""The contract of a text environment: a `gymnasium.Env` with text in and text out.

`reset(seed=..., options={"task_id": ...}) -> (observation, info)` and
`step(action) -> (observation, reward, terminated, truncated, info)`, where `info` is an `InfoDict`. Without a `task_id`
option, reset draws a task with the seed.
"""

# Without `from __future__ import annotations`, which would hide NotRequired from `InfoDict.__required_keys__`.
from collections.abc import Sequence
from typing import Any, NotRequired, Self, TypedDict

import gymnasium
import numpy as np

from itp.errors import ConfigError, EnvError
from itp.types import CommandGrammar


class InfoDict(TypedDict):
    """What `reset` and `step` return beside the observation."""

    task: str
    """Goal text, without a "Your task is to:" prefix."""
    task_id: str
    task_type: str
    admissible_commands: list[str] | None
    """Commands the environment accepts now, in its own order; None when the action space is open."""
    won: bool
    """The goal is reached. Not the same as terminated."""
    score: float
    """In the environment's own unit: ALFWorld 0 or 1, ScienceWorld -100 to 100."""
    max_score: NotRequired[float]
    """The most that `score` can reach, where that is known and differs from task to task."""
    irreversible: NotRequired[bool]
    """A mistake has made the goal impossible for good, whether or not the episode goes on."""
    command_grammar: NotRequired[CommandGrammar]
    """What the parser understands now, where `admissible_commands` is None and the environment can tell."""
    expert_plan: NotRequired[list[str]]
    """What an expert would do from here on, next action first; only from environments asked for it."""


class TextSpace(gymnasium.spaces.Space[str]):
    """Any string. `gymnasium.spaces.Text` rejects ordinary sentences with its default character set."""

    def __init__(self) -> None:
        super().__init__(shape=None, dtype=None)

    def contains(self, x: Any) -> bool:
        """Whether x is a string."""
        return isinstance(x, str)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """Eight random letters; masks and probabilities are ignored."""
        letters = np.array(list("abcdefghijklmnopqrstuvwxyz "))
        return "".join(self.np_random.choice(letters, size=8))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextSpace)


class TextEnv(gymnasium.Env[str, str]):
    """Base class of every environment here. Subclasses implement `reset`, `step` and `task_ids`, some `clone`."""

    metadata = {"render_modes": []}  # noqa: RUF012 (gymnasium declares it so)
    tells_plans = True
    """Set to False, an environment may leave out `info["expert_plan"]`, where finding one costs time."""
    dear_clones = False
    """Each clone holds a process or a session of its own: who branches much had better replay in one environment."""

    def __init__(self) -> None:
        self.observation_space = TextSpace()
        self.action_space = TextSpace()

    @property
    def task_ids(self) -> Sequence[str]:
        """Task ids of the split, in a fixed order."""
        raise NotImplementedError

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, InfoDict]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Start an episode of `options["task_id"]`, or of a task drawn with the seed; returns observation and info."""
        raise NotImplementedError

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take one action; returns observation, reward, terminated, truncated, info."""
        raise NotImplementedError

    def choose_task(self, seed: int | None, options: dict[str, Any] | None) -> str:
        """The task that a `reset` is asked for, for subclasses to begin theirs with.

        Args:
            seed: restarts the random numbers `self.np_random`, unless it is None.
            options: `task_id` names the task; without it, one is drawn.

        Raises:
            ConfigError: there is no such task, or there are other options.
        """
        gymnasium.Env.reset(self, seed=seed)
        task_ids = self.task_ids
        if unknown := set(options or {}) - {"task_id"}:
            raise ConfigError(f"reset options {sorted(unknown)} are unknown; only task_id is allowed")
        task_id = (options or {}).get("task_id")
        if task_id is None:
            return task_ids[int(self.np_random.integers(len(task_ids)))]
        if task_id not in task_ids:
            raise ConfigError(f"task_id {task_id!r} is not among the {len(task_ids)} tasks; see env.task_ids")
        return task_id

    def clone(self) -> Self:
        """An independent environment in the same state, so that a search can branch without replaying.

        Raises:
            EnvError: this environment cannot be copied.
        """
        raise EnvError(f"{type(self).__name__} cannot be cloned; replay the actions in a fresh environment instead")


def check_step(running: bool | None, action: object) -> None:
    """What every `step` begins with.

    Args:
        running: whether an episode is under way; None before the first reset.
        action: what `step` was given.

    Raises:
        EnvError: there is no running episode, or the action is not a string.
    """
    if not running:
        state = "has not begun" if running is None else "is over"
        raise EnvError(f"step was called but the episode {state}; call reset first")
    if not isinstance(action, str):
        raise EnvError(f"an action must be a string, found {type(action).__name__} {action!r}")
