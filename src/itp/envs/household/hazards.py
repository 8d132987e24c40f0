"""Draws the irreversible hazards of a game: what cannot be undone, placed where an unthinking player would meet it.

Stands between `goals` (the goal is drawn) and `generator` (the game is proved). Every kind leaves a way to win for a
player who reads the announcement:

- lock: every receptacle of the destination's type locks for good once it was opened and is left; search elsewhere.
- swallow: some, not all, receptacles of the destination's type lose what is put in them.
- charge: the device that the goal needs works once, and some, not all, wanted objects break in it.
- fragile: the wanted objects break when put down anywhere but in one receptacle.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from itp.envs.alfworld.hazards import Hazards
from itp.envs.household.catalog import RECEPTACLES, can_contain
from itp.envs.household.goals import FAMILIES, Family, Goal
from itp.envs.household.layout import Layout, Place, Thing

_BY_NAME = {family.name: family for family in FAMILIES}
_PUT, _LOOK, _CLEAN, _HEAT, _COOL, _TWO = (_BY_NAME[family.name] for family in FAMILIES)

FAMILIES_OF: Mapping[str, tuple[Family, ...]] = MappingProxyType(
    {
        "lock": (_PUT, _CLEAN, _HEAT, _COOL),
        "swallow": (_PUT, _CLEAN, _HEAT, _COOL, _TWO),
        "charge": (_CLEAN, _HEAT, _COOL),
        "fragile": (_PUT, _CLEAN, _HEAT, _COOL, _TWO),
    }
)
"""Task families that each kind of hazard is played with, in turn."""
TASK_TYPE = "irreversible_{}"


@dataclass(frozen=True, slots=True)
class DrawnHazards:
    """The hazards of a layout.

    Args:
        hazards: by the names that a player reads.
        avoid: ids of the destinations and the wanted objects that do not serve the goal.
        signature: what is hazardous, free of ids and numbers.
    """

    hazards: Hazards
    avoid: frozenset[str]
    signature: tuple[object, ...]


def destinations_for(kind: str, places: Sequence[Place]) -> set[str] | None:
    """Receptacle kinds that a goal may name with this kind of hazard; None for all."""
    counts = Counter(place.kind for place in places)
    if kind == "lock":
        return {name for name in counts if RECEPTACLES[name].openable}
    return {name for name, n in counts.items() if n >= 2} if kind in ("swallow", "fragile") else None


def draw_hazards(rng: random.Random, kind: str, count: int, layout: Layout, goal: Goal) -> DrawnHazards | None:
    """Draw `count` hazards, the first of which is of `kind`; None when the layout does not allow them."""
    ends = [place for place in layout.places if place.kind == goal.destination]
    wanted = [thing for thing in layout.things if thing.kind == goal.target]
    devices = [place for place in layout.places if place.kind == goal.family.device]
    swallows: list[Place] = []
    cracked: list[Thing] = []
    haven: Place | None = None
    if kind == "swallow":
        swallows = rng.sample(ends, rng.randint(1, len(ends) - 1))
    elif kind == "charge":
        if len(devices) != 1 or len(wanted) < 2:
            return None
        cracked = rng.sample(wanted, rng.randint(1, len(wanted) - 1))
    elif kind == "fragile":
        haven = rng.choice(ends)
    more = _more_swallows(rng, count - 1, layout, goal)
    if more is None:
        return None
    bad_ends = swallows if haven is None else [place for place in ends if place is not haven]
    swallows = swallows + more
    names = layout.names()
    hazards = Hazards(
        swallows=frozenset(names[place.id] for place in swallows),
        locks=frozenset(names[place.id] for place in ends) if kind == "lock" else frozenset(),
        single_use=frozenset(names[place.id] for place in devices) if kind == "charge" else frozenset(),
        cracked=frozenset(names[thing.id] for thing in cracked),
        fragile=goal.target.lower() if haven else "",
        haven=names[haven.id] if haven else "",
    )
    signature = (
        kind,
        _contents(layout, swallows),
        _contents(layout, [haven] if haven else []),
        tuple(sorted(thing.place.kind for thing in cracked)),
    )
    return DrawnHazards(hazards, frozenset(e.id for e in (*bad_ends, *cracked)), signature)


def _more_swallows(rng: random.Random, n: int, layout: Layout, goal: Goal) -> list[Place] | None:
    """Further receptacles that swallow: not of the destination's type, and fit to lose a wanted object in."""
    fit = [p for p in layout.places if p.kind != goal.destination and can_contain(p.kind, goal.target)]
    return rng.sample(fit, n) if n <= len(fit) else None


def _contents(layout: Layout, places: Collection[Place]) -> tuple[object, ...]:
    return tuple(sorted((p.kind, tuple(sorted(t.kind for t in layout.things if t.place is p))) for p in places))
