"""From a model's answer to a command: explicit rules in a fixed order, and a record of which one it took.

1. `exact`: the text behind the last "Action:" is an admissible command, letter for letter.
2. `case`: it is one but for case, white space, quotes, backticks or a full stop.
3. `tag`: the answer marks its command in another way (bold, XML, "Command:", "Final answer:", a code fence, a bare last
   line), and the marked text is one by rules 1 or 2.
4. `closest`: one command is at least `CLOSE` alike by difflib's ratio, `MARGIN` ahead of the next; where the answer has
   numbers, only commands with the same ones are looked at.
5. `unparsed`: none of these. The text behind the tag is sent to the environment as it stands, and costs a step.

Nothing is ever replaced by a command that the answer does not resemble.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

CLOSE = 0.85
"""Similarity (difflib ratio) from which a command counts as meant."""
MARGIN = 0.05
"""How far ahead of the second most similar command it must be."""
MAX_COMMAND = 200
"""Letters of an unparsed answer that are sent on."""
PARSES = ("exact", "case", "tag", "closest", "unparsed")

_TAG = re.compile(r"^[ \t]*Action:[ \t]*(.*)$", re.MULTILINE)
_VARIANTS = (
    re.compile(r"<(?:action|command)>\s*(.*?)\s*</(?:action|command)>", re.IGNORECASE | re.DOTALL),
    re.compile(
        r"^[ \t>*#-]*(?:\*\*|__)?(?:final |next |chosen |best )?(?:action|command|answer)(?: \d+)?"
        r"(?:\*\*|__)?[ \t]*(?::|=|-|is)(?:\*\*|__)?[ \t]*(.+)$",
        re.IGNORECASE | re.MULTILINE,
    ),
    re.compile(r"```(?:\w+\n)?\s*(.*?)\s*```", re.DOTALL),
    re.compile(r"`([^`\n]+)`"),
)
_NEXT = r"(?=^[ \t*#-]*(?:reflection|thought|action|feedback|observation)[ \t*]*:|\Z)"
_FIELD = r"^[ \t*#-]*{}[ \t*]*:(?:\*\*)?[ \t]*(.*?)" + _NEXT
_ACTION_LINE = re.compile(r"^[ \t>*#-]*(?:\d+[.)]\s*)?action[ \t*]*:", re.IGNORECASE | re.MULTILINE)
_OBSERVATION_LINE = re.compile(r"^[ \t>*#-]*observation[ \t*]*:", re.IGNORECASE | re.MULTILINE)
_NUMBERING = re.compile(r"^\s*(?:[-*•>]|\(?\d+[.):])\s+")


@dataclass(frozen=True, slots=True)
class ParsedAction:
    """A command and the rule that found it, one of `PARSES`."""

    action: str
    parse: str


def parse_action(text: str, admissible: Sequence[str] | None) -> ParsedAction:
    """The command that an answer names; see the module's text for the rules.

    Args:
        text: the answer.
        admissible: commands that are allowed; None for an open action space, where the marked text is `exact`.
    """
    tagged = _TAG.findall(text)
    if admissible is None:
        guess = next((clean for clean in map(_clean, [*tagged[-1:], *_marked(text)]) if clean), "")
        return ParsedAction(guess, "exact" if tagged and guess else "tag" if guess else "unparsed")
    match = _match(tagged[-1].strip(), admissible) if tagged else None
    if match:
        return match
    marked = _marked(text)
    match = next((found for found in (_match(guess, admissible) for guess in marked) if found), None)
    if match:
        return ParsedAction(match.action, "tag")
    guesses = [_clean(tagged[-1])] if tagged else marked
    closest = next((found for found in (_closest(guess, admissible) for guess in guesses) if found), None)
    if closest:
        return ParsedAction(closest, "closest")
    return ParsedAction((guesses[0] if guesses else "")[:MAX_COMMAND], "unparsed")


def _marked(text: str) -> list[str]:
    """What an answer marks as its command in other ways than the one it was asked for; its last line comes last."""
    lines = [line for line in text.splitlines() if line.strip() and not line.rstrip().endswith(":")]
    groups = [group for pattern in _VARIANTS for group in pattern.findall(text)]
    return [_clean(group) for group in (*groups, *lines[-1:])]


def parse_actions(text: str, admissible: Sequence[str] | None) -> list[ParsedAction]:
    """All distinct commands that an answer names, one a line, in order; unreadable lines are left out."""
    found: dict[str, ParsedAction] = {}
    for line in text.splitlines():
        parsed = parse_action(line, admissible)
        if parsed.parse != "unparsed":
            found.setdefault(parsed.action, parsed)
    return list(found.values())


def parse_integer(text: str, most: int) -> int | None:
    """The first integer of an answer, None when there is none from 0 to `most`: it is never clamped."""
    found = re.search(r"-?\d+", text)
    number = int(found[0]) if found else -1
    return number if 0 <= number <= most else None


def field(text: str, name: str) -> str:
    """What an answer says behind "Name:", up to the next such line; "" when it has no such line."""
    found = re.search(_FIELD.format(name), text, re.IGNORECASE | re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def parse_foresight(text: str, most: int) -> list[tuple[str, str]]:
    """(action, observation) pairs of a future written in one go, at most `most`; the first incomplete pair ends it."""
    pairs = []
    for piece in _ACTION_LINE.split(text)[1 : most + 1]:
        action, *told = _OBSERVATION_LINE.split(piece, maxsplit=1)
        if not told or not _clean(action):
            break
        pairs.append((_clean(action), " ".join(told[0].split())))
    return pairs


def _match(text: str, admissible: Sequence[str]) -> ParsedAction | None:
    if text in admissible:
        return ParsedAction(text, "exact")
    folded = _fold(text)
    return next((ParsedAction(command, "case") for command in admissible if _fold(command) == folded), None)


def _closest(text: str, admissible: Sequence[str]) -> str | None:
    numbers = sorted(re.findall(r"\d+", text))
    similar = difflib.SequenceMatcher(None, "", _fold(text))
    ranked = []
    for command in admissible:
        if not numbers or sorted(re.findall(r"\d+", command)) == numbers:
            similar.set_seq1(_fold(command))
            ranked.append((similar.ratio(), command))
    ranked.sort(reverse=True)
    if not ranked or ranked[0][0] < CLOSE:
        return None
    clear = len(ranked) == 1 or ranked[0][0] - ranked[1][0] >= MARGIN
    return ranked[0][1] if clear else None


def _clean(text: str) -> str:
    """One line without list marks, quotes or emphasis around it."""
    lines = [line for line in text.splitlines() if line.strip()]
    line = _NUMBERING.sub("", lines[0]) if lines else ""
    return line.strip().strip("*_`\"'“”<>[]").strip()


def _fold(text: str) -> str:
    return " ".join(_clean(text).rstrip(".!").casefold().split())
