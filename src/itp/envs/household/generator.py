"""From a seed to a solvable game: the last stage of the household generator, and the meaning of its seeds.

A seed is a split and an index: train 0 - 999,999, valid 1,000,000 - 1,999,999, test 2,000,000 - 2,999,999. The index
modulo six names the task family, so every prefix of a split is balanced (games with hazards: the index modulo four
names the kind of hazard, and the families take turns within a kind). A draw that fails (no place for an object, a
layout that belongs to another split, a walkthrough that does not win) is drawn again with the next sub-seed of the same
seed; nothing unproved is ever handed out.
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from itp.envs.alfworld.engine import FastGame
from itp.envs.alfworld.hazards import Hazards
from itp.envs.alfworld.problem import Game, parse_game
from itp.envs.household.goals import FAMILIES, Family, Goal, draw_goal, walkthrough
from itp.envs.household.hazard_game import HazardGame
from itp.envs.household.hazards import FAMILIES_OF, TASK_TYPE, DrawnHazards, destinations_for, draw_hazards
from itp.envs.household.knobs import HAZARD_KINDS, Knobs, check_knobs, parse_suffix
from itp.envs.household.layout import NO_KNOBS, Layout, draw_places, draw_things
from itp.envs.household.problem import game_data, traj_data
from itp.envs.household.rooms import ROOMS, Size, check_size
from itp.errors import ConfigError, EnvError

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
SEEDS_PER_SPLIT = 1_000_000

_BUCKETS: tuple[Split, ...] = ("train", "train", "valid", "test")
_ATTEMPTS = 1000
NO_HAZARDS = Hazards()
_HARMLESS = DrawnHazards(NO_HAZARDS, frozenset(), ())
_TASK_ID = re.compile(r"household-(?P<size>\w+)-(?P<split>\w+)-(?P<index>\d{6})(?P<knobs>(?:-\w+)*)")


@dataclass(frozen=True, slots=True)
class HouseholdGame:
    """One generated game.

    Args:
        task_id: for example "household-small-train-000123".
        task_type: ALFWorld's name of the family; "irreversible_lock" and so on for games with hazards.
        task: goal text, for example "put a clean mug in desk."
        room: kitchen, bedroom, bathroom or livingroom.
        seed: the seed it came from.
        data: content of the official `game.tw-pddl`.
        traj: content of a slim `traj_data.json`.
        walkthrough: commands that win it, replayed on the fast engine when the game was made.
        signature: digest of what is where and what is asked, free of numbers; no two splits share one.
        game: the game, parsed for the fast engine.
        hazards: what cannot be undone; none in most games. The texts in `data` know nothing of them.
    """

    task_id: str
    task_type: str
    task: str
    room: str
    seed: int
    data: dict[str, Any]
    traj: dict[str, Any]
    walkthrough: tuple[str, ...]
    signature: str
    game: Game
    hazards: Hazards = NO_HAZARDS


def check_split(split: str) -> Split:
    """Return `split` when it is one of `SPLITS`.

    Raises:
        ConfigError: it is not.
    """
    if split not in SPLITS:
        raise ConfigError(f"household split {split!r} is unknown: choose one of {', '.join(SPLITS)}")
    return split


def seed_of(split: str, index: int) -> int:
    """Seed of a split's game.

    Raises:
        ConfigError: an unknown split, or an index outside 0 .. 999,999.
    """
    if not 0 <= index < SEEDS_PER_SPLIT:
        raise ConfigError(f"household index {index} is out of range: a split has games 0 to {SEEDS_PER_SPLIT - 1}")
    return SPLITS.index(check_split(split)) * SEEDS_PER_SPLIT + index


def task_id_of(seed: int, size: str, knobs: Knobs = NO_KNOBS) -> str:
    """Task id of a seed, for example "household-small-train-000123".

    Raises:
        ConfigError: the seed belongs to no split, or the size is unknown.
    """
    position, index = divmod(seed, SEEDS_PER_SPLIT)
    if not 0 <= position < len(SPLITS):
        raise ConfigError(f"household seed {seed} is out of range: choose 0 to {len(SPLITS) * SEEDS_PER_SPLIT - 1}")
    return f"household-{check_size(size)}-{SPLITS[position]}-{index:06d}{knobs.suffix}"


def parse_task_id(task_id: str) -> tuple[int, Size, Knobs]:
    """Seed, size and knobs that a task id names: the inverse of `task_id_of`.

    Raises:
        ConfigError: it is no household task id, or its knobs have values that are not allowed.
    """
    match = _TASK_ID.fullmatch(task_id)
    knobs = parse_suffix(match["knobs"]) if match else None
    if not match or knobs is None:
        raise ConfigError(f"{task_id!r} is no household task id; they look like household-small-train-000123")
    size = check_size(match["size"])
    return seed_of(match["split"], int(match["index"])), size, check_knobs(knobs, size)


def generate_game(seed: int, *, size: str = "small", knobs: Knobs = NO_KNOBS) -> HouseholdGame:
    """Generate the game of a seed; the same seed, size and knobs give the same game everywhere.

    Args:
        seed: see the module's docstring for the ranges; `seed_of` computes it.
        size: "small" (6-9 receptacles, about 10 objects) or "full" (15-30 receptacles, 25-50 objects).
        knobs: hardness and hazards; without them the game is that of the seed alone.

    Raises:
        ConfigError: the seed is in no split's range, or the size or a knob has a value that is not allowed.
        EnvError: no draw fits the knobs.
    """
    checked = check_size(size)
    check_knobs(knobs, checked)
    task_id, index = task_id_of(seed, size, knobs), seed % SEEDS_PER_SPLIT
    kind, family = knobs.hazard_of(index), FAMILIES[index % len(FAMILIES)]
    if kind:
        family = FAMILIES_OF[kind][index // len(HAZARD_KINDS) % len(FAMILIES_OF[kind])]
    split = SPLITS[seed // SEEDS_PER_SPLIT]
    for attempt in range(_ATTEMPTS):
        rng = random.Random(f"household/{size}{knobs.suffix}/{seed}/{attempt}")
        drawn = _draw(rng, family, checked, knobs, kind)
        if drawn is None:
            continue
        layout, goal, drawn_hazards = drawn
        signature = _digest(layout, goal, drawn_hazards)
        if _BUCKETS[int(signature[:8], 16) % len(_BUCKETS)] != split:
            continue
        data, plan = game_data(layout, goal), walkthrough(layout, goal, drawn_hazards.avoid)
        game, hazards = parse_game(data, task_id), drawn_hazards.hazards
        task_type = TASK_TYPE.format(kind) if kind else family.name
        game = replace(game, task_type=task_type) if kind else game
        if wins(game, plan, hazards):
            traj = traj_data(layout, goal, task_id, seed)
            parts = (layout.room, seed, data, traj, plan, signature, game, hazards)
            return HouseholdGame(task_id, task_type, goal.text, *parts)
    raise EnvError(f"no solvable household game in {_ATTEMPTS} draws for {task_id}: choose another seed or other knobs")


def wins(game: Game, commands: tuple[str, ...], hazards: Hazards = NO_HAZARDS) -> bool:
    """Whether the commands, played on the fast engine, win with the last one and not before."""
    play = HazardGame(game, hazards) if hazards else FastGame(game)
    for command in commands:
        if play.won:
            return False
        play.step(command)
    return play.won


def _draw(
    rng: random.Random, family: Family, size: Size, knobs: Knobs = NO_KNOBS, kind: str = ""
) -> tuple[Layout, Goal, DrawnHazards] | None:
    room = ROOMS[rng.choices(list(family.rooms), list(family.rooms.values()))[0]]
    places = draw_places(rng, room, size, knobs)
    goal = draw_goal(rng, family, room, places, destinations_for(kind, places))
    if goal is None:
        return None
    needed, barred = goal.needed(rng), goal.barred
    if kind == "charge" and len(needed) == 1:
        needed.append(goal.target)  # One to spare, for one that breaks.
    if kind == "lock":
        barred = (goal.destination,)
    layout = draw_things(rng, room, size, places, needed=needed, target=goal.target, barred=barred, knobs=knobs)
    if layout is None:
        return None
    hazards = draw_hazards(rng, kind, knobs.hazard_count, layout, goal) if kind else _HARMLESS
    return None if hazards is None else (layout, goal, hazards)


def _digest(layout: Layout, goal: Goal, hazards: DrawnHazards) -> str:
    content = (goal.family.name, goal.target, goal.destination, layout.signature(), *hazards.signature)
    return hashlib.sha256(repr(content).encode()).hexdigest()
