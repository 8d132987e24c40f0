"""How A2C judges its weights between updates: greedy play of a validation cut of the training split."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from itp.lm.base import Sampling
from itp.planners.avoiding import AvoidingPlanner, likeliest_first
from itp.planners.horizon import HorizonSelector, LearnedHorizon
from itp.planners.itp import ItpPlanner
from itp.policy.model import Policy
from itp.rollout.lockstep import run_episodes
from itp.training.a2c import Config
from itp.training.advantages import horizon_cost
from itp.types import Trajectory
from itp.world_model.base import WorldModel


def evaluate(policy: Policy, world_model: WorldModel, task_ids: Sequence[str], config: Config) -> dict[str, float]:
    """Success rate, return, mean K and steps of greedy play on some tasks, as `itp eval` would play them."""
    mode = "generate" if config.writes else "score"
    horizon = LearnedHorizon(policy, sampled=config.eval_horizon == "sampled")
    planner = (
        looking(policy, world_model, horizon, config)
        if config.avoid
        else ItpPlanner(policy, world_model, horizon, action_mode=mode)
    )
    played = run_episodes(
        config.env_factory(),
        planner,
        list(task_ids),
        batch_size=min(len(task_ids), 4 * config.envs),
        max_steps=config.max_steps,
        seed=config.seed,
        workers=config.workers,
        step_timeout=config.step_timeout,
    )
    horizons = [step.decision.horizon for trajectory in played for step in trajectory.steps]
    return {
        "eval_success": float(np.mean([trajectory.won for trajectory in played])),
        "eval_return": float(np.mean([episode_return(trajectory, config) for trajectory in played])),
        "eval_irreversible": float(np.mean([trajectory.irreversible for trajectory in played])),
        "eval_steps": float(np.mean([len(trajectory.steps) for trajectory in played])),
        "eval_mean_k": float(np.mean(horizons)) if horizons else 0.0,
    }


def looking(
    policy: Policy,
    world_model: WorldModel,
    horizon: HorizonSelector,
    config: Config,
    rank: Callable[[Sequence[float]], list[int]] = likeliest_first,
) -> AvoidingPlanner:
    """The planner of `--avoid`, as `itp eval` would build it."""
    return AvoidingPlanner(
        policy,
        world_model,
        horizon,
        config.avoid,
        sampling=Sampling(max_new_tokens=config.action_tokens),
        writes=config.writes,
        constrained=config.action == "constrained",
        proposals=config.proposals,
        avoid_returns=config.avoid_returns,
        rank=rank,
    )


def episode_return(trajectory: Trajectory, config: Config) -> float:
    """Undiscounted sum of the rewards of eq. 7: what the environment gave, less what steps and imagination cost."""
    total = config.success_bonus * trajectory.won
    if trajectory.irreversible and config.irreversible_penalty is not None:
        total -= config.irreversible_penalty
    for step in trajectory.steps:
        total += step.reward - config.lambda_step
        total -= horizon_cost(
            config.cost,
            config.lambda_k,
            horizon=step.decision.horizon,
            imagined_tokens=step.decision.imagination_usage.completion_tokens,
            progress=1.0,
        )
    return total
