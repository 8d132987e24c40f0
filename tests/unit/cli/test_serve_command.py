"""Flags and messages of `itp serve`, without serving."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from itp.cli.main import main
from itp.envs.remote.server import EnvServer
from models import save_policy


@pytest.fixture(autouse=True)
def serve_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EnvServer, "serve_here", lambda self: None)
    monkeypatch.delenv("A_TOKEN", raising=False)


@pytest.fixture
def policy(tmp_path: Path) -> str:
    script = tmp_path / "script.json"
    script.write_text(json.dumps([["", "Action: look"]]))
    return f"scripted:{script}"


def test_it_says_what_decides_where(capsys: pytest.CaptureFixture[str], policy: str) -> None:
    assert main(["serve", "--policy", policy, "--port", "0", "--horizon", "fixed:2"]) == 0
    output = capsys.readouterr()
    assert output.out.startswith("deciding by itp-i fixed:2 at http://127.0.0.1:")
    assert output.out.endswith("stopped: 0 decisions in 0 batches, 0 sessions\n")
    assert output.err == ""


def test_a_trained_policy_with_texts_to_avoid(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = save_policy(tmp_path / "policy", k_max=2)
    flags = ["--policy", folder, "--world-model", "rules", "--planner", "itp", "--horizon", "quantile:0.9"]
    assert main(["serve", *flags, "--avoid", "for good", "breaks", "--no-avoid-returns", "--port", "0"]) == 0
    assert capsys.readouterr().out.startswith("deciding by itp quantile:0.9 avoid at http://127.0.0.1:")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--policy", ""], "--planner itp-i needs --policy"),
        (["--planner", "nonesuch"], "--planner nonesuch is unknown: choose one of act, itp, "),
        (["--planner", "wkm"], "--planner wkm is unknown"),
        (["--planner", "itp"], "--planner itp needs --world-model"),
        (["--avoid", "for good"], "--avoid takes texts, and works with --planner itp only"),
        (["--no-avoid-returns"], "--no-avoid-returns does nothing without --avoid"),
        (["--horizon", "fixed:9"], "--horizon fixed:9 exceeds K_max=5"),
        (["--world-model", "exact"], "--world-model exact is the environment's own engine"),
        (["--k-max", "0"], "--k-max 0 is too small"),
        (["--parallel", "-1"], "--parallel -1 is too small"),
        (["--batch-window", "60"], "--batch-window 60 is not allowed"),
        (["--max-sessions", "0"], "--max-sessions 0 must be more than 0"),
        (["--max-body", "0"], "--max-body 0"),
        (["--max-commands", "0"], "--max-commands 0"),
        (["--idle-timeout", "0"], "--idle-timeout 0"),
        (["--port", "70000"], "--port 70000 is no port"),
        (["--token-env", "A_TOKEN"], "--token-env A_TOKEN: the variable is empty"),
        (["--host", "0.0.0.0"], "--host 0.0.0.0 lets other machines in: name an environment variable"),
    ],
)
def test_flags_that_cannot_work(capsys: pytest.CaptureFixture[str], policy: str, flags: list[str], said: str) -> None:
    assert main(["serve", "--policy", policy, "--port", "0", *flags]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("itp: error: ")
    assert output.err.count("\n") == 1
    assert said in output.err


def test_other_machines_need_a_token(
    capsys: pytest.CaptureFixture[str], policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["serve", "--policy", policy, "--port", "0", "--host", "0.0.0.0", "--token-env", "A_TOKEN"]
    monkeypatch.setenv("A_TOKEN", "two words")
    assert main(flags) == 2
    assert "must hold one word" in capsys.readouterr().err
    monkeypatch.setenv("A_TOKEN", "s3cret")
    assert main(flags) == 0
    output = capsys.readouterr()
    assert "s3cret" not in output.out + output.err
