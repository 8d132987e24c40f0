"""The six ALFWorld task families: what may be asked in a room, in which words, and one sure way to do it.

Third stage of the household generator: `draw_goal` chooses among what the furniture allows, so that every goal can be
reached by construction; `walkthrough` names the commands that reach it, which `generator` then replays.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from itp.envs.household.catalog import OBJECTS, can_contain
from itp.envs.household.layout import Layout, Place, Thing
from itp.envs.household.rooms import RoomKind


@dataclass(frozen=True, slots=True)
class Family:
    """A task family.

    Args:
        name: ALFWorld's `task_type`.
        rooms: room -> weight.
        templates: goal wordings, drawn with equal chance.
        trait: predicate the object kind must have, or "".
        verb: command that changes the object, or "".
        device: receptacle kind that the verb needs, or "".
        copies: how many objects are asked for.
    """

    name: str
    rooms: Mapping[str, int]
    templates: tuple[str, ...]
    trait: str = ""
    verb: str = ""
    device: str = ""
    copies: int = 1


_ANY_ROOM = MappingProxyType({"kitchen": 2, "bedroom": 2, "livingroom": 2, "bathroom": 2})

FAMILIES: tuple[Family, ...] = (
    Family("pick_and_place_simple", _ANY_ROOM, ("put a {obj} in {dest}.", "put some {obj} on {dest}.")),
    Family(
        "look_at_obj_in_light",
        {"bedroom": 2, "livingroom": 1},
        ("look at {obj} under the {dest}.", "examine the {obj} with the {dest}."),
    ),
    Family(
        "pick_clean_then_place_in_recep",
        {"kitchen": 3, "bathroom": 1},
        ("put a clean {obj} in {dest}.", "clean some {obj} and put it in {dest}."),
        trait="cleanable",
        verb="clean",
        device="SinkBasin",
    ),
    Family(
        "pick_heat_then_place_in_recep",
        {"kitchen": 1},
        ("put a hot {obj} in {dest}.", "heat some {obj} and put it in {dest}."),
        trait="heatable",
        verb="heat",
        device="Microwave",
    ),
    Family(
        "pick_cool_then_place_in_recep",
        {"kitchen": 1},
        ("put a cool {obj} in {dest}.", "cool some {obj} and put it in {dest}."),
        trait="coolable",
        verb="cool",
        device="Fridge",
    ),
    Family(
        "pick_two_obj_and_place",
        _ANY_ROOM,
        ("put two {obj} in {dest}.", "find two {obj} and put them in {dest}."),
        copies=2,
    ),
)
"""Families in the order the generator goes round."""

LAMP = "DeskLamp"


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal: family, target object kind, destination receptacle kind (the lamp's kind for "look"), and its wording."""

    family: Family
    target: str
    destination: str
    text: str

    @property
    def is_look(self) -> bool:
        """Whether the goal is to look at the target under a lamp."""
        return self.destination == LAMP

    @property
    def barred(self) -> tuple[str, ...]:
        """Receptacle kinds the target must not start in: a plain "put" would be done already."""
        return () if self.is_look or self.family.verb else (self.destination,)

    def needed(self, rng: random.Random) -> list[str]:
        """Object kinds the room must hold, once per instance; often more of the target than the goal asks for."""
        spare = rng.choices((0, 1, 2), (5, 3, 2))[0] if self.family.copies == 1 else rng.choices((0, 1), (3, 2))[0]
        return [self.target] * (self.family.copies + spare) + ([LAMP] if self.is_look else [])


def draw_goal(
    rng: random.Random,
    family: Family,
    room: RoomKind,
    places: Sequence[Place],
    allowed: Collection[str] | None = None,
) -> Goal | None:
    """Draw a goal of a family that the furniture of a room allows, or None when it allows none.

    Args:
        rng: source of all randomness.
        family: the task family.
        room: kind of the room.
        places: its furniture.
        allowed: receptacle kinds that may be the destination; None for all.
    """
    kinds = list(dict.fromkeys(place.kind for place in places))
    options: dict[str, list[str]] = {}
    for target in room.things:
        if family.trait in ("", *OBJECTS[target].traits) and "pickupable" in OBJECTS[target].traits:
            ends = _destinations(family, target, kinds)
            options[target] = ends if allowed is None else [kind for kind in ends if kind in allowed]
    targets = [target for target, destinations in options.items() if destinations]
    if not targets:
        return None
    target = rng.choices(targets, [room.things[target] for target in targets])[0]
    destination = rng.choice(options[target])
    text = rng.choice(family.templates).format(obj=target.lower(), dest=destination.lower())
    return Goal(family, target, destination, text)


def _destinations(family: Family, target: str, kinds: Sequence[str]) -> list[str]:
    """Kinds to name in the goal. A plain "put" needs some other kind for the object to start in."""
    if family.name == "look_at_obj_in_light":
        return [LAMP] if any(kind in OBJECTS[LAMP].homes for kind in kinds) else []
    holders = [kind for kind in kinds if can_contain(kind, target)]
    if not family.verb and len(holders) < 2:
        return []
    return [kind for kind in holders if kind != family.device]


@dataclass(slots=True)
class _Walk:
    """Collects commands while keeping track of where the player is and what is open."""

    names: Mapping[str, str]
    location: str
    opened: set[str] = field(default_factory=set)
    commands: list[str] = field(default_factory=list)

    def visit(self, place: Place, *, opening: bool) -> str:
        """Go to a receptacle unless already at its location, open it if asked; its name."""
        name = self.names[place.id]
        if place.location != self.location:
            self.commands.append(f"go to {name}")
            self.location = place.location
        if opening and place.openable and place.id not in self.opened:
            self.commands.append(f"open {name}")
            self.opened.add(place.id)
        return name


def walkthrough(layout: Layout, goal: Goal, avoid: Collection[str] = ()) -> tuple[str, ...]:
    """Commands that reach the goal, for a player who knows where everything is. Not always the fewest.

    Args:
        layout: the room.
        goal: what to reach.
        avoid: ids of wanted objects and of destinations that do not serve.
    """
    walk = _Walk(layout.names(), layout.start)
    targets = [thing for thing in layout.things if thing.kind == goal.target and thing.id not in avoid]
    ends = [place for place in layout.places if place.id not in avoid]
    for thing in targets[: goal.family.copies]:
        source = walk.visit(thing.place, opening=True)
        name = walk.names[thing.id]
        walk.commands.append(f"take {name} from {source}")
        if goal.is_look:
            lamp = _first(layout.things, LAMP)
            walk.visit(lamp.place, opening=False)
            walk.commands.append(f"use {walk.names[lamp.id]}")
            continue
        if goal.family.verb:
            device = walk.visit(_first(layout.places, goal.family.device), opening=False)
            walk.commands.append(f"{goal.family.verb} {name} with {device}")
        destination = walk.visit(_first(ends, goal.destination), opening=True)
        walk.commands.append(f"put {name} in/on {destination}")
    return tuple(walk.commands)


_Entity = TypeVar("_Entity", Place, Thing)


def _first(entities: Sequence[_Entity], kind: str) -> _Entity:
    return next(entity for entity in entities if entity.kind == kind)
