"""Returns and advantages for A2C: pure functions on arrays, tested apart from any model.

Axes: T rollout steps, N environments. An episode that was cut by its step limit (truncated) did not fail: its last step
bootstraps from the value of the state it was cut in. A terminated one does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
COST_MODES = ("paper", "per-token", "annealed")
"""What λ_K charges; see `horizon_cost`."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """What advantages are computed from.

    Attributes:
        rewards_TN: r_t.
        values_TN: V(s_t).
        next_values_TN: V(s_{t+1}), taken before a reset; ignored where the step terminated.
        terminated_TN: True where the episode ended in a terminal state.
        truncated_TN: True where it was cut by the step limit.
    """

    rewards_TN: Floats
    values_TN: Floats
    next_values_TN: Floats
    terminated_TN: NDArray[np.bool_]
    truncated_TN: NDArray[np.bool_]


def generalized_advantages(rollout: Rollout, *, gamma: float = 0.99, gae_lambda: float = 0.0) -> tuple[Floats, Floats]:
    """Advantages A and value targets V̂, both [T, N] (Schulman et al. 2016).

    With `gae_lambda` 0 this is the one-step TD target r + γ V(s') of Liu et al. 2026, eqs. 7-8; with 1 it is the
    n-step return bootstrapped at the end of the rollout.
    """
    alive_TN = ~rollout.terminated_TN
    deltas_TN = rollout.rewards_TN + gamma * rollout.next_values_TN * alive_TN - rollout.values_TN
    carries_TN = ~(rollout.terminated_TN | rollout.truncated_TN)
    advantages_TN = np.zeros_like(deltas_TN)
    running_N = np.zeros(deltas_TN.shape[1])
    for t in range(len(deltas_TN) - 1, -1, -1):
        running_N = deltas_TN[t] + gamma * gae_lambda * carries_TN[t] * running_N
        advantages_TN[t] = running_N
    return advantages_TN, advantages_TN + rollout.values_TN


def explained_variance(values: Floats, targets: Floats) -> float:
    """1 − Var(targets − values) / Var(targets); 0 for constant targets, 1 is perfect."""
    variance = float(np.var(targets))
    return 0.0 if variance == 0 else 1.0 - float(np.var(targets - values)) / variance


def horizon_cost(mode: str, lambda_k: float, *, horizon: int, imagined_tokens: int, progress: float) -> float:
    """The price of one imagination in the reward.

    Args:
        mode: "paper" charges λ_K per step; "per-token" λ_K per 100 imagined tokens; "annealed" λ_K per step, rising
            linearly from 0 over the first half of training.
        lambda_k: λ_K.
        horizon: K.
        imagined_tokens: tokens the imagination generated, policy and world model together.
        progress: share of training done, 0 to 1.
    """
    if mode == "per-token":
        return lambda_k * imagined_tokens / 100
    return lambda_k * horizon * (min(1.0, 2 * progress) if mode == "annealed" else 1.0)
