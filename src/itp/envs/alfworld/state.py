"""The state of a game in play: plain sets and tuples, cheap to clone, and the test of the goal.

`FastGame` (engine.py) is a `GameState` with verbs; `wording.py` describes a state, `commands.py` lists what can be
done in it.
"""

from __future__ import annotations

from typing import Self

from itp.envs.alfworld.game import Game


class Tables:
    """What never changes in a game, shared by all clones: look-ups by name, and texts that depend on place only."""

    def __init__(self, game: Game) -> None:
        self.game = game
        self.object_number = {name: number for number, name in enumerate(game.object_names)}
        self.receptacle_number = {name: number for number, name in enumerate(game.receptacle_names)}
        here: list[list[int]] = [[] for _ in game.location_names]
        for receptacle, location in enumerate(game.receptacle_location):
            here[location].append(receptacle)
        self.here = [tuple(receptacles) for receptacles in here]
        self.with_article = [f"a {name}" for name in game.object_names]
        self._walks: list[list[str] | None] = [None] * len(here)

    def walks(self, location: int) -> list[str]:
        """Sorted "go to" commands at a location: receptacles that share the agent's location are left out."""
        commands = self._walks[location]
        if commands is None:
            places = zip(self.game.receptacle_names, self.game.receptacle_location, strict=True)
            commands = sorted(f"go to {name}" for name, place in places if place != location)
            self._walks[location] = commands
        return commands


class GameState:
    """Everything that changes while a game is played.

    Args:
        game: the parsed game; it is not changed, and many states can share it.

    Attributes:
        location: where the agent is.
        held: object in hand, or -1.
        contents: objects in each receptacle, sorted.
        objects_at: objects at each location, sorted. Kept apart from `contents`: the two need not agree.
        taken: (object, receptacle) pairs undone by a take and not restored by a put.
        opened: open receptacles.
        clean, hot, cool, sliced, lit: objects with that property.
        won: whether the goal holds now. It may cease to hold; the official engine does not latch it.
    """

    __slots__ = (
        "clean", "contents", "cool", "game", "held", "hot", "lit", "location", "objects_at", "opened", "sliced",
        "tables", "taken", "won",
    )  # fmt: skip

    def __init__(self, game: Game) -> None:
        self.game = game
        self.tables = Tables(game)
        self._start()

    def _start(self) -> None:
        game, initial = self.game, self.game.initial
        self.location, self.held = game.start, -1
        self.contents, self.objects_at = list(game.contents), list(game.objects_at)
        self.taken: set[tuple[int, int]] = set()
        self.opened = set(initial["opened"])
        self.clean, self.hot, self.cool = set(initial["clean"]), set(initial["hot"]), set(initial["cool"])
        self.sliced, self.lit = set(initial["sliced"]), set(initial["lit"])
        self.won = self.goal_holds()

    def clone(self) -> Self:
        """An independent copy of the present state; what never changes is shared."""
        copy = object.__new__(type(self))
        copy.game, copy.tables, copy.won = self.game, self.tables, self.won
        copy.location, copy.held = self.location, self.held
        copy.contents, copy.objects_at = self.contents.copy(), self.objects_at.copy()
        copy.taken, copy.opened = self.taken.copy(), self.opened.copy()
        copy.clean, copy.hot, copy.cool = self.clean.copy(), self.hot.copy(), self.cool.copy()
        copy.sliced, copy.lit = self.sliced.copy(), self.lit.copy()
        return copy

    def accessible(self, receptacle: int) -> bool:
        """Whether things can be put in and taken out: it is open, or has no door."""
        return receptacle in self.opened or receptacle not in self.game.openable

    def goal_holds(self) -> bool:
        """Whether the present state satisfies the goal."""
        goal = self.game.goal
        if goal.lamps:
            here = self.tables.here[self.location]
            lit = goal.lamps & self.lit
            return self.held in goal.objects and any(lamp in self.contents[r] for r in here for lamp in lit)
        wanted = goal.objects
        if goal.state:
            wanted = wanted & {"clean": self.clean, "hot": self.hot, "cool": self.cool}[goal.state]
        return bool(wanted) and any(
            sum(o in wanted for o in self.contents[receptacle]) >= goal.count for receptacle in goal.receptacles
        )
