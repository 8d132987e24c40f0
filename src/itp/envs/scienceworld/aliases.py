"""Names by what they are in the task: `--env-option names=target`, `names=roles`.

Test splits ask for substances, plants and devices that training never had, and for boxes and rooms in combinations that
it never had. A large language model copies such a name; a small one, trained on a few, writes the nearest name it
knows. With "target" the thing that the task names is called "target" in every text, and in commands "target" is
understood as that thing (delexicalisation; entity anonymisation as in Hermann et al. 2015). With "roles" the boxes that
the task names are the first and the second box as well, and the rooms that it names the target room and the box room.
Nothing is told that the task does not tell; what a name alone would tell is lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

NAMES = ("plain", "target", "roles")
_ABOUT = re.compile(
    r"task is to (?:boil|melt|freeze|change the state of matter of|determine if|measure the temperature of"
    r"|measure the melting point of|turn on the|use chemistry to create the substance|grow an?"
    r"|focus on the (?:\d+ )?life stages of the) '?(.+?)'?(?= is electrically| by powering| plant\b|, |\.)"
)
_COMMON = ("water", "ice")
"""These keep their names: they come from taps and freezers, which no text says."""
_BOX = re.compile(r"\b(\w+ box)\b")
_BOX_ROOM = re.compile(r"\bbox in the ([a-z ]+)\.")
_EQUIPPED = r"(?!kitchen|workshop|foundry|greenhouse|outside)"
"""These rooms keep their names, except as a mere place for a box: they are gone to for what is always in them."""
_TARGET_ROOM = re.compile(rf"(?:is located around|Seeds can be found in) the {_EQUIPPED}([a-z ]+)\.")
_BOXES_ROOM = re.compile(rf"boxes are located around the {_EQUIPPED}([a-z ]+)\.")

Saying = Callable[[str], str]


def aliases(task: str, names: str = "target") -> tuple[Saying, Saying]:
    """How to say a text of the simulator to the player, and a command of the player to the simulator.

    Args:
        task: the task's description. What names nothing to be called otherwise leaves everything as it is.
        names: out of `NAMES`.
    """
    said = {} if names == "plain" else _target(task)
    if names == "roles":
        said = _roles(task) | said
    return _exchange(said, re.IGNORECASE), _exchange({alias: name for name, alias in said.items()})


def _target(task: str) -> dict[str, str]:
    found = _ABOUT.search(task)
    return {} if found is None or found[1] in _COMMON else {found[1]: "target"}


def _roles(task: str) -> dict[str, str]:
    boxes = dict.fromkeys(_BOX.findall(task))
    roles = {box: f"{order} box" for order, box in zip(("first", "second"), boxes, strict=False)}
    for place, role in ((_BOX_ROOM, "box room"), (_BOXES_ROOM, "box room"), (_TARGET_ROOM, "target room")):
        if found := place.search(task):
            roles[found[1]] = role
    return roles


def _exchange(words: Mapping[str, str], flags: re.RegexFlag = re.NOFLAG) -> Saying:
    if not words:
        return _as_it_is
    longest_first = sorted(words, key=len, reverse=True)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", flags)
    said = {word.lower(): other for word, other in words.items()}
    return lambda text: pattern.sub(lambda match: said[match[0].lower()], text)


def _as_it_is(text: str) -> str:
    return text
