"""ALFWorld as a `TextEnv`: episodes, tasks and step limits around an engine.

`AlfworldEnv` plays with the fast engine and `official.OfficialEnv` with textworld; both share this episode logic, so
that observations and infos agree. The environment registry builds them; rollouts and planners see only `TextEnv`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import gymnasium

from itp.envs.alfworld.data import GameSource, task_type_of
from itp.envs.alfworld.engine import BANNER, FastGame
from itp.envs.base import InfoDict, TextEnv
from itp.errors import ConfigError, EnvError

TASK_PREFIX = "Your task is to: "


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


def split_first_text(text: str) -> tuple[str, str]:
    """Observation and goal text of an official first text; the banner goes."""
    observation, _, task = text.partition(TASK_PREFIX)
    return observation.removeprefix(BANNER).strip(), task.strip()


class AlfworldEnv(TextEnv):
    """ALFWorld games on the fast engine.

    Reward is 1.0 on the winning step, else 0.0. An episode is terminated when won, truncated after `max_steps`.

    Args:
        games: the split's games, in order; bare paths of game files are accepted too.
        max_steps: steps before an episode is truncated.
        cache_size: parsed games kept in memory (about 0.1 MB each).

    Raises:
        ConfigError: no games, a task id twice, or a limit below 1.
    """

    def __init__(self, games: Sequence[GameSource | str | Path], max_steps: int = 50, cache_size: int = 256) -> None:
        super().__init__()
        sources = [game if isinstance(game, GameSource) else GameSource.from_path(game) for game in games]
        self._sources = {source.task_id: source for source in sources}
        if not sources or len(self._sources) != len(sources):
            raise ConfigError(f"{len(sources)} games with {len(self._sources)} different task ids; ids must be unique")
        if max_steps < 1 or cache_size < 1:
            raise ConfigError(f"max_steps={max_steps}, cache_size={cache_size}: both must be at least 1")
        self.max_steps = max_steps
        self._cache_size = cache_size
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._task_ids = tuple(self._sources)
        self._engine: Engine | None = None
        self._running = False
        self._steps = 0
        self._labels = ("", "", "")

    @property
    def task_ids(self) -> Sequence[str]:
        """Task ids of the split, in a fixed order."""
        return self._task_ids

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, InfoDict]:
        """Start an episode of `options["task_id"]`, or of a task drawn with the seed.

        Raises:
            ConfigError: unknown task id or option.
            GameFileError: the game file is damaged.
        """
        gymnasium.Env.reset(self, seed=seed)
        options = options or {}
        if unknown := set(options) - {"task_id"}:
            raise ConfigError(f"reset options {sorted(unknown)} are unknown; only task_id is allowed")
        task_id = options.get("task_id")
        if task_id is None:
            task_id = self._task_ids[int(self.np_random.integers(len(self._task_ids)))]
        elif task_id not in self._sources:
            raise ConfigError(f"task_id {task_id!r} is not among the {len(self._task_ids)} tasks; see env.task_ids")
        self._running = False
        self._engine = self._cached_engine(self._sources[task_id])
        observation, task = split_first_text(self._engine.reset())
        self._labels = (task, task_id, self._task_type(self._sources[task_id], self._engine))
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
        self._steps += 1
        won = self._engine.won
        truncated = not won and self._steps >= self.max_steps
        self._running = not (won or truncated)
        return observation, float(won), won, truncated, self._info()

    def _info(self) -> InfoDict:
        if self._engine is None:
            raise EnvError("there is no episode yet; call reset first")
        task, task_id, task_type = self._labels
        won = self._engine.won
        return InfoDict(
            task=task,
            task_id=task_id,
            task_type=task_type,
            admissible_commands=self._engine.admissible_commands(),
            won=won,
            score=float(won),
        )

    def _cached_engine(self, source: GameSource) -> Engine:
        engine = self._engines.pop(source.task_id, None) or self._make_engine(source)
        self._engines[source.task_id] = engine
        if len(self._engines) > self._cache_size:
            self._drop_engine(self._engines.popitem(last=False)[1])
        return engine

    def _drop_engine(self, engine: Engine) -> None:
        """Called with an engine that leaves the cache; the official one holds memory that Python does not free."""

    def _make_engine(self, source: GameSource) -> Engine:
        return FastGame(source.load())

    def _task_type(self, source: GameSource, engine: Engine) -> str:
        known = task_type_of(source.task_id)
        return known or (engine.game.task_type if isinstance(engine, FastGame) else source.load().task_type)
