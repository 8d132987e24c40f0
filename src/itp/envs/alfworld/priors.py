"""Where things tend to be: the order in which the expert searches receptacle types for an object type.

`Priors.default()` is our own common sense; `Priors.estimate` learns the order from played train games. Saved as JSON.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from itp.envs.alfworld.belief import Belief
from itp.envs.alfworld.commonsense import ACCEPTS, OPENABLE, type_of
from itp.errors import ConfigError, DataError
from itp.types import Trajectory

_ANYWHERE = (
    "countertop diningtable desk sidetable dresser coffeetable bed sofa armchair shelf tvstand toilet sinkbasin cart "
    "ottoman stoveburner bathtubbasin garbagecan fridge cabinet drawer microwave coffeemachine safe toaster "
    "handtowelholder towelholder toiletpaperhanger laundryhamper"
)
"""Search order for an object nothing is known about: things at hand first, doors and odd places last."""

_GROUPS = {
    "apple bread egg lettuce potato tomato": "fridge countertop diningtable sinkbasin microwave garbagecan sidetable",
    "butterknife fork knife ladle spatula spoon": "countertop diningtable sinkbasin sidetable drawer",
    "bowl cup plate": "countertop diningtable shelf fridge sinkbasin microwave cabinet",
    "mug": "coffeemachine countertop diningtable sinkbasin desk shelf fridge microwave cabinet",
    "kettle pan pot": "stoveburner countertop diningtable sinkbasin fridge cabinet",
    "glassbottle winebottle": "countertop diningtable fridge sinkbasin garbagecan shelf cabinet",
    "peppershaker saltshaker": "countertop diningtable sidetable shelf cabinet drawer",
    "dishsponge cloth soapbar": "sinkbasin countertop bathtubbasin toilet cart garbagecan cabinet drawer",
    "soapbottle spraybottle": "countertop toilet cart diningtable garbagecan shelf cabinet drawer",
    "candle tissuebox": "countertop toilet coffeetable sidetable shelf cart drawer cabinet",
    "toiletpaper": "toilet toiletpaperhanger countertop garbagecan cart shelf drawer cabinet",
    "handtowel": "handtowelholder countertop sinkbasin",
    "towel": "towelholder countertop",
    "pillow": "bed sofa armchair ottoman",
    "laptop": "bed desk sofa coffeetable diningtable armchair dresser",
    "book": "bed desk dresser sidetable coffeetable shelf sofa drawer cabinet",
    "cellphone": "desk bed dresser sidetable countertop sofa armchair shelf drawer",
    "creditcard keychain": "dresser desk sidetable coffeetable sofa armchair shelf diningtable drawer safe",
    "remotecontrol newspaper box": "coffeetable sofa armchair sidetable diningtable dresser tvstand ottoman drawer",
    "cd pen pencil": "desk dresser sidetable shelf diningtable garbagecan drawer",
    "alarmclock": "desk sidetable dresser shelf",
    "statue vase watch wateringcan": "coffeetable sidetable dresser shelf diningtable countertop tvstand desk drawer",
    "desklamp floorlamp": "desk sidetable dresser shelf coffeetable",
    "baseballbat basketball tennisracket": "bed desk dresser sidetable",
}


@lru_cache(4096)
def _common_order(target: str) -> tuple[str, ...]:
    """Common-sense order for a target: likely types, then types that take it, then the rest."""
    likely = next((places.split() for names, places in _GROUPS.items() if target in names.split()), [])
    anywhere = _ANYWHERE.split()
    fitting = [place for place in anywhere if target in ACCEPTS[place]]
    return tuple(dict.fromkeys([*likely, *fitting, *anywhere]))


@dataclass(frozen=True)
class Priors:
    """Receptacle types to search per target type, best first.

    Args:
        order: target type -> receptacle types; a target that is missing is searched by common sense.
    """

    order: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def default(cls) -> Priors:
        """Our own common sense, nothing learned."""
        return cls()

    def ranks(self, target: str) -> dict[str, int]:
        """Receptacle type -> place in the search order for `target` (0 is searched first)."""
        known = self.order.get(target, ())
        return {kind: rank for rank, kind in enumerate(dict.fromkeys([*known, *_common_order(target)]))}

    @classmethod
    def estimate(cls, trajectories: Iterable[Trajectory]) -> Priors:
        """Learn the order from played games (train only): chance of finding a target per step spent, highest first.

        Only first sights of a receptacle count. Receptacle types are compared within the games in which an object of
        the type was met at all, so that kitchens do not dilute what is known of bathrooms.
        """
        hits: dict[str, Counter[str]] = defaultdict(Counter)
        views: dict[str, Counter[str]] = defaultdict(Counter)
        for trajectory in trajectories:
            sights = _first_sights(trajectory)
            met = {kind for _, kinds in sights for kind in kinds}
            for receptacle, kinds in sights:
                for target in met:
                    views[target][receptacle] += 1
                for target in kinds:
                    hits[target][receptacle] += 1
        return cls({target: _ranked(target, hits[target], views[target]) for target in sorted(hits)})

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        text = json.dumps({"order": {target: list(kinds) for target, kinds in sorted(self.order.items())}}, indent=1)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Priors:
        """Read what `save` wrote.

        Raises:
            DataError: there is no such file.
            ConfigError: the file does not hold priors.
        """
        try:
            order = json.loads(Path(path).read_text(encoding="utf-8"))["order"]
            return cls({str(target): tuple(str(kind) for kind in kinds) for target, kinds in order.items()})
        except FileNotFoundError as error:
            raise DataError(f"priors file {path} does not exist: write one with Priors.save, or omit it") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f'{path} holds no priors: expected {{"order": {{"mug": ["desk", ...]}}}}') from error


def _first_sights(trajectory: Trajectory) -> list[tuple[str, set[str]]]:
    """(receptacle type, object types seen in it) at the first sight of each receptacle of one episode."""
    belief = Belief.start(trajectory.task.goal, trajectory.first_observation)
    seen: set[str] = set()
    sights = []
    for step in trajectory.steps:
        belief.update(step.decision.action, step.observation)
        for receptacle in belief.visited.keys() - seen:
            seen.add(receptacle)
            sights.append((type_of(receptacle), {type_of(obj) for obj in belief.contents[receptacle]}))
    return sights


def _ranked(target: str, hits: Counter[str], views: Counter[str]) -> tuple[str, ...]:
    """Receptacle types with any hit, by hits per view and step; one imagined empty view damps what was seen rarely."""
    common = {kind: rank for rank, kind in enumerate(_common_order(target))}

    def value(kind: str) -> tuple[float, int]:
        cost = 2.0 if kind in OPENABLE else 1.0
        return -hits[kind] / (views[kind] + 1) / cost, common.get(kind, len(common))

    return tuple(sorted(hits, key=value))
