"""The rules of ALFWorld as a plain state machine: same bytes as the official engine, thousands of times faster.

`FastGame` plays one parsed `Game`. It is what `AlfworldEnv` wraps, and what searches may `clone`. Where the official
engine (textworld 1.7.0 with alfworld 0.4.2, playing the shipped files) is odd, this one is odd in the same way; the
comments say where. `scripts/compare_engines.py` plays both side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from itp.envs.alfworld.problem import Game

BANNER = "-= Welcome to TextWorld, ALFRED! =-"
NOTHING_HAPPENS = "Nothing happens."


def join_names(names: Sequence[str]) -> str:
    """Join as the official grammar does: "X", "X, and Y", "X, Y, and Z"."""
    if len(names) < 2:
        return names[0] if names else "nothing"
    return f"{', '.join(names[:-1])}, and {names[-1]}"


class _Tables:
    """What never changes in a game, shared by all its clones: look-ups by name, and texts that depend on place only."""

    def __init__(self, game: Game) -> None:
        self.game = game
        self.object_number = {name: number for number, name in enumerate(game.object_names)}
        self.receptacle_number = {name: number for number, name in enumerate(game.receptacle_names)}
        here: list[list[int]] = [[] for _ in game.location_names]
        for receptacle, location in enumerate(game.receptacle_location):
            here[location].append(receptacle)
        self.here = [tuple(receptacles) for receptacles in here]
        self.with_article = [f"a {name}" for name in game.object_names]
        self.go_commands: list[list[str] | None] = [None] * len(here)
        self.all_receptacles = join_names([f"a {name}" for name in game.receptacle_names])

    def goto(self, location: int) -> list[str]:
        """Sorted "go to" commands at a location: receptacles that share the agent's location are left out."""
        commands = self.go_commands[location]
        if commands is None:
            names, places = self.game.receptacle_names, self.game.receptacle_location
            commands = sorted(f"go to {name}" for name, place in zip(names, places, strict=True) if place != location)
            self.go_commands[location] = commands
        return commands


class FastGame:
    """One game in play.

    Args:
        game: the parsed game; it is not changed, and many `FastGame`s can share it.

    Attributes:
        won: whether the goal holds now. It may hold and cease to hold again; the official engine does not latch it.
    """

    __slots__ = (
        "_admissible", "_clean", "_contents", "_cool", "_held", "_hot", "_lit", "_location", "_objects_at", "_opened",
        "_sliced", "_tables", "_taken", "game", "won",
    )  # fmt: skip

    game: Game
    won: bool

    def __init__(self, game: Game) -> None:
        self.game = game
        self._tables = _Tables(game)
        self.reset()

    def reset(self) -> str:
        """Start over.

        Returns:
            The official first text: banner, surroundings and task, separated by blank lines.
        """
        game, initial = self.game, self.game.initial
        self._location = game.start
        self._held = -1
        self._contents = list(game.contents)
        self._objects_at = list(game.objects_at)
        self._taken: set[tuple[int, int]] = set()
        self._opened = set(initial["opened"])
        self._clean, self._hot, self._cool = set(initial["clean"]), set(initial["hot"]), set(initial["cool"])
        self._sliced, self._lit = set(initial["sliced"]), set(initial["lit"])
        self._admissible: dict[int, list[str]] = {}
        self.won = self._goal_holds()
        return f"{BANNER}\n\n{self._surroundings(first=True)}\n\nYour task is to: {game.task}"

    def clone(self) -> FastGame:
        """An independent copy of the present state; static tables are shared."""
        copy = object.__new__(FastGame)
        copy.game, copy.won, copy._tables = self.game, self.won, self._tables
        copy._location, copy._held = self._location, self._held
        copy._contents, copy._objects_at = self._contents.copy(), self._objects_at.copy()
        copy._taken, copy._opened = self._taken.copy(), self._opened.copy()
        copy._clean, copy._hot, copy._cool = self._clean.copy(), self._hot.copy(), self._cool.copy()
        copy._sliced, copy._lit = self._sliced.copy(), self._lit.copy()
        copy._admissible = self._admissible.copy()
        return copy

    def step(self, command: str) -> str:
        """Carry out one command and return the feedback.

        Matching is exact and case-sensitive after stripping outer white space; anything else is "Nothing happens.".
        """
        verb, _, rest = command.strip().partition(" ")
        handler = _HANDLERS.get(verb)
        feedback = handler(self, rest) if handler else None
        return NOTHING_HAPPENS if feedback is None else feedback

    def admissible_commands(self) -> list[str]:
        """Sorted commands that do something now, as a fresh list."""
        commands = self._admissible.get(self._location)
        if commands is None:
            commands = self._admissible[self._location] = self._list_commands()
        return commands.copy()

    def _list_commands(self) -> list[str]:
        """Verbs sort as clean, close, cool, examine | go | heat, inventory, look, open, put, slice, take, use."""
        game, location, held = self.game, self._location, self._held
        objects, receptacles = game.object_names, game.receptacle_names
        before: list[str] = []
        after = ["inventory", "look"]
        if held >= 0:
            before.append(f"examine {objects[held]}")
            if held in game.knives:
                after += [
                    f"slice {objects[o]} with {objects[held]}"
                    for o in self._objects_at[location]
                    if o in game.sliceable
                ]
        for receptacle in self._tables.here[location]:
            name = receptacles[receptacle]
            before.append(f"examine {name}")
            is_open = True
            if receptacle in game.openable:
                is_open = receptacle in self._opened
                (before if is_open else after).append(f"close {name}" if is_open else f"open {name}")
            after += [f"use {objects[o]}" for o in self._contents[receptacle] if o in game.toggleable]
            if held >= 0:
                if is_open and held in game.accepts[receptacle]:
                    after.append(f"put {objects[held]} in/on {name}")
                if receptacle in game.sinks and held in game.cleanable:
                    before.append(f"clean {objects[held]} with {name}")
                if receptacle in game.microwaves and held in game.heatable:
                    after.append(f"heat {objects[held]} with {name}")
                if receptacle in game.fridges and held in game.coolable:
                    before.append(f"cool {objects[held]} with {name}")
            elif is_open:
                after += [f"take {objects[o]} from {name}" for o in self._contents[receptacle] if o in game.pickupable]
        # A lamp that stands in two receptacles here would be listed twice: duplicates go, as officially.
        return [*sorted(set(before)), *self._tables.goto(location), *sorted(set(after))]

    def _receptacle(self, name: str) -> int:
        """Number of a receptacle at the agent's location, or -1."""
        receptacle = self._tables.receptacle_number.get(name, -1)
        return receptacle if receptacle >= 0 and self.game.receptacle_location[receptacle] == self._location else -1

    def _accessible(self, receptacle: int) -> bool:
        return receptacle in self._opened or receptacle not in self.game.openable

    def _goal_holds(self) -> bool:
        goal = self.game.goal
        if goal.lamps:
            here = self._tables.here[self._location]
            lit = goal.lamps & self._lit
            return self._held in goal.objects and any(lamp in self._contents[r] for r in here for lamp in lit)
        wanted = goal.objects
        if goal.state:
            wanted = wanted & {"clean": self._clean, "hot": self._hot, "cool": self._cool}[goal.state]
        return bool(wanted) and any(
            sum(o in wanted for o in self._contents[receptacle]) >= goal.count for receptacle in goal.receptacles
        )

    def _changed(self) -> None:
        """An object moved or changed: what is admissible may differ at every location, for the hand goes along."""
        self._admissible.clear()
        self.won = self._goal_holds()

    def _list(self, objects: Sequence[int]) -> str:
        names = self._tables.with_article
        return join_names([names[o] for o in objects])

    def _view(self, receptacle: int) -> str:
        name = self.game.receptacle_names[receptacle]
        if receptacle not in self.game.openable:
            return f"On the {name}, you see {self._list(self._contents[receptacle])}."
        if receptacle in self._opened:
            return f"The {name} is open. In it, you see {self._list(self._contents[receptacle])}."
        return f"The {name} is closed."

    def _surroundings(self, first: bool = False) -> str:
        here = self._tables.here[self._location]
        if here:
            names = self.game.receptacle_names
            # One entry per (object, receptacle here it was taken from): an object may be listed twice, as officially.
            beside = [o for o in self._objects_at[self._location] for r in here if (o, r) in self._taken]
            facing = join_names([names[r] for r in here])
            return f"You are facing the {facing}. Next to it, you see {self._list(beside)}."
        seen = self._tables.all_receptacles if first else "nothing"
        return f"You are in the middle of a room. Looking quickly around you, you see {seen}."

    def _look(self, rest: str) -> str | None:
        return None if rest else self._surroundings()

    def _inventory(self, rest: str) -> str | None:
        if rest:
            return None
        if self._held < 0:
            return "You are not carrying anything."
        return f"You are carrying: {self._tables.with_article[self._held]}."

    def _go(self, rest: str) -> str | None:
        if not rest.startswith("to "):
            return None
        receptacle = self._tables.receptacle_number.get(rest[3:], -1)
        if receptacle < 0 or self.game.receptacle_location[receptacle] == self._location:
            return None
        self._location = self.game.receptacle_location[receptacle]
        if self.game.goal.lamps:
            self.won = self._goal_holds()
        return f"You arrive at {self.game.location_names[self._location]}. {self._view(receptacle)}"

    def _open(self, rest: str) -> str | None:
        receptacle = self._receptacle(rest)
        if receptacle < 0 or self._accessible(receptacle):
            return None
        self._opened.add(receptacle)
        self._admissible.pop(self._location, None)
        return f"You open the {rest}. {self._view(receptacle)}"

    def _close(self, rest: str) -> str | None:
        receptacle = self._receptacle(rest)
        if receptacle not in self._opened or receptacle not in self.game.openable:
            return None
        self._opened.discard(receptacle)
        self._admissible.pop(self._location, None)
        return f"You close the {rest}."

    def _take(self, rest: str) -> str | None:
        name, _, place = rest.partition(" from ")
        receptacle, thing = self._receptacle(place), self._tables.object_number.get(name, -1)
        if self._held >= 0 or receptacle < 0 or thing not in self.game.pickupable or not self._accessible(receptacle):
            return None
        if thing not in self._contents[receptacle]:
            return None
        # Only this pair and this location: an object listed in a second receptacle, or somewhere else, stays there.
        self._contents[receptacle] = tuple(o for o in self._contents[receptacle] if o != thing)
        self._objects_at[self._location] = tuple(o for o in self._objects_at[self._location] if o != thing)
        self._taken.add((thing, receptacle))
        self._held = thing
        self._changed()
        return f"You pick up the {name} from the {place}."

    def _put(self, rest: str) -> str | None:
        name, _, place = rest.partition(" in/on ")
        receptacle, held = self._receptacle(place), self._held
        if receptacle < 0 or held < 0 or self.game.object_names[held] != name:
            return None
        if not self._accessible(receptacle) or held not in self.game.accepts[receptacle]:
            return None
        self._contents[receptacle] = tuple(sorted({*self._contents[receptacle], held}))
        self._objects_at[self._location] = tuple(sorted({*self._objects_at[self._location], held}))
        self._taken.discard((held, receptacle))
        self._held = -1
        self._changed()
        return f"You put the {name} in/on the {place}."

    def _device(self, rest: str, devices: frozenset[int], able: frozenset[int]) -> tuple[str, str] | None:
        """Names of the held object and of the device, when the device is here and works on the object."""
        name, _, place = rest.partition(" with ")
        held = self._held
        if (
            held < 0
            or self.game.object_names[held] != name
            or held not in able
            or self._receptacle(place) not in devices
        ):
            return None
        return name, place

    def _clean_with(self, rest: str) -> str | None:
        names = self._device(rest, self.game.sinks, self.game.cleanable)
        if names is None:
            return None
        self._clean.add(self._held)
        self._changed()
        return f"You clean the {names[0]} using the {names[1]}."

    def _heat_with(self, rest: str) -> str | None:
        names = self._device(rest, self.game.microwaves, self.game.heatable)
        if names is None:
            return None
        self._hot.add(self._held)
        self._cool.discard(self._held)
        self._changed()
        return f"You heat the {names[0]} using the {names[1]}."

    def _cool_with(self, rest: str) -> str | None:
        names = self._device(rest, self.game.fridges, self.game.coolable)
        if names is None:
            return None
        self._cool.add(self._held)
        self._hot.discard(self._held)
        self._changed()
        return f"You cool the {names[0]} using the {names[1]}."

    def _slice(self, rest: str) -> str | None:
        name, _, knife = rest.partition(" with ")
        held, thing = self._held, self._tables.object_number.get(name, -1)
        if held not in self.game.knives or self.game.object_names[held] != knife:
            return None
        # Being located here is enough, even inside something closed, and slicing can be repeated.
        if thing not in self.game.sliceable or thing not in self._objects_at[self._location]:
            return None
        self._sliced.add(thing)
        return f"You sliced the {name} with the {knife}."

    def _use(self, rest: str) -> str | None:
        thing = self._tables.object_number.get(rest, -1)
        if thing not in self.game.toggleable:
            return None
        if not any(thing in self._contents[r] for r in self._tables.here[self._location]):
            return None
        # There is no turning off: a lamp once used counts as lit for good.
        self._lit.add(thing)
        self.won = self._goal_holds()
        return f"You turn on the {rest}."

    def _examine(self, rest: str) -> str | None:
        receptacle = self._receptacle(rest)
        if receptacle >= 0:
            return self._view(receptacle)
        thing = self._tables.object_number.get(rest, -1)
        if thing < 0 or thing != self._held:
            return None
        if thing in self.game.inner_objects:
            return f"This is a normal {rest}. In it, you see {self._list(self.game.inner_objects[thing])}."
        hot, clean, cool = thing in self._hot, thing in self._clean, thing in self._cool
        sliced = "sliced " if thing in self._sliced else ""
        if hot or clean or cool:
            temperature = "hot" if hot else ("cool" if clean or sliced else "cold") if cool else ""
            state = " and ".join(word for word in (temperature, "clean" if clean else "") if word)
            return f"This is a {state} {sliced}{rest}."
        if thing in self.game.toggleable and thing in self._lit:
            return f"This {rest} is on."
        if sliced and thing in self.game.sliceable:
            return f"This is a sliced {rest}."
        return f"There's nothing special about {rest}."


_HANDLERS: dict[str, Callable[[FastGame, str], str | None]] = {
    "clean": FastGame._clean_with,
    "close": FastGame._close,
    "cool": FastGame._cool_with,
    "examine": FastGame._examine,
    "go": FastGame._go,
    "heat": FastGame._heat_with,
    "inventory": FastGame._inventory,
    "look": FastGame._look,
    "open": FastGame._open,
    "put": FastGame._put,
    "slice": FastGame._slice,
    "take": FastGame._take,
    "use": FastGame._use,
}
