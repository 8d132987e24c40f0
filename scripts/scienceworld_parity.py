"""Compare the fast ScienceWorld environment with the library's own `env.step`, word for word.

    python scripts/scienceworld_parity.py                  # 30 tasks x 30 steps, some minutes
    python scripts/scienceworld_parity.py --tasks 4 --steps 10

Every task plays random valid actions and odd commands on the fast engine, on the official one (the library's `step` on
a JVM with our options), and on `ScienceWorldEnv` as it comes. The last orders the things in a room by Java's identity
hashes, anew in each run, so that its texts are also compared with their lines sorted. Exit code 1 when the fast and
the official engine differ.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from typing import Any

from itp import make_env
from itp.envs.scienceworld.splits import TASKS

ODD = ("", "   ", "LOOK AROUND", "xyzzy", "go to nowhere", "look  around", "task", "inventory", "wait1", "x" * 10_000)
SIMPLIFICATIONS = "easy"


def compare(name: str, variation: int, steps: int, seed: int, untouched: Any, tally: Counter[str]) -> None:
    """Play one variation on all three and count what is equal."""
    options = {"split": "sim-train", "max_steps": 10 * steps, "simplifications": SIMPLIFICATIONS}
    fast, official = make_env("scienceworld", **options), make_env("scienceworld", engine="official", **options)
    task = {"task_id": f"{name}/{variation}"}
    rng = random.Random(f"{seed}/{name}")
    mine, theirs = fast.reset(options=task), official.reset(options=task)
    untouched.load(name, variation, SIMPLIFICATIONS)
    raw: str = untouched.reset()[0]
    count(name, "(reset)", mine, theirs, (raw, None), tally)
    for step in range(steps):
        # A wrong focus ends the episode at once, so that is left to the last steps.
        valid = [a for a in fast.valid_actions() if step > steps - 3 or not a.startswith("focus")]  # pyright: ignore[reportAttributeAccessIssue]
        command = rng.choice(ODD) if step % 5 == 4 else rng.choice(valid)
        ours, library = fast.step(command), official.step(command)
        raw, _, done, info = untouched.step(command)
        count(name, command, ours, library, (raw, info["score"]), tally)
        if ours[2] or library[2] or done:
            break
    fast.close()
    official.close()


def count(name: str, command: str, ours: Any, library: Any, raw: tuple[str, Any], tally: Counter[str]) -> None:
    tally["texts"] += 1
    if ours != library:
        tally["differences"] += 1
        print(f"DIFFERENCE {name} {command[:60]!r}: {ours!r} officially {library!r}"[:600])
    tally["equal to the library as it comes"] += ours[0] == raw[0]
    tally["equal with lines sorted"] += sorted(words(ours[0])) == sorted(words(raw[0]))


def words(text: str) -> list[str]:
    """A text's words without punctuation: what a room holds, in whatever order."""
    return text.replace(",", " ").replace(".", " ").split()


def main() -> int:
    from scienceworld import ScienceWorldEnv

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=len(TASKS), help="how many of the 30 tasks")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    untouched = ScienceWorldEnv(envStepLimit=10**6)
    tally: Counter[str] = Counter()
    names = list(TASKS)[: args.tasks]
    for number, name in enumerate(names, 1):
        compare(name, args.seed % TASKS[name].n_train, args.steps, args.seed, untouched, tally)
        print(f"{number}/{len(names)} {name}: {tally['texts']} texts, {tally['differences']} differences", flush=True)
    untouched.close()
    print(f"tasks {len(names)}  " + "  ".join(f"{key} {value}" for key, value in tally.items()))
    return 1 if tally["differences"] else 0


if __name__ == "__main__":
    sys.exit(main())
