"""Hardness knobs of the household generator: what may be asked of a game beyond its size, and how a task id says it.

A game without knobs keeps the id it always had; a knob adds a suffix: `household-small-train-000123-r12-d20-hidden`.
Read by `layout` (furniture, objects), `hazards` (what cannot be undone) and `generator` (ids).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from itp.envs.household.rooms import ROOMS, Range, RoomKind, Size
from itp.errors import ConfigError

HAZARD_KINDS = ("lock", "swallow", "charge", "fragile")
"""Kinds of irreversible hazards, in the order the generator goes round."""
HAZARDS = ("none", *HAZARD_KINDS, "mixed")
RECEPTACLES = (5, 29)
"""Least and most receptacles that can be asked for."""
OBJECTS_PER_RECEPTACLE = 2
"""Distractors that can be asked for, per receptacle of the barest room."""
MOST_HAZARDS = 3

_SUFFIX = re.compile(
    r"(?:-r(?P<receptacles>\d+))?(?:-d(?P<distractors>\d+))?(?:-(?P<hidden>hidden|visible))?"
    rf"(?:-(?P<hazards>{'|'.join(HAZARDS[1:])})(?P<hazard_count>\d))?"
)


@dataclass(frozen=True, slots=True)
class Knobs:
    """What is asked of a game. Every default leaves the draw as it is without knobs.

    Args:
        receptacles: exactly so many receptacles; None leaves it to the size.
        distractors: exactly so many objects that the goal has no use for; None leaves it to the size.
        hidden: True puts every wanted object behind a door at the start, False none of them; None leaves it to chance.
        hazards: kind of irreversible hazard, "mixed" for all kinds in turn, "none" for a forgiving world.
        hazard_count: hazards of a game. The first is the kind's own; each further one is a receptacle that swallows.
    """

    receptacles: int | None = None
    distractors: int | None = None
    hidden: bool | None = None
    hazards: str = "none"
    hazard_count: int = 1

    @property
    def suffix(self) -> str:
        """What these knobs add to a task id; "" without knobs."""
        parts = [
            f"r{self.receptacles}" if self.receptacles is not None else "",
            f"d{self.distractors}" if self.distractors is not None else "",
            {True: "hidden", False: "visible", None: ""}[self.hidden],
            f"{self.hazards}{self.hazard_count}" if self.hazards != "none" else "",
        ]
        return "".join(f"-{part}" for part in parts if part)

    def hazard_of(self, index: int) -> str:
        """Kind of hazard of a split's game: "" for none."""
        if self.hazards == "mixed":
            return HAZARD_KINDS[index % len(HAZARD_KINDS)]
        return "" if self.hazards == "none" else self.hazards

    def furniture(self, room: RoomKind, size: Size) -> tuple[dict[str, Range], Range]:
        """Ranges of each kind of receptacle, and of all together."""
        if self.receptacles is None:
            return dict(room.furniture[size]), room.receptacles[size]
        few, many = room.furniture["small"], room.furniture["full"]
        nothing = (0, 0)
        ranges = {
            kind: (few.get(kind, nothing)[0], max(few.get(kind, nothing)[1], many.get(kind, nothing)[1]))
            for kind in (*few, *(kind for kind in many if kind not in few))
        }
        return ranges, (self.receptacles, self.receptacles)

    def objects(self, room: RoomKind, size: Size, needed: int) -> tuple[Range, int]:
        """Range of objects in all when `needed` of them serve the goal, and the most of one kind."""
        if self.distractors is None:
            # A room with fewer receptacles than its size has takes fewer objects.
            most = 3 * self.receptacles if self.receptacles else room.objects[size][1]
            least = min(room.objects[size][0], most)
            return (least, min(room.objects[size][1], most)), 2 if size == "small" else 4
        return (needed + self.distractors, needed + self.distractors), 4


def check_knobs(knobs: Knobs, size: Size) -> Knobs:
    """Return `knobs` when every value is allowed.

    Raises:
        ConfigError: one is not; the message says what is.
    """
    _check_number("receptacles", knobs.receptacles, *RECEPTACLES)
    fewest = knobs.receptacles or min(room.receptacles[size][0] for room in ROOMS.values())
    _check_number("distractors", knobs.distractors, 0, OBJECTS_PER_RECEPTACLE * fewest)
    if knobs.hidden is not None and not isinstance(knobs.hidden, bool):
        raise ConfigError(f"hidden={knobs.hidden!r} is not allowed: choose true, false, or leave it away")
    if knobs.hazards not in HAZARDS:
        raise ConfigError(f"hazards={knobs.hazards!r} is unknown: choose one of {', '.join(HAZARDS)}")
    if knobs.hazard_count is None:
        raise ConfigError(f"hazard_count=None is not allowed: choose 1 to {MOST_HAZARDS}")
    _check_number("hazard_count", knobs.hazard_count, 1, MOST_HAZARDS)
    if knobs.hazards == "none" and knobs.hazard_count != 1:
        raise ConfigError(f"hazard_count={knobs.hazard_count} needs a kind: add hazards={'|'.join(HAZARDS[1:])}")
    return knobs


def _check_number(name: str, value: Any, least: int, most: int) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigError(f"{name}={value!r} is not allowed: choose {least} to {most}")


def parse_suffix(suffix: str) -> Knobs | None:
    """Knobs of the end of a task id, or None when it is not one. Values are not checked."""
    match = _SUFFIX.fullmatch(suffix)
    if match is None:
        return None
    knobs = Knobs(
        int(match["receptacles"]) if match["receptacles"] else None,
        int(match["distractors"]) if match["distractors"] else None,
        {"hidden": True, "visible": False}.get(match["hidden"]),
        match["hazards"] or "none",
        int(match["hazard_count"] or 1),
    )
    return knobs if knobs.suffix == suffix else None
