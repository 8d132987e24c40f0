"""The records of one ALFWorld game: what `problem.py` reads from a file and the engine plays, immutable.

Objects, receptacles and locations are small integers, numbered by their sorted PDDL ids: every list that the official
engine prints follows that order, so sorted numbers are sorted lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TASK_TYPES = (
    "pick_and_place_simple",
    "look_at_obj_in_light",
    "pick_clean_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_two_obj_and_place",
)
"""The six task families, in the order of ALFWorld's task numbers 1 to 6."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What wins a game: some of `objects` in one of `receptacles`, or in hand under one of `lamps`.

    Args:
        objects: objects of the goal's type (and with the ability the goal asks for, such as heatable).
        receptacles: receptacles of the goal's type; empty for `look_at_obj_in_light`.
        state: "clean", "hot" or "cool" when the object must have that state, else "".
        count: how many distinct objects must be in the same receptacle.
        lamps: lamps that count for `look_at_obj_in_light`, else empty.
    """

    objects: frozenset[int]
    receptacles: frozenset[int]
    state: str = ""
    count: int = 1
    lamps: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Game:
    """One parsed game; immutable. Objects, receptacles and locations are indices into their `*_names`.

    Args:
        task_id: "TASKFOLDER/TRIALFOLDER" for shipped games.
        task_type: one of `TASK_TYPES`, derived from the goal.
        task: goal text, for example "put two alarmclock in desk."
        start: location of the agent at the start.
        receptacle_location: location of each receptacle.
        contents: initial objects of each receptacle. An object can be in two receptacles at once.
        objects_at: initial objects of each location, which need not agree with `contents`.
        inner_objects: contents of each object that is a receptacle itself (a bowl, say).
        accepts: objects that each receptacle may hold.
        sinks, microwaves, fridges: receptacles that clean, heat and cool.
        knives: objects that slice.
        initial: objects (for "opened": receptacles) that start opened, clean, hot, cool, sliced or lit.
    """

    task_id: str
    task_type: str
    task: str
    goal: Goal
    object_names: tuple[str, ...]
    receptacle_names: tuple[str, ...]
    location_names: tuple[str, ...]
    start: int
    receptacle_location: tuple[int, ...]
    contents: tuple[tuple[int, ...], ...]
    objects_at: tuple[tuple[int, ...], ...]
    inner_objects: Mapping[int, tuple[int, ...]]
    accepts: tuple[frozenset[int], ...]
    openable: frozenset[int]
    pickupable: frozenset[int]
    cleanable: frozenset[int]
    heatable: frozenset[int]
    coolable: frozenset[int]
    sliceable: frozenset[int]
    toggleable: frozenset[int]
    knives: frozenset[int]
    sinks: frozenset[int]
    microwaves: frozenset[int]
    fridges: frozenset[int]
    initial: Mapping[str, frozenset[int]]
