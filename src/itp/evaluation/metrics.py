"""From the episodes of a run to its `results.json`.

Every episode counts: one that ended in an error is an episode without success, and `errors` says how many there were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from itp.evaluation.failures import CATEGORIES, failure_category
from itp.evaluation.imagination import imagination_accuracy, k_by_phase
from itp.evaluation.stats import bootstrap_mean_interval, wilson_interval
from itp.types import StopReason, Trajectory, Usage
from itp.world_model.fidelity import NOTHING_HAPPENS

SCHEMA_VERSION = 1


def summarize(
    trajectories: Sequence[Trajectory],
    *,
    env: str,
    split: str,
    planner: str,
    config: Mapping[str, Any] | None = None,
    versions: Mapping[str, str | None] | None = None,
    budget_reference: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """The content of `results.json`.

    Args:
        trajectories: all episodes of the run.
        env: name of the environment.
        split: name of the split.
        planner: name of the planner, for tables.
        config: settings of the run, kept beside the figures.
        versions: installed versions.
        budget_reference: tokens per episode of the runs with K = 0 and K = K_max; without them `normalized_budget` is
            None.

    Returns:
        JSON values. Rates lie in [0, 1]; `tokens` are counts (`per_episode` and `per_decision` are means of policy plus
        world-model tokens); `seconds` is the sum over episodes; means over nothing are None.
    """
    steps = [step for trajectory in trajectories for step in trajectory.steps]
    horizons = [step.decision.horizon for step in steps]
    tokens = _tokens(trajectories)
    per_episode = tokens["per_episode"]
    budget = None
    if budget_reference is not None and per_episode is not None:
        budget = normalized_budget(per_episode, *budget_reference)
    return {
        "schema_version": SCHEMA_VERSION,
        "env": env,
        "split": split,
        "planner": planner,
        **success(trajectories),
        "by_task_type": by_task_type(trajectories),
        "mean_score": _mean([trajectory.score for trajectory in trajectories]),
        "mean_score_ci95": bootstrap_mean_interval([trajectory.score for trajectory in trajectories]),
        "irreversible_failures": sum(trajectory.irreversible for trajectory in trajectories),
        "mean_steps": _mean([len(trajectory.steps) for trajectory in trajectories]),
        "mean_k": _mean(horizons),
        "k_histogram": {str(k): count for k, count in sorted(Counter(horizons).items())},
        "k_by_phase": k_by_phase(trajectories),
        "imagination": imagination_accuracy(trajectories),
        "tokens": tokens,
        "usage": _usage(trajectories),
        "normalized_budget": budget,
        "seconds": sum(trajectory.seconds for trajectory in trajectories),
        "errors": sum(trajectory.stop is StopReason.ERROR for trajectory in trajectories),
        "parses": dict(sorted(Counter(step.decision.parse for step in steps).items())),
        "unparsed_actions": sum(step.decision.parse == "unparsed" for step in steps),
        "unparsed_horizons": sum(step.decision.horizon_parse == "unparsed" for step in steps),
        "decisions": len(steps),
        "invalid_actions": sum(step.observation.strip() == NOTHING_HAPPENS for step in steps),
        "failures": failures(trajectories),
        "config": dict(config or {}),
        "versions": dict(versions or {}),
    }


def success(trajectories: Sequence[Trajectory]) -> dict[str, Any]:
    """`n`, `success_rate` (won, not merely done) and its 95% Wilson interval."""
    won = sum(trajectory.won for trajectory in trajectories)
    n = len(trajectories)
    return {"n": n, "success_rate": won / n if n else None, "success_ci95": list(wilson_interval(won, n))}


def by_task_type(trajectories: Sequence[Trajectory]) -> dict[str, dict[str, Any]]:
    """`success` for each family of tasks, sorted by name ("unknown" where the environment failed at reset)."""
    groups: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        groups.setdefault(trajectory.task.task_type or "unknown", []).append(trajectory)
    return {name: success(groups[name]) for name in sorted(groups)}


def failures(trajectories: Sequence[Trajectory]) -> dict[str, int]:
    """Lost episodes by category; see `itp.evaluation.failures`."""
    counts = Counter(failure_category(trajectory) for trajectory in trajectories)
    return {category: counts[category] for category in CATEGORIES}


def normalized_budget(tokens: float, tokens_0: float, tokens_k_max: float) -> float:
    """`NB = (T − T(0)) / (T(K_max) − T(0))`: 0 spends as much as never imagining, 1 as always imagining K_max steps.

    Args:
        tokens: mean tokens per episode (policy + world model) of the run to judge.
        tokens_0: the same of the run with K = 0.
        tokens_k_max: the same of the run with K = K_max.

    Raises:
        ValueError: the two reference runs cost the same, so there is no scale.
    """
    if tokens_k_max == tokens_0:
        raise ValueError(
            f"both reference runs cost {tokens_0:g} tokens per episode: there is no budget to normalise by"
        )
    return (tokens - tokens_0) / (tokens_k_max - tokens_0)


def _tokens(trajectories: Sequence[Trajectory]) -> dict[str, Any]:
    decisions = [step.decision for trajectory in trajectories for step in trajectory.steps]
    policy = sum(decision.policy_usage.tokens for decision in decisions)
    world_model = sum(decision.world_model_usage.tokens for decision in decisions)
    total = policy + world_model
    return {
        "policy": policy,
        "world_model": world_model,
        "per_episode": total / len(trajectories) if trajectories else None,
        "per_decision": total / len(decisions) if decisions else None,
    }


def _usage(trajectories: Sequence[Trajectory]) -> dict[str, dict[str, float]]:
    """Tokens, calls and seconds by role; `cached_tokens` are part of `prompt_tokens`."""
    decisions = [step.decision for trajectory in trajectories for step in trajectory.steps]
    roles = {
        "policy": sum((decision.policy_usage for decision in decisions), Usage()),
        "world_model": sum((decision.world_model_usage for decision in decisions), Usage()),
    }
    return {role: asdict(usage) for role, usage in roles.items()}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
