"""The price table."""

from __future__ import annotations

from pathlib import Path

import pytest

from itp.errors import ConfigError
from itp.evaluation.prices import load_prices
from itp.types import Usage


def test_cost_of_usage(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("a: {prompt: 2, cached_prompt: 0.5, completion: 10}\nb/c: {prompt: 1, completion: 0}\n")
    prices = load_prices(path)
    usage = Usage(prompt_tokens=1_000_000, completion_tokens=100_000, cached_tokens=400_000)
    assert prices["a"].cost(usage) == pytest.approx(0.6 * 2 + 0.4 * 0.5 + 0.1 * 10)
    assert prices["b/c"].cost(usage) == pytest.approx(1.0)
    assert prices["a"].cost(Usage()) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "cannot be read"),
        ("", "holds no prices"),
        ("- a", "holds no prices"),
        ("a: {prompt: 1}", "a has no such price"),
        ("a: {prompt: 1, completion: 1, output: 1}", "a has no such price"),
        ("a: {prompt: -1, completion: 1}", "a has no such price"),
        ("a: {prompt: true, completion: 1}", "a has no such price"),
        ("a: {prompt: .nan, completion: 1}", "a has no such price"),
        ("a: 3", "a has no such price"),
    ],
)
def test_tables_that_cannot_be(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        load_prices(path)
    assert "\n" not in str(caught.value)


def test_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--prices .*none\.yaml cannot be read"):
        load_prices(tmp_path / "none.yaml")
