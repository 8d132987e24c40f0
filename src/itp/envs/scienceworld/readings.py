"""What a thermometer or a lamp tells, in the task's own words: `--env-option readings=compared`.

Two families of tasks end in one of two boxes, one for temperatures above a limit, one for those below. Comparing "-62"
with "0.0" is arithmetic that a small model seldom learns from eighty tasks; whoever plays can do it from the two texts.
Two others end in one of two boxes by a lamp, which is lit or not when the thing in question lies in its circuit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

READINGS = ("plain", "compared")
_LIMIT = re.compile(r" is above (-?\d+(?:\.\d+)?) degrees celsius")
_CONDUCTIVE = re.compile(r"determine if (.+?) is electrically conductive")
_LOOK, _LIT, _UNLIT = re.compile(r"^This (?:room|outside location) is called"), ", which is on", ", which is off"
_READING = re.compile(r"measures a temperature of (-?\d+(?:\.\d+)?) degrees celsius")


def compared(observation: str, task: str) -> str:
    """The observation with "(above 10.0 degrees celsius)" or "(below ...)" after a temperature, in the task's words.

    Args:
        observation: what an action led to.
        task: the task's description; without a limit in it nothing is added.
    """
    limit = _LIMIT.search(task)
    if limit is None:
        return observation

    def told(reading: re.Match[str]) -> str:
        side = "above" if float(reading[1]) > float(limit[1]) else "below"
        return f"{reading[0]} ({side} {limit[1]} degrees celsius)"

    return _READING.sub(told, observation)


def lamp_told(observation: str, task: str, actions: Sequence[str]) -> str:
    """A look around with "(electrically conductive)" or "(electrically nonconductive)" behind it, as the lamps are.

    Args:
        observation: what the last action led to.
        task: the task's description; one that does not ask whether a thing conducts adds nothing.
        actions: of the episode so far; nothing is added before both terminals of the thing are connected.
    """
    asked = _CONDUCTIVE.search(task)
    if asked is None or not _LOOK.search(observation) or not (_LIT in observation or _UNLIT in observation):
        return observation
    ends = [f"{asked[1]} terminal {number}" for number in (1, 2)]
    if not all(any(action.startswith("connect ") and end in action for action in actions) for end in ends):
        return observation
    return f"{observation.rstrip()}\n(electrically {'conductive' if _LIT in observation else 'nonconductive'})"
