"""What a checkpoint's K-head does and does not limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from itp.cli.main import main
from itp.trace.store import TraceStore
from models import save_policy

PLAY = ("--env", "household", "--split", "valid", "--episodes", "1", "--max-steps", "2", "--world-model", "rules")


def test_a_fixed_horizon_may_be_longer_than_the_k_heads_and_a_learned_one_may_not(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    policy = save_policy(tmp_path / "policy", k_max=1)
    given = ("eval", *PLAY, "--planner", "itp", "--policy", policy, "--avoid", "for good")
    assert main([*given, "--horizon", "fixed:2", "--out", str(tmp_path / "no")]) == 2
    assert "raise --k-max" in capfd.readouterr().err
    assert main([*given, "--horizon", "fixed:2", "--k-max", "2", "--out", str(tmp_path / "fixed")]) == 0
    (trajectory,) = TraceStore(tmp_path / "fixed" / "traces.jsonl").read()
    assert trajectory.steps[0].decision.horizon == 2
    assert main([*given, "--horizon", "learned", "--k-max", "2", "--out", str(tmp_path / "learned")]) == 2
    assert "pass --k-max 1" in capfd.readouterr().err
