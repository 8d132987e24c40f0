"""Imagination: policy and world model alternate for K steps in text (Liu et al. 2026, eq. 2), batched over episodes.

Nothing here knows the real environment: actions come from the policy's own generation, observations from the model.
An imagination may end before its horizon: by `Limits`, or where the model says that the episode is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from itp.lm.base import Sampling
from itp.types import ImaginedStep, ImaginedTrajectory, State, Usage
from itp.world_model.base import Prediction, WorldModel

if TYPE_CHECKING:
    from itp.lm.base import Completion

IMAGINED_ACTION = Sampling(max_new_tokens=12)
"""Token budget of an imagined action in the paper; greedy unless the caller explores."""


@dataclass(frozen=True, slots=True)
class Imagination:
    """One foresight and what it cost. `states` are the imagined states after each step."""

    foresight: ImaginedTrajectory
    policy_usage: Usage
    world_model_usage: Usage


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends an imagination before its horizon.

    Args:
        min_logprob: least certainty (mean token log-probability, nats) of a predicted observation. The first step below
            it is dropped from the foresight, and its tokens are counted. A model without log-probabilities is certain.
        max_tokens: once policy and world model have spent so many on this foresight, no further step begins. The step
            in progress is completed and kept, so this is overspent by less than one step.
    """

    min_logprob: float | None = None
    max_tokens: int | None = None


NO_LIMITS = Limits()


class Proposer(Protocol):
    """Whatever names the commands inside the imagination: a trained `Policy`, or one that is prompted."""

    def propose(self, states: Sequence[State], sampling: Sampling) -> list[Completion]:
        """One command for each (imagined) state."""
        ...


@dataclass(slots=True)
class _Branch:
    state: State
    horizon: int
    limits: Limits
    first: str | None
    watch: Callable[[ImaginedStep], None] | None
    steps: list[ImaginedStep] = field(default_factory=list)
    policy_usage: Usage = field(default_factory=Usage)
    world_model_usage: Usage = field(default_factory=Usage)
    stopped: bool = False

    def goes_on(self) -> bool:
        """Whether another step is to be imagined."""
        spent = self.policy_usage.tokens + self.world_model_usage.tokens
        paid = self.limits.max_tokens is None or spent < self.limits.max_tokens
        return len(self.steps) < self.horizon and paid and not self.stopped

    def paid_for(self, proposal: Completion, seconds: float) -> None:
        """Count what a proposed command cost."""
        self.policy_usage += Usage(
            proposal.prompt_tokens, proposal.completion_tokens, 1, seconds, proposal.cached_tokens
        )

    def take(self, action: str, prediction: Prediction) -> None:
        """Take in one imagined step."""
        self.first = None
        self.world_model_usage += prediction.usage
        least, certainty = self.limits.min_logprob, prediction.logprob
        if least is not None and certainty is not None and certainty < least:
            self.stopped = True
            return
        self.steps.append(ImaginedStep(action, prediction.observation))
        if self.watch is not None:
            self.watch(self.steps[-1])
        self.state = self.state.extend(action, prediction.observation)
        self.stopped = prediction.ended


def imagine(
    states: Sequence[State],
    horizons: Sequence[int],
    policy: Proposer,
    world_model: WorldModel,
    *,
    sampling: Sampling = IMAGINED_ACTION,
    limits: Sequence[Limits] | None = None,
    first: Sequence[str] | None = None,
    watch: Sequence[Callable[[ImaginedStep], None]] | None = None,
) -> list[Imagination]:
    """Roll every state forward by its own horizon; a horizon of 0 costs nothing and yields an empty foresight.

    Args:
        states: where each imagination starts; left untouched.
        horizons: K for each state, 0 or more.
        policy: proposes â from the imagined state, without foresight of its own.
        world_model: answers with ŝ.
        sampling: how imagined actions are decoded.
        limits: what ends each state's imagination early; None is nothing.
        first: the first imagined action of each state, in place of the policy's proposal; it costs the policy nothing.
        watch: told of each step of each state's foresight as soon as it is made.
    """
    own = limits if limits is not None else [NO_LIMITS] * len(states)
    forced = first if first is not None else [None] * len(states)
    watchers = watch if watch is not None else [None] * len(states)
    branches = [_Branch(*row) for row in zip(states, horizons, own, forced, watchers, strict=True)]
    while live := [branch for branch in branches if branch.goes_on()]:
        _advance(live, policy, world_model, sampling)
    return [Imagination(ImaginedTrajectory(tuple(b.steps)), b.policy_usage, b.world_model_usage) for b in branches]


def _advance(live: list[_Branch], policy: Proposer, world_model: WorldModel, sampling: Sampling) -> None:
    """One alternation of eq. 2 for every live branch."""
    start = time.perf_counter()
    asked = [branch for branch in live if branch.first is None]
    proposed = iter(policy.propose([branch.state for branch in asked], sampling) if asked else ())
    seconds = (time.perf_counter() - start) / max(len(asked), 1)
    proposals = [next(proposed) if branch.first is None else None for branch in live]
    actions = [branch.first or "" if p is None else p.text for branch, p in zip(live, proposals, strict=True)]
    predictions = world_model.predict([branch.state for branch in live], actions)
    for branch, proposal, action, prediction in zip(live, proposals, actions, predictions, strict=True):
        if proposal is not None:
            branch.paid_for(proposal, seconds)
        branch.take(action, prediction)
