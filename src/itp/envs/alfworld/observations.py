"""Reading ALFWorld texts: goals, action strings and observations become small frozen records.

First link of the belief: `belief.py` applies these records to what the player remembers. Everything here is a cached,
pure function of one string and never raises: imagined or foreign text yields a record of kind "unknown".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_CACHE = 1 << 16
NOTHING_HAPPENS = "Nothing happens."

_NAME = r"[a-z]+ \d+"
_ITEM = re.compile(rf"\ban? ({_NAME})")
_PLAIN_NAME = re.compile(_NAME)
_ADJECTIVES = {"clean": "clean", "hot": "hot", "cool": "cool", "cold": "cool", "sliced": "sliced"}


@dataclass(frozen=True, slots=True)
class Goal:
    """What the task line asks for.

    Args:
        family: "pick", "look", "clean", "heat", "cool", "pick2", or "unknown" when no template fits.
        target: object type, for example "mug".
        quality: property the target must have: "clean", "hot", "cool" or "".
        destination: receptacle type for the target; for "look" the lamp type, for example "desklamp".
    """

    family: str = "unknown"
    target: str = ""
    quality: str = ""
    destination: str = ""

    @property
    def count(self) -> int:
        """How many distinct targets must end up in one receptacle (0 for "look" and "unknown")."""
        return {"pick2": 2, "look": 0, "unknown": 0}.get(self.family, 1)


_FAMILY_OF_VERB = {"clean": ("clean", "clean"), "heat": ("heat", "hot"), "cool": ("cool", "cool")}
_FAMILY_OF_QUALITY = {"clean": "clean", "hot": "heat", "cool": "cool"}
_PUT_QUALITY = re.compile(r"put an? (clean|hot|cool) (\w+) (?:in|on|in/on) (?:the )?(\w+)")
_VERB_AND_PUT = re.compile(r"(clean|heat|cool) (?:some|an?) (\w+) and put it (?:in|on|in/on) (?:the )?(\w+)")
_PUT_TWO = re.compile(
    r"put two (\w+) (?:in|on|in/on) (?:the )?(\w+)|find two (\w+) and put them (?:in|on|in/on) (?:the )?(\w+)"
)
_PUT = re.compile(r"put (?:some|an?) (\w+) (?:in|on|in/on) (?:the )?(\w+)")
_LOOK = re.compile(r"(?:look at|examine) (?:the |an? )?(\w+) (?:under|with|in) (?:the |an? )?(\w+)")
_TASK_PREFIX = re.compile(r"^.*your task is to: *", re.IGNORECASE | re.DOTALL)


@lru_cache(_CACHE)
def parse_goal(text: str) -> Goal:
    """Goal of a task line, with or without its "Your task is to:" prefix; family "unknown" when no template fits."""
    line = _TASK_PREFIX.sub("", text).strip().rstrip(".").lower()
    if m := _PUT_QUALITY.fullmatch(line):
        return Goal(_FAMILY_OF_QUALITY[m[1]], m[2], m[1], m[3])
    if m := _VERB_AND_PUT.fullmatch(line):
        family, quality = _FAMILY_OF_VERB[m[1]]
        return Goal(family, m[2], quality, m[3])
    if m := _PUT_TWO.fullmatch(line):
        return Goal("pick2", m[1] or m[3], "", m[2] or m[4])
    if m := _PUT.fullmatch(line):
        return Goal("pick", m[1], "", m[2])
    if m := _LOOK.fullmatch(line):
        return Goal("look", m[1], "", m[2])
    return Goal()


@dataclass(frozen=True, slots=True)
class Action:
    """One command. `verb` is "" when the text is no ALFWorld command; the others are names such as "mug 1"."""

    verb: str = ""
    obj: str = ""
    receptacle: str = ""


_ACTIONS = (
    (re.compile(rf"go to ({_NAME})"), "go"),
    (re.compile(rf"(open|close) ({_NAME})"), ""),
    (re.compile(rf"take ({_NAME}) from ({_NAME})"), "take"),
    (re.compile(rf"put ({_NAME}) in/on ({_NAME})"), "put"),
    (re.compile(rf"(clean|heat|cool|slice) ({_NAME}) with ({_NAME})"), ""),
    (re.compile(rf"(use|examine) ({_NAME})"), ""),
    (re.compile(r"(look|inventory)"), ""),
)


@lru_cache(_CACHE)
def parse_action(text: str) -> Action:
    """The command in `text`, outer white space ignored. What `use` and `examine` name stands in `obj`."""
    text = text.strip()
    for pattern, verb in _ACTIONS:
        match = pattern.fullmatch(text)
        if match is None:
            continue
        groups = list(match.groups())
        verb = verb or groups.pop(0)
        if verb in ("go", "open", "close"):
            return Action(verb, "", groups[0])
        return Action(verb, *groups)
    return Action()


@dataclass(frozen=True, slots=True)
class View:
    """A description of one receptacle: `is_open` is None when it has no door, `items` None when it is closed."""

    receptacle: str
    is_open: bool | None
    items: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Event:
    """What one observation tells.

    `kind` is one of: "arrive", "open", "close", "view", "take", "put", "clean", "heat", "cool", "light", "slice",
    "carry", "facing", "room", "examine", "refused", "unknown". `names` holds receptacles ("facing", "room") or carried
    objects ("carry").
    """

    kind: str
    obj: str = ""
    receptacle: str = ""
    place: str = ""
    view: View | None = None
    names: tuple[str, ...] = ()
    qualities: frozenset[str] = frozenset()


UNKNOWN = Event("unknown")
_VIEW = re.compile(
    rf"On the ({_NAME}), you see ([^.]*)\.|The ({_NAME}) is open\. In it, you see ([^.]*)\.|The ({_NAME}) is closed\."
)
_ARRIVE = re.compile(r"You arrive at ([^.]+)\.")
_OPEN_CLOSE = re.compile(rf"You (open|close) the ({_NAME})\.")
_TAKE = re.compile(rf"You pick up the ({_NAME}) from the ({_NAME})\.")
_PUT_DONE = re.compile(rf"You put the ({_NAME}) in/on the ({_NAME})\.")
_DEVICE = re.compile(rf"You (clean|heat|cool) the ({_NAME}) using the ({_NAME})\.")
_LIGHT = re.compile(rf"You turn on the ({_NAME})\.")
_SLICE = re.compile(rf"You sliced the ({_NAME}) with the ({_NAME})\.")
_FACING = re.compile(r"You are facing the ([^.]*)\.")
_EXAMINE = re.compile(
    rf"This is an? ((?:(?:clean|hot|cool|cold|sliced|and) )+)({_NAME})\.|There's nothing special about ({_NAME})\."
)
_ROOM = "You are in the middle of a room."


def parse_items(text: str) -> tuple[str, ...]:
    """Names in a list such as "a mug 1, and a pen 2"; empty for "nothing"."""
    return tuple(_ITEM.findall(text))


def _parse_view(text: str) -> View | None:
    match = _VIEW.search(text)
    if match is None:
        return None
    on, on_items, opened, open_items, closed = match.groups()
    if on:
        return View(on, None, parse_items(on_items))
    return View(opened, True, parse_items(open_items)) if opened else View(closed, False, None)


def _parse_deed(text: str) -> Event | None:
    """Observations that report a change of the world."""
    if m := _TAKE.match(text):
        return Event("take", m[1], m[2])
    if m := _PUT_DONE.match(text):
        return Event("put", m[1], m[2])
    if m := _DEVICE.match(text):
        return Event(m[1], m[2], m[3])
    if m := _OPEN_CLOSE.match(text):
        return Event(m[1], "", m[2], view=_parse_view(text))
    if m := _LIGHT.match(text):
        return Event("light", m[1])
    if m := _SLICE.match(text):
        return Event("slice", m[1])
    return None


@lru_cache(_CACHE)
def parse_observation(text: str) -> Event:
    """What an observation tells; kind "unknown" for anything the game would not say."""
    text = text.strip()
    if text == NOTHING_HAPPENS:
        return Event("refused")
    if m := _ARRIVE.match(text):
        return Event("arrive", place=m[1], view=_parse_view(text))
    if _ROOM in text:
        return Event("room", names=parse_items(text.split(_ROOM, 1)[1].split("\n", 1)[0]))
    if deed := _parse_deed(text):
        return deed
    if text.startswith("You are not carrying anything"):
        return Event("carry")
    if text.startswith("You are carrying: "):
        return Event("carry", names=parse_items(text))
    if m := _FACING.match(text):
        return Event("facing", names=tuple(_PLAIN_NAME.findall(m[1])))
    if m := _EXAMINE.match(text):
        words = (m[1] or "").split()
        return Event("examine", m[2] or m[3], qualities=frozenset(_ADJECTIVES[w] for w in words if w in _ADJECTIVES))
    view = _parse_view(text)
    return Event("view", view=view) if view else UNKNOWN
