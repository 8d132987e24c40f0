"""The household benchmark as an environment: generated games behind the same episode logic as ALFWorld's.

What `itp.make_env("household")` builds. Listing the tasks costs nothing: a game is generated when it is first played.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

from itp.envs.alfworld.data import GameData, GameSource
from itp.envs.alfworld.env import AlfworldEnv
from itp.envs.alfworld.library import CACHE_SIZE, GameLibrary
from itp.envs.alfworld.problem import Game
from itp.envs.base import InfoDict, TextEnv
from itp.envs.household.generator import (
    SEEDS_PER_SPLIT,
    HouseholdGame,
    generate_game,
    parse_task_id,
    seed_of,
    task_id_of,
)
from itp.envs.household.hazard_game import HazardGame
from itp.envs.household.knobs import Knobs, check_knobs
from itp.envs.household.rooms import check_size
from itp.errors import ConfigError

EPISODES = {"train": 2000, "valid": 200, "test": 200}
"""Games of a split unless told otherwise."""
_OPTIONS = (
    "size", "episodes", "family", "receptacles", "distractors", "hidden", "hazards", "hazard_count", "announce",
    "expert",
)  # fmt: skip


class HouseholdSource(GameSource):
    """A game that is generated, from its task id alone, when it is first played."""

    __slots__ = ()

    def load(self) -> Game:
        """The generated game, already parsed."""
        return _game(self.task_id)


@lru_cache(maxsize=2048)
def _game(task_id: str) -> Game:
    """Environments that play in lockstep share this cache; a parsed game takes 12 KB (small) or 42 KB (full)."""
    return _generate(task_id).game


def _generate(task_id: str) -> HouseholdGame:
    seed, size, knobs = parse_task_id(task_id)
    return generate_game(seed, size=size, knobs=knobs)


def _data(task_id: str) -> GameData:
    return dict(_generate(task_id).data)


def household_source(task_id: str) -> HouseholdSource:
    """Lazy source of a generated game."""
    return HouseholdSource(task_id, data=partial(_data, task_id))


class HazardLibrary(GameLibrary):
    """Games with irreversible hazards; `announce` says whether their first text tells of them."""

    def __init__(self, games: Sequence[GameSource], cache_size: int = CACHE_SIZE, *, announce: bool = True) -> None:
        super().__init__(games, cache_size)
        self.announce = announce

    def __reduce__(self) -> tuple[Any, ...]:
        """See `GameLibrary.__reduce__`."""
        return partial(type(self), announce=self.announce), (tuple(self.sources.values()), self.cache_size)

    def start(self, source: GameSource) -> HazardGame:
        """The state in which a game starts."""
        generated = _generate(source.task_id)
        return HazardGame(generated.game, generated.hazards, announce=self.announce)


class HazardEnv(AlfworldEnv):
    """Games with irreversible hazards; see `AlfworldEnv` for the rest.

    `info["irreversible"]` is true from the moment at which the goal has become impossible. The episode goes on. The
    expert knows the hazards, announced or not: a teacher may know more than its pupil is told.
    """

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, InfoDict]:
        """See `AlfworldEnv.reset`."""
        observation, info = super().reset(seed=seed, options=options)
        if isinstance(self._engine, HazardGame) and self._belief is not None:
            self._belief.hazards = self._engine.hazards
            info = self._info()
        return observation, info

    def _info(self) -> InfoDict:
        info = super()._info()
        hopeless = isinstance(self._engine, HazardGame) and self._engine.hopeless
        info["irreversible"] = hopeless
        if hopeless and "expert_plan" in info:
            info["expert_plan"] = []
        return info


def make_household_env(
    split: str = "train",
    engine: str = "fast",
    max_steps: int = 50,
    size: str = "small",
    episodes: int | None = None,
    family: str = "standard",
    receptacles: int | None = None,
    distractors: int | None = None,
    hidden: bool | None = None,
    hazards: str | None = None,
    hazard_count: int = 1,
    announce: bool = True,
    expert: bool = False,
    **unknown: Any,
) -> TextEnv:
    """Create the household environment.

    Args:
        split: "train", "valid" or "test"; no room and task of one split occurs in another.
        engine: "fast" (ours) or "textworld" (the official engine; needs the `alfworld` extra).
        max_steps: steps before an episode is truncated.
        size: "small" (6-9 receptacles, about 10 objects) or "full" (15-30 receptacles, 25-50 objects).
        episodes: number of games, the first ones of the split; None means 2000 for train and 200 for valid and test.
        family: "standard" for the six families of ALFWorld, "irreversible" for games in which a mistake can make the
            goal impossible: the same as hazards="mixed".
        receptacles, distractors, hidden, hazards, hazard_count: hardness knobs, see `knobs.Knobs`. Games with hazards
            need the fast engine.
        announce: the first observation tells of the hazards; False leaves that line out.
        expert: add `info["expert_plan"]`, the next command of the exploring expert.

    Raises:
        ConfigError: an argument has a value that is not allowed, or is not known.
    """
    if unknown:
        raise ConfigError(f"options {sorted(unknown)} are unknown; household takes {', '.join(_OPTIONS)}")
    if engine not in ("fast", "textworld"):
        raise ConfigError(f"engine {engine!r} is unknown; allowed are fast, textworld")
    seed_of(split, 0)  # an unknown split is refused here, before its default is looked up
    wanted = EPISODES[split] if episodes is None else episodes
    if not isinstance(wanted, int) or not 1 <= wanted <= SEEDS_PER_SPLIT:
        raise ConfigError(f"episodes={wanted!r} is not allowed: choose 1 to {SEEDS_PER_SPLIT}")
    if family not in ("standard", "irreversible"):
        raise ConfigError(f"family={family!r} is unknown: choose standard or irreversible")
    if family == "irreversible" and hazards == "none":
        raise ConfigError("family=irreversible contradicts hazards=none: leave one of them away")
    kind = hazards or ("mixed" if family == "irreversible" else "none")
    knobs = check_knobs(Knobs(receptacles, distractors, hidden, kind, hazard_count), check_size(size))
    if not isinstance(announce, bool) or (not announce and kind == "none"):
        raise ConfigError(f"announce={announce!r}: give true or false, and false with family=irreversible only")
    games = [household_source(task_id_of(seed_of(split, index), size, knobs)) for index in range(wanted)]
    if kind != "none":
        if engine != "fast":
            raise ConfigError(f"engine={engine!r} has no hazards, for ALFWorld has none: use engine=fast")
        return HazardEnv(HazardLibrary(games, announce=announce), max_steps=max_steps, expert=expert)
    if engine == "fast":
        return AlfworldEnv(games, max_steps=max_steps, expert=expert)
    from itp.envs.alfworld.official import OfficialEnv

    return OfficialEnv(games, max_steps=max_steps, expert=expert)
