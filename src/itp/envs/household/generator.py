"""From a seed to a solvable game: the last stage of the household generator, and the meaning of its seeds.

A seed is a split and an index: train 0 - 999,999, valid 1,000,000 - 1,999,999, test 2,000,000 - 2,999,999. The index
modulo six names the task family, so every prefix of a split is balanced. A draw that fails (no place for an object, a
layout that belongs to another split, a walkthrough that does not win) is drawn again with the next sub-seed of the same
seed; nothing unproved is ever handed out.
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from itp.envs.alfworld.engine import FastGame
from itp.envs.alfworld.problem import Game, parse_game
from itp.envs.household.goals import FAMILIES, Family, Goal, draw_goal, walkthrough
from itp.envs.household.layout import Layout, draw_places, draw_things
from itp.envs.household.problem import game_data, traj_data
from itp.envs.household.rooms import ROOMS, Size, check_size
from itp.errors import ConfigError, EnvError

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
SEEDS_PER_SPLIT = 1_000_000

_BUCKETS: tuple[Split, ...] = ("train", "train", "valid", "test")
_ATTEMPTS = 1000
_TASK_ID = re.compile(r"household-(?P<size>\w+)-(?P<split>\w+)-(?P<index>\d{6})")


@dataclass(frozen=True, slots=True)
class HouseholdGame:
    """One generated game.

    Args:
        task_id: for example "household-small-train-000123".
        task_type: ALFWorld's name of the family.
        task: goal text, for example "put a clean mug in desk."
        room: kitchen, bedroom, bathroom or livingroom.
        seed: the seed it came from.
        data: content of the official `game.tw-pddl`.
        traj: content of a slim `traj_data.json`.
        walkthrough: commands that win it, replayed on the fast engine when the game was made.
        signature: digest of what is where and what is asked, free of numbers; no two splits share one.
        game: the game, parsed for the fast engine.
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


def task_id_of(seed: int, size: str) -> str:
    """Task id of a seed, for example "household-small-train-000123".

    Raises:
        ConfigError: the seed belongs to no split, or the size is unknown.
    """
    position, index = divmod(seed, SEEDS_PER_SPLIT)
    if not 0 <= position < len(SPLITS):
        raise ConfigError(f"household seed {seed} is out of range: choose 0 to {len(SPLITS) * SEEDS_PER_SPLIT - 1}")
    return f"household-{check_size(size)}-{SPLITS[position]}-{index:06d}"


def parse_task_id(task_id: str) -> tuple[int, str]:
    """Seed and size that a task id names: the inverse of `task_id_of`.

    Raises:
        ConfigError: it is no household task id.
    """
    match = _TASK_ID.fullmatch(task_id)
    if not match:
        raise ConfigError(f"{task_id!r} is no household task id; they look like household-small-train-000123")
    return seed_of(match["split"], int(match["index"])), check_size(match["size"])


def generate_game(seed: int, *, size: str = "small") -> HouseholdGame:
    """Generate the game of a seed; the same seed and size give the same game everywhere.

    Args:
        seed: see the module's docstring for the ranges; `seed_of` computes it.
        size: "small" (6-9 receptacles, about 10 objects) or "full" (15-30 receptacles, 25-50 objects).

    Raises:
        ConfigError: the seed is in no split's range, or the size is unknown.
    """
    checked = check_size(size)
    task_id = task_id_of(seed, size)
    family = FAMILIES[seed % SEEDS_PER_SPLIT % len(FAMILIES)]
    split = SPLITS[seed // SEEDS_PER_SPLIT]
    for attempt in range(_ATTEMPTS):
        rng = random.Random(f"household/{size}/{seed}/{attempt}")
        drawn = _draw(rng, family, checked)
        if drawn is None:
            continue
        layout, goal = drawn
        signature = _digest(layout, goal)
        if _BUCKETS[int(signature[:8], 16) % len(_BUCKETS)] != split:
            continue
        data, plan = game_data(layout, goal), walkthrough(layout, goal)
        game = parse_game(data, task_id)
        if wins(game, plan):
            traj = traj_data(layout, goal, task_id, seed)
            return HouseholdGame(task_id, family.name, goal.text, layout.room, seed, data, traj, plan, signature, game)
    raise EnvError(f"no solvable household game in {_ATTEMPTS} draws for seed {seed}, size {size}: choose another seed")


def wins(game: Game, commands: tuple[str, ...]) -> bool:
    """Whether the commands, played on the fast engine, win with the last one and not before."""
    play = FastGame(game)
    for command in commands:
        if play.won:
            return False
        play.step(command)
    return play.won


def _draw(rng: random.Random, family: Family, size: Size) -> tuple[Layout, Goal] | None:
    room = ROOMS[rng.choices(list(family.rooms), list(family.rooms.values()))[0]]
    places = draw_places(rng, room, size)
    goal = draw_goal(rng, family, room, places)
    if goal is None:
        return None
    layout = draw_things(rng, room, size, places, needed=goal.needed(rng), target=goal.target, barred=goal.barred)
    return None if layout is None else (layout, goal)


def _digest(layout: Layout, goal: Goal) -> str:
    content = (goal.family.name, goal.target, goal.destination, layout.signature())
    return hashlib.sha256(repr(content).encode()).hexdigest()
