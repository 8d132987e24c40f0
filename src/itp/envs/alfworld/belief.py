"""What a player would remember of an ALFWorld game, computed from the texts alone.

`Belief` is the state behind the `memory` renderer, the expert and the rule-based world model: observations, real or
imagined alike, update it through `observations.parse_observation`, and text it cannot read changes nothing. It never
touches an environment.
"""

from __future__ import annotations

from collections.abc import Iterable

from itp.envs.alfworld.commonsense import DEVICE as DEVICE_OF
from itp.envs.alfworld.commonsense import (
    KNIVES,
    LAMPS,
    OPENABLE,
    QUALITY,
    SLICEABLE,
    TREATABLE,
    VESSELS,
    accepts,
    type_of,
)
from itp.envs.alfworld.observations import (
    NOTHING_HAPPENS,
    Action,
    Event,
    Goal,
    View,
    parse_action,
    parse_goal,
    parse_observation,
)
from itp.types import State

__all__ = ["Belief", "Goal", "parse_goal", "predict_observation"]

START = "start"
"""Name of the unnamed place in the middle of the room."""


class Belief:
    """Memory of one player. Update it in place with `update`; branch with `copy`.

    Attributes:
        goal: the parsed task.
        receptacles: all receptacle names, in the order the first observation lists them.
        location: receptacle last walked to, or None before the first walk.
        place: location id of the player ("loc 5"), or "start". Receptacles may share a place.
        places: location id of each receptacle where known.
        holding: object in hand, or None.
        visited: receptacle -> number of the step at which its contents were last seen. Use it as a set.
        contents: receptacle -> objects in it, as last seen or derived, in the game's order.
        doors: receptacle -> True when open, False when closed; absent when it has no door or that is unknown.
        properties: object -> subset of {"clean", "hot", "cool", "sliced"}, where any is known.
        lit: lamps that were turned on.
        removed: (object, receptacle) pairs that a `take` undid.
        refused: commands that failed although everything known spoke for them.
        steps: number of updates so far.
    """

    __slots__ = (
        "contents", "doors", "goal", "holding", "lit", "location", "place", "places", "properties", "receptacles",
        "refused", "removed", "steps", "visited",
    )  # fmt: skip

    def __init__(self, goal: Goal, receptacles: tuple[str, ...]) -> None:
        self.goal = goal
        self.receptacles = receptacles
        self.location: str | None = None
        self.place = START
        self.places: dict[str, str] = {}
        self.holding: str | None = None
        self.visited: dict[str, int] = {}
        self.contents: dict[str, tuple[str, ...]] = {}
        self.doors: dict[str, bool] = {}
        self.properties: dict[str, frozenset[str]] = {}
        self.lit: set[str] = set()
        self.removed: set[tuple[str, str]] = set()
        self.refused: set[str] = set()
        self.steps = 0

    @classmethod
    def start(cls, task: str, first_observation: str) -> Belief:
        """Belief after reset. An unreadable first observation yields a belief without receptacles."""
        goal = parse_goal(task)
        if goal.family == "unknown":
            goal = parse_goal(first_observation)
        return cls(goal, parse_observation(first_observation).names)

    @classmethod
    def of(cls, state: State) -> Belief:
        """Belief after the whole history of `state`."""
        belief = cls.start(state.task, state.first_observation)
        for action, observation in state.history:
            belief.update(action, observation)
        return belief

    def copy(self) -> Belief:
        """An independent copy: a handful of shallow dict copies."""
        other = Belief(self.goal, self.receptacles)
        other.location, other.place, other.holding, other.steps = self.location, self.place, self.holding, self.steps
        other.places = self.places.copy()
        other.visited = self.visited.copy()
        other.contents = self.contents.copy()
        other.doors = self.doors.copy()
        other.properties = self.properties.copy()
        other.lit = self.lit.copy()
        other.removed = self.removed.copy()
        other.refused = self.refused.copy()
        return other

    # ---- questions -------------------------------------------------------------------------------------------------

    def here(self, receptacle: str) -> bool:
        """Whether the player is known to stand at `receptacle` (it may share the place of another)."""
        return receptacle == self.location or self.places.get(receptacle) == self.place

    def reachable(self, receptacle: str) -> bool:
        """Whether things in `receptacle` can be taken and put: it is here and has no closed door."""
        if not self.here(receptacle):
            return False
        door = self.doors.get(receptacle)
        return door if door is not None else receptacle in self.visited or type_of(receptacle) not in OPENABLE

    def find(self, object_type: str) -> list[tuple[str, str]]:
        """(object, receptacle) pairs for every remembered object of a type, in the order of the receptacles."""
        prefix = object_type + " "
        return [
            (obj, receptacle)
            for receptacle in self.receptacles
            for obj in self.contents.get(receptacle, ())
            if obj.startswith(prefix) and obj != self.holding
        ]

    def of_type(self, receptacle_type: str) -> list[str]:
        """Receptacles of a type, lowest number first."""
        names = [name for name in self.receptacles if type_of(name) == receptacle_type]
        return sorted(names, key=_number)

    def has_quality(self, obj: str) -> bool:
        """Whether `obj` is known to have the property the goal asks for (always true when it asks for none)."""
        quality = self.goal.quality
        return not quality or quality in self.properties.get(obj, ())

    def placed(self) -> list[tuple[str, str]]:
        """(object, receptacle) pairs that count towards the goal: right type and property, in a right receptacle."""
        goal = self.goal
        if not goal.count:
            return []
        return [
            (obj, receptacle)
            for obj, receptacle in self.find(goal.target)
            if type_of(receptacle) == goal.destination and self.has_quality(obj)
        ]

    # ---- updates ---------------------------------------------------------------------------------------------------

    def update(self, action: str, observation: str) -> None:
        """Take in one step. Never raises; text that no game would say changes nothing but `steps`."""
        event = parse_observation(observation)
        self.steps += 1
        if event.kind == "refused":
            self._note_refusal(action)
            return
        if event.kind == "unknown":
            return
        self.refused.discard(action.strip())
        if event.kind == "arrive":
            self._arrive(parse_action(action), event)
        elif event.kind in ("take", "put"):
            self._move(event)
        elif event.kind in ("open", "close", "view"):
            self._see(event)
        elif event.kind in QUALITY:
            self._treat(event)
        elif event.kind == "light":
            self.lit.add(event.obj)
        elif event.kind == "slice":
            self._add_properties(event.obj, frozenset({"sliced"}))
        elif event.kind == "examine":
            self.properties[event.obj] = event.qualities
        elif event.kind == "carry":
            self.holding = event.names[0] if event.names else None
        elif event.kind == "facing":
            self._stand_beside(event.names)

    def _note_refusal(self, action: str) -> None:
        command = parse_action(action)
        if command.verb == "go":
            # The game leaves out "go to X" only for what is already here: a refusal tells that X shares this place.
            if command.receptacle in self.receptacles:
                self.places[command.receptacle] = self.place
        elif predict_observation(self, action) != NOTHING_HAPPENS:
            self.refused.add(action.strip())

    def _arrive(self, command: Action, event: Event) -> None:
        target = event.view.receptacle if event.view else command.receptacle
        if target not in self.receptacles:
            return
        self.location = target
        self.place = self.places[target] = event.place
        if event.view:
            self._look_at(event.view)

    def _see(self, event: Event) -> None:
        receptacle = event.view.receptacle if event.view else event.receptacle
        if receptacle not in self.receptacles:
            return
        self._stand_beside((receptacle,))
        if event.kind != "view":
            self.doors[receptacle] = event.kind == "open"
        if event.view:
            self._look_at(event.view)

    def _look_at(self, view: View) -> None:
        if view.is_open is not None:
            self.doors[view.receptacle] = view.is_open
        if view.items is not None:
            self.contents[view.receptacle] = view.items
            self.visited[view.receptacle] = self.steps

    def _stand_beside(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self.receptacles:
                self.places[name] = self.place

    def _move(self, event: Event) -> None:
        obj, receptacle = event.obj, event.receptacle
        items = self.contents.get(receptacle, ())
        if event.kind == "take":
            self.holding = obj
            self.contents[receptacle] = tuple(item for item in items if item != obj)
            self.removed.add((obj, receptacle))
            return
        self.holding = None
        self.removed.discard((obj, receptacle))
        if receptacle in self.receptacles and obj not in items:
            self.contents[receptacle] = tuple(sorted((*items, obj), key=_game_order))

    def _treat(self, event: Event) -> None:
        if event.kind == "heat":
            self._drop_property(event.obj, "cool")
        elif event.kind == "cool":
            self._drop_property(event.obj, "hot")
        self._add_properties(event.obj, frozenset({QUALITY[event.kind]}))

    def _add_properties(self, obj: str, qualities: frozenset[str]) -> None:
        self.properties[obj] = self.properties.get(obj, frozenset()) | qualities

    def _drop_property(self, obj: str, quality: str) -> None:
        self.properties[obj] = self.properties.get(obj, frozenset()) - {quality}


def _number(name: str) -> int:
    tail = name.rpartition(" ")[2]
    return int(tail) if tail.isdigit() else 0


def _game_order(name: str) -> tuple[str, int]:
    """Key of the game's lists: by type, and within a type the highest number first."""
    return type_of(name), -_number(name)


# ---- the rule-based memory world model -----------------------------------------------------------------------------


def predict_observation(belief: Belief, action: str) -> str:
    """The next observation as far as memory and common sense tell, in the game's exact words.

    A memory world model without learning, and the baseline beside which learned ones are judged. It is exact where the
    belief determines the answer; for what was never seen it gives the commonest answer (a closed door, an empty surface,
    an arbitrary location number). An action that the belief rules out yields "Nothing happens."
    """
    command = parse_action(action)
    if action.strip() in belief.refused:
        return NOTHING_HAPPENS
    rule = _RULES.get(command.verb)
    return (rule(belief, command) if rule else None) or NOTHING_HAPPENS


def _listing(names: Iterable[str]) -> str:
    items = [f"a {name}" for name in names]
    if not items:
        return "nothing"
    return ", ".join([*items[:-1], f"and {items[-1]}"]) if len(items) > 1 else items[0]


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
    if not possible or not accepts(command.receptacle, command.obj):
        return None
    return f"You put the {command.obj} in/on the {command.receptacle}."


def _predict_treat(belief: Belief, command: Action) -> str | None:
    fits = type_of(command.receptacle) == DEVICE_OF[command.verb] and type_of(command.obj) in TREATABLE[command.verb]
    if not fits or belief.holding != command.obj or not belief.here(command.receptacle):
        return None
    return f"You {command.verb} the {command.obj} using the {command.receptacle}."


def _located_here(belief: Belief, obj: str) -> bool:
    return any(obj in items and belief.here(receptacle) for receptacle, items in belief.contents.items())


def _predict_use(belief: Belief, command: Action) -> str | None:
    if type_of(command.obj) not in LAMPS or not _located_here(belief, command.obj):
        return None
    return f"You turn on the {command.obj}."


def _predict_slice(belief: Belief, command: Action) -> str | None:
    knife = command.receptacle
    fits = type_of(command.obj) in SLICEABLE and type_of(knife) in KNIVES and belief.holding == knife
    return f"You sliced the {command.obj} with the {knife}." if fits and _located_here(belief, command.obj) else None


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
    lying = {obj for obj, source in belief.removed if source in around and _located_here(belief, obj)}
    facing = ", ".join([*around[:-1], f"and {around[-1]}"]) if len(around) > 1 else around[0]
    return f"You are facing the {facing}. Next to it, you see {_listing(sorted(lying, key=_game_order))}."


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
