"""How many steps to imagine: one selector decides for a whole batch. `itp.planners.horizon_flag` makes it.

Here stand fixed, random and learned K; `itp.planners.adaptive` has the rules beyond the paper.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

from itp.types import DecisionContext, HorizonChosen, Usage
from itp.world_model.imagination import NO_LIMITS, Limits

if TYPE_CHECKING:
    from itp.policy.model import Policy


@dataclass(frozen=True, slots=True)
class HorizonChoice:
    """K for one decision; `probs` is p(K | s) when a K-head gave it, `limits` what may end the imagination sooner."""

    horizon: int
    probs: tuple[float, ...] = ()
    usage: Usage = Usage()  # noqa: RUF009 (frozen)
    limits: Limits = NO_LIMITS
    parse: str = ""
    """How a prompted K was read: exact or unparsed."""


class HorizonSelector(Protocol):
    """Chooses K_t for every context."""

    name: str

    def select(self, contexts: Sequence[DecisionContext]) -> list[HorizonChoice]:
        """One choice per context."""
        ...


def tell_horizons(contexts: Sequence[DecisionContext], choices: Sequence[HorizonChoice]) -> None:
    """Tell whoever watches these decisions how far each will look."""
    for context, choice in zip(contexts, choices, strict=True):
        context.tell(HorizonChosen(choice.horizon))


class FixedHorizon:
    """The same K everywhere; K = 0 is plain reactive acting and stays 0."""

    def __init__(self, horizon: int) -> None:
        self.horizon = horizon
        self.name = f"fixed:{horizon}"

    def select(self, contexts: Sequence[DecisionContext]) -> list[HorizonChoice]:
        """See `HorizonSelector.select`."""
        return [HorizonChoice(self.horizon)] * len(contexts)


class DrawnHorizon:
    """Horizons that were chosen elsewhere, one for each context of the next call."""

    name = "drawn"

    def __init__(self, horizons: Sequence[int]) -> None:
        self.horizons = horizons

    def select(self, contexts: Sequence[DecisionContext]) -> list[HorizonChoice]:
        """See `HorizonSelector.select`."""
        return [HorizonChoice(horizon) for _, horizon in zip(contexts, self.horizons, strict=True)]


class RandomHorizon:
    """K uniform in 0..k_max, drawn from each context's own seed."""

    name = "random"

    def __init__(self, k_max: int) -> None:
        self.k_max = k_max

    def select(self, contexts: Sequence[DecisionContext]) -> list[HorizonChoice]:
        """See `HorizonSelector.select`."""
        return [HorizonChoice(random.Random(context.seed).randint(0, self.k_max)) for context in contexts]


class LearnedHorizon:
    """ITP-R: the K-head's most likely K, or another reading of its p(K | s).

    A drawn K comes from each context's own seed. A greedy agent that walks in a circle meets the same state again and
    again, and the most likely K is the same each time; a drawn one is not.

    Args:
        policy: a checkpoint with a K-head.
        sampled: draw K from p(K | s), as A2C does (Liu et al. 2026, eq. 7).
        quantile: take the least K with p(k <= K | s) >= this, between 0 and 1; the nearer to 1, the more is imagined.
        name: of a quantile that was chosen by something else than its number.
    """

    def __init__(self, policy: Policy, *, sampled: bool = False, quantile: float | None = None, name: str = "") -> None:
        self.policy, self.sampled, self.quantile = policy, sampled, quantile
        self.name = name or ("sampled" if sampled else "learned" if quantile is None else f"quantile:{quantile:g}")

    def select(self, contexts: Sequence[DecisionContext]) -> list[HorizonChoice]:
        """See `HorizonSelector.select`."""
        control = self.policy.control([context.state for context in contexts])
        choices = []
        for context, row, tokens in zip(contexts, control.horizon_probs(), control.prompt_tokens, strict=True):
            horizon = self._read(row, context.seed)
            choices.append(HorizonChoice(horizon, tuple(round(p, 4) for p in row), Usage(tokens, 0, 1)))
        return choices

    def _read(self, probs: Sequence[float], seed: int) -> int:
        if self.sampled:
            return random.Random(seed).choices(range(len(probs)), probs)[0]
        if self.quantile is None:
            return max(range(len(probs)), key=probs.__getitem__)
        return next((k for k, p in enumerate(accumulate(probs)) if p >= self.quantile), len(probs) - 1)
