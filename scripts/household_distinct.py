"""Counts distinct household games: generates until so many are found, and proves each of them.

    python scripts/household_distinct.py --size small --games 100000
    python scripts/household_distinct.py --family irreversible --games 100000

Two games are the same when what is where and what is asked agree, whatever their names, numbers and order
(`HouseholdGame.signature`). For every game it checks that the replayed walkthrough wins with its last command and not
before, and that its signature belongs to the split; it generates games of the other splits and compares. A sample is
played by the exploring expert, who sees only what a player sees. It says beforehand how long it will take.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from itp.envs.alfworld.expert import Expert, solve
from itp.envs.household import HouseholdGame, generate_game, make_household_env, seed_of
from itp.envs.household.generator import SEEDS_PER_SPLIT, SPLITS, wins
from itp.envs.household.knobs import Knobs
from itp.envs.household.rooms import SIZES


class Census:
    """What was found in one split."""

    def __init__(self) -> None:
        self.signatures: set[str] = set()
        self.generated = self.unproved = 0
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in ("family", "room")}
        self.receptacles: Counter[int] = Counter()
        self.objects: Counter[int] = Counter()

    def add(self, game: HouseholdGame) -> None:
        """Count a game and replay its walkthrough."""
        self.generated += 1
        self.signatures.add(game.signature)
        self.unproved += not wins(game.game, game.walkthrough, game.hazards)
        self.counts["family"][game.task_type] += 1
        self.counts["room"][game.room] += 1
        self.receptacles[len(game.game.receptacle_names)] += 1
        self.objects[len(game.game.object_names)] += 1


def count_split(split: str, size: str, knobs: Knobs, distinct: int) -> Census:
    """Generate a split's games in order until so many distinct ones are found."""
    census = Census()
    for index in range(SEEDS_PER_SPLIT):
        if len(census.signatures) >= distinct:
            break
        census.add(generate_game(seed_of(split, index), size=size, knobs=knobs))
    return census


def play_sample(split: str, size: str, knobs: Knobs, games: int, sample: int) -> tuple[int, int, float]:
    """Games that the expert played, games it won within 50 steps, and mean steps of those."""
    env = make_household_env(split, size=size, hazards=knobs.hazards, episodes=games)
    chosen = random.Random(0).sample(env.task_ids, min(sample, games))
    expert = Expert()
    steps = [n for won, n in (solve(env, task_id, expert) for task_id in chosen) if won]
    return len(chosen), len(steps), sum(steps) / max(1, len(steps))


def describe(name: str, counts: Counter[int] | Counter[str]) -> str:
    """One line of a census."""
    return f"  {name}: " + ", ".join(f"{key} {n}" for key, n in sorted(counts.items()))


def report(split: str, census: Census, seconds: float) -> Iterable[str]:
    """Lines that tell of one split."""
    distinct = len(census.signatures)
    yield f"{split}: {census.generated} generated, {distinct} distinct, {census.unproved} unproved"
    yield f"  {census.generated / seconds:.0f} games/s of processor time, {seconds:.0f} s"
    for name, counts in census.counts.items():
        yield describe(name, counts)
    yield describe("receptacles", census.receptacles)
    yield describe("objects", census.objects)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", type=int, default=100_000, help="distinct games wanted of the train split")
    parser.add_argument("--others", type=int, default=10_000, help="distinct games wanted of valid and of test")
    parser.add_argument("--sample", type=int, default=2_000, help="train games that the expert plays")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--family", choices=("standard", "irreversible"), default="standard")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run; returns 1 when anything promised does not hold."""
    args = arguments(argv)
    knobs = Knobs(hazards="mixed" if args.family == "irreversible" else "none")
    started = time.process_time()
    for index in range(200):
        generate_game(seed_of("train", index), size=args.size, knobs=knobs)
    pace = (time.process_time() - started) / 200
    total = args.games + 2 * args.others
    print(
        f"{args.size}, {args.family}: {1 / pace:.0f} games/s; {total} games take about {total * pace:.0f} s", flush=True
    )
    wanted: dict[str, int] = {"train": args.games, "valid": args.others, "test": args.others}
    found: dict[str, Census] = {}
    for split in SPLITS:
        started = time.process_time()
        found[split] = count_split(split, args.size, knobs, wanted[split])
        print("\n".join(report(split, found[split], time.process_time() - started)), flush=True)
    sets = [found[split].signatures for split in SPLITS]
    shared = len(sets[0] & sets[1]) + len(sets[0] & sets[2]) + len(sets[1] & sets[2])
    print(f"games shared by two splits: {shared}")
    played, won, steps = play_sample("train", args.size, knobs, found["train"].generated, args.sample)
    print(f"expert: {won} of {played} train games won within 50 steps, {steps:.1f} steps on average")
    unproved = sum(census.unproved for census in found.values())
    missing = sum(max(0, wanted[split] - len(census.signatures)) for split, census in found.items())
    return 1 if shared or unproved or missing else 0


if __name__ == "__main__":
    sys.exit(main())
