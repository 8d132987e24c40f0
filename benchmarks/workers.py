"""When do worker processes pay? Steps per second of the same episodes in this process and in workers.

    python benchmarks/workers.py                                   # household, alfworld, slow: under a minute
    python benchmarks/workers.py --envs slow --workers 0 2 8 --runs 3

Random admissible commands in `--slots` episodes side by side; a won or ended episode begins again. Only the calls of
`VectorEnv.step` are timed (not the resets, not the choice of commands), so a rate includes sending actions and
observations between processes. The settings take turns, so that what else the machine does hits all of them; printed
are medians over `--runs` with the lowest and the highest. "slow" is household with `--sleep` seconds added to a step,
as in a simulator behind a socket. All settings play the same commands: the digest of all observations must be the same,
which the program checks.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from itp.envs.base import InfoDict, TextEnv
from itp.envs.registry import make_env
from itp.envs.vector import Episode, Outcome, Turn, VectorEnv, make_vector
from itp.errors import EnvError, ItpError

NAMES = ("household", "alfworld", "slow")


class Slow(TextEnv):
    """Household games whose steps take a while."""

    def __init__(self, sleep: float) -> None:
        super().__init__()
        self.env, self.sleep = make_env("household", split="valid"), sleep

    @property
    def task_ids(self) -> Sequence[str]:
        """Those of household."""
        return self.env.task_ids

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, InfoDict]:
        """A reset of the game."""
        return self.env.reset(seed=seed, options=options)

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]:
        """A step of the game, and a nap."""
        time.sleep(self.sleep)
        return self.env.step(action)


@dataclass(frozen=True, slots=True)
class Result:
    """Steps per second, and what identifies all that was seen."""

    rate: float
    digest: str


def play(envs: VectorEnv, tasks: Sequence[str], calls: int) -> Result:
    """Random play in every slot for a number of calls."""
    draw, digest, seconds = random.Random(0), hashlib.sha256(), 0.0
    turns: dict[int, Turn] = {}
    for _ in range(calls):
        over = [n for n in range(envs.num_envs) if n not in turns or turns[n].terminated or turns[n].truncated]
        if over:
            turns |= checked(envs.reset({slot: Episode(tasks[slot % len(tasks)], slot) for slot in over}))
        actions = {slot: draw.choice(turns[slot].info["admissible_commands"] or ["look"]) for slot in sorted(turns)}
        began = time.perf_counter()
        outcomes = envs.step(actions)
        seconds += time.perf_counter() - began
        turns = checked(outcomes)
        digest.update("\n".join(turns[slot].observation for slot in sorted(turns)).encode())
    return Result(calls * envs.num_envs / seconds, digest.hexdigest()[:12])


def checked(outcomes: Mapping[int, Outcome]) -> dict[int, Turn]:
    """The outcomes, none of which may be a failure."""
    turns = {}
    for slot, outcome in outcomes.items():
        if not isinstance(outcome, Turn):
            raise EnvError(outcome.message)
        turns[slot] = outcome
    return turns


def compare(name: str, factory: Callable[[], TextEnv], args: argparse.Namespace) -> None:
    """Print one line for each number of workers."""
    env = factory()
    tasks = list(env.task_ids)[: args.slots]
    env.close()
    calls = args.calls if name != "slow" else max(4, args.calls // 25)
    vectors = {n: make_vector(factory, args.slots, workers=n) for n in args.workers}
    results: dict[int, list[Result]] = {n: [] for n in vectors}
    try:
        for vector in vectors.values():
            play(vector, tasks, 2)  # start processes, read games
        for _ in range(args.runs):
            for workers, vector in vectors.items():
                results[workers].append(play(vector, tasks, calls))
    finally:
        for vector in vectors.values():
            vector.close()
    if len({result.digest for runs in results.values() for result in runs}) > 1:
        raise EnvError(f"{name}: the settings did not see the same observations")
    first = statistics.median(result.rate for result in results[args.workers[0]])
    for workers, runs in results.items():
        rates = sorted(result.rate for result in runs)
        middle = statistics.median(rates)
        print(
            f"{name:<10} workers {workers}  {middle:>9,.0f} steps/s ({rates[0]:,.0f}-{rates[-1]:,.0f})"
            f"  x{middle / first:.2f}  {args.slots * 1000 / middle:8.2f} ms a call",
            flush=True,
        )


def main() -> None:
    """Parse the flags and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", nargs="+", choices=NAMES, default=NAMES, help="what to play")
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 1, 2], help="0 is this process")
    parser.add_argument("--slots", type=int, default=64, help="episodes side by side")
    parser.add_argument("--calls", type=int, default=100, help="calls of step in a run; a 25th for slow")
    parser.add_argument("--runs", type=int, default=5, help="runs of each setting, in turns")
    parser.add_argument("--sleep", type=float, default=0.005, help="seconds added to a step of slow")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{args.slots} slots, {args.runs} runs in turns, {os.cpu_count()} cores, load {load:.1f} at the start")
    factories: dict[str, Callable[[], TextEnv]] = {
        "household": partial(make_env, "household", split="valid"),
        "alfworld": partial(make_env, "alfworld", split="valid_seen"),
        "slow": partial(Slow, args.sleep),
    }
    for name in args.envs:
        try:
            compare(name, factories[name], args)
        except ItpError as error:
            sys.exit(f"{name}: {error}")


if __name__ == "__main__":
    main()
