"""`itp serve` under concurrent clients: decisions per second and latency against one client that asks serially.

    python benchmarks/serve.py                                        # a scripted model: what the server itself costs
    python benchmarks/serve.py -- --planner itp --policy out/a2c/model --world-model out/world-model/model \
        --horizon fixed:2

Whatever stands behind `--` goes to `itp serve`. States of household games, with their admissible commands, are asked
about by 1, 4, 16 ... clients, each with one request at a time; every number of clients asks about the same states on a
server of its own, and must get the same actions. Exit code 1 if it does not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from itp import make_env
from itp.planners.simple import ExpertPlanner
from itp.rollout.lockstep import run_episodes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 32], help="1 comes first: the baseline")
    parser.add_argument("--decisions", type=int, default=128, help="for each number of clients")
    parser.add_argument("serve", nargs="*", help="flags of `itp serve`, behind --")
    args = parser.parse_args()
    bodies = situations(args.decisions)
    with scripted() as policy:
        flags = args.serve or ["--policy", policy, "--horizon", "fixed:2"]
        print(f"{len(bodies)} decisions; itp serve {' '.join(args.serve) or '(scripted policy, --horizon fixed:2)'}")
        print("clients  decisions/s   ratio    p50 ms    p95 ms  batches  load")
        return 0 if compare(flags, args.clients, bodies) else 1


def compare(flags: Sequence[str], clients: Sequence[int], bodies: Sequence[dict[str, Any]]) -> bool:
    """One line for each number of clients; whether all got the same actions."""
    first: tuple[float, list[str]] | None = None
    alike = True
    for count in clients:
        with serving(flags) as url:
            asyncio.run(ask(url, bodies[:2], 1))  # what is loaded or compiled at the first decision is loaded now
            before = httpx.get(f"{url}/status").json()["batches"]
            began = time.perf_counter()
            actions, seconds = asyncio.run(ask(url, bodies, count))
            rate = len(bodies) / (time.perf_counter() - began)
            batches = httpx.get(f"{url}/status").json()["batches"] - before
        first = first or (rate, actions)
        same = actions == first[1]
        alike = alike and same
        p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
        load = os.getloadavg()[0]
        print(
            f"{count:7d} {rate:12.1f} {rate / first[0]:6.1f}x {p50:9.1f} {p95:9.1f} {batches:8d} {load:5.1f}"
            f"{'' if same else '  OTHER ACTIONS'}",
            flush=True,
        )
    return alike


async def ask(url: str, bodies: Sequence[dict[str, Any]], clients: int) -> tuple[list[str], list[float]]:
    """Actions in the order of the situations, and the seconds of each."""
    waiting = iter(range(len(bodies)))
    actions, seconds = [""] * len(bodies), [0.0] * len(bodies)

    async def client(http: httpx.AsyncClient) -> None:
        for number in waiting:
            began = time.perf_counter()
            answer = await http.post("/v1/decide", json=bodies[number])
            answer.raise_for_status()
            actions[number], seconds[number] = answer.json()["action"], time.perf_counter() - began

    # One object with many connections: each would read the machine's certificates anew.
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as http:
        await asyncio.gather(*(client(http) for _ in range(clients)))
    return actions, seconds


def situations(count: int) -> list[dict[str, Any]]:
    """States of expert episodes, as requests."""
    env = make_env("household", split="valid")
    tasks = list(env.task_ids)[: count // 4 + 1]
    played = run_episodes(
        lambda: make_env("household", split="valid"), ExpertPlanner(), tasks, batch_size=16, max_steps=30, seed=0
    )
    bodies = []
    for trajectory in played:
        for number in range(0, len(trajectory.steps), 2):
            past = trajectory.steps[:number]
            bodies.append(
                {
                    "task": trajectory.task.goal,
                    "first_observation": trajectory.first_observation,
                    "history": [{"action": s.decision.action, "observation": s.observation} for s in past],
                    "admissible_commands": list(trajectory.steps[number].admissible or ()),
                }
            )
    return bodies[:count]


@contextlib.contextmanager
def scripted() -> Iterator[str]:
    """A policy that answers at once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "script.json"
        path.write_text(json.dumps([["", "Reflection: none\nThought: none\nAction: look"]]))
        yield f"scripted:{path}"


@contextlib.contextmanager
def serving(flags: Sequence[str]) -> Iterator[str]:
    """The URL of a server of its own."""
    command = [sys.executable, "-m", "itp.cli", "serve", "--port", "0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"at (http://\S+)", process.stdout.readline())
            if not found:
                raise SystemExit("the server did not start: see above")
            yield found[1]
        finally:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()


if __name__ == "__main__":
    sys.exit(main())
