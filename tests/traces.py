"""Episodes compared: everything but the clock."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from itp.types import Decision, Trajectory

TIMES = ("seconds", "created", "versions")
WHERE = ("out", "shard", "batch_size", "cluster", "retry_errors")


def without_times(episode: Trajectory) -> Trajectory:
    steps = tuple(replace(step, decision=_timeless(step.decision)) for step in episode.steps)
    return replace(episode, steps=steps, seconds=0.0)


def results_without_times(path: Path) -> Any:
    """`results.json` without seconds, and without the settings that say where a run was played."""
    return _strip(json.loads((path / "results.json").read_text(encoding="utf-8")))


def _timeless(decision: Decision) -> Decision:
    roles = ("policy_usage", "world_model_usage", "imagination_usage")
    return replace(decision, **{role: replace(getattr(decision, role), seconds=0.0) for role in roles})


def _strip(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strip(item) for key, item in value.items() if key not in (*TIMES, *WHERE)}
    return value
