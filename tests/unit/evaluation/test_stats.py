"""Intervals and tests against published figures and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from itp.evaluation.stats import bootstrap_mean_interval, holm, mcnemar, t_interval, wilson_interval


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


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (0, 6, 0.03125),  # 2 / 2^6
        (10, 2, 158 / 4096),  # 2 (1 + 12 + 66) / 2^12
        (59, 7, 2.4e-11),
    ],
)
def test_mcnemar_is_the_exact_sign_test_of_the_discordant_pairs(
    only_first: int, only_second: int, p_value: float
) -> None:
    assert mcnemar(only_first, only_second) == pytest.approx(p_value, rel=0.02)
    assert mcnemar(only_second, only_first) == mcnemar(only_first, only_second)


def test_mcnemar_tends_to_its_chi_squared_form() -> None:
    from scipy.stats import chi2

    b, c = 260, 200
    assert mcnemar(b, c) == pytest.approx(chi2.sf((abs(b - c) - 1) ** 2 / (b + c), 1), rel=0.02)
    with pytest.raises(ValueError, match="impossible"):
        mcnemar(-1, 2)


def test_holm_against_his_own_steps() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_lies_between_the_raw_and_bonferronis(p_values: list[float]) -> None:
    corrected = holm(p_values)
    for raw, value in zip(p_values, corrected, strict=True):
        assert raw <= value <= min(1.0, len(p_values) * raw) + 1e-12
    ranked = sorted(zip(p_values, corrected, strict=True))
    assert [value for _, value in ranked] == sorted(corrected)


def test_the_t_interval_of_scipy() -> None:
    from scipy.stats import ttest_1samp

    values = [0.665, 0.695, 0.69]
    wanted = ttest_1samp(values, 0).confidence_interval(0.95)
    assert t_interval(values) == pytest.approx((wanted.low, wanted.high))
    assert t_interval([0.5]) is None
