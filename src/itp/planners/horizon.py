"""How many steps to imagine: one selector decides for a whole batch. `parse_horizon` makes it from `--horizon`.

Here stand fixed, random and learned K; `itp.planners.adaptive` has the rules beyond the paper, confidence and budget.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

from itp.errors import ConfigError
from itp.types import DecisionContext, HorizonChosen, Usage
from itp.world_model.imagination import NO_LIMITS, Limits

if TYPE_CHECKING:
    from itp.policy.model import Policy

ALLOWED = (
    "fixed:K (such as fixed:3), random, learned, quantile:Q, sampled, prompted, confidence[:THRESHOLD] or "
    "budget:TOKENS[:HORIZON]"
)
K_HEAD = ("learned", "quantile", "sampled")
"""Horizons that a K-head chooses."""
DEFAULT_MAX_STEPS = 50
"""Step limit that a budget is spread over where none is given: the usual one of ALFWorld."""


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
    """

    def __init__(self, policy: Policy, *, sampled: bool = False, quantile: float | None = None) -> None:
        self.policy, self.sampled, self.quantile = policy, sampled, quantile
        self.name = "sampled" if sampled else "learned" if quantile is None else f"quantile:{quantile:g}"

    def select(self, contexts: Sequence[DecisionContext]) -> list[HorizonChoice]:
        """See `HorizonSelector.select`."""
        control = self.policy.control([context.state for context in contexts])
        probs_BK = control.horizon_logits_BK.softmax(-1).cpu()
        choices = []
        for context, row, tokens in zip(contexts, probs_BK.tolist(), control.prompt_tokens, strict=True):
            horizon = self._read(row, context.seed)
            choices.append(HorizonChoice(horizon, tuple(round(p, 4) for p in row), Usage(tokens, 0, 1)))
        return choices

    def _read(self, probs: Sequence[float], seed: int) -> int:
        if self.sampled:
            return random.Random(seed).choices(range(len(probs)), probs)[0]
        if self.quantile is None:
            return max(range(len(probs)), key=probs.__getitem__)
        return next((k for k, p in enumerate(accumulate(probs)) if p >= self.quantile), len(probs) - 1)


def parse_horizon(
    spec: str,
    *,
    policy: Policy | None,
    k_max: int,
    world_model: str = "",
    max_steps: int | None = None,
    prompted: HorizonSelector | None = None,
) -> HorizonSelector:
    """The selector that a `--horizon` names; see `check_horizon` for what is allowed.

    Args:
        spec: the flag's value.
        policy: whose K-head `learned`, `quantile` and `sampled` read.
        k_max: largest K.
        world_model: the flag's value; beside it lies the calibration of `confidence`.
        max_steps: step limit that `budget` is spread over; None stands for `DEFAULT_MAX_STEPS`.
        prompted: the selector that asks a model for K, where the planner has one.

    `budget:TOKENS` asks `prompted` where there is one, else the K-head.

    Raises:
        ConfigError: the value is not allowed, or does not fit the policy or the world model.
    """
    from itp.planners.adaptive import BudgetHorizon, ConfidenceHorizon
    from itp.world_model.calibration import stored_threshold

    check_horizon(spec, k_max)
    kind, _, value = spec.partition(":")
    if kind in K_HEAD:
        if policy is None or policy.heads is None:
            raise ConfigError(
                f"--horizon {kind} needs a --policy with a K-head: run `itp train warmup`, or use fixed:K"
            )
        return LearnedHorizon(policy, sampled=kind == "sampled", quantile=float(value) if value else None)
    if kind == "prompted":
        if prompted is None:
            raise ConfigError(f"--horizon {spec} needs a model that is asked for K: use --planner itp-i, or learned")
        return prompted
    if kind == "random":
        return RandomHorizon(k_max)
    if kind == "confidence":
        return ConfidenceHorizon(k_max, float(value) if value else stored_threshold(world_model))
    if kind == "budget":
        tokens, _, inner = value.partition(":")
        if not inner and prompted is None and (policy is None or policy.heads is None):
            raise ConfigError(
                f"--horizon {spec} asks the K-head where to spend, and --policy has none: run `itp train warmup`, "
                f"or name who asks for K, such as {spec}:fixed:{k_max}"
            )
        default = "learned" if prompted is None else "prompted"
        selector = parse_horizon(
            inner or default, policy=policy, k_max=k_max, world_model=world_model, prompted=prompted
        )
        return BudgetHorizon(selector, int(tokens), k_max, max_steps or DEFAULT_MAX_STEPS)
    return FixedHorizon(int(value))


def check_horizon(spec: str, k_max: int | None = None) -> None:
    """Refuse, never clamp, what no selector can be made of; nothing is loaded for that.

    Args:
        spec: `fixed:K`, `random`, `learned`, `quantile:Q` (0 < Q < 1), `sampled`, `prompted`,
            `confidence[:THRESHOLD]` (a mean log-probability, 0 or less) or `budget:TOKENS[:HORIZON]` (HORIZON is any of
            the others).
        k_max: largest K, where it is known.

    Raises:
        ConfigError: the value is not allowed.
    """
    kind, colon, value = spec.partition(":")
    if spec in ("random", "learned", "sampled", "prompted", "confidence"):
        return
    if kind == "fixed" and value.isdecimal():
        if k_max is not None and int(value) > k_max:
            raise ConfigError(f"--horizon {spec} exceeds K_max={k_max}: lower it, or raise --k-max")
    elif kind == "confidence" and colon:
        if not _is_number(value, lambda x: -float("inf") < x <= 0):
            raise ConfigError(
                f"--horizon {spec}: {value or 'nothing'} is no mean log-probability: give 0 or less, such as "
                "confidence:-0.1, or plain confidence for the calibrated threshold"
            )
    elif kind == "quantile":
        if not _is_number(value, lambda q: 0 < q < 1):
            raise ConfigError(f"--horizon {spec}: give a number between 0 and 1 behind the colon, such as quantile:0.8")
    elif kind == "budget":
        _check_budget(spec, value, k_max)
    else:
        raise ConfigError(f"--horizon {spec} is unknown: choose {ALLOWED}")


def _check_budget(spec: str, value: str, k_max: int | None) -> None:
    tokens, colon, inner = value.partition(":")
    if not tokens.isdecimal() or int(tokens) == 0:
        raise ConfigError(f"--horizon {spec} names no tokens per episode: write for example budget:2000")
    if colon and (not inner or inner.startswith("budget")):
        raise ConfigError(f"--horizon {spec}: behind the tokens stands another horizon, such as budget:{tokens}:random")
    if inner:
        check_horizon(inner, k_max)


def _is_number(text: str, allowed: Callable[[float], bool]) -> bool:
    try:
        return allowed(float(text))
    except ValueError:
        return False
