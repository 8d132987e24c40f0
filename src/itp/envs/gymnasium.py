"""Any Gymnasium environment as a `TextEnv`: `make_env("gymnasium:FrozenLake-v1", is_slippery=False)`.

A task is a seed: task "seed-7" is the episode that `reset(seed=7)` starts. Observations become text by a plain reading
of their space (`describe`), unless they are text already; actions are named, or text already. Built by
`itp.envs.registry` for "gymnasium:ID" and for a user's factory that returns a plain `gymnasium.Env`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import gymnasium

from itp.envs.base import InfoDict, TextEnv, check_step
from itp.envs.factories import search_working_folder
from itp.envs.gymnasium_words import describe, name_actions
from itp.errors import ConfigError, EnvError

PREFIX = "gymnasium:"
SPLITS = {"train": 0, "valid": 1_000_000, "test": 2_000_000}
"""First seed of each split; a split never reaches the next one."""
TASKS = 100
SUCCESS_KEYS = ("won", "is_success", "success")
"""Keys by which environments report success in their info."""


def make_gymnasium_env(
    name: str,
    *,
    split: str = "train",
    engine: str = "fast",
    data: str | Path | None = None,
    max_steps: int | None = None,
    tasks: int = TASKS,
    goal: str | None = None,
    actions: str | Sequence[str] | None = None,
    win_score: float | None = None,
    **options: Any,
) -> TextEnv:
    """Create the environment that "gymnasium:ID" names.

    Args:
        name: "gymnasium:ID" with an ID registered with Gymnasium, or "gymnasium:MODULE:ID" to import a module first.
        split: "train", "valid" or "test": which seeds are the tasks.
        engine: there is but one, "fast".
        data: must be None; options name what an environment reads.
        max_steps: steps before an episode is truncated; None leaves it to the environment.
        tasks: number of tasks.
        goal: see `GymnasiumTextEnv`.
        actions: see `GymnasiumTextEnv`; may be one string with commas, as from the command line.
        win_score: see `GymnasiumTextEnv`.
        options: passed on to `gymnasium.make`.

    Raises:
        ConfigError: unknown ID, split or option, or actions that cannot be put into words.
    """
    if split not in SPLITS:
        raise ConfigError(f"split {split!r} is unknown; {name} has {', '.join(SPLITS)}")
    if engine != "fast" or data is not None:
        raise ConfigError(f"{name} has one engine and no data folder: leave engine={engine!r} and data={data!r} away")
    search_working_folder()
    identifier = name.removeprefix(PREFIX)
    try:
        env = gymnasium.make(identifier, disable_env_checker=True, **options)
    except (gymnasium.error.Error, TypeError, ImportError) as error:
        raise ConfigError(f"environment {name!r} cannot be made: {error}") from error
    names = [part.strip() for part in actions.split(",")] if isinstance(actions, str) else actions
    return GymnasiumTextEnv(
        env, goal=goal, actions=names, tasks=tasks, first_seed=SPLITS[split], max_steps=max_steps, win_score=win_score
    )


class GymnasiumTextEnv(TextEnv):
    """A Gymnasium environment with text in and text out.

    Keys of our own contract in the wrapped environment's info are used: `task` and `task_type` at reset,
    `admissible_commands`, `score` and `irreversible` at every step. The score is otherwise the sum of rewards. Won is
    what the info says by `won`, `is_success` or `success`; else an episode that ends with a score of at least
    `win_score`; and where none is given, one that terminates with a positive reward greater than any before it (so that
    no pole is balanced by letting it fall).

    Args:
        env: actions must be Discrete, or text.
        goal: what the agent is told to do; None names the environment.
        actions: names of the discrete actions, in their order; None takes known ones, or "action 0", "action 1", ...
        render: makes text of an observation; None takes `describe`.
        tasks: number of tasks, which are seeds.
        first_seed: seed of the first task.
        max_steps: steps before an episode is truncated; None leaves it to the environment.
        win_score: score from which an episode is won when it ends; None: see above.

    Raises:
        ConfigError: the action space is neither Discrete nor text, or an argument is not allowed.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        *,
        goal: str | None = None,
        actions: Sequence[str] | None = None,
        render: Callable[[Any], str] | None = None,
        tasks: int = TASKS,
        first_seed: int = 0,
        max_steps: int | None = None,
        win_score: float | None = None,
    ) -> None:
        super().__init__()
        limit = 1 if max_steps is None else max_steps
        if not _is_count(tasks, 1) or not _is_count(first_seed, 0) or not _is_count(limit, 1):
            raise ConfigError(
                f"tasks={tasks!r}, first_seed={first_seed!r}, max_steps={max_steps!r}: whole numbers, at least 1, 0, 1"
            )
        self.env = env
        self.max_steps = max_steps
        self._name = env.spec.id if env.spec else type(env.unwrapped).__name__
        self._commands = name_actions(self._name, env.action_space, actions)
        self._goal = goal or f"Get the highest score you can in {self._name}."
        self._render = render or (lambda observation: describe(env.observation_space, observation))
        self._seeds = {f"seed-{seed}": seed for seed in range(first_seed, first_seed + tasks)}
        self._task_ids = tuple(self._seeds)
        self._win_score = win_score
        self._running: bool | None = None
        self._task, self._task_id, self._task_type, self._last, self._info = "", "", "", "", {}
        self._steps, self._score, self._best, self._won = 0, 0.0, 0.0, False

    @property
    def task_ids(self) -> Sequence[str]:
        """ "seed-0", "seed-1", ..."""
        return self._task_ids

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, InfoDict]:
        """Start the episode of the seed in `options["task_id"]`, or of one drawn with `seed`; see `TextEnv.reset`."""
        options = dict(options or {})
        task_id = self.choose_task(seed, {"task_id": options.pop("task_id", None)})
        self._running = None
        observation, self._info = self.env.reset(seed=self._seeds[task_id], options=options or None)
        self._task_id, self._last, self._running = task_id, self._render(observation), True
        self._task = str(self._info.get("task", self._goal))
        self._task_type = str(self._info.get("task_type", self._name))
        self._steps, self._score, self._best, self._won = 0, 0.0, 0.0, False
        return self._last, self._info_dict()

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]:
        """Take an action by its name; a name that is none changes nothing and uses up the step.

        Raises:
            EnvError: before reset, after the end, or with an action that is not a string.
        """
        check_step(self._running, action)
        reward, terminated, truncated = 0.0, False, False
        text = "Nothing happens."
        if self._commands is None or action in self._commands:
            real = action if self._commands is None else self._commands[action]
            observation, number, terminated, truncated, self._info = self.env.step(real)
            reward, terminated, truncated = float(number), bool(terminated), bool(truncated)
            text = self._last = self._render(observation)
        self._steps += 1
        self._score += reward
        truncated = truncated or (not terminated and self.max_steps is not None and self._steps >= self.max_steps)
        self._running = not (terminated or truncated)
        self._won = self._has_won(reward, terminated)
        self._best = max(self._best, reward)
        if self._won and self._running:
            terminated, self._running = True, False
        return text, reward, terminated, truncated, self._info_dict()

    def clone(self) -> Self:
        """A deep copy.

        Raises:
            EnvError: the wrapped environment holds something that cannot be copied, such as a window.
        """
        try:
            return copy.deepcopy(self)
        except Exception as error:
            raise EnvError(f"{self._name} cannot be copied ({error}); replay the actions instead") from error

    def close(self) -> None:
        """Close the wrapped environment."""
        self._running = None
        self.env.close()

    def _has_won(self, reward: float, terminated: bool) -> bool:
        for key in SUCCESS_KEYS:
            if key in self._info:
                return bool(self._info[key])
        if self._win_score is not None:
            return not self._running and self._score >= self._win_score
        return terminated and reward > self._best

    def _info_dict(self) -> InfoDict:
        listed = self._info.get("admissible_commands")
        commands = listed if self._commands is None else list(self._commands)
        info = InfoDict(
            task=self._task,
            task_id=self._task_id,
            task_type=self._task_type,
            admissible_commands=None if commands is None else list(commands),
            won=self._won,
            score=float(self._info.get("score", self._score)),
        )
        if "irreversible" in self._info:
            info["irreversible"] = bool(self._info["irreversible"]) and not self._won
        return info


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
