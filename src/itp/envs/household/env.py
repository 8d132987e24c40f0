"""The household benchmark as an environment: generated games behind the same episode logic as ALFWorld's.

What `itp.make_env("household")` builds. Listing the tasks costs nothing: a game is generated when it is first played.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from itp.envs.alfworld.data import GameData, GameSource
from itp.envs.alfworld.env import AlfworldEnv
from itp.envs.alfworld.problem import Game
from itp.envs.base import TextEnv
from itp.envs.household.generator import SEEDS_PER_SPLIT, generate_game, parse_task_id, seed_of, task_id_of
from itp.errors import ConfigError

EPISODES = {"train": 2000, "valid": 200, "test": 200}
"""Games of a split unless told otherwise."""


class HouseholdSource(GameSource):
    """A game that is generated, from its task id alone, when it is first played."""

    __slots__ = ()

    def load(self) -> Game:
        """The generated game, already parsed."""
        return _game(self.task_id)


@lru_cache(maxsize=2048)
def _game(task_id: str) -> Game:
    """Environments that play in lockstep share this cache; a parsed game takes 12 KB (small) or 42 KB (full)."""
    seed, size = parse_task_id(task_id)
    return generate_game(seed, size=size).game


def _data(task_id: str) -> GameData:
    seed, size = parse_task_id(task_id)
    return generate_game(seed, size=size).data


def household_source(task_id: str) -> HouseholdSource:
    """Lazy source of a generated game."""
    return HouseholdSource(task_id, data=lambda: _data(task_id))


def make_household_env(
    split: str = "train",
    engine: str = "fast",
    max_steps: int = 50,
    size: str = "small",
    episodes: int | None = None,
    **unknown: Any,
) -> TextEnv:
    """Create the household environment.

    Args:
        split: "train", "valid" or "test"; no room and task of one split occurs in another.
        engine: "fast" (ours) or "textworld" (the official engine; needs the `alfworld` extra).
        max_steps: steps before an episode is truncated.
        size: "small" (6-9 receptacles, about 10 objects) or "full" (15-30 receptacles, 25-50 objects).
        episodes: number of games, the first ones of the split; None means 2000 for train and 200 for valid and test.

    Raises:
        ConfigError: an argument has a value that is not allowed, or is not known.
    """
    if unknown:
        raise ConfigError(f"options {sorted(unknown)} are unknown; household takes size and episodes")
    if engine not in ("fast", "textworld"):
        raise ConfigError(f"engine {engine!r} is unknown; allowed are fast, textworld")
    seed_of(split, 0)  # an unknown split is refused here, before its default is looked up
    wanted = EPISODES[split] if episodes is None else episodes
    if not isinstance(wanted, int) or not 1 <= wanted <= SEEDS_PER_SPLIT:
        raise ConfigError(f"episodes={wanted!r} is not allowed: choose 1 to {SEEDS_PER_SPLIT}")
    games = [household_source(task_id_of(seed_of(split, index), size)) for index in range(wanted)]
    if engine == "fast":
        return AlfworldEnv(games, max_steps=max_steps)
    from itp.envs.alfworld.official import OfficialEnv

    return OfficialEnv(games, max_steps=max_steps)
