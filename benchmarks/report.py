"""How heavy a report is: 1,000 episodes of 30 steps, imagined futures included, written by `itp report` and opened in
Chromium.

    python benchmarks/report.py                    # needs chromium, chromium-driver (Debian), selenium

Random household play, seed 0; at step t the rules imagine t mod 4 steps. Prints the time and peak memory of
`itp report`, the file's size, and in the browser the first paint, the moment charts and lists are ready, and the time
from asking for a step anywhere until it is shown (median and largest of 40 jumps).
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from itp import make_env
from itp.planners.simple import RandomPlanner
from itp.rollout.lockstep import run_episodes
from itp.run_folder import open_run
from itp.trace.store import TraceStore
from itp.types import Decision, DecisionContext, ImaginedStep, ImaginedTrajectory
from itp.world_model.rules import RuleWorldModel


class Imagining:
    """Random play with a foresight of t mod 4 steps."""

    name = "random"

    def __init__(self) -> None:
        self.random, self.world = RandomPlanner(), RuleWorldModel()

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """See `Planner.decide`."""
        return [self._with_future(c, d) for c, d in zip(contexts, self.random.decide(contexts), strict=True)]

    def _with_future(self, context: DecisionContext, decision: Decision) -> Decision:
        state, steps, draw = context.state, [], random.Random(context.seed)
        for n in range(len(context.state.history) % 4):
            action = draw.choice(context.admissible or ("look",)) if n else decision.action
            observation = self.world.predict([state], [action])[0].observation
            steps.append(ImaginedStep(action, observation))
            state = state.extend(action, observation)
        return replace(decision, horizon=len(steps), foresight=ImaginedTrajectory(tuple(steps)))


def write_run(folder: Path, episodes: int, steps: int) -> None:
    games = partial(make_env, "household", split="train", max_steps=steps)
    settings = {"env": "household", "split": "train", "planner": "random", "horizon": "", "episodes": episodes}
    with open_run(folder, settings, command="eval"):
        store = TraceStore(folder / "traces.jsonl")
        run_episodes(
            games,
            Imagining(),
            list(games().task_ids)[:episodes],
            batch_size=50,
            max_steps=steps,
            seed=0,
            on_episode=store.append,
        )


def chromium() -> Any:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


READY = "return document.documentElement.dataset.ready"
PAINT = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
JUMP = """
const [hash, number, done] = arguments;
const start = performance.now();
const shown = () => document.querySelector('#episode .facts')?.textContent.includes('#' + number + ' ')
    && document.querySelector('.number')?.textContent.startsWith('Step ' + new URLSearchParams(hash).get('step') + ' ');
const look = () => shown() ? done(performance.now() - start) : requestAnimationFrame(look);
location.hash = hash;
look();
"""


def open_page(file: Path, name: str, lengths: Sequence[int]) -> tuple[float, float, list[float]]:
    """Milliseconds: first paint, ready, and each jump. `lengths`: steps of each episode, in order."""
    page, draw = chromium(), random.Random(0)
    try:
        start = time.perf_counter()
        page.get(file.as_uri())
        while not page.execute_script(READY):
            time.sleep(0.01)
        ready = 1000 * (time.perf_counter() - start)
        jumps = []
        for _ in range(40):
            number = draw.randint(1, len(lengths))
            step = draw.randint(1, lengths[number - 1])
            asked = f"run={name}&episode={number}&step={step}"
            jumps.append(page.execute_async_script(JUMP, asked, number))
        return page.execute_script(PAINT), ready, jumps
    finally:
        page.quit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run, out = Path(folder) / "run", Path(folder) / "report.html"
        write_run(run, args.episodes, args.steps)
        traces = (run / "traces.jsonl").stat().st_size
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "itp.cli", "report", str(run), "--out", str(out)], check=True)
        seconds = time.perf_counter() - start
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        lengths = [len(episode.steps) for episode in TraceStore(run / "traces.jsonl")]
        paint, ready, jumps = open_page(out, "run", lengths)
        print(f"load {os.getloadavg()[0]:.1f}; {args.episodes} episodes, traces {traces / 1e6:.1f} MB")
        print(f"itp report: {seconds:.1f} s, {memory:.0f} MB at most; report {out.stat().st_size / 1e6:.1f} MB")
        print(f"first paint {paint:.0f} ms, ready {ready:.0f} ms")
        median, largest = statistics.median(jumps), max(jumps)
        print(f"jump to a step: median {median:.0f} ms, largest {largest:.0f} ms ({len(jumps)} jumps)")


if __name__ == "__main__":
    main()
