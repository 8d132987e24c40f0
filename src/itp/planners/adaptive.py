"""Adaptive horizons beyond the paper: look where the policy is unsure, stop where the world model is, keep a budget.

The last two wrap into `HorizonChoice.limits` what can be known only while imagining; `itp.world_model.imagination`
obeys them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from itp.errors import ConfigError
from itp.planners.horizon import HorizonChoice, HorizonSelector
from itp.policy.calibration import top_probability
from itp.types import DecisionContext, ImaginedTrajectory, Usage
from itp.world_model.imagination import Limits

if TYPE_CHECKING:
    from itp.policy.model import Policy


class UnsureHorizon:
    """k_max steps where the policy gives its likeliest admissible command less than a probability; no step elsewhere.

    What a K-head has to be better than: it knows what the policy doubts, and nothing of what the policy does not know.
    The planner scores the commands again, so a decision costs the policy twice.

    Args:
        policy: scores the commands, without foresight.
        k_max: steps to imagine where it is unsure.
        below: the probability.
        name: as told in tables.
    """

    def __init__(self, policy: Policy, k_max: int, below: float, name: str) -> None:
        self.policy, self.k_max, self.below, self.name = policy, k_max, below, name

    def select(self, contexts: Sequence[DecisionContext]) -> list[HorizonChoice]:
        """See `HorizonSelector.select`. Raises ConfigError where the environment lists no commands."""
        if not all(context.admissible for context in contexts):
            raise ConfigError(
                f"--horizon {self.name} compares the commands that an environment lists, and this one lists none: "
                "use learned, or share:S"
            )
        states = [context.state for context in contexts]
        commands = [context.admissible or () for context in contexts]
        scores = self.policy.score_actions(states, [ImaginedTrajectory()] * len(states), commands)
        return [
            HorizonChoice(
                self.k_max if top_probability(score.logprobs) < self.below else 0,
                usage=Usage(score.prompt_tokens, score.continuation_tokens, 1),
            )
            for score in scores
        ]


class ConfidenceHorizon:
    """Up to k_max steps, ended by the first prediction that the world model is unsure of.

    Args:
        k_max: most steps.
        threshold: least mean token log-probability of a predicted observation; None trusts every one.
    """

    name = "confidence"

    def __init__(self, k_max: int, threshold: float | None) -> None:
        self.k_max = k_max
        self.threshold = threshold

    def select(self, contexts: Sequence[DecisionContext]) -> list[HorizonChoice]:
        """See `HorizonSelector.select`."""
        return [HorizonChoice(self.k_max, limits=Limits(min_logprob=self.threshold))] * len(contexts)


class BudgetHorizon:
    """At most so many imagined tokens per episode, spent where the demand for lookahead is greatest.

    The demand of a decision is the expected K of the K-head, or the K that the inner selector asks for where it tells
    no probabilities. It is met when it exceeds a price:

        price = K_max · max(0, 1 − r / t)      r = tokens left / budget,  t = steps left / step limit

    Nothing is dear while at least the pro-rata share is left; half of that share leaves only demands above K_max / 2.
    The K that is met is the inner selector's, never more, cut to what the tokens left can pay at this episode's mean
    cost of an imagined step. No step begins once the budget is spent, so it is exceeded by less than one step.

    Args:
        inner: asks for K.
        tokens: policy and world-model tokens, prompts included, that one episode may spend on imagination.
        k_max: largest K that `inner` can ask for.
        max_steps: the episode's step limit.
    """

    def __init__(self, inner: HorizonSelector, tokens: int, k_max: int, max_steps: int) -> None:
        self.inner = inner
        self.tokens = tokens
        self.k_max = k_max
        self.max_steps = max_steps
        self.name = f"budget:{tokens}" + ("" if inner.name in ("learned", "prompted") else f":{inner.name}")

    def select(self, contexts: Sequence[DecisionContext]) -> list[HorizonChoice]:
        """See `HorizonSelector.select`."""
        choices = self.inner.select(contexts)
        return [self._spend(choice, context) for choice, context in zip(choices, contexts, strict=True)]

    def price(self, context: DecisionContext) -> float:
        """Demand, in steps, that a decision must exceed to be met."""
        left = max(self.tokens - context.imagined_tokens, 0) / self.tokens
        steps = max(self.max_steps - len(context.state.history), 1) / self.max_steps
        return self.k_max * max(0.0, 1 - left / steps)

    def _spend(self, choice: HorizonChoice, context: DecisionContext) -> HorizonChoice:
        left = self.tokens - context.imagined_tokens
        if left <= 0 or demand(choice) <= self.price(context):
            return replace(choice, horizon=0)
        horizon = choice.horizon
        if context.imagined_tokens:
            mean = context.imagined_tokens / max(context.imagined_steps, 1)
            horizon = min(horizon, int(left / mean))
        return replace(choice, horizon=horizon, limits=replace(choice.limits, max_tokens=left))


def demand(choice: HorizonChoice) -> float:
    """How many steps a decision asks for: the mean of p(K | s) where it is told, else K itself."""
    if choice.probs:
        return sum(k * p for k, p in enumerate(choice.probs))
    return float(choice.horizon)
