"""Advantages, targets and the price of imagination, against slow and plain references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itp.training.advantages import Rollout, explained_variance, generalized_advantages, horizon_cost


def random_rollout(seed: int, steps: int = 7, envs: int = 4) -> Rollout:
    """Episodes end in both ways; a next value belongs to the same episode, as the loop sees to."""
    draw = np.random.default_rng(seed)
    terminated = draw.random((steps, envs)) < 0.2
    truncated = (draw.random((steps, envs)) < 0.2) & ~terminated
    values, next_values = draw.normal(size=(steps, envs)), draw.normal(size=(steps, envs))
    for t in range(steps - 1):
        goes_on = ~(terminated[t] | truncated[t])
        next_values[t, goes_on] = values[t + 1, goes_on]
    return Rollout(draw.normal(size=(steps, envs)), values, next_values, terminated, truncated)


def slow_advantage(rollout: Rollout, t: int, n: int, gamma: float, lam: float) -> float:
    """The sum over λ-weighted TD errors, up to the end of the episode or of the rollout."""
    total, weight = 0.0, 1.0
    for step in range(t, len(rollout.rewards_TN)):
        ended = rollout.terminated_TN[step, n]
        bootstrap = 0.0 if ended else rollout.next_values_TN[step, n]
        total += weight * (rollout.rewards_TN[step, n] + gamma * bootstrap - rollout.values_TN[step, n])
        if ended or rollout.truncated_TN[step, n]:
            break
        weight *= gamma * lam
    return total


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.9, 0.99, 1.0]), st.sampled_from([0.0, 0.5, 0.95, 1.0]))
def test_gae_equals_the_slow_sum(seed: int, gamma: float, lam: float) -> None:
    rollout = random_rollout(seed)
    advantages, targets = generalized_advantages(rollout, gamma=gamma, gae_lambda=lam)
    for t in range(7):
        for n in range(4):
            assert advantages[t, n] == pytest.approx(slow_advantage(rollout, t, n, gamma, lam))
    np.testing.assert_allclose(targets, advantages + rollout.values_TN)


def test_lambda_0_is_the_one_step_td_target_of_the_paper() -> None:
    rollout = random_rollout(1)
    _, targets = generalized_advantages(rollout, gamma=0.9, gae_lambda=0.0)
    alive = np.where(rollout.terminated_TN, 0.0, rollout.next_values_TN)
    np.testing.assert_allclose(targets, rollout.rewards_TN + 0.9 * alive)


def test_lambda_1_is_the_n_step_return() -> None:
    no = np.zeros((3, 1), dtype=bool)
    values = np.array([[5.0], [6.0], [7.0]])
    rollout = Rollout(np.array([[1.0], [2.0], [3.0]]), values, np.array([[6.0], [7.0], [10.0]]), no, no)
    _, targets = generalized_advantages(rollout, gamma=0.5, gae_lambda=1.0)
    np.testing.assert_allclose(targets[:, 0], [1 + 1 + 0.75 + 1.25, 2 + 1.5 + 2.5, 3 + 5])


def one_step(*, terminated: bool, truncated: bool) -> float:
    rollout = Rollout(
        np.array([[1.0]]), np.array([[0.5]]), np.array([[4.0]]), np.array([[terminated]]), np.array([[truncated]])
    )
    return float(generalized_advantages(rollout, gamma=0.5)[1][0, 0])


def test_a_truncated_episode_bootstraps_and_a_terminated_one_does_not() -> None:
    assert one_step(terminated=False, truncated=True) == 1 + 0.5 * 4
    assert one_step(terminated=True, truncated=False) == 1
    assert one_step(terminated=False, truncated=False) == 1 + 0.5 * 4


def test_nothing_flows_from_one_episode_into_the_one_before_it() -> None:
    for end in ("terminated_TN", "truncated_TN"):
        rollout = random_rollout(2)
        for name in ("terminated_TN", "truncated_TN"):
            getattr(rollout, name)[3] = name == end
        before = generalized_advantages(rollout, gae_lambda=0.95)[0][:4].copy()
        rollout.rewards_TN[4:] += 100
        np.testing.assert_array_equal(generalized_advantages(rollout, gae_lambda=0.95)[0][:4], before)


def test_explained_variance() -> None:
    targets = np.array([1.0, 2.0, 4.0])
    assert explained_variance(targets, targets) == 1
    assert explained_variance(np.full(3, 2.0), targets) == pytest.approx(0)
    assert explained_variance(-targets, targets) < 0
    assert explained_variance(targets, np.ones(3)) == 0


@pytest.mark.parametrize(
    ("mode", "progress", "cost"),
    [
        ("paper", 0.0, 0.2 * 3),
        ("paper", 1.0, 0.2 * 3),
        ("per-token", 0.3, 0.2 * 50 / 100),
        ("annealed", 0.0, 0.0),
        ("annealed", 0.25, 0.2 * 3 / 2),
        ("annealed", 0.5, 0.2 * 3),
        ("annealed", 1.0, 0.2 * 3),
    ],
)
def test_the_price_of_three_steps_and_fifty_tokens(mode: str, progress: float, cost: float) -> None:
    assert horizon_cost(mode, 0.2, horizon=3, imagined_tokens=50, progress=progress) == pytest.approx(cost)


@pytest.mark.parametrize("mode", ["paper", "per-token", "annealed"])
def test_not_imagining_is_free(mode: str) -> None:
    assert horizon_cost(mode, 0.2, horizon=0, imagined_tokens=0, progress=1.0) == 0
