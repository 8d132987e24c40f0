"""An exploring expert for ALFWorld: it knows what the player has seen, and nothing else.

It is a function of the belief alone, so it can label any state, a learner's confused one too (DAgger). Every rule is
simple on purpose, to be learnable by imitation: search receptacle types in a fixed order per target, lowest number
first; take, treat, deliver. `itp collect` records its episodes and labels others with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from itp.envs.alfworld.belief import Belief
from itp.envs.alfworld.commonsense import DEVICE, OPENABLE, QUALITY, number_of, type_of
from itp.envs.alfworld.priors import Priors
from itp.envs.base import TextEnv

__all__ = ["Expert", "Priors", "solve"]

_VERB_FOR = {quality: verb for verb, quality in QUALITY.items()}


class Expert:
    """Deterministic and without memory of its own: `act` reads everything from the belief.

    Args:
        priors: search orders; common sense when omitted.
        heeds: whether it minds the hazards that a game announces. A heedless one plays as if there were none.
    """

    def __init__(self, priors: Priors | None = None, *, heeds: bool = True) -> None:
        self.priors = priors or Priors.default()
        self.heeds = heeds
        self._ranks: dict[str, dict[str, int]] = {}

    def act(self, belief: Belief, admissible: Collection[str] | None = None) -> str:
        """The next command.

        Args:
            belief: what the player knows; not changed.
            admissible: the commands the environment lists, where it does. The expert then proposes one of them only:
                a wish that is missing is treated as if it had been tried and refused.

        Returns:
            A command in the game's wording; "look" when there is nothing left to try.
        """
        if not self.heeds and belief.hazards is not None:
            belief = belief.copy()
            belief.hazards = None
        command = self._decide(belief)
        if admissible is None or command in admissible:
            return command
        imagined = belief.copy()
        for _ in range(2 * len(belief.receptacles) + 8):
            imagined.refuse(command)
            if not command.startswith("go to "):
                imagined.refused.add(command)
            command = self._decide(imagined)
            if command in admissible:
                return command
        return "look"

    def _decide(self, belief: Belief) -> str:
        """First command of the plan that was not refused before."""
        for command in self._wishes(belief):
            if command not in belief.refused:
                return command
        return "look"

    def _wishes(self, belief: Belief) -> Iterator[str]:
        """Commands in order of preference; the first is the plan, the others matter only after refusals."""
        goal = belief.goal
        held = belief.holding
        is_target = held is not None and type_of(held) == goal.target and not belief.doomed(held)
        if held is not None and is_target and goal.family != "unknown":
            yield from self._use_target(belief, held)
        else:
            if held is not None:
                yield from _put_down_here(belief, held)
            yield from self._fetch(belief, held)
        yield from self._search(belief, goal.target)
        yield from _patrol(belief)

    # ---- the target is in hand -------------------------------------------------------------------------------------

    def _use_target(self, belief: Belief, held: str) -> Iterator[str]:
        goal = belief.goal
        if goal.family == "look":
            yield from self._light_lamp(belief)
        elif not belief.has_quality(held):
            verb = _VERB_FOR[goal.quality]
            devices = [device for device in belief.of_type(DEVICE[verb]) if belief.works(verb, device)]
            for device in _nearest(belief, devices):
                yield from _approach(belief, device, f"{verb} {held} with {device}", needs_open=False)
        else:
            for receptacle in _destinations(belief, held):
                yield from _approach(belief, receptacle, f"put {held} in/on {receptacle}")

    def _light_lamp(self, belief: Belief) -> Iterator[str]:
        kind = belief.goal.destination
        lamps = sorted(belief.find(kind), key=lambda pair: (not belief.here(pair[1]), pair[0] not in belief.lit))
        for lamp, receptacle in lamps:
            if lamp in belief.lit and belief.here(receptacle):
                continue  # This one should have won the game: what is known of it is wrong.
            yield from _approach(belief, receptacle, f"use {lamp}", needs_open=False)
        yield from self._search(belief, kind)

    # ---- the target is not in hand ---------------------------------------------------------------------------------

    def _fetch(self, belief: Belief, held: str | None) -> Iterator[str]:
        """Walk to a known target and take it, getting rid of a wrong object on the way."""
        candidates = self._candidates(belief)
        for obj, receptacle in candidates:
            if held is None:
                yield from _approach(belief, receptacle, f"take {obj} from {receptacle}")
            elif belief.takes(receptacle, held):
                yield from _approach(belief, receptacle, f"put {held} in/on {receptacle}")
        if candidates and held is not None:
            for receptacle in _dumps(belief, held):
                yield from _approach(belief, receptacle, f"put {held} in/on {receptacle}")

    def _candidates(self, belief: Belief) -> list[tuple[str, str]]:
        """(target, receptacle) pairs worth taking, best first: already treated, then at hand, then in search order."""
        goal = belief.goal
        known = belief.find(goal.target)
        if goal.family == "pick2":
            home = _home(belief)
            settled = {obj for obj, receptacle in known if receptacle == home}
            known = [pair for pair in known if pair[0] not in settled]
        elif goal.family == "pick":
            known = [pair for pair in known if type_of(pair[1]) != goal.destination]
        rank = self._rank(belief, goal.target)
        usable = [p for p in known if f"take {p[0]} from {p[1]}" not in belief.refused and not belief.doomed(p[0])]
        return sorted(usable, key=lambda p: (not belief.has_quality(p[0]), not belief.here(p[1]), rank[p[1]]))

    # ---- search ----------------------------------------------------------------------------------------------------

    def _rank(self, belief: Belief, target: str) -> dict[str, tuple[int, int, str]]:
        if target not in self._ranks:
            self._ranks[target] = self.priors.ranks(target)
        ranks = self._ranks[target]
        return {name: (ranks.get(type_of(name), len(ranks)), number_of(name), name) for name in belief.receptacles}

    def _search(self, belief: Belief, target: str) -> Iterator[str]:
        """Look into what was never seen, likely types first, and within a type the lowest number first."""
        rank = self._rank(belief, target)
        for receptacle in sorted(belief.receptacles, key=rank.__getitem__):
            if receptacle not in belief.visited:
                yield from _approach(belief, receptacle, f"examine {receptacle}")


def _approach(belief: Belief, receptacle: str, command: str, needs_open: bool = True) -> Iterator[str]:
    """Walk to `receptacle`, open it where that is needed, then do `command`; nothing where opening would be a loss."""
    if needs_open and belief.sealed(receptacle):
        return
    if not belief.here(receptacle):
        yield f"go to {receptacle}"
        return
    # What is here but was never described (it shares the place) may be behind a door.
    unseen = receptacle not in belief.visited and type_of(receptacle) in OPENABLE
    if needs_open and not belief.doors.get(receptacle, not unseen):
        yield f"open {receptacle}"
    yield command


def _put_down_here(belief: Belief, held: str) -> Iterator[str]:
    """Empty the hand of a wrong object without walking, where something here takes it."""
    here = [name for name in belief.receptacles if belief.here(name)]
    for receptacle in sorted(here, key=lambda name: not belief.reachable(name)):
        if belief.takes(receptacle, held) or (held, receptacle) in belief.removed:
            yield from _approach(belief, receptacle, f"put {held} in/on {receptacle}")


def _dumps(belief: Belief, held: str) -> list[str]:
    """Receptacles to carry a wrong object to: where it came from, then those that should take it, then all others.

    Among equals the one seen longest ago comes first, so that what is refused at one is tried at the next, in rounds.
    """

    def key(receptacle: str) -> tuple[bool, bool, int]:
        origin = (held, receptacle) in belief.removed
        return not origin, not belief.takes(receptacle, held), belief.visited.get(receptacle, -1)

    return sorted(belief.receptacles, key=key)


def _destinations(belief: Belief, held: str) -> list[str]:
    """Receptacles of the goal's type, the one to use first: where a target lies already, then here, then by number."""
    counts = _counts(belief, held)
    safe = [name for name in belief.of_type(belief.goal.destination) if not belief.harms(held, name)]
    return sorted(_nearest(belief, safe), key=lambda name: -counts.get(name, 0))


def _counts(belief: Belief, held: str | None = None) -> dict[str, int]:
    """Receptacle -> number of targets in place there, the one in hand left out."""
    counts: dict[str, int] = {}
    for obj, receptacle in belief.placed():
        if obj != held:
            counts[receptacle] = counts.get(receptacle, 0) + 1
    return counts


def _home(belief: Belief) -> str | None:
    """The receptacle that a pick-two game is being finished in: most targets, ties by number.

    It must not depend on where the player stands: with one target in each of two drawers, each would be the better home
    while standing at it, and the expert would walk to and fro for ever.
    """
    counts = _counts(belief)
    goal = belief.goal
    safe = [name for name in belief.of_type(goal.destination) if not belief.harms(goal.target, name)]
    return max(safe, key=lambda name: counts.get(name, 0), default=None)


def _nearest(belief: Belief, names: Iterable[str]) -> list[str]:
    """The same names, those at the player's place first."""
    return sorted(names, key=lambda name: not belief.here(name))


def _patrol(belief: Belief) -> Iterator[str]:
    """When everything was seen in vain: look again where the last look is longest ago, for ever in rounds."""
    for receptacle in sorted(belief.receptacles, key=lambda name: belief.visited.get(name, -1)):
        if belief.sealed(receptacle):
            continue
        if not belief.here(receptacle):
            yield f"go to {receptacle}"
        elif belief.doors.get(receptacle) is False:
            yield f"open {receptacle}"
        else:
            yield f"examine {receptacle}"


def solve(
    env: TextEnv, task_id: str, expert: Expert, max_steps: int = 50, use_admissible: bool = True
) -> tuple[bool, int]:
    """Play one task with the expert.

    Args:
        env: an ALFWorld-like environment.
        task_id: one of `env.task_ids`.
        expert: who plays.
        max_steps: give up after so many steps.
        use_admissible: let the expert see the environment's list of commands.

    Returns:
        Whether the goal was reached, and the number of steps taken.
    """
    observation, info = env.reset(options={"task_id": task_id})
    belief = Belief.start(info["task"], observation)
    for number in range(1, max_steps + 1):
        action = expert.act(belief, info["admissible_commands"] if use_admissible else None)
        observation, _, terminated, truncated, info = env.step(action)
        if info["won"]:
            return True, number
        if terminated or truncated:
            return False, number
        belief.update(action, observation)
    return False, max_steps
