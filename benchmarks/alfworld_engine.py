"""Speed of the fast ALFWorld engine beside the official one, in one run on the same games.

    ALFWORLD_DATA=... python benchmarks/alfworld_engine.py [--games 20] [--official-games 4] [--runs 5]

One core. A step is a random admissible command and the list of admissible commands after it; drawing the command is
counted. Both engines play the same commands. Figures are medians over the runs, with the lowest and the highest.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from itp.envs.alfworld.data import GameSource, find_games
from itp.envs.alfworld.engine import FastGame
from itp.envs.alfworld.env import Engine
from itp.envs.alfworld.official import OfficialGame
from itp.errors import ConfigError, ItpError


def steps_per_second(engines: Sequence[Engine], steps: int) -> float:
    """Random play with the list of admissible commands at every step; resets are not counted."""
    seconds = 0.0
    for number, engine in enumerate(engines):
        engine.reset()
        draws = [random.Random(number * steps + step).random() for step in range(steps)]
        start = time.perf_counter()
        admissible = engine.admissible_commands()
        for draw in draws:
            engine.step(admissible[int(draw * len(admissible))])
            admissible = engine.admissible_commands()
        seconds += time.perf_counter() - start
    return len(engines) * steps / seconds


def milliseconds(task: Callable[[], object], repeats: int) -> float:
    """Mean time of one call."""
    start = time.perf_counter()
    for _ in range(repeats):
        task()
    return (time.perf_counter() - start) / repeats * 1000


def show(what: str, unit: str, fast: list[float], official: list[float], digits: int, rate: bool) -> None:
    ours, theirs = statistics.median(fast), statistics.median(official)
    ratio = ours / theirs if rate else theirs / ours
    cells = [
        f"{statistics.median(v):,.{d}f} ({min(v):,.{d}f}-{max(v):,.{d}f})" for v, d in ((fast, digits), (official, 1))
    ]
    print(f"{what:<28}{unit:<9}{cells[0]:<34}{cells[1]:<28}{ratio:>10,.0f}x")


def paths(games: Sequence[GameSource]) -> list[Path]:
    found = [game.path for game in games if game.path is not None]
    if not found:
        raise ConfigError("no game files to measure; --games and --official-games must be at least 1")
    return found


def measure(args: argparse.Namespace) -> None:
    games = random.Random(0).sample(find_games(args.data, args.split), args.games)
    official_paths = paths(games[: args.official_games])
    load, reset = [], []
    official = []
    for path in official_paths:
        start = time.perf_counter()
        official.append(OfficialGame(path))
        load.append((time.perf_counter() - start) * 1000)
        reset.append(milliseconds(official[-1].reset, 1))
    fast = [FastGame(game.load()) for game in games]
    # The speed of Python code swings with what else the machine does: the engines take turns.
    ours, theirs = [], []
    for _ in range(args.runs):
        ours.append(steps_per_second(fast, args.steps))
        theirs.append(steps_per_second(official, args.official_steps))
    print(f"{args.games} games of {args.split}, {args.runs} runs of {args.games} x {args.steps} steps; officially")
    print(f"{len(official)} of these games, {args.runs} runs of {len(official)} x {args.official_steps} steps\n")
    print(f"{'':<28}{'':<9}{'fast: median (min-max)':<34}{'official: median (min-max)':<28}{'ratio':>11}")
    show("steps with commands listed", "steps/s", ours, theirs, 0, rate=True)
    loads = [
        milliseconds(lambda source=source: FastGame(source.load()), 1) for source in games for _ in range(args.runs)
    ]
    show("load a game file", "ms", loads, load, 2, rate=False)
    show("reset a loaded game", "ms", [milliseconds(game.reset, 200) for game in fast], reset, 4, rate=False)
    clones = [milliseconds(game.clone, 1000) * 1000 for game in fast]
    print(f"{'clone a game in play':<28}{'us':<9}{statistics.median(clones):.2f} ({min(clones):.2f}-{max(clones):.2f})")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with json_2.1.1 (default: ALFWORLD_DATA)")
    parser.add_argument("--split", default="train")
    parser.add_argument("--games", type=int, default=20)
    parser.add_argument("--steps", type=int, default=2000, help="steps per game and run on the fast engine")
    parser.add_argument("--official-games", type=int, default=4)
    parser.add_argument("--official-steps", type=int, default=10, help="steps per game and run on the official engine")
    parser.add_argument("--runs", type=int, default=5)
    try:
        measure(parser.parse_args())
    except ItpError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
