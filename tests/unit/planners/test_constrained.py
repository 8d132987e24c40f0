"""`--action constrained`: what is written is a command of the environment, whatever the policy is like."""

from __future__ import annotations

from pathlib import Path

import pytest

from itp.cli.main import main
from itp.trace.store import TraceStore
from models import save_policy, save_world_model

PLAY = (
    "eval",
    "--env",
    "household",
    "--split",
    "valid",
    "--episodes",
    "2",
    "--max-steps",
    "4",
    "--action-tokens",
    "40",
)


def test_a_random_policy_writes_admissible_commands_only(tmp_path: Path) -> None:
    policy, world_model = save_policy(tmp_path / "policy"), save_world_model(tmp_path / "world_model")
    looks = ("--horizon", "fixed:1", "--world-model", world_model, "--avoid", "for good")
    for name, words in (("act", ("--planner", "act")), ("itp", ("--planner", "itp", *looks))):
        given = (*PLAY, *words, "--policy", policy, "--action", "constrained", "--out", str(tmp_path / name))
        assert main([*given]) == 0
        steps = [step for t in TraceStore(tmp_path / name / "traces.jsonl").read() for step in t.steps]
        assert steps
        assert all(step.decision.action in (step.admissible or ()) for step in steps)
        assert name == "act" or any(len(step.decision.foresight) for step in steps)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--env", "workers_toys:told"), "lists its commands or tells their grammar"),
        (("--env", "household", "--planner", "react", "--policy", "transformers:nowhere"), "for trained checkpoints"),
    ],
)
def test_where_it_cannot_work_it_is_refused_in_one_line(
    words: tuple[str, ...], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    policy = () if "--policy" in words else ("--planner", "act", "--policy", save_policy(tmp_path / "policy"))
    given = ("eval", *words, *policy, "--action", "constrained", "--episodes", "1", "--out", str(tmp_path / "out"))
    assert main([*given]) == 2
    assert message in capfd.readouterr().err
