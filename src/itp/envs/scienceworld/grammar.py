"""What the simulator's parser understands, as a `CommandGrammar`: `--env-option commands=grammar`.

The list of valid actions names each thing in one way only, and the simulator's own gold paths use others ("thermometer
in inventory", "anode in red light bulb"). Templates with all names of all things in sight cover both: the steps of gold
paths are among them (tests/integration/test_scienceworld_grammar.py). They hold nonsense too ("eat kitchen").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from itp.envs.scienceworld.plans import ROOMS
from itp.types import CommandGrammar

_ONE = ("activate", "close", "deactivate", "disconnect", "drop", "eat", "examine", "flush", "focus on", "look at",
        "look in", "mix", "open", "pick up", "put down", "read")  # fmt: skip
_TWO = ("connect OBJ to", "dunk OBJ in", "dunk OBJ into", "move OBJ to", "pour OBJ in", "pour OBJ into", "put OBJ in",
        "use OBJ on")  # fmt: skip
_PLAIN = ("inventory", "look around", "task", "wait", "wait1")
_GO = ("go to", "teleport to")
_TEMPLATES = (
    *_PLAIN,
    *(f"{verb} OBJ" for verb in (*_ONE, *_TWO)),
    *(f"{verb} {room}" for verb in _GO for room in ROOMS),
)
_PARTS = ("anode", "cathode", "door", "inventory", *ROOMS)
_AMBIGUOUS = "Ambiguous request:"
_READING = re.compile(r"^(\d+):", re.MULTILINE)


def grammar(names: Sequence[str], observation: str, say: Callable[[str], str] = str) -> CommandGrammar:
    """The commands of one moment.

    Args:
        names: of the things in sight.
        observation: the latest text; where the simulator asks which of several readings was meant, a number answers.
        say: how the player says templates and names.
    """
    if observation.startswith(_AMBIGUOUS):
        return CommandGrammar(tuple(_READING.findall(observation)), ())
    return CommandGrammar(tuple(map(say, _TEMPLATES)), tuple(dict.fromkeys(map(say, (*names, *_PARTS)))))
