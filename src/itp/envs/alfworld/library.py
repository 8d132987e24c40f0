"""The games of a split: listed once, parsed when first played, shared by all environments that play them.

Stands between `data.py`, which finds games, and `env.py`, which plays them. A parsed game takes about 50 KB and a
millisecond; hundreds of environments of one process get it from here, and each plays its own copy of the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from itp.envs.alfworld.data import GameSource, task_type_of
from itp.envs.alfworld.engine import BANNER, FastGame
from itp.errors import ConfigError

CACHE_SIZE = 256
"""Parsed games kept in memory unless told otherwise."""
TASK_PREFIX = "Your task is to: "


@dataclass(frozen=True, slots=True)
class Opening:
    """A game before its first step.

    Args:
        game: the state at the start. Play a clone of it, never the thing itself.
        observation: the official first text without banner and task.
        task: the official goal text.
        task_type: the task family.
    """

    game: FastGame
    observation: str
    task: str
    task_type: str


class GameLibrary:
    """Games by task id, the recently played ones parsed.

    Args:
        games: the split's games, in order; bare paths of game files are accepted too.
        cache_size: parsed games kept in memory.

    Attributes:
        sources: where each game comes from, by task id.
        task_ids: the ids, in order.

    Raises:
        ConfigError: no games, a task id twice, or a cache size below 1.
    """

    def __init__(self, games: Sequence[GameSource | str | Path], cache_size: int = CACHE_SIZE) -> None:
        listed = [game if isinstance(game, GameSource) else GameSource.from_path(game) for game in games]
        self.sources = {source.task_id: source for source in listed}
        if not listed or len(self.sources) != len(listed):
            raise ConfigError(f"{len(listed)} games with {len(self.sources)} different task ids; ids must be unique")
        self.task_ids = tuple(self.sources)
        self.cache_size = at_least_one("cache_size", cache_size)
        self._openings = lru_cache(maxsize=cache_size)(self._open)

    def __reduce__(self) -> tuple[Any, ...]:
        """An environment that is sent to another process takes the list along, and parses afresh there."""
        return type(self), (tuple(self.sources.values()), self.cache_size)

    def source(self, task_id: str) -> GameSource:
        """Where a game comes from.

        Raises:
            ConfigError: no such task.
        """
        source = self.sources.get(task_id)
        if source is None:
            raise ConfigError(f"task_id {task_id!r} is not among the {len(self.sources)} tasks; see env.task_ids")
        return source

    def opening(self, task_id: str) -> Opening:
        """The start of a game, parsed now or earlier.

        Raises:
            ConfigError: no such task.
            GameFileError: the game file is damaged.
        """
        return self._openings(task_id)

    def start(self, source: GameSource) -> FastGame:
        """The state in which a game starts. A subclass may play its games by further rules."""
        return FastGame(source.load())

    def _open(self, task_id: str) -> Opening:
        game = self.start(self.source(task_id))
        observation, task = split_first_text(game.reset())
        game.admissible_commands()  # Computed once here, and copied along with the state.
        return Opening(game, observation, task, task_type_of(task_id) or game.game.task_type)


def split_first_text(text: str) -> tuple[str, str]:
    """Observation and goal text of an official first text; the banner goes."""
    observation, _, task = text.partition(TASK_PREFIX)
    return observation.removeprefix(BANNER).strip(), task.strip()


def at_least_one(name: str, value: Any) -> int:
    """The value of an option that counts something.

    Raises:
        ConfigError: it is no whole number of 1 or more.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name}={value!r}: a whole number of at least 1 is needed")
    return value
