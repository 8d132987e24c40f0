"""What `--horizon` may say, and the selector that it names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from itp.errors import ConfigError
from itp.planners.adaptive import BudgetHorizon, ConfidenceHorizon, UnsureHorizon
from itp.planners.horizon import FixedHorizon, HorizonSelector, LearnedHorizon, RandomHorizon
from itp.policy.calibration import stored_cut

if TYPE_CHECKING:
    from itp.policy.model import Policy

ALLOWED = (
    "fixed:K (such as fixed:3), random, learned, quantile:Q, share:S, sampled, prompted, unsure:S, "
    "confidence[:THRESHOLD] or budget:TOKENS[:HORIZON]"
)
K_HEAD = ("learned", "quantile", "share", "sampled")
"""Horizons that a K-head chooses."""
DEFAULT_MAX_STEPS = 50
"""Step limit that a budget is spread over where none is given: the usual one of ALFWorld."""


def parse_horizon(
    spec: str,
    *,
    policy: Policy | None,
    k_max: int,
    policy_path: str = "",
    world_model: str = "",
    max_steps: int | None = None,
    prompted: HorizonSelector | None = None,
) -> HorizonSelector:
    """The selector that a `--horizon` names; see `check_horizon` for what is allowed.

    Args:
        spec: the flag's value.
        policy: whose K-head `learned`, `quantile`, `share` and `sampled` read.
        k_max: largest K.
        policy_path: the flag's value; beside it lies the calibration of `share` and `unsure`.
        world_model: the flag's value; beside it lies the calibration of `confidence`.
        max_steps: step limit that `budget` is spread over; None stands for `DEFAULT_MAX_STEPS`.
        prompted: the selector that asks a model for K, where the planner has one.

    `budget:TOKENS` asks `prompted` where there is one, else the K-head.

    Raises:
        ConfigError: the value is not allowed, or does not fit the policy or the world model.
    """
    from itp.world_model.calibration import stored_threshold

    check_horizon(spec, k_max)
    kind, _, value = spec.partition(":")
    if kind in K_HEAD:
        if policy is None or policy.heads is None:
            raise ConfigError(
                f"--horizon {kind} needs a --policy with a K-head: run `itp train warmup`, or use fixed:K"
            )
        if kind == "share":
            return LearnedHorizon(policy, quantile=stored_cut(policy_path, spec), name=spec)
        return LearnedHorizon(policy, sampled=kind == "sampled", quantile=float(value) if value else None)
    if kind == "unsure":
        if policy is None:
            raise ConfigError(f"--horizon {spec} reads a trained policy's scores: use --planner itp, or prompted")
        return UnsureHorizon(policy, k_max, stored_cut(policy_path, spec), spec)
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
            inner or default,
            policy=policy,
            k_max=k_max,
            policy_path=policy_path,
            world_model=world_model,
            prompted=prompted,
        )
        return BudgetHorizon(selector, int(tokens), k_max, max_steps or DEFAULT_MAX_STEPS)
    return FixedHorizon(int(value))


def check_horizon(spec: str, k_max: int | None = None) -> None:
    """Refuse, never clamp, what no selector can be made of; nothing is loaded for that.

    Args:
        spec: `fixed:K`, `random`, `learned`, `quantile:Q` (0 < Q < 1), `share:S` and `unsure:S` (S in hundredths,
            0.01 to 0.99), `sampled`, `prompted`, `confidence[:THRESHOLD]` (a mean log-probability, 0 or less) or
            `budget:TOKENS[:HORIZON]` (HORIZON is any of the others).
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
    elif kind in ("share", "unsure"):
        if not _is_number(value, lambda share: 0 < share < 1 and abs(share * 100 - round(share * 100)) < 1e-9):
            raise ConfigError(
                f"--horizon {spec}: give a share of the looks in hundredths behind the colon, such as {kind}:0.45"
            )
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
