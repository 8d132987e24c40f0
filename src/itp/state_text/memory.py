"""`memory-v1` and `memory-v2`: a household game as its player remembers it, in about a hundred tokens.

The task, what is in hand, where the player stands, target objects seen and delivered, where they must go, the first
unvisited receptacle of every type, announced hazards where a game has them, and the last step. `memory-v2` also tells
how often the player has been in this very situation before ("again 2"): walking in a circle changes nothing else in the
text. All of it is computed from text the player has seen.
"""

from __future__ import annotations

from collections.abc import Iterable

from itp.envs.alfworld.belief import Belief
from itp.envs.alfworld.commonsense import DEVICE, QUALITY, type_of
from itp.envs.alfworld.hazards import INTRODUCTION, announcement_in
from itp.lm.tokens import ACT, END, OBS, TASK, strip_special
from itp.types import State

MAX_NAMES = 4
"""Names listed in one field; more would cost tokens and change no decision."""

MOST_RETURNS = 3
"""`again` counts no further: a circle is a circle."""

_DEVICE_FOR = {quality: DEVICE[verb] for verb, quality in QUALITY.items() if verb in DEVICE}


def render_memory(state: State, *, returns: bool = False) -> str:
    """The memory text of a state. Works on any text; outside household games most fields are empty.

    Args:
        state: what to tell.
        returns: tell also how often the player has been in this situation before (`memory-v2`).
    """
    last = ""
    if state.history:
        action, observation = state.history[-1]
        last = f"{ACT}{strip_special(action)}{END}{OBS}{strip_special(observation)}"
    told = memory_fields(state)
    if returns and (count := min(times_before(state), MOST_RETURNS)):
        told = f"again {count}; {told}"
    return f"{TASK}{strip_special(state.task)}{OBS}{strip_special(told)}{last}{END}"


def memory_fields(state: State) -> str:
    """What the player remembers, without task and last step: "hold nothing; at fridge 1 open; ..."."""
    return _fields(Belief.of(state), announcement_in(state.first_observation))


def situation(state: State) -> str:
    """What is remembered, without the last step, and the lamps that are lit, which the text does not tell.

    Outside household games, where nothing is remembered but the last step, the whole text.
    """
    belief = Belief.of(state)
    return _situation(belief, state) if belief.receptacles else render_memory(state)


def times_before(state: State) -> int:
    """How often the episode was in the situation of `state` before; 0 outside household games."""
    belief = Belief.start(state.task, state.first_observation)
    if not belief.receptacles:
        return 0
    passed = [_situation(belief, state)]
    for action, observation in state.history:
        belief.update(action, observation)
        passed.append(_situation(belief, state))
    return passed.count(passed[-1]) - 1


def _situation(belief: Belief, state: State) -> str:
    return f"{_fields(belief, announcement_in(state.first_observation))}; lit {_listed(sorted(belief.lit))}"


def _fields(belief: Belief, announcement: str) -> str:
    fields = [
        ("hold", _held(belief)),
        ("at", _place(belief)),
        ("seen", _pairs(_open_targets(belief))),
        ("done", _pairs(belief.placed())),
        ("to", _destination(belief)),
        ("with", _listed(belief.of_type(_DEVICE_FOR.get(belief.goal.quality, "")))),
        ("new", ", ".join(_first_unvisited(belief))),
        ("lost", _listed(sorted(belief.spent))),
        ("beware", announcement.removeprefix(INTRODUCTION)),
    ]
    return "; ".join(f"{name} {text}" for name, text in fields if text)


def _held(belief: Belief) -> str:
    if belief.holding is None:
        return "nothing"
    qualities = sorted(belief.properties.get(belief.holding, ()))
    target = " target" if type_of(belief.holding) == belief.goal.target else ""
    return " ".join([belief.holding, *qualities]) + target


def _place(belief: Belief) -> str:
    if belief.location is None:
        return "start"
    here = [belief.location, *(r for r in belief.receptacles if r != belief.location and belief.here(r))]
    doors = {True: " open", False: " closed", None: ""}
    return ", ".join(name + doors[belief.doors.get(name)] for name in here[:MAX_NAMES])


def _open_targets(belief: Belief) -> list[tuple[str, str]]:
    delivered = set(belief.placed())
    return [pair for pair in belief.find(belief.goal.target) if pair not in delivered]


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return ", ".join([f"{name} in {receptacle}" for name, receptacle in pairs][:MAX_NAMES])


def _destination(belief: Belief) -> str:
    kind = belief.goal.destination
    if belief.goal.family == "look":
        return _pairs(belief.find(kind))
    names = belief.of_type(kind)
    return _listed(sorted(names, key=lambda name: not belief.here(name)))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(list(names)[:MAX_NAMES])


def _first_unvisited(belief: Belief) -> list[str]:
    """The lowest-numbered receptacle of each type whose contents were never seen, in the order of the room's list."""
    kinds = dict.fromkeys(type_of(name) for name in belief.receptacles)
    candidates = ([name for name in belief.of_type(kind) if name not in belief.visited] for kind in kinds)
    return [names[0] for names in candidates if names]
