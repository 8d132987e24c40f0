"""Kill one evaluation again and again with kill -9, and compare what it ends with to an undisturbed run.

    python scripts/kill_eval.py --kills 20 --episodes 60
    python scripts/kill_eval.py --kills 20 --episodes 60 --sweep          # a sweep of two runs, two processes

The environment is the household with a short pause at every step, so that kills fall everywhere: while Python starts,
while episodes run, while a line is written. The last run is left to end; then `traces.jsonl` is compared episode by
episode (without times) and `results.json` as a whole. Exit code 1 when anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from itp.envs.base import TextEnv
from itp.trace.store import TraceStore
from itp.types import Trajectory

TIMES = ("seconds", "out", "batch_size", "cluster", "retry_errors")
"""Keys of results.json that may differ between two runs of the same settings."""
START_SECONDS = {False: 1.2, True: 3.0}
"""About what a start takes before the first episode: an evaluation, a sweep with its processes."""


def slow_household(**options: Any) -> TextEnv:
    """The household with a pause (seconds) before each step; named as `kill_eval:slow_household`."""
    from itp import make_env

    pause = options.pop("pause", 0.004)
    env = make_env("household", **options)
    step = env.step

    def slowly(action: str) -> Any:
        time.sleep(pause)
        return step(action)

    env.step = slowly
    return env


def main() -> int:
    """Run both evaluations and print what the comparison found."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--episodes", type=int, default=60)
    options.add_argument("--pause", type=float, default=0.004, help="seconds per environment step")
    options.add_argument("--sweep", action="store_true", help="kill `itp sweep --jobs 2` instead of `itp eval`")
    options.add_argument("--seed", type=int, default=0, help="of the moments")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return compare(Path(folder), given)


def compare(folder: Path, given: argparse.Namespace) -> int:
    """The undisturbed run, the killed one, and their differences."""
    began = time.monotonic()
    calm = start(folder, "calm", given)
    output, _ = calm.communicate()
    if calm.returncode:
        print(output)
        return 1
    length = time.monotonic() - began
    print(f"undisturbed: {given.episodes} episodes in {length:.1f} s")
    counts = kill_often(folder, given, length)
    final = start(folder, "killed", given)
    output, _ = final.communicate()
    if final.returncode:
        print(output)
        return 1
    names = ["random_seed=0", "random_seed=1"] if given.sweep else [""]
    problems = [problem for name in names for problem in differences(folder, name)]
    print(f"kills: {len(counts)}, with {', '.join(map(str, counts))} episodes on disk")
    print("\n".join(problems) or "traces and results are equal to the undisturbed run's")
    return 1 if problems else 0


def kill_often(folder: Path, given: argparse.Namespace, length: float) -> list[int]:
    """Start and kill; returns how many whole lines were on disk at each kill.

    Each life may last as long as Python takes to start, and a few times its share of what is left to play, but no
    longer than until that share is done: the kills spread over the whole evaluation, and none comes too late.
    """
    draw = random.Random(given.seed)
    total = given.episodes * (2 if given.sweep else 1)
    counts = [0]
    for number in range(1, given.kills + 1):
        process = start(folder, "killed", given)
        share = length * (1 - counts[-1] / total) / (given.kills - number + 2)
        end = time.monotonic() + draw.uniform(0.05, START_SECONDS[given.sweep] + 4 * share)
        enough = max(total * number // (given.kills + 1), counts[-1] + 1)
        while time.monotonic() < end and on_disk(folder) < enough and process.poll() is None:
            time.sleep(0.001)
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL) if draw.random() < 0.5 else process.kill()
        process.communicate()
        counts.append(on_disk(folder))
    return counts[1:]


def on_disk(folder: Path) -> int:
    """Whole lines of the killed run's traces."""
    return sum(path.read_bytes().count(b"\n") for path in (folder / "killed").rglob("traces.jsonl"))


def start(folder: Path, name: str, given: argparse.Namespace) -> subprocess.Popen[str]:
    """Start the command in a process group of its own."""
    flags = {"env": "kill_eval:slow_household", "split": "valid", "episodes": given.episodes, "max_steps": 25}
    if given.sweep:
        path = folder / "sweep.json"  # JSON is YAML
        content = {"common": flags | {"env_option": [f"pause={given.pause}"]}, "seeds": [0, 1]}
        content["runs"] = {"random": {"planner": "random"}}
        path.write_text(json.dumps(content), encoding="utf-8")
        words = ["sweep", str(path), "--jobs", "2"]
    else:
        words = ["eval", "--planner", "random", "--batch-size", "4", "--env-option", f"pause={given.pause}"]
        words += [word for key, value in flags.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-m", "itp.cli", *words, "--out", str(folder / name)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )


def differences(folder: Path, run: str) -> list[str]:
    """What differs between the calm and the killed run: one line each."""
    places = [folder / kind / "runs" / run if run else folder / kind for kind in ("calm", "killed")]
    calm, killed = ([timeless(episode) for episode in TraceStore(place / "traces.jsonl")] for place in places)
    problems = []
    if len(killed) != len(calm):
        problems.append(f"{run}: {len(killed)} episodes, {len(calm)} expected")
    by_task = {episode.task.task_id: episode for episode in killed}
    for episode in calm:
        if by_task.get(episode.task.task_id) != episode:
            problems.append(f"{run}: episode {episode.task.task_id} differs or is missing")
    ours, theirs = (json.loads((place / "results.json").read_text(encoding="utf-8")) for place in places)
    problems += [f"{run}: results.json differs in {key}" for key in ours if strip(ours[key]) != strip(theirs.get(key))]
    return [problem for problem in problems if "differs in seconds" not in problem]


def timeless(episode: Trajectory) -> Trajectory:
    """An episode without times."""
    return replace(episode, seconds=0.0, steps=tuple(replace(s, decision=_still(s.decision)) for s in episode.steps))


def _still(decision: Any) -> Any:
    roles = ("policy_usage", "world_model_usage", "imagination_usage")
    return replace(decision, **{role: replace(getattr(decision, role), seconds=0.0) for role in roles})


def strip(value: Any) -> Any:
    """JSON values without the keys that may differ."""
    if isinstance(value, dict):
        return {key: strip(item) for key, item in value.items() if key not in TIMES}
    return value


if __name__ == "__main__":
    sys.exit(main())
