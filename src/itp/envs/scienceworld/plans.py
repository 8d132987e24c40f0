"""Gold paths as an expert would walk them who knows no more than the player: `--env-option expert=tidy`.

The simulator's gold paths open doors that stand open, walk where one may teleport, and name things unseen so far. A
tidy plan goes straight to each room and looks around when it comes there first; it is half as long, and what it does
can be learnt from what it sees. Every plan is replayed before it is shown: where the tidy one does not reach 100
(things hatch and melt in their own time), a more cautious one takes its place, and the gold path itself in the end.

It also outlives detours. A command off the plan leaves the rest of the plan as it is, and one that leads to another
room puts the way back in front. That need not save the episode: learn from such play with `--only-sure`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from itp.envs.scienceworld.plain import hurried, plain

GO, TELEPORT, LOOK, WAIT, WAIT_TEN = "go to ", "teleport to ", "look around", "wait1", "wait"
TAKE = "pick up "
ROOMS = ("art studio", "bathroom", "bedroom", "foundry", "greenhouse", "hallway", "kitchen", "living room", "outside",
         "workshop")  # fmt: skip
_IDLE = ("open door to ",)
_MOVED = re.compile(r"You (?:move|teleport) to the ([a-z ]+)\.")
_HERE = re.compile(r"This (?:room|outside location) is called the ([a-z ]+)\.")
_FORGIVEN = ("pick up ", "open ", "examine ", "activate ", "pour ", "move ", "use ", "read ", "connect ")
_ELSEWHERE = (
    "pick up thermometer", "pick up metal pot", "pick up seed jar", "pick up shovel", "pick up jug", "pick up apple",
    "pick up battery", "pick up unknown substance B", "open cupboard", "open freezer", "open fridge", "open drawer",
    "open blast furnace", "open bee hive", "activate stove", "activate sink", "activate blast furnace", "read recipe",
    "move metal pot to stove", "move metal pot to sink", "move jug to sink", "pour jug into flower pot 1", "mix bowl",
    "use thermometer in inventory on water", "use shovel in inventory on ground", "examine substance in metal pot",
    "connect battery anode to red wire terminal 1", "move thermometer in inventory to red box",
)  # fmt: skip
"""Steps of other tasks. Most are refused where they are not in place; the rest change little."""
_DRAWN = 8


@dataclass(frozen=True, slots=True)
class Tidying:
    """What is changed in a gold path.

    Args:
        teleport: put one `teleport` in the place of a walk.
        look: look around in a room that is entered for the first time.
        tens: put `wait` in the place of ten `wait1`.
        plain: make free choices in a fixed order (`itp.envs.scienceworld.plain`).
        waterings: put `wait` in the place of five or more `wait1`, and leave out rounds with the jug after so many; 0
            does neither.
    """

    teleport: bool = True
    look: bool = True
    tens: bool = True
    plain: bool = True
    waterings: int = 1


CAUTION = (
    *(Tidying(waterings=most) for most in (1, 2, 9, 0)),
    Tidying(plain=False, waterings=0),
    Tidying(tens=False, plain=False, waterings=0),
    Tidying(look=False, tens=False, plain=False, waterings=0),
    Tidying(False, False, False, False, 0),
)
"""From the tidiest to the most cautious."""


def tidy(gold: Sequence[str], how: Tidying = CAUTION[0]) -> list[str]:
    """A gold path without what does nothing: see the module.

    Args:
        gold: the simulator's gold path; doors must stand open.
        how: what to change.
    """
    plan: list[str] = []
    seen: set[str] = set()
    steps = [action for action in gold if not action.startswith(_IDLE) and not _into_itself(action)]
    steps = [action for action, after in zip(steps, [*steps[1:], ""], strict=True) if not _passes_by(action, after)]
    for position, action in enumerate(steps):
        following = steps[position + 1] if position + 1 < len(steps) else ""
        if action == LOOK and not plan:  # the first text of an episode is a look around already
            continue
        if not action.startswith(GO) or not how.teleport:
            plan.append(action)
            continue
        if following.startswith(GO):
            continue
        room = action.removeprefix(GO)
        plan.append(TELEPORT + room)
        if how.look and room not in seen and following != LOOK:
            plan.append(LOOK)
        seen.add(room)
    plan = plain(plan) if how.plain else plan
    plan = hurried(plan, how.waterings) if how.waterings else plan
    return list(_tens(plan)) if how.tens else plan


def direct(plan: Sequence[str]) -> list[str]:
    """The plan without visits to rooms in which nothing is done but look around and take what is held already.

    Args:
        plan: a plan, not replayed.
    """
    out: list[str] = []
    for visit in _visits(plan):
        done = [step for step in visit[1:] if step != LOOK and not (step.startswith(TAKE) and step in out)]
        if done or not visit[0].startswith(TELEPORT):
            out += visit
    return out


def _visits(plan: Sequence[str]) -> Iterator[list[str]]:
    """The plan cut in front of every teleport."""
    visit: list[str] = []
    for step in plan:
        if step.startswith(TELEPORT) and visit:
            yield visit
            visit = []
        visit.append(step)
    if visit:
        yield visit


def _passes_by(action: str, after: str) -> bool:
    """A look around in a room that is left at once."""
    return action == LOOK and after.startswith(GO)


def _into_itself(action: str) -> bool:
    parts = re.match(r"pour (.+) in(?:to)? (.+)$", action)
    return parts is not None and parts[1] == parts[2]


def _tens(plan: Sequence[str]) -> Iterable[str]:
    """`wait` for every ten `wait1` in a row."""
    waits = 0
    for action in [*plan, ""]:
        if action == WAIT:
            waits += 1
            continue
        yield from [WAIT_TEN] * (waits // 10) + [WAIT] * (waits % 10)
        waits = 0
        if action:
            yield action


@dataclass(slots=True)
class Plan:
    """A plan under way: what is left of it, where the player is, and, off the plan, where it was left."""

    left: list[str] = field(default_factory=list)
    room: str = ""
    away_from: str = ""

    @classmethod
    def start(cls, actions: Sequence[str], first_observation: str) -> Plan:
        """The plan of a new episode."""
        return cls(list(actions), room_in(first_observation))

    def commands(self) -> list[str]:
        """What is to be done now, the way back to where the plan was left in front."""
        if self.away_from in ("", self.room) or not self.left or self.left[0].startswith((TELEPORT, GO)):
            return self.left.copy()
        return [TELEPORT + self.away_from, *self.left]

    def took(self, action: str, observation: str) -> None:
        """Take in a step, on the plan or off it."""
        left_at = self.away_from or self.room
        self.room = _where(_MOVED, observation) or self.room
        if action in self.left[:1]:
            self.left, self.away_from = self.left[1:], ""
        else:
            self.away_from = left_at


def room_in(observation: str) -> str:
    """The room that a look around describes; "" in any other text."""
    return _where(_HERE, observation)


def _where(pattern: re.Pattern[str], observation: str) -> str:
    found = pattern.search(observation)
    return found[1] if found else ""


def detours(plan: Sequence[str], room: str, draw: random.Random) -> list[str]:
    """Commands off a plan that seldom spoil it: looks, other rooms, steps out of turn, steps of other tasks.

    Nothing in them focuses on a thing by its right name, which would be fatal out of turn. Names with their words
    astray, the commonest slip of a player that writes, are mostly refused by the simulator.

    Args:
        plan: what is left of the plan.
        room: where the player is.
        draw: chooses among them.

    Returns:
        About twenty commands, sorted.
    """
    pool = sorted({action for action in (*plan[1:], *_ELSEWHERE) if action.startswith(_FORGIVEN)})
    commands = {LOOK, "inventory", *draw.sample(pool, min(len(pool), _DRAWN))}
    commands |= {TELEPORT + other for other in draw.sample(ROOMS, 4) if other != room}
    verb, *names = plan[0].split() if plan else [""]
    if len(names) > 2:
        gap = draw.randrange(1, len(names))
        commands.add(" ".join([verb, *names[:gap], *names[gap + 1 :]]))
        commands.add(" ".join([verb, names[0], *draw.sample(names[1:], len(names) - 1)]))
    return sorted(commands - set(plan[:1]))
