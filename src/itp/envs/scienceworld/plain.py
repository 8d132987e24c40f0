"""Plans that choose the same way every time, where the simulator's gold paths draw lots.

Which of three wires goes first, which pot is planted and which light bulb is lit are drawn anew in every gold path; a
policy that learns from them can only guess, and then forgets what it guessed. Here wires and pots come in the order of
their names, a circuit is laid from one end to the other, so that every step goes on from the thing of the last one,
a plant is named after its pot, which stands before it in every text, and what is chosen freely is the first that was
listed. Nothing of this is known to win before it has been replayed: `ScienceWorldTextEnv` does that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_NUMBERED = re.compile(r"\b(\w+ wire|flower pot \d+)\b")
_LONG_POT = re.compile(r"(flower pot \d+) containing .+? in inventory")
_FOCUS_PLANT = re.compile(r"focus on (?:adult |reproducing )?(\w+ (?:tree|plant))$")
_TAKE_POT = re.compile(r"pick up (flower pot \d+)$")
_CONNECT = re.compile(r"connect (.+) to (.+)$")
_INSIDE = re.compile(r"(anode|cathode) in (.+)$")
_OUTSIDE = re.compile(r"(.+) (anode|cathode|terminal [12])$")
_OTHER_END = {"anode": "cathode", "cathode": "anode", "terminal 1": "terminal 2", "terminal 2": "terminal 1"}
_LAST = re.compile(r"(?<=terminal )[12]$")
_PLANTED = re.compile(r"(flower pot \d+) \(containing a (\w+ (?:tree|plant)) in the (?:adult|reproducing)")
_UNKNOWN = re.compile(r"unknown substance [A-Z]\b")
_NAMELESS = re.compile(r"unknown substance(?! [A-Z]\b)")
_FRUIT = re.compile(r"task is to grow a (\w+)\. ")
_BULB = re.compile(r"\b(\w+ light bulb)\b")
_WAIT, _WAIT_TEN, _SINK_ON = "wait1", "wait", "activate sink"
_WATERING = (_SINK_ON, "move jug to sink", "pour jug into ", "deactivate sink")
_LONG_WAIT = 5

Port = tuple[str, str]
"""A component and one of its ends: ("red wire", "terminal 1")."""


def plain(plan: Sequence[str]) -> list[str]:
    """The same plan with its free choices made in a fixed order: see the module."""
    return _pots_first(_in_order(_laid_out([_LONG_POT.sub(r"\1", action) for action in plan])))


def hurried(plan: Sequence[str], waterings: int) -> list[str]:
    """A plan with one `wait` (ten moments) for five or more `wait1` in a row.

    Args:
        plan: what to shorten.
        waterings: so many rounds from the tap to the pots are kept; a `wait` takes the place of each later one.
    """
    out: list[str] = []
    waits, rounds = 0, 0
    for action in [*plan, ""]:
        if action == _WAIT:
            waits += 1
            continue
        out += [_WAIT_TEN] * -(-waits // 10) if waits >= _LONG_WAIT else [_WAIT] * waits
        waits = 0
        rounds += action == _SINK_ON
        if action and (rounds <= waterings or not action.startswith(_WATERING)):
            out.append(action)
        elif action == _SINK_ON:
            out.append(_WAIT_TEN)
    return out


def first_listed(plan: Sequence[str], texts: Sequence[str], task: str) -> list[str]:
    """The plan with the plant in the first pot listed, and the light bulb listed first unless the task names one.

    Args:
        plan: a plan that wins.
        texts: what was read before each of its steps.
        task: the task's description.
    """
    swapped = list(plan)
    for position, (action, text) in enumerate(zip(plan, texts, strict=False)):
        pot, after = _TAKE_POT.match(action), plan[position + 1 : position + 2]
        if not pot or not after or not after[0].endswith(f" in {pot[1]}"):
            continue
        planted = _PLANTED.search(text)
        focus = f"focus on {planted[2]} in {planted[1]}" if planted else ""
        if planted and planted[1] != pot[1]:
            rest = [step.replace(pot[1], planted[1]) for step in plan[position + 2 :]]
            swapped[position:] = [f"pick up {planted[1]}", focus, *rest]
    bulbs = {bulb for action in plan if action.startswith("connect ") for bulb in _BULB.findall(action)}
    listed = next((_BULB.findall(text) for text in reversed(texts) if bulbs & set(_BULB.findall(text))), [])
    if len(bulbs) == 1 and not bulbs & set(_BULB.findall(task)) and listed:
        swapped = [action.replace(next(iter(bulbs)), listed[0]) for action in swapped]
    return swapped


def by_full_name(plan: Sequence[str], task: str) -> Iterator[list[str]]:
    """The plan with things named as its task names them, in the ways in which the simulator may understand that.

    Gold paths say "unknown substance" for unknown substance F, and "banana in living thing" for the banana to be grown.

    Args:
        plan: a plan that wins.
        task: the task's description.
    """
    unknown, fruit = _UNKNOWN.search(task), _FRUIT.search(task)
    if unknown:
        yield [_NAMELESS.sub(unknown[0], action) for action in plan]
    if fruit:
        last = next((at for at in reversed(range(len(plan))) if plan[at].startswith("focus on ")), None)
        if last is not None and re.search(rf"\b{fruit[1]}\b", plan[last]):
            short = [*plan[:last], f"focus on {fruit[1]}"]
            yield short
            yield [*short, "0"]


def _in_order(plan: Sequence[str]) -> list[str]:
    """Wires, and pots that are planted, used in the order of their names."""
    used = list(dict.fromkeys(name for action in plan for name in _NUMBERED.findall(action)))
    new: dict[str, str] = {}
    for kind in ("wire", "pot"):
        same = [name for name in used if kind in name]
        new |= dict(zip(same, sorted(same), strict=True))
    return [_NUMBERED.sub(lambda found: new[found[1]], action) for action in plan]


def _pots_first(plan: Sequence[str]) -> list[str]:
    """Take the pot, then focus on what grows in it."""
    out = list(plan)
    for at in range(len(out) - 1):
        plant, pot = _FOCUS_PLANT.match(out[at]), _TAKE_POT.match(out[at + 1])
        if plant and pot:
            out[at : at + 2] = [out[at + 1], f"focus on {plant[1]} in {pot[1]}"]
    return out


def _laid_out(plan: Sequence[str]) -> list[str]:
    """Every run of connections in the order of the circuit, where it is one line or ring."""
    out: list[str] = []
    run: list[str] = []
    for action in [*plan, ""]:
        if action.startswith("connect "):
            run.append(action)
            continue
        out += _line(run)
        run = []
        if action:
            out.append(action)
    return out


def _line(run: Sequence[str]) -> Sequence[str]:
    """Connections from the first port on, each from the other end of what the last one led to; `run` if that fails.

    Terminals are alike: what has two of them is entered at the first and left by the second.
    """
    named = [tuple(map(_port, _ends(action))) for action in run]
    edges = [(ends[0], ends[1]) for ends in named if ends and ends[0] and ends[1]]
    if not edges or len(edges) != len(run):
        return run
    texts = {port: text for action in run for text in _ends(action) if (port := _port(text))}
    ordered = list(_walk({a: b for edge in edges for a, b in (edge, edge[::-1])}, edges[0][0]))
    if len(ordered) != len(edges):
        return run
    return [f"connect {_LAST.sub('2', texts[a])} to {_LAST.sub('1', texts[b])}" for a, b in ordered]


def _walk(leads: dict[Port, Port], start: Port) -> Iterator[tuple[Port, Port]]:
    port, left = start, dict(leads)
    while port in left:
        to = left.pop(port)
        del left[to]
        yield port, to
        port = (to[0], _OTHER_END[to[1]])


def _ends(action: str) -> Sequence[str]:
    found = _CONNECT.match(action)
    return found.groups() if found else ()


def _port(text: str) -> Port | None:
    inside, outside = _INSIDE.match(text), _OUTSIDE.match(text)
    if inside:
        return inside[2], inside[1]
    return (outside[1], outside[2]) if outside else None
