"""What a player would remember of an ALFWorld game, computed from the texts alone.

`Belief` is the state behind the `memory` renderer, the expert and the rule-based world model: observations, real or
imagined alike, update it through `observations.parse_observation`, and text it cannot read changes nothing. It never
touches an environment.
"""

from __future__ import annotations

from collections.abc import Iterable

from itp.envs.alfworld.commonsense import DEVICE, OPENABLE, QUALITY, accepts, game_order, number_of, type_of
from itp.envs.alfworld.hazards import Hazards, parse_fates, parse_hazards
from itp.envs.alfworld.memory_model import predict_observation
from itp.envs.alfworld.observations import Action, Event, Goal, View, parse_action, parse_goal, parse_observation
from itp.types import State

__all__ = ["Belief", "Goal", "parse_goal", "predict_observation"]

_VERB_FOR = {quality: verb for verb, quality in QUALITY.items()}

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
        hazards: irreversible hazards that the first observation announced, else None.
        spent: receptacles known to be locked for good, and devices known to be used up.
    """

    __slots__ = (
        "contents", "doors", "goal", "hazards", "holding", "lit", "location", "place", "places", "properties",
        "receptacles", "refused", "removed", "spent", "steps", "visited",
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
        self.hazards: Hazards | None = None
        self.spent: set[str] = set()

    @classmethod
    def start(cls, task: str, first_observation: str) -> Belief:
        """Belief after reset. An unreadable first observation yields a belief without receptacles."""
        goal = parse_goal(task)
        if goal.family == "unknown":
            goal = parse_goal(first_observation)
        belief = cls(goal, parse_observation(first_observation).names)
        belief.hazards = parse_hazards(first_observation)
        return belief

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
        other.hazards, other.spent = self.hazards, self.spent.copy()
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

    def located_here(self, obj: str) -> bool:
        """Whether `obj` is remembered in a receptacle at this place, seen or not behind a door."""
        return any(obj in items and self.here(receptacle) for receptacle, items in self.contents.items())

    def takes(self, receptacle: str, obj: str) -> bool:
        """Whether `obj` can be put in `receptacle`, as far as common sense and the goal tell."""
        goal = self.goal
        asked_for = type_of(obj) == goal.target and type_of(receptacle) == goal.destination
        return asked_for or accepts(receptacle, obj)

    @property
    def is_stuck(self) -> bool:
        """Whether the game is lost, as far as the player can know.

        In hand is a wrong object that no receptacle takes, such as a teddybear, and the hand never gets free again; or
        an announced hazard has taken the last destination or the only device. Nothing the expert says in such a state
        is worth learning.
        """
        held = self.holding
        if self._is_barred():
            return True
        if held is None or type_of(held) == self.goal.target:
            return False
        return not any(self.takes(receptacle, held) for receptacle in self.receptacles)

    def _is_barred(self) -> bool:
        """Whether a hazard left no destination, or no way to give any known target the property asked for."""
        if self.hazards is None or not self.spent:
            return False
        goal, verb = self.goal, _VERB_FOR.get(self.goal.quality, "")
        targets = [obj for obj, _ in self.find(goal.target)]
        if self.holding is not None and type_of(self.holding) == goal.target:
            targets.append(self.holding)
        if all(self.hazards.refuses("open", name, self.spent) for name in self.of_type(goal.destination)):
            return True
        devices = self.of_type(DEVICE[verb]) if verb else []
        used_up = bool(devices) and all(self.hazards.refuses(verb, device, self.spent) for device in devices)
        return used_up and not any(self.has_quality(obj) for obj in targets)

    def harms(self, obj: str, receptacle: str) -> bool:
        """Whether `obj` would be lost by putting it in `receptacle`, or `receptacle` is locked for good."""
        if self.hazards is None:
            return False
        return bool(self.hazards.loses(obj, receptacle)) or self.hazards.refuses("open", receptacle, self.spent)

    def works(self, verb: str, device: str) -> bool:
        """Whether a device is not known to be used up."""
        return self.hazards is None or not self.hazards.refuses(verb, device, self.spent)

    def doomed(self, obj: str) -> bool:
        """Whether `obj` would break on getting the property that the goal asks for."""
        return self.hazards is not None and obj in self.hazards.cracked and not self.has_quality(obj)

    def sealed(self, receptacle: str) -> bool:
        """Whether `receptacle` must not be opened now: it locks for good, and nothing finished is in hand to go in."""
        if self.hazards is None or receptacle not in self.hazards.locks or self.doors.get(receptacle):
            return False
        held = self.holding
        finished = held is not None and type_of(held) == self.goal.target and self.has_quality(held)
        return receptacle in self.spent or not finished or type_of(receptacle) != self.goal.destination

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
        return sorted(names, key=number_of)

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
            self.refuse(action)
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
        if self.hazards is not None:
            for name, fate in parse_fates(observation):
                self._suffer(name, fate)

    def _suffer(self, name: str, fate: str) -> None:
        """Take in the loss of an object, a door or a device."""
        if fate in ("is used up", "locks"):
            self.spent.add(name)
            if fate == "locks":
                self.doors[name] = False
            return
        self.holding = None if self.holding == name else self.holding
        self.contents = {place: tuple(o for o in items if o != name) for place, items in self.contents.items()}
        self.removed = {pair for pair in self.removed if pair[0] != name}
        self.properties.pop(name, None)

    def refuse(self, action: str) -> None:
        """Note that `action` was answered with "Nothing happens." (or is known to be inadmissible)."""
        command = parse_action(action)
        if command.verb == "go":
            # The game leaves out "go to X" only for what is already here: a refusal tells that X shares this place.
            if command.receptacle in self.receptacles:
                self.places[command.receptacle] = self.place
        elif self._expected(command):
            self.refused.add(action.strip())

    def _expected(self, command: Action) -> bool:
        """Whether place, hand and doors spoke for a command, so that its refusal is news and not a plain blunder."""
        verb, obj, receptacle = command.verb, command.obj, command.receptacle
        if verb == "take":
            return self.holding is None and self.reachable(receptacle) and obj in self.contents.get(receptacle, ())
        if verb == "put":
            return self.holding == obj and self.reachable(receptacle)
        if verb in QUALITY:
            return self.holding == obj and self.here(receptacle)
        if verb in ("open", "close"):
            return self.here(receptacle) and self.doors.get(receptacle) is not (verb == "open")
        if verb == "use":
            return self.located_here(obj)
        return verb == "examine" and (self.here(obj) or obj == self.holding)

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
            if items:
                self.contents[receptacle] = tuple(item for item in items if item != obj)
            self.removed.add((obj, receptacle))
            return
        self.holding = None
        self.removed.discard((obj, receptacle))
        if receptacle in self.receptacles and obj not in items:
            self.contents[receptacle] = tuple(sorted((*items, obj), key=game_order))

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
