"""`itp demo --train`: every stage, the table and one decision in full, at a size that proves the plumbing only."""

from __future__ import annotations

from pathlib import Path

import pytest

from itp.cli.main import main

SMALL = ["--tasks", "12", "--episodes", "2", "--label-states", "8", "--updates", "1"]


@pytest.mark.slow
def test_the_demo_prints_a_row_for_each_planner_and_one_decision_and_resumes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from itp.cli import demo_train

    monkeypatch.setattr(demo_train, "MAX_OBSERVATION", 4)
    command = ["demo", "--train", "--out", str(tmp_path / "demo"), *SMALL]
    assert main(command) == 0
    printed = capfd.readouterr().out
    table = printed[printed.index("unseen games") :]
    for row in ("act", "itp fixed:1", "itp fixed:3", "itp learned"):
        assert row in table
    assert "One decision in full" in printed
    assert main(command) == 0
    again = capfd.readouterr().out
    assert "done." in again
    assert "One decision in full" in again


def test_the_demo_refuses_a_size_of_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--train", "--out", str(tmp_path / "demo"), "--episodes", "0"]) == 2
    assert "at least 1" in capfd.readouterr().err
    assert not (tmp_path / "demo").exists()
