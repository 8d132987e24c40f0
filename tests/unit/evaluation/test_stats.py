"""Intervals against published figures."""

from __future__ import annotations

import numpy as np
import pytest

from itp.evaluation.stats import bootstrap_mean_interval, wilson_interval


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
    ],
)
def test_wilson_interval(successes: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_of_nothing_says_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "n"), [(-1, 3), (4, 3)])
def test_impossible_counts(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="impossible"):
        wilson_interval(successes, n)


def test_bootstrap_agrees_with_the_normal_interval_of_a_large_sample() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, size=2000).tolist()
    interval = bootstrap_mean_interval(values)
    assert interval is not None
    margin = 1.96 * np.std(values) / np.sqrt(len(values))
    assert interval == pytest.approx((np.mean(values) - margin, np.mean(values) + margin), abs=0.015)
    assert interval == bootstrap_mean_interval(values)


def test_bootstrap_without_spread() -> None:
    assert bootstrap_mean_interval([2.0, 2.0, 2.0]) == (2.0, 2.0)
    assert bootstrap_mean_interval([2.0]) is None
    assert bootstrap_mean_interval([]) is None
