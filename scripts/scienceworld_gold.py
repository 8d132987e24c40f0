"""Play the simulator's gold paths: do they reach a score of 100, and within which step limits?

    python scripts/scienceworld_gold.py                    # 30 tasks, two variations from each of three splits

The six tasks outside the field's lists are taken from the simulator's own splits. Prints one line per task and the
exceptions; exit code 1 when a task has a path that does not reach 100.
"""

from __future__ import annotations

import argparse
import sys

from itp import make_env
from itp.envs.base import TextEnv
from itp.envs.scienceworld.splits import TASKS, max_steps, task_ids

SPLITS = {"train": "sim-train", "test_seen": "sim-dev", "test_unseen": "sim-test"}
"""A field split -> the simulator's that stands in for it where the field has no such task."""
LIMIT = 1000


def play(env: TextEnv, task_id: str) -> tuple[float, int]:
    """Final score and length of a gold path."""
    _, info = env.reset(options={"task_id": task_id})
    steps, ended = 0, False
    while not ended and info.get("expert_plan"):
        _, _, terminated, truncated, info = env.step(info.get("expert_plan", [])[0])
        steps, ended = steps + 1, terminated or truncated
    return info["score"], steps


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--variations", type=int, default=2, help="of each task and split")
    parser.add_argument("--tasks", type=int, default=len(TASKS))
    parser.add_argument("--simplifications", default="easy")
    args = parser.parse_args()
    played = reached = within = failing = 0
    for name in list(TASKS)[: args.tasks]:
        line, good = [], True
        for split, stand_in in SPLITS.items():
            source = next(s for s in (split, stand_in) if any(t.startswith(f"{name}/") for t in task_ids(s)))
            chosen = [t for t in task_ids(source) if t.startswith(f"{name}/")][: args.variations]
            env = make_env(
                "scienceworld", split=source, expert=True, max_steps=LIMIT, simplifications=args.simplifications
            )
            for task_id in chosen:
                score, steps = play(env, task_id)
                played, reached = played + 1, reached + (score == 100)
                within += score == 100 and steps <= max_steps(name)
                good &= score == 100
                line.append(f"{task_id.partition('/')[2]}:{score:g} in {steps}")
            env.close()
        failing += not good
        print(f"{'ok  ' if good else 'FAIL'} {name} (limit {max_steps(name)}): {', '.join(line)}", flush=True)
    print(f"{played} paths, {reached} reach 100, {within} of them within the field's step limit; {failing} tasks fail")
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main())
