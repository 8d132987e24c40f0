"""Speed of household games: generation, resets and steps, for both sizes, with knobs and with irreversible hazards.

    python benchmarks/household.py                  # about a minute on one core
    python benchmarks/household.py --games 200 --runs 3

One process on one core. A generated game is proved by its walkthrough. Resets and steps go through `TextEnv`, as users
call it: a reset starts a game that was generated before; a step with a random admissible command gives observation,
reward, flags and the list of admissible commands. Clones copy an environment in the middle of a game. Settings take
turns; figures are per second of processor time, medians over the runs, with the lowest and the highest.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from itp.envs.base import TextEnv
from itp.envs.household import generate_game, make_household_env
from itp.envs.household.generator import parse_task_id
from itp.envs.household.rooms import SIZES

SETTINGS: Mapping[str, dict[str, Any]] = {
    "standard": {},
    "12 receptacles, 24 distractors": {"receptacles": 12, "distractors": 24},
    "irreversible": {"family": "irreversible"},
}
COLUMNS = ("games/s", "resets/s", "steps/s", "clones/s")


def rates(env: TextEnv, steps: int) -> list[float]:
    """Generated games, resets, steps and clones per second of one environment."""
    clock = time.process_time
    started = clock()
    for task_id in env.task_ids:
        seed, size, knobs = parse_task_id(task_id)
        generate_game(seed, size=size, knobs=knobs)
    generated = len(env.task_ids) / (clock() - started)
    kept = list(env.task_ids[:100])
    for task_id in kept:
        env.reset(options={"task_id": task_id})
    started = clock()
    for task_id in kept * 5:
        env.reset(options={"task_id": task_id})
    resets = 5 * len(kept) / (clock() - started)
    stepped = steps_per_second(env, steps)
    started = clock()
    for _ in range(steps):
        env.clone()
    return [generated, resets, stepped, steps / (clock() - started)]


def steps_per_second(env: TextEnv, steps: int) -> float:
    """Random play; only the calls of `step` count, and a finished game is followed by another."""
    rng, clock, seconds = random.Random(0), time.process_time, 0.0
    _, info = env.reset(seed=0)
    for _ in range(steps):
        command = rng.choice(info["admissible_commands"] or ["look"])
        started = clock()
        _, _, terminated, truncated, info = env.step(command)
        seconds += clock() - started
        if terminated or truncated:
            _, info = env.reset()
    return steps / seconds


def row(name: str, runs: Sequence[Sequence[float]]) -> str:
    """One line of the table."""
    cells = [f"{statistics.median(v):,.0f} ({min(v):,.0f}-{max(v):,.0f})" for v in zip(*runs, strict=True)]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", type=int, default=400, help="games generated per setting and run")
    parser.add_argument("--steps", type=int, default=10_000, help="steps, and clones, per setting and run")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    settings = {f"{size}, {name}": {"size": size, **knobs} for size in SIZES for name, knobs in SETTINGS.items()}
    envs = {name: make_household_env("train", episodes=args.games, **options) for name, options in settings.items()}
    found: dict[str, list[list[float]]] = {name: [] for name in envs}
    for _ in range(args.runs):
        for name, env in envs.items():
            found[name].append(rates(env, args.steps))
    print(f"{args.runs} runs of {args.games} games and {args.steps} steps, median (lowest-highest)\n")
    print(f"| setting | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}")
    for name, runs in found.items():
        print(row(name, runs))


if __name__ == "__main__":
    main()
