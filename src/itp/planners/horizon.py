"""How many steps to imagine: fixed, random, or read from the K-head. One selector decides for a whole batch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from itp.errors import ConfigError
from itp.policy.model import Policy
from itp.types import DecisionContext, Usage


@dataclass(frozen=True, slots=True)
class HorizonChoice:
    """K for one decision; `probs` is p(K | s) when a K-head gave it."""

    horizon: int
    probs: tuple[float, ...] = ()
    usage: Usage = Usage()  # noqa: RUF009 (frozen)


class HorizonSelector(Protocol):
    """Chooses K_t for every context."""

    name: str

    def select(self, contexts: Sequence[DecisionContext]) -> list[HorizonChoice]:
        """One choice per context."""
        ...


class FixedHorizon:
    """The same K everywhere; K = 0 is plain reactive acting and stays 0."""

    def __init__(self, horizon: int) -> None:
        self.horizon = horizon
        self.name = f"fixed:{horizon}"

    def select(self, contexts: Sequence[DecisionContext]) -> list[HorizonChoice]:
        """See `HorizonSelector.select`."""
        return [HorizonChoice(self.horizon)] * len(contexts)


class RandomHorizon:
    """K uniform in 0..k_max, drawn from each context's own seed."""

    name = "random"

    def __init__(self, k_max: int) -> None:
        self.k_max = k_max

    def select(self, contexts: Sequence[DecisionContext]) -> list[HorizonChoice]:
        """See `HorizonSelector.select`."""
        return [HorizonChoice(random.Random(context.seed).randint(0, self.k_max)) for context in contexts]


class LearnedHorizon:
    """ITP-R: the K-head's most likely K."""

    name = "learned"

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def select(self, contexts: Sequence[DecisionContext]) -> list[HorizonChoice]:
        """See `HorizonSelector.select`."""
        control = self.policy.control([context.state for context in contexts])
        probs_BK = control.horizon_logits_BK.softmax(-1).cpu()
        choices = []
        for probs, tokens in zip(probs_BK, control.prompt_tokens, strict=True):
            choices.append(
                HorizonChoice(int(probs.argmax()), tuple(round(p, 4) for p in probs.tolist()), Usage(tokens, 0, 1))
            )
        return choices


def parse_horizon(spec: str, *, policy: Policy | None, k_max: int) -> HorizonSelector:
    """Read `fixed:K`, `random` or `learned`. Raises ConfigError with what is allowed."""
    if spec == "learned":
        if policy is None or policy.heads is None:
            raise ConfigError(
                "--horizon learned needs a --policy with a K-head: run `itp train warmup`, or use fixed:K"
            )
        return LearnedHorizon(policy)
    if spec == "random":
        return RandomHorizon(k_max)
    return FixedHorizon(check_fixed(spec, k_max))


def check_fixed(spec: str, k_max: int) -> int:
    """K of a `fixed:K` spec, refused (never clamped) outside 0..k_max."""
    kind, _, number = spec.partition(":")
    if kind != "fixed" or not number.isdecimal():
        raise ConfigError(f"--horizon {spec} is unknown: choose fixed:K (such as fixed:3), random or learned")
    if int(number) > k_max:
        raise ConfigError(f"--horizon {spec} exceeds K_max={k_max}: lower it, or raise --k-max")
    return int(number)
