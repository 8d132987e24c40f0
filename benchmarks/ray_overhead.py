"""What `--executor ray` costs: start-up, seconds per episode against this process, message sizes and rates.

    python benchmarks/ray_overhead.py --episodes 200 --actors 2

Three measurements, on a Ray cluster started on this machine: (1) household episodes of the random planner, which take
next to nothing themselves, played here and by the actors; (2) bytes of a chunk's order, of an episode's answer and of
its line in the trace file, for real trajectories; (3) how many episodes a second this process can take in and write.
From (2) and (3) it prints what the driver of 100 machines would have to carry.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median

from itp import make_env
from itp.envs.base import TextEnv
from itp.harness.cluster import connect
from itp.harness.play import ExecutorFlags, Play, play_episodes
from itp.planners.base import Planner
from itp.planners.simple import RandomPlanner
from itp.trace.store import TraceStore
from itp.types import Trajectory


def household() -> TextEnv:
    """One environment."""
    return make_env("household", split="valid")


def planner() -> Planner:
    """The cheapest planner."""
    return RandomPlanner()


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--episodes", type=int, default=200)
    options.add_argument("--max-steps", type=int, default=50)
    options.add_argument("--actors", type=int, default=2)
    options.add_argument("--chunks", type=int, nargs="+", default=[1, 4, 16])
    options.add_argument("--traces", type=Path, nargs="*", default=[], help="further run folders whose sizes to print")
    given = options.parse_args()
    play = Play(household, planner, batch_size=16, max_steps=given.max_steps, seed=0)
    tasks = list(make_env("household", split="valid").task_ids[: given.episodes])

    alone, episodes = timed(play, tasks, ExecutorFlags())
    print(f"here: {len(tasks)} episodes in {alone:.2f} s, {1000 * alone / len(tasks):.2f} ms each")
    local = Play(household, planner, batch_size=16, max_steps=given.max_steps, seed=0, workers=given.actors)
    total, _ = timed(local, tasks, ExecutorFlags())
    print(f"--workers {given.actors}: {total:.2f} s in all, {1000 * total / len(tasks):.2f} ms each, start included")
    began = time.perf_counter()
    connect(ExecutorFlags(executor="ray"))
    print(f"ray: the cluster is up after {time.perf_counter() - began:.1f} s")
    for chunk in given.chunks:
        flags = ExecutorFlags(executor="ray", ray_actors=given.actors, ray_cpus=0.5, ray_chunk=chunk)
        total, _ = timed(play, tasks, flags)
        marks: list[float] = []
        play_episodes(play, tasks, lambda _, marks=marks: marks.append(time.perf_counter()), flags)
        rest = (marks[-1] - marks[0]) / max(len(tasks) - chunk, 1)
        print(
            f"ray, {given.actors} actors, chunks of {chunk}: {total:.2f} s in all, "
            f"{1000 * rest:.2f} ms per episode once the first had come"
        )
    sizes("household, random planner", episodes)
    for folder in given.traces:
        sizes(str(folder), TraceStore(folder / "traces.jsonl").read())
    rate = intake(episodes)
    print(f"driver: takes in and writes {rate:,.0f} episodes/s")


def timed(play: Play, tasks: list[str], flags: ExecutorFlags) -> tuple[float, list[Trajectory]]:
    """Seconds for all tasks, and their episodes."""
    episodes: list[Trajectory] = []
    began = time.perf_counter()
    keep: Callable[[Trajectory], None] = episodes.append
    play_episodes(play, tasks, keep, flags)
    return time.perf_counter() - began, episodes


def sizes(title: str, episodes: list[Trajectory]) -> None:
    """Print the bytes that an episode costs on the wire and on disk."""
    wire = [len(pickle.dumps(episode, protocol=5)) for episode in episodes]
    with tempfile.TemporaryDirectory() as folder:
        store = TraceStore(Path(folder) / "traces.jsonl")
        for episode in episodes:
            store.append(episode)
        disk = store.path.stat().st_size / len(episodes)
    order = mean(len(episode.task.task_id) for episode in episodes)
    steps = mean(len(episode.steps) for episode in episodes)
    print(
        f"{title}: {len(episodes)} episodes of {steps:.1f} steps: order {order:.0f} B, "
        f"answer median {median(wire):,.0f} B, mean {mean(wire):,.0f} B, largest {max(wire):,} B, line {disk:,.0f} B"
    )


def intake(episodes: list[Trajectory]) -> float:
    """Episodes a second that one process unpickles and appends."""
    packed = [pickle.dumps(episode, protocol=5) for episode in episodes]
    with tempfile.TemporaryDirectory() as folder:
        store = TraceStore(Path(folder) / "traces.jsonl")
        began = time.perf_counter()
        for message in packed:
            store.append(pickle.loads(message))
        return len(packed) / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
