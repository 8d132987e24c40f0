"""An episode as the trace viewer gets it: a line for the list, and the steps, which are sent when they are looked at.

The rule of "the plan changed because of imagination" stands here (`plan_changed`), once, for list, tables and viewer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from itp.run_folder import plain
from itp.types import Decision, Step, StopReason, Trajectory, Usage

_SHOWN = {
    "action", "horizon", "foresight", "horizon_probs", "reflection", "thought", "raw_text", "prompt", "parse",
    "horizon_parse", "policy_usage", "world_model_usage", "imagination_usage",
}  # fmt: skip


def plan_changed(decision: Decision) -> bool:
    """Whether imagination changed the plan: the action taken is not the one that the imagination began with.

    An imagination begins with what the policy would do before it has seen any of its future; with `--avoid` that is
    the first command that was passed over. Other planners that search store the imagined line of the command they took:
    of those the trace does not tell, and nothing is marked.
    """
    first = (*decision.passed_over, decision.foresight)[0]
    return bool(first.steps) and first.steps[0].action != decision.action


def surprised(step: Step) -> bool:
    """Whether the agent did what it had imagined first, and something else happened."""
    imagined = step.decision.foresight.steps
    return bool(imagined) and imagined[0].action == step.decision.action and imagined[0].observation != step.observation


def flags(trajectory: Trajectory) -> list[str]:
    """What the list can be filtered by."""
    decisions = [step.decision for step in trajectory.steps]
    found = {
        "failed": not trajectory.won,
        "irreversible": trajectory.irreversible,
        "unparsed": any("unparsed" in (decision.parse, decision.horizon_parse) for decision in decisions),
        "error": trajectory.stop is StopReason.ERROR,
        "changed": any(plan_changed(decision) for decision in decisions),
        "surprised": any(surprised(step) for step in trajectory.steps),
    }
    return [name for name, holds in found.items() if holds]


def index_entry(trajectory: Trajectory, *, run: int, number: int) -> dict[str, Any]:
    """The line of the list. `number` counts a run's episodes from 1, in file order."""
    horizons = [step.decision.horizon for step in trajectory.steps]
    usages = (u for s in trajectory.steps for u in (s.decision.policy_usage, s.decision.world_model_usage))
    return {
        "run": run,
        "number": number,
        "id": trajectory.task.task_id,
        "goal": trajectory.task.goal,
        "family": trajectory.task.task_type or "unknown",
        "stop": trajectory.stop.value,
        "score": finite(trajectory.score),
        "steps": len(horizons),
        "max_k": max(horizons, default=0),
        "mean_k": round(sum(horizons) / len(horizons), 3) if horizons else 0,
        "tokens": sum(usage.tokens for usage in usages),
        "seconds": finite(trajectory.seconds),
        "error": trajectory.error,
        "flags": flags(trajectory),
    }


def payload(trajectory: Trajectory) -> dict[str, Any]:
    """First observation and steps. Admissible commands are indices into `commands`; what is empty is left out."""
    commands: dict[str, int] = {}
    steps = [_step(step, commands) for step in trajectory.steps]
    return {"first": trajectory.first_observation, "commands": list(commands), "steps": steps}


def finite(value: float, digits: int = 6) -> float | None:
    """A figure that JSON knows; None for NaN and infinity."""
    return round(value, digits) if math.isfinite(value) else None


def _step(step: Step, commands: dict[str, int]) -> dict[str, Any]:
    decision = step.decision
    other = {field.name: plain(getattr(decision, field.name)) for field in fields(decision) if field.name not in _SHOWN}
    admissible = None
    if step.admissible is not None:
        admissible = [commands.setdefault(command, len(commands)) for command in step.admissible]
    content = {
        "action": decision.action,
        "observation": step.observation,
        "k": decision.horizon,
        "imagined": [[imagined.action, imagined.observation] for imagined in decision.foresight.steps],
        "changed": plan_changed(decision),
        "surprised": surprised(step),
        "probs": [finite(p, 4) for p in decision.horizon_probs],
        "parse": decision.parse,
        "horizon_parse": decision.horizon_parse,
        "reflection": decision.reflection,
        "thought": decision.thought,
        "raw": decision.raw_text,
        "prompt": decision.prompt,
        "reward": finite(step.reward),
        "expert": step.expert_action,
        "usage": _usages(decision),
        "more": {name: value for name, value in other.items() if value},
    }
    kept = {name: value for name, value in content.items() if value or name in ("action", "observation", "k")}
    return kept if admissible is None else kept | {"admissible": admissible}


def _usages(decision: Decision) -> dict[str, list[float | None]]:
    """Role -> prompt tokens, completion tokens, calls, seconds, cached tokens."""
    roles: Iterable[tuple[str, Usage]] = (
        ("policy", decision.policy_usage),
        ("world model", decision.world_model_usage),
        ("of both, imagination", decision.imagination_usage),
    )
    return {
        role: [u.prompt_tokens, u.completion_tokens, u.calls, finite(u.seconds), u.cached_tokens]
        for role, u in roles
        if u != Usage()
    }
