"""Draws a furnished room: receptacles with their locations, and objects lying in them.

Second stage of the household generator: reads `rooms` and `catalog`, is given the goal by `goals`, and hands a `Layout`
to `problem`. Every draw comes from the `random.Random` it is given, so a seed names a layout.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from itp.envs.household.catalog import OBJECTS, RECEPTACLES
from itp.envs.household.knobs import Knobs
from itp.envs.household.rooms import RoomKind, Size

NO_KNOBS = Knobs()

SHARED_LOCATION = 0.1
"""Chance that a receptacle stands where an earlier one stands (in ALFWorld 17% of receptacles share a location)."""
ODD_PLACE = 0.06
"""Chance that an object lies in any receptacle at all instead of one of its usual homes."""
STARTS_COOL = 0.25
"""Chance that an object in the fridge is cool at the start; never the target, or the task would be half done."""


@dataclass(frozen=True, slots=True)
class Place:
    """One receptacle: its kind, its unique id and the id of the location one reaches it from."""

    kind: str
    id: str
    location: str

    @property
    def openable(self) -> bool:
        """Whether it starts closed and must be opened."""
        return RECEPTACLES[self.kind].openable


@dataclass(frozen=True, slots=True)
class Thing:
    """One object: its kind, its unique id, where it starts and the predicates that hold for it at the start."""

    kind: str
    id: str
    place: Place
    states: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """A furnished room. `start` is a location without receptacles: the middle of the room."""

    room: str
    places: tuple[Place, ...]
    things: tuple[Thing, ...]
    start: str

    def names(self) -> dict[str, str]:
        """Id -> the name a player reads, for example "mug 2"."""
        return display_names(entity.id for entity in (*self.places, *self.things))

    def signature(self) -> tuple[object, ...]:
        """What is where, free of ids, numbers and order: equal for two layouts that differ in naming only."""
        contents = {place.id: sorted(t.kind for t in self.things if t.place is place) for place in self.places}
        spots: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        for place in self.places:
            spots.setdefault(place.location, []).append((place.kind, tuple(contents[place.id])))
        return (self.room, *sorted(tuple(sorted(spot)) for spot in spots.values()))


def display_names(ids: Iterable[str]) -> dict[str, str]:
    """Number ids as ALFWorld does: within a name, the first id in sorted order gets the highest number."""
    lowered = {identifier.lower(): identifier for identifier in ids}
    groups: dict[str, list[str]] = {}
    for low in sorted(lowered):
        base = low.split("_bar_", 1)[0] + ("basin" if "basin" in low else "")
        groups.setdefault(base, []).append(lowered[low])
    return {
        identifier: f"{base} {len(group) - rank}"
        for base, group in groups.items()
        for rank, identifier in enumerate(group)
    }


def draw_places(rng: random.Random, room: RoomKind, size: Size, knobs: Knobs = NO_KNOBS) -> list[Place]:
    """Draw the furniture of a room, and where each piece stands. With hazards no two pieces share a location."""
    ranges, total = knobs.furniture(room, size)
    kinds = [kind for kind, (least, _) in ranges.items() for _ in range(least)]
    spare = [kind for kind, (least, most) in ranges.items() for _ in range(most - least)]
    wanted = rng.randint(*total)
    kinds += rng.sample(spare, min(len(spare), max(0, wanted - len(kinds))))
    ids = _Ids(rng)
    places: list[Place] = []
    for kind in kinds:
        shared = places and rng.random() < SHARED_LOCATION and knobs.hazards == "none"
        location = rng.choice(places).location if shared else ids.location()
        places.append(Place(kind, ids.entity(kind), location))
    return places


def draw_things(
    rng: random.Random,
    room: RoomKind,
    size: Size,
    places: Sequence[Place],
    *,
    needed: Sequence[str],
    target: str,
    barred: Collection[str],
    knobs: Knobs = NO_KNOBS,
) -> Layout | None:
    """Fill a furnished room with the `needed` objects and with others around them.

    Args:
        rng: source of all randomness.
        room: kind of the room.
        size: "small" or "full".
        places: its furniture, from `draw_places`.
        needed: object kinds that must be there, once per mention.
        target: the goal's object kind; no more of it than `needed` says.
        barred: receptacle kinds the target must not start in.
        knobs: further wishes. With hazards every object starts where it may be put back.

    Returns:
        The layout, or None when a needed object finds no place or the room is too full for its number of objects.
    """
    filler = _Filler(rng, places, target, knobs)
    for kind in needed:
        if not filler.add(kind, barred if kind == target else ()):
            return None
    (least, most), most_of_a_kind = knobs.objects(room, size, len(needed))
    _add_others(rng, room, filler, wanted=rng.randint(least, most), most_of_a_kind=most_of_a_kind, skip=target)
    if len(filler.things) < least:
        return None
    return Layout(room.name, tuple(places), tuple(filler.things), filler.ids.location())


def _add_others(
    rng: random.Random, room: RoomKind, filler: _Filler, *, wanted: int, most_of_a_kind: int, skip: str
) -> None:
    kinds = [kind for kind in room.things if kind != skip]
    weights = [room.things[kind] for kind in kinds]
    counts = Counter(thing.kind for thing in filler.things)
    for _ in range(4 * wanted):  # a bound, for rooms too full to take more
        if len(filler.things) >= wanted:
            return
        kind = rng.choices(kinds, weights)[0]
        limit = 1 if "toggleable" in OBJECTS[kind].traits else most_of_a_kind
        if counts[kind] < limit and filler.add(kind, ()):
            counts[kind] += 1


class _Filler:
    """Puts objects into receptacles, within their capacities."""

    def __init__(self, rng: random.Random, places: Sequence[Place], target: str, knobs: Knobs) -> None:
        self.rng = rng
        self.places = places
        self.target = target
        self.hidden = knobs.hidden
        self.odd_place = ODD_PLACE if knobs.hazards == "none" else 0.0
        self.room_left = {place.id: RECEPTACLES[place.kind].capacity for place in places}
        self.things: list[Thing] = []
        self.ids = _Ids(rng, taken=[entity for place in places for entity in (place.id, place.location)])

    def add(self, kind: str, barred: Collection[str]) -> bool:
        """Place one more object of a kind; False when no receptacle can take it."""
        free = [place for place in self.places if place.kind not in barred and self.room_left[place.id] > 0]
        if kind == self.target and self.hidden is not None:
            free = [place for place in free if place.openable == self.hidden]
        place = self._choose(kind, free)
        if place is None:
            return False
        self.room_left[place.id] -= 1
        self.things.append(Thing(kind, self.ids.entity(kind), place, self._states(kind, place)))
        return True

    def _states(self, kind: str, place: Place) -> tuple[str, ...]:
        may_be_cool = place.kind == "Fridge" and "coolable" in OBJECTS[kind].traits and kind != self.target
        return ("isCool",) if may_be_cool and self.rng.random() < STARTS_COOL else ()

    def _choose(self, kind: str, free: Sequence[Place]) -> Place | None:
        thing = OBJECTS[kind]
        fixed = "toggleable" in thing.traits  # a lamp stays on furniture made for it
        if free and not fixed and self.rng.random() < self.odd_place:
            return self.rng.choice(free)
        homes = [place for place in free if place.kind in thing.homes]
        if homes:
            return self.rng.choices(homes, [thing.homes[place.kind] for place in homes])[0]
        allowed = [place for place in free if place.kind in thing.allowed]
        return self.rng.choice(allowed) if allowed else None


_BASINS = {"SinkBasin": "Sink", "BathtubBasin": "Bathtub"}


class _Ids:
    """Draws unique ids in ALFWorld's style: a kind and invented coordinates, in metres."""

    def __init__(self, rng: random.Random, taken: Iterable[str] = ()) -> None:
        self.rng = rng
        self.taken = set(taken)

    def entity(self, kind: str) -> str:
        """An id such as Mug_bar__plus_01_dot_20_bar__plus_00_dot_90_bar__minus_03_dot_04."""
        stem, suffix = (_BASINS[kind], f"_bar_{kind}") if kind in _BASINS else (kind, "")
        while True:
            x, y, z = self._draw(-400, 400), self._draw(1, 180), self._draw(-400, 400)
            identifier = f"{stem}_bar_{_coordinate(x)}_bar_{_coordinate(y)}_bar_{_coordinate(z)}{suffix}"
            if identifier not in self.taken:
                self.taken.add(identifier)
                return identifier

    def location(self) -> str:
        """An id such as loc_bar__minus_4_bar_11_bar_3_bar_45: grid cell, heading, tilt of the head."""
        while True:
            x, z, heading, tilt = self._draw(-16, 16), self._draw(-16, 16), self._draw(0, 3), 15 * self._draw(0, 4)
            numbers = (f"_minus_{-n}" if n < 0 else str(n) for n in (x, z, heading, tilt))
            identifier = "_bar_".join(["loc", *numbers])
            if identifier not in self.taken:
                self.taken.add(identifier)
                return identifier

    def _draw(self, least: int, most: int) -> int:
        """Like `randint`, at a third of its cost: ids are most of what a layout draws."""
        return least + int(self.rng.random() * (most - least + 1))


def _coordinate(centimetres: int) -> str:
    sign = "" if centimetres == 0 else "_plus_" if centimetres > 0 else "_minus_"
    metres, rest = divmod(abs(centimetres), 100)
    return f"{sign}{metres:02d}_dot_{rest:02d}"
