"""The rule-based memory world model: what the next observation must be, given what the player remembers.

It learns nothing and sees no environment; it is the baseline beside which learned world models are judged, and
`world_model.rules` serves it to planners. Imported through `belief.predict_observation`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from itp.envs.alfworld.commonsense import (
    DEVICE,
    KNIVES,
    LAMPS,
    OPENABLE,
    SLICEABLE,
    TREATABLE,
    VESSELS,
    game_order,
    type_of,
)
from itp.envs.alfworld.hazards import Hazards, tell
from itp.envs.alfworld.observations import NOTHING_HAPPENS, Action, parse_action

if TYPE_CHECKING:
    from itp.envs.alfworld.belief import Belief


def predict_observation(belief: Belief, action: str) -> str:
    """The next observation as far as memory and common sense tell, in the game's exact words.

    Exact where the belief determines the answer. For what was never seen it gives a plausible answer: a closed door, an
    empty surface, an arbitrary location number. An action that the belief rules out yields "Nothing happens."
    """
    command = parse_action(action)
    if action.strip() in belief.refused:
        return NOTHING_HAPPENS
    rule = _RULES.get(command.verb)
    observation = (rule(belief, command) if rule else None) or NOTHING_HAPPENS
    return observation if belief.hazards is None else _with_losses(belief, belief.hazards, command, observation)


def _with_losses(belief: Belief, hazards: Hazards, command: Action, observation: str) -> str:
    """The same observation with what the announced hazards add to it."""
    if observation == NOTHING_HAPPENS:
        return observation
    if hazards.refuses(command.verb, command.receptacle, belief.spent):
        return NOTHING_HAPPENS
    if command.verb == "go":
        left = [name for name in belief.receptacles if name in hazards.locks and belief.here(name)]
        return observation + tell([(name, "locks") for name in left if belief.doors.get(name)])
    return observation + tell(hazards.consequences(command.verb, command.obj, command.receptacle))


def _join(names: Sequence[str]) -> str:
    if len(names) < 2:
        return names[0] if names else "nothing"
    return f"{', '.join(names[:-1])}, and {names[-1]}"


def _listing(names: Iterable[str]) -> str:
    return _join([f"a {name}" for name in names])


def _describe(belief: Belief, receptacle: str) -> str:
    door = belief.doors.get(receptacle)
    if door is None and receptacle not in belief.visited and type_of(receptacle) in OPENABLE:
        door = False
    if door is False:
        return f"The {receptacle} is closed."
    items = _listing(belief.contents.get(receptacle, ()))
    return f"The {receptacle} is open. In it, you see {items}." if door else f"On the {receptacle}, you see {items}."


def _predict_go(belief: Belief, command: Action) -> str | None:
    target = command.receptacle
    if target not in belief.receptacles or belief.here(target):
        return None
    return f"You arrive at {belief.places.get(target, 'loc 1')}. {_describe(belief, target)}"


def _predict_door(belief: Belief, command: Action) -> str | None:
    name = command.receptacle
    door = belief.doors.get(name)
    if door is None and name not in belief.visited and type_of(name) in OPENABLE:
        door = False
    if not belief.here(name) or door is None or door is (command.verb == "open"):
        return None
    if command.verb == "close":
        return f"You close the {name}."
    return f"You open the {name}. The {name} is open. In it, you see {_listing(belief.contents.get(name, ()))}."


def _predict_take(belief: Belief, command: Action) -> str | None:
    possible = belief.holding is None and belief.reachable(command.receptacle)
    if not possible or command.obj not in belief.contents.get(command.receptacle, ()):
        return None
    return f"You pick up the {command.obj} from the {command.receptacle}."


def _predict_put(belief: Belief, command: Action) -> str | None:
    possible = belief.holding == command.obj and belief.reachable(command.receptacle)
    if not possible or not belief.takes(command.receptacle, command.obj):
        return None
    return f"You put the {command.obj} in/on the {command.receptacle}."


def _predict_treat(belief: Belief, command: Action) -> str | None:
    fits = type_of(command.receptacle) == DEVICE[command.verb] and type_of(command.obj) in TREATABLE[command.verb]
    if not fits or belief.holding != command.obj or not belief.here(command.receptacle):
        return None
    return f"You {command.verb} the {command.obj} using the {command.receptacle}."


def _predict_use(belief: Belief, command: Action) -> str | None:
    if type_of(command.obj) not in LAMPS or not belief.located_here(command.obj):
        return None
    return f"You turn on the {command.obj}."


def _predict_slice(belief: Belief, command: Action) -> str | None:
    knife = command.receptacle
    fits = type_of(command.obj) in SLICEABLE and type_of(knife) in KNIVES and belief.holding == knife
    return f"You sliced the {command.obj} with the {knife}." if fits and belief.located_here(command.obj) else None


def _predict_examine(belief: Belief, command: Action) -> str | None:
    name = command.obj
    if name in belief.receptacles:
        return _describe(belief, name) if belief.here(name) else None
    if name != belief.holding:
        return None
    if type_of(name) in VESSELS:
        return f"This is a normal {name}. In it, you see nothing."
    known = belief.properties.get(name, frozenset())
    words = ["hot"] if "hot" in known else ["cool"] if "cool" in known else []
    if "clean" in known:
        words = [*words, "and", "clean"] if words else ["clean"]
    if "sliced" in known:
        words.append("sliced")
    if not words:
        return f"There's nothing special about {name}."
    return f"This is a {'cold' if words == ['cool'] else ' '.join(words)} {name}."


def _predict_inventory(belief: Belief, command: Action) -> str:
    return f"You are carrying: a {belief.holding}." if belief.holding else "You are not carrying anything."


def _predict_look(belief: Belief, command: Action) -> str:
    around = [name for name in belief.receptacles if belief.here(name)]
    if not around:
        return "You are in the middle of a room. Looking quickly around you, you see nothing."
    # One entry per receptacle here that the object was taken from: the game lists an object twice, too.
    lying = [obj for obj, source in belief.removed if source in around and belief.located_here(obj)]
    return f"You are facing the {_join(around)}. Next to it, you see {_listing(sorted(lying, key=game_order))}."


_RULES = {
    "go": _predict_go,
    "open": _predict_door,
    "close": _predict_door,
    "take": _predict_take,
    "put": _predict_put,
    "clean": _predict_treat,
    "heat": _predict_treat,
    "cool": _predict_treat,
    "use": _predict_use,
    "slice": _predict_slice,
    "examine": _predict_examine,
    "inventory": _predict_inventory,
    "look": _predict_look,
}
