"""A sweep's YAML: which runs it names, and what is wrong with it."""

from __future__ import annotations

import pytest
import yaml

from itp.errors import ConfigError
from itp.harness.grid import expand


def runs(text: str) -> dict[str, dict[str, object]]:
    return expand(yaml.safe_load(text), "s.yaml")


def test_runs_are_crossed_with_axes_labels_and_seeds() -> None:
    found = runs("""
        common: {env: household, max-steps: 5}
        runs:
          act: {planner: act}
          itp: {planner: itp, max_steps: 9, grid: {horizon: [fixed:1, learned]}}
        grid: {stage: {sft: {policy: a/b}, rl: {policy: c/d}}}
        seeds: [0, 1]
    """)
    assert list(found)[:4] == ["act_sft_seed=0", "act_sft_seed=1", "act_rl_seed=0", "act_rl_seed=1"]
    assert len(found) == 4 + 8
    assert found["itp_rl_horizon=fixed-1_seed=1"] == {
        "env": "household", "max_steps": 9, "planner": "itp", "policy": "c/d", "horizon": "fixed:1", "seed": 1,
    }  # fmt: skip


def test_a_sweep_of_one_run_needs_no_axes() -> None:
    assert runs("runs: {r: {planner: random}}") == {"r": {"planner": "random"}}
    assert runs("runs: {r: }") == {"r": {}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "must hold `key: value` lines, not list"),
        ("run: {a: {}}", "unknown key 'run': did you mean runs"),
        ("common: {}", "runs is missing"),
        ("runs: {a/b: {}}", "cannot name a run"),
        ("runs: {a: 3}", "runs: a must hold"),
        ("runs: {a: {}}\ngrid: {seed: 3}", "give a list of values"),
        ("runs: {a: {}}\nseeds: 3", "give a list of values"),
        ("runs: {a: {seed: 1}}\nseeds: [1, 2]", "seed is set twice, once by the axis seed"),
        ("runs: {a: {grid: {x: [1]}}}\ngrid: {x: [2]}", "axis x is one of all runs already"),
        ("runs: {a: {}}\ngrid: {p: ['x:y', 'x/y']}", "two runs would be named a_p=x-y"),
        ("runs: {a: {}}\ncommon: {max-steps: 1, max_steps: 2}", "max_steps is given twice"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        runs(text)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("s.yaml")
