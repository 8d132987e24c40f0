"""Run folders for the tests of the report: a few episodes with everything in them that a viewer can get wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from itp.run_folder import open_run
from itp.trace.store import TraceStore
from itp.types import Decision, ImaginedStep, ImaginedTrajectory, Step, StopReason, Task, Trajectory, Usage

HOSTILE = "<script>window.hacked = 1</script></script><img src=x onerror=\"window.hacked = 2\"> & 'quotes'"


def decision(action: str, *imagined: tuple[str, str], **more: Any) -> Decision:
    foresight = ImaginedTrajectory(tuple(ImaginedStep(*pair) for pair in imagined))
    options = {"policy_usage": Usage(100, 10, 1), "world_model_usage": Usage(50, 20, 1), "parse": "exact", **more}
    return Decision(action, len(imagined), foresight=foresight, **options)


def episode(number: int, won: bool = True, **changes: Any) -> Trajectory:
    """Three steps: one that imagination changed, one that came otherwise than imagined, one without imagination."""
    steps = (
        Step(
            decision(
                "open drawer 1", ("go to bed 1", "A bed."), thought="drawers first", raw_text="Action: open drawer 1"
            ),
            "You open the drawer 1. In it, you see a pen 1.",
            admissible=("go to bed 1", "open drawer 1"),
        ),
        Step(
            decision("take pen 1", ("take pen 1", "You take the cup 1."), ("use pen 1", "It writes."), ("look", "?")),
            "You take the pen 1.",
        ),
        Step(decision("put pen 1", parse="unparsed" if number % 3 == 2 else "exact"), "Done."),
    )
    stop = StopReason.WON if won else StopReason.STEP_LIMIT
    goal = changes.pop("goal", f"put pen {number} on desk")
    task = Task(f"task-{number:05}", goal, changes.pop("family", ("pick", "heat")[number % 2]))
    return Trajectory(task, "You are in a room.", steps, stop, float(won), seconds=0.5, **changes)


def write_run(folder: Path, episodes: list[Trajectory], **config: Any) -> Path:
    """A folder as `itp eval` leaves it."""
    settings = {"env": "household", "split": "valid", "planner": "itp", "horizon": "fixed:3", "episodes": 0, **config}
    with open_run(folder, settings, command="eval"):
        store = TraceStore(folder / "traces.jsonl")
        for one in episodes:
            store.append(one)
    return folder


def write_training(folder: Path, updates: int = 20) -> Path:
    """A folder as `itp train a2c` leaves it."""
    with open_run(folder, {"updates": updates}, command="train a2c"):
        lines = [
            {"update": n, "loss": 1.0 / n, "mean_k": n / updates, "bad": float("nan")} for n in range(1, updates + 1)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
