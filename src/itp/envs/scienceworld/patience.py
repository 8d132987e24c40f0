"""What a plan does while something melts, freezes or grows up.

The simulator's gold paths watch a pot for forty steps, each a moment, or wait moment by moment until an egg is due to
hatch; a player who does not know how long it takes cannot follow that. Here a `wait` (ten moments) and a glance take
turns until what is awaited is in sight.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from itp.envs.scienceworld.plans import LOOK, WAIT, WAIT_TEN

READ, EXAMINE, FOCUS, OPEN = "use thermometer in inventory on ", "examine ", "focus on ", "open "
_STAGES = re.compile(r"task is to focus on the (?:\d+ )?life stages of")
_LIMIT = re.compile(r" is above -?\d")
_THERMOMETER = "pick up thermometer"
_MOMENTS, _FEW = 10, 8
SPARE_WAITS = 3


def unwatched(plan: Sequence[str], task: str) -> Iterator[list[str]]:
    """The plan with waits in the place of what only watches a thing change, once for each name it has on the way.

    A task that asks for a temperature keeps its readings, with a `wait` between two of them where they are many. Any
    other leaves the thermometer where it is, and each wait is followed by a glance, except at the end, where only waits
    are left, some to spare: cut the plan where it wins.

    Args:
        plan: a plan, not replayed.
        task: the task's description.
    """
    measures = _LIMIT.search(task) is not None
    for which in (0, -1):
        out: list[str] = []
        runs = [(watch, list(steps)) for watch, steps in itertools.groupby(plan, _watches)]
        for place, (watch, run) in enumerate(runs):
            if not watch or not any(step.startswith(READ) for step in run) or (measures and len(run) <= _FEW):
                out += run
                continue
            waits = -(-_moments(run) // (_MOMENTS + 1))
            glances = [step for step in run if step.startswith(READ if measures else EXAMINE)]
            if place == len(runs) - 1 and not measures:
                out += [WAIT_TEN] * (waits + SPARE_WAITS)
            else:
                glance = glances[which : which + 1 or None]
                out += glance * measures + [WAIT_TEN, *glance] * waits
        if not measures and not any(step.startswith(READ) for step in out):
            out = [step for step in out if step != _THERMOMETER]
        yield list(_once(out))


def unbroken(plan: Sequence[str]) -> list[str]:
    """The plan with waits that looks interrupt in one row, and one look behind them; at the end some waits to spare.

    Args:
        plan: a plan, not replayed.
    """
    out: list[str] = []
    runs = [(idle, list(steps)) for idle, steps in itertools.groupby(plan, lambda step: step in (WAIT, WAIT_TEN, LOOK))]
    for place, (idle, run) in enumerate(runs):
        waits = [step for step in run if step != LOOK]
        if not idle or len(waits) < 2 or len(waits) == len(run):
            out += run
            continue
        last = place == len(runs) - 1
        out += [WAIT_TEN] * -(-_moments(run) // _MOMENTS) + ([WAIT_TEN] * SPARE_WAITS if last else [LOOK])
    return out


def by_sight(plan: Sequence[str], task: str) -> list[str] | None:
    """For tasks that name life stages as they come: the plan without its waits; None for other tasks."""
    if _STAGES.search(task) is None:
        return None
    steps = [step for step in plan if step not in (WAIT, WAIT_TEN)]
    last = next((at for at in reversed(range(len(steps))) if steps[at].startswith(FOCUS)), len(steps))
    first = next((at for at in range(len(steps)) if steps[at].startswith(FOCUS)), 0)
    return steps[: first + 1] + [step for step in steps[first + 1 : last + 1] if step != LOOK]


def _moments(run: Sequence[str]) -> int:
    return sum(_MOMENTS if step == WAIT_TEN else 1 for step in run)


def _watches(step: str) -> bool:
    return step.startswith((READ, EXAMINE)) or step in (WAIT, WAIT_TEN)


def _once(plan: Sequence[str]) -> Iterator[str]:
    """Nothing is opened twice, or done again at once; what is opened in a row comes in the order of names."""
    opened: set[str] = set()
    for opening, run in itertools.groupby(plan, lambda step: step.startswith(OPEN)):
        if opening:
            steps = sorted({*run} - opened)
            opened.update(steps)
            yield from steps
            continue
        for step, same in itertools.groupby(run):
            yield from same if step in (WAIT, WAIT_TEN) else [step]
