"""The consistency ratio: do plans that win inside the world model's text win in the real environment?

The policy plays each task twice, naming its commands freely and greedily: in reality, and inside the world model, from
the same first observation. The commands of the second play are then carried out in reality. A text world model does not
say that a task is done, so every imagined play counts, and reality alone says what it was worth.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from itp.envs.base import TextEnv
from itp.lm.base import Sampling
from itp.planners.base import Planner
from itp.policy.model import Policy
from itp.rollout.lockstep import run_episodes
from itp.types import Decision, DecisionContext, State, Trajectory
from itp.world_model.base import WorldModel
from itp.world_model.imagination import imagine

COMMAND = Sampling(max_new_tokens=16)
IDLE = "look"
"""Carried out once a plan has come to its end."""


class FreePlanner:
    """The policy as it acts in an imagination: it names a command, from the state alone."""

    name = "free"

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """See `Planner.decide`."""
        return [Decision(c.text) for c in self.policy.propose([context.state for context in contexts], COMMAND)]


class ReplayPlanner:
    """Carries plans out, whatever comes of them. Plans are found by task and first observation."""

    name = "replay"

    def __init__(self, plans: Mapping[tuple[str, str], Sequence[str]]) -> None:
        self.plans = plans

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """See `Planner.decide`."""
        return [Decision(self._next(context.state)) for context in contexts]

    def _next(self, state: State) -> str:
        plan = self.plans[state.task, state.first_observation]
        return plan[len(state.history)] if len(state.history) < len(plan) else IDLE


def consistency(
    policy: Policy,
    world_model: WorldModel,
    make_env: Callable[[], TextEnv],
    trajectories: Sequence[Trajectory],
    *,
    tasks: int,
    steps: int,
    batch_size: int = 64,
    seed: int = 0,
) -> dict[str, Any]:
    """Play tasks in reality and in the world model, and carry the imagined plays out.

    Args:
        policy: plays both.
        world_model: the model to judge.
        make_env: the real environment of the trajectories.
        trajectories: recorded episodes, for tasks and their first observations.
        tasks: how many are drawn.
        steps: most steps of either play.
        batch_size: plays side by side.
        seed: of the draw.

    Returns:
        `n`, `real_won`, `replayed_won`, `both_won`; `consistency_ratio` = replayed_won / real_won, and `pairwise_ratio`
        = both_won / real_won, the share of really won tasks that the imagined play wins too (None without a real win).
    """
    chosen = list({t.task.task_id: t for t in trajectories}.values())
    random.Random(seed).shuffle(chosen)
    chosen = chosen[:tasks]
    ids = [trajectory.task.task_id for trajectory in chosen]
    starts = [State(t.task.goal, t.first_observation) for t in chosen]
    imagined = imagine(starts, [steps] * len(starts), policy, world_model, sampling=COMMAND)
    plans = {
        (start.task, start.first_observation): [step.action for step in play.foresight.steps]
        for start, play in zip(starts, imagined, strict=True)
    }

    def won(planner: Planner) -> list[bool]:
        played = run_episodes(make_env, planner, ids, batch_size=batch_size, max_steps=steps, seed=seed)
        return [trajectory.won for trajectory in played]

    real, replayed = won(FreePlanner(policy)), won(ReplayPlanner(plans))
    both = sum(a and b for a, b in zip(real, replayed, strict=True))
    return {
        "n": len(ids),
        "real_won": sum(real),
        "replayed_won": sum(replayed),
        "both_won": both,
        "consistency_ratio": sum(replayed) / sum(real) if any(real) else None,
        "pairwise_ratio": both / sum(real) if any(real) else None,
    }
