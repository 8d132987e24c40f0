"""One name for whatever the task is about: `--env-option names=target`.

Test splits ask for substances, plants and devices that training never had. A large language model copies such a name; a
small one, trained on a few, writes the nearest name it knows. Here the thing that the task names is called "target" in
every text, and in commands "target" is understood as that thing (delexicalisation; entity anonymisation as in Hermann
et al. 2015). Nothing is told that the task does not tell; what the name alone would tell is lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable

NAMES = ("plain", "target")
TARGET = "target"
_ABOUT = re.compile(
    r"task is to (?:boil|melt|freeze|change the state of matter of|determine if|measure the temperature of"
    r"|measure the melting point of|turn on the|use chemistry to create the substance|grow an?"
    r"|focus on the (?:\d+ )?life stages of the) '?(.+?)'?(?= is electrically| by powering| plant\b|, |\.)"
)
_COMMON = ("water", "ice")
"""These keep their names: they come from taps and freezers, which no text says."""

Saying = Callable[[str], str]


def aliases(task: str) -> tuple[Saying, Saying]:
    """How to say a text of the simulator to the player, and a command of the player to the simulator.

    Args:
        task: the task's description. Where it names nothing, or water or ice, both leave everything as it is.
    """
    found = _ABOUT.search(task)
    if found is None or found[1] in _COMMON:
        return _as_it_is, _as_it_is
    name, pattern = found[1], re.compile(rf"(?<!\w){re.escape(found[1])}(?!\w)", re.IGNORECASE)
    alias = re.compile(rf"\b{TARGET}\b")
    return lambda text: pattern.sub(TARGET, text), lambda text: alias.sub(lambda _: name, text)


def _as_it_is(text: str) -> str:
    return text
