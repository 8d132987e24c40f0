"""A thermometer's reading beside the limit that the task names: `--env-option readings=compared`.

Two families of tasks end in one of two boxes, one for temperatures above a limit, one for those below. Comparing "-62"
with "0.0" is arithmetic that a small model seldom learns from eighty tasks; whoever plays can do it from the two texts.
"""

from __future__ import annotations

import re

READINGS = ("plain", "compared")
_LIMIT = re.compile(r" is above (-?\d+(?:\.\d+)?) degrees celsius")
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
