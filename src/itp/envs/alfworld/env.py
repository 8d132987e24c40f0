"""ALFWorld as a `TextEnv`: episodes, tasks, goals and step limits around an engine.

`AlfworldEnv` plays with the fast engine and `official.OfficialEnv` with textworld; both share this episode logic, so
that observations and infos agree. The environment registry builds them; rollouts and planners see only `TextEnv`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import gymnasium
import numpy as np

from itp.envs.alfworld.annotations import check_goal, human_goal
from itp.envs.alfworld.belief import Belief
from itp.envs.alfworld.data import GameSource
from itp.envs.alfworld.engine import FastGame
from itp.envs.alfworld.expert import Expert
from itp.envs.alfworld.library import CACHE_SIZE, GameLibrary, at_least_one
from itp.envs.base import InfoDict, TextEnv
from itp.errors import ConfigError, EnvError


class Engine(Protocol):
    """What plays one game. `reset` gives the official first text: banner, surroundings, task."""

    won: bool

    def reset(self) -> str:
        """Start over and return the first text."""
        ...

    def step(self, command: str) -> str:
        """Carry out a command and return the feedback."""
        ...

    def admissible_commands(self) -> list[str]:
        """Commands that do something now, sorted."""
        ...


class AlfworldEnv(TextEnv):
    """ALFWorld games on the fast engine.

    Reward is 1.0 on the winning step, else 0.0. An episode is terminated when won, truncated after `max_steps`.

    Args:
        games: the split's games, in order, as sources or paths of game files; or a library that environments share.
        max_steps: steps before an episode is truncated.
        cache_size: parsed games kept in memory (about 50 KB each); a library that is given has its own.
        goal: "template" shows the game's own goal in `info["task"]`, "human" a sentence from `traj_data.json`.
        annotation: which human sentence, from 0, or "random" to draw one with the seed of each reset.
        expert: add `info["expert_plan"]`, the next command of the exploring expert. It always reads the template goal,
            and it is empty when the game is won or lost for good.

    Raises:
        ConfigError: no games, a task id twice, or an option that is not allowed.
    """

    def __init__(
        self,
        games: Sequence[GameSource | str | Path] | GameLibrary,
        max_steps: int = 50,
        cache_size: int = CACHE_SIZE,
        *,
        goal: str = "template",
        annotation: int | str = 0,
        expert: bool = False,
    ) -> None:
        super().__init__()
        check_goal(goal, annotation)
        if not isinstance(expert, bool):
            raise ConfigError(f"expert={expert!r} is not allowed; give true or false")
        self.max_steps = at_least_one("max_steps", max_steps)
        self._library = games if isinstance(games, GameLibrary) else GameLibrary(games, cache_size)
        self._goal, self._annotation = goal, annotation
        self._expert = Expert() if expert else None
        self._belief: Belief | None = None
        self._engine: Engine | None = None
        self._running = False
        self._steps = 0
        self._labels = ("", "", "")
        self._random_state: tuple[type[np.random.BitGenerator], Any] | None = None

    @property
    def task_ids(self) -> Sequence[str]:
        """Task ids of the split, in a fixed order."""
        return self._library.task_ids

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, InfoDict]:
        """Start an episode of `options["task_id"]`, or of a task drawn with the seed.

        Raises:
            ConfigError: unknown task id or option.
            GameFileError: the game file is damaged, or (goal="human") holds no such annotation.
            DataError: goal="human" and there is no `traj_data.json`.
        """
        gymnasium.Env.reset(self, seed=seed)
        options = options or {}
        if unknown := set(options) - {"task_id"}:
            raise ConfigError(f"reset options {sorted(unknown)} are unknown; only task_id is allowed")
        task_id = options.get("task_id")
        if task_id is None:
            task_id = self.task_ids[int(self.np_random.integers(len(self.task_ids)))]
        source = self._library.source(task_id)
        self._running = False
        self._engine, observation, template, task_type = self._begin(source)
        task = template if self._goal == "template" else human_goal(source, self._annotation, self.np_random)
        self._labels = (task, task_id, task_type)
        self._belief = Belief.start(template, observation) if self._expert else None
        self._running, self._steps = True, 0
        return observation, self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]:
        """Carry out a command; one that is not admissible yields "Nothing happens." and uses up the step.

        Raises:
            EnvError: before reset, after the end, or with an action that is not a string.
        """
        if self._engine is None or not self._running:
            state = "has not begun" if self._engine is None else "is over"
            raise EnvError(f"step was called but the episode {state}; call reset first")
        if not isinstance(action, str):
            raise EnvError(f"an action must be a string, found {type(action).__name__} {action!r}")
        observation = self._engine.step(action).strip()
        if self._belief is not None:
            self._belief.update(action, observation)
        self._steps += 1
        won = self._engine.won
        truncated = not won and self._steps >= self.max_steps
        self._running = not (won or truncated)
        return observation, float(won), won, truncated, self._info()

    def clone(self) -> Self:
        """An independent environment in the same state: before, in or after an episode.

        Takes a few microseconds. The games, parsed ones included, are shared; what a seedless `reset` of the clone
        draws is what this environment would have drawn.
        """
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        if isinstance(self._engine, FastGame):
            twin._engine = self._engine.clone()
        if self._belief is not None:
            twin._belief = self._belief.copy()
        if self._np_random is not None:
            # Copying the generator itself would take longer than all the rest; few clones ever draw.
            bits = self._np_random.bit_generator
            twin._np_random, twin._random_state = None, (type(bits), bits.state)
        return twin

    @property
    def np_random(self) -> np.random.Generator:
        """The random generator, as in every Gymnasium environment; that of a clone is made when first used."""
        if self._np_random is None and self._random_state is not None:
            kind, state = self._random_state
            bits = kind(0)
            bits.state = state
            self._np_random = np.random.Generator(bits)
        return super().np_random

    @np_random.setter
    def np_random(self, value: np.random.Generator) -> None:
        self._np_random = value
        self._np_random_seed = -1

    def _begin(self, source: GameSource) -> tuple[Engine, str, str, str]:
        """An engine at the start of a game, first observation, template goal, task type."""
        opening = self._library.opening(source.task_id)
        return opening.game.clone(), opening.observation, opening.task, opening.task_type

    def _info(self) -> InfoDict:
        if self._engine is None:
            raise EnvError("there is no episode yet; call reset first")
        task, task_id, task_type = self._labels
        won = self._engine.won
        info = InfoDict(
            task=task,
            task_id=task_id,
            task_type=task_type,
            admissible_commands=self._engine.admissible_commands(),
            won=won,
            score=float(won),
        )
        if self._expert is not None and self._belief is not None:
            done = won or self._belief.is_stuck
            info["expert_plan"] = [] if done else [self._expert.act(self._belief, info["admissible_commands"])]
        return info
