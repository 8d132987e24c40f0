"""The rules of ALFWorld as a plain state machine: same bytes as the official engine, thousands of times faster.

`FastGame` plays one parsed `Game`. It is what `AlfworldEnv` wraps, and what searches may `clone`. Where the official
engine (textworld 1.7.0 with alfworld 0.4.2, playing the shipped files) is odd, this one is odd in the same way; the
comments say where. `scripts/compare_engines.py` plays both side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from itp.envs.alfworld.commands import list_commands
from itp.envs.alfworld.game import Game
from itp.envs.alfworld.state import GameState
from itp.envs.alfworld.wording import (
    BANNER,
    NOTHING_HAPPENS,
    first_text,
    join_names,
    object_view,
    receptacle_view,
    surroundings,
)

__all__ = ["BANNER", "NOTHING_HAPPENS", "FastGame", "join_names"]


class FastGame(GameState):
    """One game in play: a state, and the verbs that change it.

    Args:
        game: the parsed game; it is not changed, and many `FastGame`s can share it.
    """

    __slots__ = ("_admissible",)

    def __init__(self, game: Game) -> None:
        self._admissible: dict[int, list[str]] = {}
        super().__init__(game)

    def reset(self) -> str:
        """Start over.

        Returns:
            The official first text: banner, surroundings and task, separated by blank lines.
        """
        self._start()
        self._admissible.clear()
        return first_text(self)

    def clone(self) -> Self:
        """An independent copy of the present state; what never changes is shared. Takes about a microsecond."""
        copy = super().clone()
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
        commands = self._admissible.get(self.location)
        if commands is None:
            commands = self._admissible[self.location] = list_commands(self)
        return commands.copy()

    def _changed(self) -> None:
        """An object moved or changed: what is admissible may differ at every location, for the hand goes along."""
        self._admissible.clear()
        self.won = self.goal_holds()

    def _receptacle(self, name: str) -> int:
        """Number of a receptacle at the agent's location, or -1."""
        receptacle = self.tables.receptacle_number.get(name, -1)
        return receptacle if receptacle >= 0 and self.game.receptacle_location[receptacle] == self.location else -1

    def _look(self, rest: str) -> str | None:
        return None if rest else surroundings(self)

    def _inventory(self, rest: str) -> str | None:
        if rest:
            return None
        if self.held < 0:
            return "You are not carrying anything."
        return f"You are carrying: {self.tables.with_article[self.held]}."

    def _go(self, rest: str) -> str | None:
        if not rest.startswith("to "):
            return None
        receptacle = self.tables.receptacle_number.get(rest[3:], -1)
        if receptacle < 0 or self.game.receptacle_location[receptacle] == self.location:
            return None
        self.location = self.game.receptacle_location[receptacle]
        if self.game.goal.lamps:
            self.won = self.goal_holds()
        return f"You arrive at {self.game.location_names[self.location]}. {receptacle_view(self, receptacle)}"

    def _open(self, rest: str) -> str | None:
        receptacle = self._receptacle(rest)
        if receptacle < 0 or self.accessible(receptacle):
            return None
        self.opened.add(receptacle)
        self._admissible.pop(self.location, None)
        return f"You open the {rest}. {receptacle_view(self, receptacle)}"

    def _close(self, rest: str) -> str | None:
        receptacle = self._receptacle(rest)
        if receptacle not in self.opened or receptacle not in self.game.openable:
            return None
        self.opened.discard(receptacle)
        self._admissible.pop(self.location, None)
        return f"You close the {rest}."

    def _take(self, rest: str) -> str | None:
        name, _, place = rest.partition(" from ")
        receptacle, thing = self._receptacle(place), self.tables.object_number.get(name, -1)
        if self.held >= 0 or receptacle < 0 or thing not in self.game.pickupable or not self.accessible(receptacle):
            return None
        if thing not in self.contents[receptacle]:
            return None
        # Only this pair and this location: an object listed in a second receptacle, or somewhere else, stays there.
        self.contents[receptacle] = tuple(o for o in self.contents[receptacle] if o != thing)
        self.objects_at[self.location] = tuple(o for o in self.objects_at[self.location] if o != thing)
        self.taken.add((thing, receptacle))
        self.held = thing
        self._changed()
        return f"You pick up the {name} from the {place}."

    def _put(self, rest: str) -> str | None:
        name, _, place = rest.partition(" in/on ")
        receptacle, held = self._receptacle(place), self.held
        if receptacle < 0 or held < 0 or self.game.object_names[held] != name:
            return None
        if not self.accessible(receptacle) or held not in self.game.accepts[receptacle]:
            return None
        self.contents[receptacle] = tuple(sorted({*self.contents[receptacle], held}))
        self.objects_at[self.location] = tuple(sorted({*self.objects_at[self.location], held}))
        self.taken.discard((held, receptacle))
        self.held = -1
        self._changed()
        return f"You put the {name} in/on the {place}."

    def _device(self, rest: str, devices: frozenset[int], able: frozenset[int]) -> tuple[str, str] | None:
        """Names of the held object and of the device, when the device is here and works on the object."""
        name, _, place = rest.partition(" with ")
        held = self.held
        if held < 0 or self.game.object_names[held] != name or held not in able:
            return None
        return (name, place) if self._receptacle(place) in devices else None

    def _clean_with(self, rest: str) -> str | None:
        names = self._device(rest, self.game.sinks, self.game.cleanable)
        if names is None:
            return None
        self.clean.add(self.held)
        self._changed()
        return f"You clean the {names[0]} using the {names[1]}."

    def _heat_with(self, rest: str) -> str | None:
        names = self._device(rest, self.game.microwaves, self.game.heatable)
        if names is None:
            return None
        self.hot.add(self.held)
        self.cool.discard(self.held)
        self._changed()
        return f"You heat the {names[0]} using the {names[1]}."

    def _cool_with(self, rest: str) -> str | None:
        names = self._device(rest, self.game.fridges, self.game.coolable)
        if names is None:
            return None
        self.cool.add(self.held)
        self.hot.discard(self.held)
        self._changed()
        return f"You cool the {names[0]} using the {names[1]}."

    def _slice(self, rest: str) -> str | None:
        name, _, knife = rest.partition(" with ")
        held, thing = self.held, self.tables.object_number.get(name, -1)
        if held not in self.game.knives or self.game.object_names[held] != knife:
            return None
        # Being located here is enough, even inside something closed, and slicing can be repeated.
        if thing not in self.game.sliceable or thing not in self.objects_at[self.location]:
            return None
        self.sliced.add(thing)
        return f"You sliced the {name} with the {knife}."

    def _use(self, rest: str) -> str | None:
        thing = self.tables.object_number.get(rest, -1)
        if thing not in self.game.toggleable:
            return None
        if not any(thing in self.contents[r] for r in self.tables.here[self.location]):
            return None
        # There is no turning off: a lamp once used counts as lit for good.
        self.lit.add(thing)
        self.won = self.goal_holds()
        return f"You turn on the {rest}."

    def _examine(self, rest: str) -> str | None:
        receptacle = self._receptacle(rest)
        if receptacle >= 0:
            return receptacle_view(self, receptacle)
        thing = self.tables.object_number.get(rest, -1)
        if thing < 0 or thing != self.held:
            return None
        return object_view(self, thing)


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
