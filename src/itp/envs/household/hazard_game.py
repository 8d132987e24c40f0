"""Play of a game with irreversible hazards: the fast engine's rules, and what cannot be undone on top of them.

`HazardGame` is a `FastGame`, so searches clone it alike. After every command that could matter it decides, exactly,
whether the goal can still be reached; `tests/unit/envs/test_household_hazards.py` holds that to an exhaustive search.
"""

from __future__ import annotations

from typing import Self

from itp.envs.alfworld.commonsense import DEVICE
from itp.envs.alfworld.engine import FastGame
from itp.envs.alfworld.game import Game
from itp.envs.alfworld.hazards import Hazards, tell
from itp.envs.alfworld.observations import NOTHING_HAPPENS, parse_action

_TASK_LINE = "\n\nYour task is to: "


class HazardGame(FastGame):
    """One game with hazards in play.

    The exact test of `possible` relies on what the generator guarantees of such games: no two receptacles share a
    location, every object starts in a receptacle that accepts it, a game with locks asks for one object and locks
    exactly the receptacles of the destination's type.

    Args:
        game: the parsed game; its texts know nothing of hazards.
        hazards: what cannot be undone.
        announce: the first text tells of them; without that line only a mistake does, too late.

    Attributes:
        gone: objects that are lost.
        spent: names of receptacles that are locked, and of devices that are used up.
        hopeless: the goal was made impossible; it stays so.
    """

    __slots__ = ("announce", "gone", "hazards", "hopeless", "spent")

    def __init__(self, game: Game, hazards: Hazards, *, announce: bool = True) -> None:
        self.hazards, self.announce = hazards, announce
        super().__init__(game)

    def _start(self) -> None:
        super()._start()
        self.gone: set[int] = set()
        self.spent: set[str] = set()
        self.hopeless = False

    def reset(self) -> str:
        """Start over; the first text announces the hazards on a line before the task, unless they are hidden."""
        text = super().reset()
        return text.replace(_TASK_LINE, f"\n{self.hazards.announcement()}{_TASK_LINE}", 1) if self.announce else text

    def clone(self) -> Self:
        """An independent copy of the present state; what never changes is shared."""
        copy = super().clone()
        copy.hazards, copy.announce, copy.hopeless = self.hazards, self.announce, self.hopeless
        copy.gone, copy.spent = self.gone.copy(), self.spent.copy()
        return copy

    def admissible_commands(self) -> list[str]:
        """Sorted commands that do something now: without locked doors and devices that are used up."""
        commands = super().admissible_commands()
        return [command for command in commands if not self._refused(command)] if self.spent else commands

    def step(self, command: str) -> str:
        """Carry out one command and return the feedback, which tells what was lost."""
        command = command.strip()
        if self.spent and self._refused(command):
            return NOTHING_HAPPENS
        left = self.location
        feedback = super().step(command)
        if feedback == NOTHING_HAPPENS:
            return feedback
        action = parse_action(command)
        fates = self.hazards.consequences(action.verb, action.obj, action.receptacle)
        if action.verb == "go" and self.hazards.locks:
            names = self.game.receptacle_names
            open_there = [names[r] for r in self.tables.here[left] if r in self.opened]
            fates = [(name, "locks") for name in open_there if name in self.hazards.locks]
        for name, fate in fates:
            self._suffer(name, fate)
        # A treatment matters without a loss, too: cooling what was hot, when the one heating is over. So does any
        # command where doors lock: with an open one behind the player, walking and taking decide.
        if not self.hopeless and not self.won and (fates or self.hazards.locks or action.verb in DEVICE):
            self.hopeless = not self.possible()
        return feedback + tell(fates)

    def _refused(self, command: str) -> bool:
        """Whether a command wants a locked door opened or a used device to work."""
        action = parse_action(command)
        return self.hazards.refuses(action.verb, action.receptacle, self.spent)

    def _suffer(self, name: str, fate: str) -> None:
        if fate in ("is gone", "breaks"):
            thing = self.tables.object_number[name]
            self.gone.add(thing)
            self.held = -1 if self.held == thing else self.held
            self.contents = [tuple(o for o in inside if o != thing) for inside in self.contents]
            self.objects_at = [tuple(o for o in things if o != thing) for things in self.objects_at]
        else:
            self.spent.add(name)
            if fate == "locks":
                self.opened.discard(self.tables.receptacle_number[name])
        self._changed()

    # ---- can the goal still be reached? ----------------------------------------------------------------------------

    def possible(self) -> bool:
        """Whether some sequence of commands reaches the goal from here."""
        if self.won:
            return True
        wanted = {thing for thing in self.game.goal.objects - self.gone if self._ready(thing) or self._treatable(thing)}
        if self.hazards.locks:
            return self._possible_with_locks(wanted)
        return len(wanted) >= self.game.goal.count and any(self._safe(r) for r in self.game.goal.receptacles)

    def _ready(self, thing: int) -> bool:
        """Whether an object has the property that the goal asks for."""
        state = self.game.goal.state
        return not state or thing in {"clean": self.clean, "hot": self.hot, "cool": self.cool}[state]

    def _treatable(self, thing: int) -> bool:
        """Whether an object can get that property without harm."""
        game = self.game
        devices = {"clean": game.sinks, "hot": game.microwaves, "cool": game.fridges}[game.goal.state]
        used_up = self.spent & self.hazards.single_use
        works = any(game.receptacle_names[device] not in used_up for device in devices)
        return works and game.object_names[thing] not in self.hazards.cracked

    def _safe(self, receptacle: int) -> bool:
        name = self.game.receptacle_names[receptacle]
        return name not in self.hazards.swallows and self.hazards.haven in ("", name)

    def _possible_with_locks(self, wanted: set[int]) -> bool:
        """With locks, every destination can be opened for one visit only, and carrying takes the one hand.

        `fresh` are the locks never opened; `now` is the open one that the player stands at. What lies in a lock is out
        of reach once the player has left it; nothing that was delivered right lies in one, or the game were won.
        """
        game, held = self.game, self.held
        locks = [r for r in game.goal.receptacles if game.receptacle_names[r] not in self.spent]
        fresh = [r for r in locks if r not in self.opened]
        now = [r for r in locks if r in self.opened]
        if held in wanted:
            return bool(fresh) or (bool(now) and self._ready(held))
        loose = any(thing in wanted for r in self._others() for thing in self.contents[r])
        if held < 0:
            return self._from_empty_hand(wanted, fresh, now, loose)
        # Something else is in the one hand: it must be put down first, and where that is decides what is left.
        if any(held in game.accepts[r] for r in now) and self._from_empty_hand(wanted, fresh, now, loose):
            return True
        if any(held in game.accepts[r] for r in self._others()):
            return self._from_empty_hand(wanted, fresh, [], loose)
        return any(
            self._from_empty_hand(wanted, [r for r in fresh if r != dump], [dump], loose)
            for dump in fresh
            if held in game.accepts[dump]
        )

    def _others(self) -> list[int]:
        """Receptacles that never lock."""
        names = self.game.receptacle_names
        return [r for r in range(len(self.contents)) if names[r] not in self.hazards.locks]

    def _from_empty_hand(self, wanted: set[int], fresh: list[int], now: list[int], loose: bool) -> bool:
        def holds(receptacle: int) -> bool:
            return any(thing in wanted for thing in self.contents[receptacle])

        if loose or any(holds(r) for r in now):
            return bool(fresh)
        return len(fresh) >= 2 and any(holds(r) for r in fresh)
