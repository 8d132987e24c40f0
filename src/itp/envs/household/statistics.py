"""Measures the household benchmark: sizes, difficulties, generation speed, and how far the exploring expert gets.

    python -m itp.envs.household.statistics --size small --episodes 600
    python -m itp.envs.household.statistics --size full --episodes 1200 --kinds

prints the Markdown of `docs/household.md`; `--kinds` tells what there is in which room instead. Nothing else imports
this module.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean

from itp.envs.alfworld.commonsense import type_of
from itp.envs.alfworld.expert import Expert, solve
from itp.envs.alfworld.problem import Game
from itp.envs.household.env import make_household_env
from itp.envs.household.generator import SPLITS, HouseholdGame, generate_game, seed_of
from itp.envs.household.goals import FAMILIES
from itp.envs.household.rooms import SIZES
from itp.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Played:
    """One game and how the exploring expert, who sees only what a player sees, fared in it."""

    game: HouseholdGame
    won: bool
    steps: int


def report(size: str, split: str, episodes: int, max_steps: int = 50) -> str:
    """Generate and play the first games of a split; Markdown with what was counted and timed.

    Raises:
        ConfigError: an argument has a value that is not allowed.
    """
    env = make_household_env(split, max_steps=max_steps, size=size, episodes=episodes)
    started = time.process_time()
    games = [generate_game(seed_of(split, index), size=size) for index in range(episodes)]
    speed = episodes / (time.process_time() - started)
    expert = Expert()
    played = [Played(game, *solve(env, game.task_id, expert, max_steps)) for game in games]
    lines = [
        f"Size {size}, split {split}, {episodes} games, {speed:.0f} generated and proved per second of one core.",
        "",
        *(f"- {line}" for line in _difficulties([game.game for game in games])),
        "",
        "| family | games | walkthrough, steps | expert wins | expert, steps when won |",
        "|---|---|---|---|---|",
        *(_row(family.name, [p for p in played if p.game.task_type == family.name]) for family in FAMILIES),
        _row("all", played),
    ]
    return "\n".join(lines)


def kinds_report(size: str, split: str, episodes: int) -> str:
    """Markdown: mean number of every kind of receptacle and of object in each kind of room.

    Raises:
        ConfigError: an argument has a value that is not allowed.
    """
    games = [generate_game(seed_of(split, index), size=size) for index in range(episodes)]
    rooms = Counter(game.room for game in games)
    lines = [f"Size {size}, split {split}, {episodes} games: mean number per room."]
    for title in ("receptacle", "object"):
        found: dict[str, Counter[str]] = {}
        for game in games:
            names = game.game.receptacle_names if title == "receptacle" else game.game.object_names
            for name in names:
                found.setdefault(type_of(name), Counter())[game.room] += 1
        heads = " | ".join(f"{room} ({rooms[room]})" for room in sorted(rooms))
        lines += ["", f"| {title} | {heads} |", "|---|" + "---|" * len(rooms)]
        for kind, counts in sorted(found.items()):
            cells = (f"{counts[room] / rooms[room]:.2f}" if counts[room] else "" for room in sorted(rooms))
            lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _difficulties(games: Sequence[Game]) -> list[str]:
    receptacles = [len(game.receptacle_names) for game in games]
    doors = [len(game.openable) for game in games]
    sharing = [sum(n for n in Counter(game.receptacle_location).values() if n > 1) for game in games]
    targets = Counter(len(game.goal.objects) for game in games)
    behind_doors = sum(_targets_all_closed(game) for game in games)
    return [
        f"receptacles {_range(receptacles)}, objects {_range(len(game.object_names) for game in games)}",
        f"{_percent(sum(doors), sum(receptacles))} of receptacles have a door, all closed at first; "
        f"{_percent(sum(sharing), sum(receptacles))} share their location",
        "objects of the target type: "
        + ", ".join(f"{n} in {_percent(targets[n], len(games))}" for n in sorted(targets)),
        f"in {_percent(behind_doors, len(games))} of games every one of them is behind a door",
    ]


def _targets_all_closed(game: Game) -> bool:
    seen = {thing for place, things in enumerate(game.contents) if place not in game.openable for thing in things}
    return not seen & game.goal.objects


def _range(values: Iterable[int]) -> str:
    numbers = list(values)
    return f"{min(numbers)}-{max(numbers)} (mean {mean(numbers):.1f})"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f}%"


def _row(name: str, played: Sequence[Played]) -> str:
    if not played:
        return f"| {name} | 0 | | | |"
    walkthrough = mean(len(p.game.walkthrough) for p in played)
    steps = [p.steps for p in played if p.won]
    length = f"{mean(steps):.1f}" if steps else ""
    return f"| {name} | {len(played)} | {walkthrough:.1f} | {len(steps) / len(played):.1%} | {length} |"


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small", help="size of the rooms")
    parser.add_argument("--split", choices=SPLITS, default="train", help="which games")
    parser.add_argument("--episodes", type=int, default=600, help="number of games")
    parser.add_argument("--kinds", action="store_true", help="tell what there is in which room, and play nothing")
    arguments = parser.parse_args()
    measure = kinds_report if arguments.kinds else report
    try:
        print(measure(arguments.size, arguments.split, arguments.episodes))
    except ConfigError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
