"""Starts in which the thing that a task names lies in another room: `--env-option moved=1`.

In all training variations of some tasks the substance is in the kitchen, in others elsewhere; a policy that has only
seen the former does not know how to look for it. Here the thing is carried to another room before the episode
begins, and the plan goes through the rooms, in one fixed order, until it is in sight (domain randomization).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from itp.envs.scienceworld.patience import FOCUS, OPEN
from itp.envs.scienceworld.plans import LOOK, ROOMS, TAKE, TELEPORT

_DROP, _CLOSE = "drop ", "close "
SEARCHED = tuple(room for room in ROOMS if room != "hallway")
"""Rooms in the order in which they are searched."""
Start = tuple[list[str], list[str]]
"""Commands before the episode, and the plan for what they leave."""


def moved_starts(plan: Sequence[str], task: str, start: str, draw: random.Random) -> Iterator[Start]:
    """Ways to carry off what the plan focuses on first, and plans that find it; none where the task does not name it.

    Args:
        plan: a plan that wins when nothing is moved.
        task: the task's description.
        start: the room in which the episode begins.
        draw: chooses the room to which the thing is carried.
    """
    at = next((place for place, step in enumerate(plan) if step.startswith(FOCUS)), 0)
    before, thing = plan[:at], plan[at].removeprefix(FOCUS) if at else ""
    home = _room(before) or start
    preparing = all(step == LOOK or step.startswith((TELEPORT, OPEN, TAKE)) for step in before)
    if not thing or thing not in task or f"around the {home}" in task or not preparing:
        return
    there = draw.choice([room for room in SEARCHED if room not in (home, start)])
    route = [room for room in SEARCHED[: SEARCHED.index(there) + 1] if room not in _visited(before, start)]
    search = [step for room in route for step in (TELEPORT + room, LOOK)]
    opening = [step for step in before if step.startswith(OPEN)]
    shut = [step.replace(OPEN, _CLOSE, 1) for step in opening]
    for name in (thing, f"cup containing {thing}", f"metal pot containing {thing}"):
        prelude = [TELEPORT + home, *opening, TAKE + name, *shut, TELEPORT + there, _DROP + name, TELEPORT + start]
        yield prelude, [*before, *search, TAKE + name, TELEPORT + home, *plan[at:]]


def _room(plan: Sequence[str]) -> str:
    return next((step.removeprefix(TELEPORT) for step in reversed(plan) if step.startswith(TELEPORT)), "")


def _visited(plan: Sequence[str], start: str) -> set[str]:
    return {start, *(step.removeprefix(TELEPORT) for step in plan if step.startswith(TELEPORT))}
