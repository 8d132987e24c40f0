"""How fast ScienceWorld steps: ours, and the library's own `env.step`, in one run on one machine.

    python benchmarks/scienceworld_steps.py --runs 5

Each run plays the same gold paths on: the fast engine; the fast engine with
every valid action listed at each step; the official engine (the library's `step` on our JVM); and `ScienceWorldEnv` as
it comes, with its own JVM. Prints medians over the runs, and seconds to load a task. Load of the machine is printed
too: compare ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

from itp import make_env
from itp.envs.base import TextEnv

TASKS = ("boil/0", "find-animal/0", "grow-plant/0", "power-component/0", "chemistry-mix/0")


def gold_paths() -> dict[str, list[str]]:
    env = make_env("scienceworld", split="sim-train", expert=True)
    paths = {task: list(env.reset(options={"task_id": task})[1].get("expert_plan", [])) for task in TASKS}
    env.close()
    return paths


def play(env: TextEnv, paths: dict[str, list[str]], steps: int) -> tuple[float, float]:
    """Seconds per load and per step."""
    loading = stepping = 0.0
    count = 0
    for task, path in paths.items():
        start = time.perf_counter()
        env.reset(options={"task_id": task})
        loading += time.perf_counter() - start
        start = time.perf_counter()
        for action in path[:steps]:
            count += 1
            if any(env.step(action)[2:4]):
                break
        stepping += time.perf_counter() - start
    return loading / len(paths), stepping / count


def play_library(paths: dict[str, list[str]], steps: int) -> tuple[float, float]:
    """The same on the library as it comes."""
    from scienceworld import ScienceWorldEnv

    env = ScienceWorldEnv(envStepLimit=10**6)
    loading = stepping = 0.0
    count = 0
    for task, path in paths.items():
        name, _, variation = task.partition("/")
        start = time.perf_counter()
        env.load(name, int(variation), "easy")
        env.reset()
        loading += time.perf_counter() - start
        start = time.perf_counter()
        for action in path[:steps]:
            count += 1
            if env.step(action)[2]:
                break
        stepping += time.perf_counter() - start
    env.close()
    return loading / len(paths), stepping / count


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30, help="of each gold path")
    args = parser.parse_args()
    paths = gold_paths()
    make = partial(make_env, "scienceworld", split="sim-train", max_steps=1000)
    envs = {
        "fast": make(),
        "fast, valid actions listed": make(commands="valid"),
        "official step, our JVM": make(engine="official"),
    }
    ways: dict[str, Callable[[], tuple[float, float]]] = {
        name: partial(play, env, paths, args.steps) for name, env in envs.items()
    }
    ways["library as it comes"] = partial(play_library, paths, args.steps)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for name in envs:
        ways[name]()  # the JVM compiles what it runs often
    for _ in range(args.runs):
        for name, way in ways.items():
            times[name].append(way())
    slowest = statistics.median(step for _, step in times["library as it comes"])
    print(f"{args.runs} runs, {len(paths)} tasks, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'':28} {'steps/s':>9} {'ratio':>7} {'load ms':>8}")
    for name, runs in times.items():
        step = statistics.median(step for _, step in runs)
        load = statistics.median(load for load, _ in runs)
        print(f"{name:28} {1 / step:9.1f} {slowest / step:6.1f}x {1000 * load:8.0f}")
    for env in envs.values():
        env.close()


if __name__ == "__main__":
    main()
