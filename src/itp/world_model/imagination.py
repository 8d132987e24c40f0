"""Imagination: policy and world model alternate for K steps in text (Liu et al. 2026, eq. 2), batched over episodes.

Nothing here knows the real environment: actions come from the policy's own generation, observations from the model.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from itp.lm.base import Sampling
from itp.policy.model import Policy
from itp.types import ImaginedStep, ImaginedTrajectory, State, Usage
from itp.world_model.base import WorldModel

IMAGINED_ACTION = Sampling(max_new_tokens=12)
"""Token budget of an imagined action in the paper; greedy unless the caller explores."""


@dataclass(frozen=True, slots=True)
class Imagination:
    """One foresight and what it cost. `states` are the imagined states after each step."""

    foresight: ImaginedTrajectory
    policy_usage: Usage
    world_model_usage: Usage


@dataclass(slots=True)
class _Branch:
    state: State
    horizon: int
    steps: list[ImaginedStep] = field(default_factory=list)
    policy_usage: Usage = field(default_factory=Usage)
    world_model_usage: Usage = field(default_factory=Usage)


def imagine(
    states: Sequence[State],
    horizons: Sequence[int],
    policy: Policy,
    world_model: WorldModel,
    *,
    sampling: Sampling = IMAGINED_ACTION,
) -> list[Imagination]:
    """Roll every state forward by its own horizon; a horizon of 0 costs nothing and yields an empty foresight.

    Args:
        states: where each imagination starts; left untouched.
        horizons: K for each state, 0 or more.
        policy: proposes â from the imagined state, without foresight of its own.
        world_model: answers with ŝ.
        sampling: how imagined actions are decoded.
    """
    branches = [_Branch(state, horizon) for state, horizon in zip(states, horizons, strict=True)]
    for depth in range(max(horizons, default=0)):
        live = [branch for branch in branches if branch.horizon > depth]
        _advance(live, policy, world_model, sampling)
    return [Imagination(ImaginedTrajectory(tuple(b.steps)), b.policy_usage, b.world_model_usage) for b in branches]


def _advance(live: list[_Branch], policy: Policy, world_model: WorldModel, sampling: Sampling) -> None:
    """One alternation of eq. 2 for every live branch."""
    start = time.perf_counter()
    proposals = policy.propose([branch.state for branch in live], sampling)
    seconds = (time.perf_counter() - start) / len(live)
    predictions = world_model.predict([b.state for b in live], [p.text for p in proposals])
    for branch, proposal, prediction in zip(live, proposals, predictions, strict=True):
        branch.steps.append(ImaginedStep(proposal.text, prediction.observation))
        branch.state = branch.state.extend(proposal.text, prediction.observation)
        branch.policy_usage += Usage(proposal.prompt_tokens, proposal.completion_tokens, 1, seconds)
        branch.world_model_usage += prediction.usage
