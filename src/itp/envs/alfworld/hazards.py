"""The words of irreversible hazards: how a game announces them, and what it says when one strikes.

A household game may hold receptacles, devices and objects that punish a mistake for good. The first observation ends
with a line that announces them; nothing else tells. `Hazards` is both that line and its meaning: the generator writes
it, the engine (`household.hazard_game`) obeys it, and `belief.py` reads it back from the text as a player would.
ALFWorld's own games have none.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from functools import lru_cache

from itp.envs.alfworld.commonsense import DEVICE, type_of

INTRODUCTION = "Beware: "
MARK = " for good."
"""End of every sentence that tells of a loss."""

_NAME = r"[a-z]+ \d+"
_SWALLOWS = "whatever is put in/on the {} is gone for good"
_LOCKS = "once opened, the {} locks for good when you close it or walk away"
_ONCE = "the {} works only once"
_CRACKED = "the {} is cracked, and breaks for good when cleaned, heated or cooled"
_FRAGILE = "any {} breaks for good when put in/on anything but the {}"
_FATE = re.compile(rf"The ({_NAME}) (is gone|breaks|is used up|locks)(?= for good\.)")


@dataclass(frozen=True, slots=True)
class Hazards:
    """The hazards of one game, by the names that a player reads. False when there are none.

    Args:
        swallows: receptacles; what is put in them is gone.
        locks: receptacles whose open door locks when it is closed or the player walks away.
        single_use: devices (sink basin, microwave, fridge) that clean, heat or cool once.
        cracked: objects that break when cleaned, heated or cooled.
        fragile: an object type that breaks when put down anywhere but in `haven`; "" for none.
        haven: see `fragile`.
    """

    swallows: frozenset[str] = frozenset()
    locks: frozenset[str] = frozenset()
    single_use: frozenset[str] = frozenset()
    cracked: frozenset[str] = frozenset()
    fragile: str = ""
    haven: str = ""

    def __bool__(self) -> bool:
        return bool(self.swallows or self.locks or self.single_use or self.cracked or self.fragile)

    def announcement(self) -> str:
        """The line that a player reads at the start; `parse_hazards` is its inverse."""
        sentences = [
            *(_SWALLOWS.format(name) for name in sorted(self.swallows)),
            *(_LOCKS.format(name) for name in sorted(self.locks)),
            *(_ONCE.format(name) for name in sorted(self.single_use)),
            *(_CRACKED.format(name) for name in sorted(self.cracked)),
        ]
        if self.fragile:
            sentences.append(_FRAGILE.format(self.fragile, self.haven))
        return f"{INTRODUCTION}{'; '.join(sentences)}."

    def loses(self, obj: str, receptacle: str) -> str:
        """What putting an object there costs: "is gone", "breaks", or "" when it is safe."""
        if receptacle in self.swallows:
            return "is gone"
        return "breaks" if self.fragile and type_of(obj) == self.fragile and receptacle != self.haven else ""

    def consequences(self, verb: str, obj: str, receptacle: str) -> list[tuple[str, str]]:
        """(name, fate) pairs that follow a successful command at a receptacle: "put", "close", or a treatment."""
        if verb == "put":
            fate = self.loses(obj, receptacle)
            return [(obj, fate)] if fate else []
        if verb == "close":
            return [(receptacle, "locks")] if receptacle in self.locks else []
        if verb not in DEVICE:
            return []
        broken = [(obj, "breaks")] if obj in self.cracked else []
        return broken + ([(receptacle, "is used up")] if receptacle in self.single_use else [])

    def refuses(self, verb: str, receptacle: str, spent: Container[str]) -> bool:
        """Whether a command is in vain at a receptacle that is `spent`: a locked door, or a device that is used up."""
        if receptacle not in spent:
            return False
        return receptacle in (self.locks if verb == "open" else self.single_use if verb in DEVICE else ())


def tell(fates: list[tuple[str, str]]) -> str:
    """The sentences that tell of losses, with a blank before each."""
    return "".join(f" The {name} {fate}{MARK}" for name, fate in fates)


def parse_fates(observation: str) -> list[tuple[str, str]]:
    """(name, fate) pairs told in an observation; fates are "is gone", "breaks", "is used up", "locks"."""
    return _FATE.findall(observation) if MARK in observation else []


def announcement_in(text: str) -> str:
    """The line of a first observation that announces hazards, or "" when there is none."""
    return next((line for line in text.splitlines() if line.startswith(INTRODUCTION)), "")


def parse_hazards(text: str) -> Hazards | None:
    """The hazards that a first observation announces; None when it announces none."""
    return _parse(announcement_in(text)) if INTRODUCTION in text else None


@lru_cache(1 << 14)
def _parse(line: str) -> Hazards | None:
    fragile = re.search(_FRAGILE.format("([a-z]+)", f"({_NAME})"), line)
    found = Hazards(
        *(
            frozenset(re.findall(sentence.format(f"({_NAME})"), line))
            for sentence in (_SWALLOWS, _LOCKS, _ONCE, _CRACKED)
        ),
        fragile=fragile[1] if fragile else "",
        haven=fragile[2] if fragile else "",
    )
    return found or None
