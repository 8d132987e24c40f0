"""Play one game on both engines side by side and report the first difference.

The differential tests and `scripts/compare_engines.py` stand on it. Three players choose the commands: `random_player`
prefers rare verbs and slips in odd commands, `expert_player` walks through won games, and `script_player` follows
`tour` (combinations of sliced, hot, clean and cool, every lamp) or `odd_tour` (badly written commands).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from itp.envs.alfworld.engine import NOTHING_HAPPENS
from itp.envs.alfworld.env import Engine
from itp.envs.alfworld.library import split_first_text
from itp.envs.alfworld.problem import Game

Player = Callable[[str, list[str]], str]
"""(last feedback, admissible commands) -> next command. One player plays one game."""

_VERB_WEIGHT = {"heat": 40, "cool": 20, "clean": 20, "slice": 20, "use": 20, "take": 8, "put": 3, "open": 8, "look": 2}
_STEPS_AFTER_WIN = 4
_WALKING = 12.0
"""Weight of all walks together, however many receptacles there are."""
_DEVICES = {"microwave": 10, "fridge": 6, "sinkbasin": 5, "desk": 3, "sidetable": 3, "countertop": 3}


@dataclass(slots=True)
class Comparison:
    """Outcome of one game played on both engines.

    Args:
        task_id: the game.
        steps: steps compared, without the reset.
        difference: one line on the first difference, "" when there is none.
        covered: how often each kind of event was compared: an accepted verb, a refused command ("refused"), a list of
            things beside the receptacles ("beside"), a won state ("won"), and so on.
    """

    task_id: str
    steps: int = 0
    difference: str = ""
    covered: Counter[str] = field(default_factory=Counter)


def compare_engines(task_id: str, fast: Engine, official: Engine, player: Player, steps: int) -> Comparison:
    """Play up to `steps` commands on two engines; compare text, admissible commands and `won` after each.

    Play stops at a difference, and a little after a win: goals that hold and cease to hold are compared too.
    """
    result = Comparison(task_id)
    ours, theirs = fast.reset(), official.reset()
    command = "(reset)"
    while True:
        listed = official.admissible_commands()
        for what, mine, reference in (
            ("text", ours, theirs),
            ("admissible commands", fast.admissible_commands(), listed),
            ("won", fast.won, official.won),
        ):
            if mine != reference:
                result.difference = f"step {result.steps} {command!r}: {what} is {mine!r}, officially {reference!r}"
                return result
        if result.steps == steps or result.covered["won"] >= _STEPS_AFTER_WIN:
            return result
        command = player(theirs, listed)
        ours, theirs = fast.step(command), official.step(command)
        result.steps += 1
        result.covered.update(_events(command, theirs, official.won))


def _events(command: str, feedback: str, won: bool) -> Iterator[str]:
    yield "refused" if feedback == NOTHING_HAPPENS else command.split()[0]
    if "Next to it, you see a " in feedback:
        yield "beside"
    if " and clean" in feedback or "sliced" in feedback:
        yield "several states" if " and clean" in feedback else "sliced"
    if "This is a normal" in feedback:
        yield "inside an object"
    if won:
        yield "won"


def random_player(rng: random.Random) -> Player:
    """A player that prefers rare verbs and devices, and makes about one odd command in seven."""
    seen: list[str] = []
    source = ""

    def play(feedback: str, admissible: list[str]) -> str:
        nonlocal source
        seen.extend(admissible)
        if feedback.startswith("You put the ") and rng.random() < 0.5:
            return "look"
        if feedback.startswith(("You clean", "You heat", "You cool")) and rng.random() < 0.4:
            return f"examine {' '.join(feedback.split()[3:5])}"
        if rng.random() < 0.15:
            return odd_command(rng, admissible, seen)
        weights = _weights(admissible, source)
        command = rng.choices(admissible, weights)[0]
        if command.startswith("take "):
            source = command.partition(" from ")[2]
        return command

    return play


def _weights(admissible: list[str], source: str) -> list[float]:
    """Weights of the commands; a thing put beside the receptacle it came from makes `look` tell of it."""
    walks = {c: _DEVICES.get(c.split()[2], 1) for c in admissible if c.startswith("go to ")}
    share = _WALKING / max(1, sum(walks.values()))
    beside = f"examine {source}" in admissible
    weights = []
    for command in admissible:
        weight = walks[command] * share if command in walks else _VERB_WEIGHT.get(command.split()[0], 1)
        if beside and command.startswith("put ") and not command.endswith(f" {source}"):
            weight = 40
        weights.append(weight)
    return weights


def odd_command(rng: random.Random, admissible: list[str], seen: list[str]) -> str:
    """A command that is wrongly written, was admissible some time ago, or has white space around it."""
    command = rng.choice(admissible)
    words = rng.choice(seen).split()
    return rng.choice(
        [
            "",
            "   ",
            "help",
            "look around",
            "inventory ",
            f"  {command}\n",
            command.upper(),
            command.capitalize(),
            command.replace(" ", "  "),
            command.replace("in/on", "in"),
            command.replace("go to", "go"),
            f"{command}.",
            f"{command} 1",
            command.rsplit(" ", 1)[0],
            f"examine {' '.join(words[1:3])}",
            f"take {' '.join(words[1:3])} from {' '.join(command.split()[-2:])}",
            f"use {' '.join(words[1:3])}",
            *[rng.choice(seen) for _ in range(8)],
        ]
    )


def expert_player(first_text: str, rng: random.Random, noise: float = 0.1) -> Player:
    """The exploring expert, with some random commands thrown in.

    Args:
        first_text: the official first text of the game.
        rng: source of the random commands.
        noise: share of random commands.
    """
    from itp.envs.alfworld.belief import Belief
    from itp.envs.alfworld.expert import Expert

    observation, task = split_first_text(first_text)
    expert, belief = Expert(), Belief.start(task, observation)
    last = ""

    def play(feedback: str, admissible: list[str]) -> str:
        nonlocal last
        if last:
            belief.update(last, feedback)
        last = rng.choice(admissible) if rng.random() < noise else expert.act(belief, admissible)
        return last

    return play


def script_player(script: Sequence[str]) -> Player:
    """Follows a fixed list of commands, then looks around."""
    commands = iter(script)
    return lambda feedback, admissible: next(commands, "look")


def odd_tour(game: Game) -> list[str]:
    """Badly written commands, and `examine` of every name with one object in hand."""
    objects, rooms = game.object_names, game.receptacle_names
    go = f"go to {rooms[0]}"
    plan = ["help", "", "   ", "LOOK", "Look", " look ", "look  around", "inventory", "INVENTORY", "x" * 10_000]
    plan += [
        go.upper(),
        go.replace(" ", "  "),
        f"{go}.",
        "go to nowhere 1",
        "go to",
        "go",
        "take",
        "examine",
        f"\t{go}\n",
    ]
    where = {o: r for r, inside in enumerate(game.contents) for o in inside}
    for thing in sorted(game.pickupable & set(where))[:1]:
        room = rooms[where[thing]]
        take = f"take {objects[thing]} from {room}"
        plan += [take, f"go to {room}", f"open {room}", take.replace(" from ", " FROM "), take, take, f"\t{go}\n"]
    plan += [f"examine {name}" for name in (*objects, *rooms)]
    return [
        *plan,
        "inventory",
        "look",
        "put",
        f"put {objects[0]} in {rooms[0]}",
        f"go to {rooms[-1]}",
        "examine " * 1250,
    ]


def tour(game: Game) -> list[str]:
    """Commands that slice, treat and examine one object of each kind, use every lamp twice, and end with `shuffle`."""
    objects, rooms = game.object_names, game.receptacle_names
    where = {o: r for r, inside in enumerate(game.contents) for o in inside}
    plan: list[str] = []

    def visit(room: int) -> None:
        plan.extend([f"go to {rooms[room]}", *([f"open {rooms[room]}"] if room in game.openable else [])])

    def take(thing: int) -> None:
        visit(where[thing])
        plan.extend([f"take {objects[thing]} from {rooms[where[thing]]}", f"examine {objects[thing]}"])

    def treat(thing: int) -> None:
        cool = ("cool", game.coolable, game.fridges)
        hot = ("heat", game.heatable, game.microwaves)
        for verb, able, devices in (cool, ("clean", game.cleanable, game.sinks), hot, cool):
            for room in sorted(devices)[: thing in able]:
                plan.extend([f"go to {rooms[room]}", f"{verb} {objects[thing]} with {rooms[room]}"])
                plan.append(f"examine {objects[thing]}")

    movable = sorted(game.pickupable & set(where))
    for knife in [o for o in movable if o in game.knives][:1]:
        take(knife)
        for thing in [o for o in movable if o in game.sliceable][:1]:
            plan.extend([f"go to {rooms[where[thing]]}", f"slice {objects[thing]} with {objects[knife]}"])
        treat(knife)
        visit(where[knife])
        plan.append(f"put {objects[knife]} in/on {rooms[where[knife]]}")
    treated = [
        next((o for o in movable if o in game.sliceable), None),
        next((o for o in movable if o not in game.sliceable and o in game.heatable | game.coolable), None),
        next((o for o in movable if o in game.inner_objects), None),
    ]
    for thing in [o for o in treated if o is not None]:
        take(thing)
        treat(thing)
        visit(where[thing])
        plan.extend([f"put {objects[thing]} in/on {rooms[where[thing]]}", f"examine {rooms[where[thing]]}"])
    for lamp in sorted(game.toggleable & set(where)):
        visit(where[lamp])
        plan.extend([f"use {objects[lamp]}", f"use {objects[lamp]}", "look"])
    return plan + shuffle(game)


def shuffle(game: Game) -> list[str]:
    """Commands that move one object around the receptacles of one location, looking each time what is "next to it"."""
    best: list[int] = []
    thing = -1
    for source, inside in enumerate(game.contents):
        here = [r for r, place in enumerate(game.receptacle_location) if place == game.receptacle_location[source]]
        for o in game.pickupable.intersection(inside):
            route = [source, *(r for r in here if r != source and o in game.accepts[r])]
            if len(route) > max(1, len(best)):
                best, thing = route, o
    if not best:
        return []
    name, rooms = game.object_names[thing], game.receptacle_names
    plan = [f"go to {rooms[best[0]]}", *(f"open {rooms[r]}" for r in best if r in game.openable)]
    for source, target in zip(best, [*best[1:], best[0]], strict=True):
        plan += [f"take {name} from {rooms[source]}", f"put {name} in/on {rooms[target]}", "look"]
    return plan
