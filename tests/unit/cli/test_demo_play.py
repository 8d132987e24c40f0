"""`itp demo`: shipped checkpoints are played, shown and resumed; what cannot be played is skipped or refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from itp.cli.demo_sets import Row, choose_sets, find_checkpoints
from itp.cli.demo_show import learned_row, pick_decision
from itp.cli.main import main
from itp.types import Decision, ImaginedStep, ImaginedTrajectory, Step, StopReason, Task, Trajectory
from models import save_policy, save_world_model

PLAY: dict[str, Any] = {
    "about": "random weights",
    "env": "household",
    "split": "valid",
    "episodes": 3,
    "max_steps": 3,
    "batch_size": 3,
    "avoid": ["for good"],
    "world_model": "learned",
    "rows": [
        {"title": "acts at once", "planner": "act"},
        {"title": "looks ahead", "planner": "itp", "horizon": "learned"},
    ],
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_policy(folder / "policy", k_max=1)
    save_world_model(folder / "world_model", max_observation_tokens=4)
    return folder


@pytest.fixture
def shipped(tmp_path: Path, models: Path) -> Path:
    """A folder of checkpoints with one set, household."""
    shutil.copytree(models, tmp_path / "ck" / "household")
    write_play(tmp_path / "ck" / "household")
    return tmp_path / "ck"


def write_play(folder: Path, **changes: Any) -> None:
    (folder / "play.yaml").write_text(yaml.safe_dump({**PLAY, **changes}))


def demo(shipped: Path, *words: str) -> int:
    return main(["demo", "--checkpoints", str(shipped), "--out", str(shipped.parent / "out"), *words])


def test_a_set_is_played_shown_reported_and_resumed(shipped: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert demo(shipped) == 0
    printed = capfd.readouterr().out
    assert "household: random weights" in printed
    table = printed[printed.index("the same 3 games") :]
    for part in ("acts at once", "looks ahead", "irreversible", "s/decision", "K of looks ahead: K=", "Game by game"):
        assert part in table
    out = shipped.parent / "out"
    runs = [out / "household" / name for name in ("act", "itp-learned")]
    tasks = [[json.loads(line)["task"]["task_id"] for line in (run / "traces.jsonl").open()] for run in runs]
    assert sorted(tasks[0]) == sorted(tasks[1])
    assert len(tasks[0]) == 3
    config = json.loads((runs[1] / "results.json").read_text())["config"]
    assert config["world_model"] == str(shipped / "household" / "world_model")
    assert config["avoid"] == ["for good"]
    assert (out / "report.html").stat().st_size > 10_000
    before = [(run / "traces.jsonl").read_bytes() for run in runs]
    assert demo(shipped) == 0
    assert table[: table.index("Every figure")] in capfd.readouterr().out
    assert [(run / "traces.jsonl").read_bytes() for run in runs] == before


def test_other_weights_are_not_shown_beside_old_figures(shipped: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert demo(shipped, "--episodes", "1") == 0
    save_policy(shipped / "household" / "policy", k_max=1, seed=5)
    assert demo(shipped, "--episodes", "1") == 2
    assert "was played with other files" in capfd.readouterr().err


def test_what_cannot_be_played_is_skipped_with_one_line(
    shipped: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path / "nothing"))
    monkeypatch.setattr("shutil.which", lambda name: None)
    for name, split in (("alfworld", "valid_seen"), ("scienceworld", "test_seen")):
        shutil.copytree(shipped / "household", shipped / name)
        write_play(shipped / name, env=name, split=split)
    assert demo(shipped, "--only", "alfworld", "scienceworld") == 2
    printed = capfd.readouterr()
    assert [line.partition(":")[0] for line in printed.out.splitlines() if "skipped" in line] == [
        "alfworld is skipped",
        "scienceworld is skipped",
    ]
    assert "ALFWORLD_DATA" in printed.out
    assert "Java" in printed.out
    assert "none of the sets" in printed.err
    assert demo(shipped, "--episodes", "1") == 0
    printed = capfd.readouterr()
    assert "alfworld is skipped" in printed.out
    assert "household/valid, the same 1 games" in printed.out


def test_a_set_that_takes_minutes_is_played_when_it_is_asked_for(
    shipped: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(shipped / "household", shipped / "long")
    write_play(shipped / "long", asked=True, episodes=1, action="constrained", action_tokens=8, proposals=2, workers=1)
    assert demo(shipped, "--episodes", "1") == 0
    assert "long is skipped: it takes minutes: itp demo --only long" in capfd.readouterr().out
    assert demo(shipped, "--only", "long") == 0
    assert "long: " in capfd.readouterr().out
    assert {config.proposals for config in choose_sets(shipped, ("long",))[0].evaluations(Path())} == {2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"episodes": "many"}, "expected int"),
        ({"episodes": 10**6}, "episodes is 1000000, but valid has"),
        ({"episodes": 0}, "episodes must be at least 1"),
        ({"proposals": 0}, "proposals must be at least 1"),
        ({"world_model": "best"}, "expected one of learned, rules, exact"),
        ({"rows": []}, "a list `rows`"),
        ({"rows": [{"planner": "act"}]}, "title is missing"),
        ({"rows": [{"title": "x", "planner": "actor"}]}, "row 'x': --planner actor is unknown"),
        ({"rows": [{"title": "x", "planner": "act"}, {"title": "y", "planner": "act"}]}, "two rows"),
        ({"rows": ["act"]}, "rows must hold `key: value` lines, not 'act'"),
        ({"split": "moon"}, "moon"),
        ({"env_option": ["rooms"]}, "--env-option rooms is no KEY=VALUE"),
    ],
)
def test_a_bad_play_file_is_refused_in_one_line(
    changes: dict[str, Any], message: str, shipped: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_play(shipped / "household", **changes)
    assert demo(shipped) == 2
    said = capfd.readouterr().err
    assert message in said
    assert "play.yaml" in said
    assert said.count("\n") == 1
    assert not (shipped.parent / "out").exists()


@pytest.mark.parametrize("horizon", ["", "learned", "sampled", "quantile:0.9"])
def test_the_row_that_is_told_of_is_one_whose_k_head_chooses(horizon: str) -> None:
    rows = [Row(title="a", planner="act"), Row(title="k", horizon=horizon), Row(title="one", horizon="fixed:1")]
    assert learned_row([(row, {}, ()) for row in rows])[0].title == "k"


def test_missing_and_damaged_checkpoints_are_refused_in_one_line(
    shipped: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def refused(*words: str, folder: Path = shipped) -> str:
        assert demo(folder, *words) == 2
        said = capfd.readouterr().err.splitlines()
        assert len(said) == 1
        return said[0]

    assert "name their folder with --checkpoints" in refused(folder=tmp_path / "nothing")
    assert "--only moon is no set of" in refused("--only", "moon")
    policy = shipped / "household" / "policy"
    for name, message in (("itp_heads.safetensors", "no readable heads"), ("tokenizer.json", "could not be loaded")):
        content = (policy / name).read_bytes()
        (policy / name).write_bytes(content[: len(content) // 2])
        assert message in refused()
        (policy / name).write_bytes(content)
    assert demo(shipped, "--episodes", "1") == 0  # whole again, in the same folder
    capfd.readouterr()
    (policy / "model.safetensors").unlink()
    assert "policy is incomplete, model.safetensors is missing" in refused()
    shutil.rmtree(shipped / "household" / "world_model")
    (policy / "model.safetensors").write_bytes(b"half")
    assert "world_model is incomplete, config.json is missing" in refused()
    (shipped / "alfworld").mkdir()
    assert "play.yaml is missing" in refused("--only", "alfworld")


def test_flags_that_would_do_nothing_are_refused(shipped: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert demo(shipped, "--tasks", "5") == 2
    assert "need --train" in capfd.readouterr().err
    assert demo(shipped, "--train") == 2
    assert "leave --checkpoints and --only out" in capfd.readouterr().err


def test_checkpoints_are_looked_for_here_first(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped.rename(shipped.with_name("checkpoints"))
    monkeypatch.chdir(shipped.parent)
    assert find_checkpoints(None) == Path("checkpoints")
    assert [one.name for one in choose_sets(Path("checkpoints"))] == ["household"]


def look(action: str, observation: str) -> ImaginedTrajectory:
    return ImaginedTrajectory((ImaginedStep(action, observation),))


def played(name: str, *decisions: Decision, won: bool = True) -> Trajectory:
    steps = tuple(Step(decision, "seen") for decision in decisions)
    return Trajectory(Task(name, "goal"), "a room", steps, StopReason.WON if won else StopReason.LOST)


def test_the_decision_that_imagination_changed_is_shown_first() -> None:
    plain = Decision("wait", 1, look("wait", "nothing"))
    turned = Decision("wait", 1, look("wait", "nothing"), passed_over=(look("dance", "nothing"),))
    warned = Decision("wait", 1, look("wait", "nothing"), passed_over=(look("leap", "It is gone for good."),))
    one, two = played("one", plain, turned), played("two", plain, plain, warned)
    assert pick_decision([one, two], avoid=["for good"]) == (two, 3)
    assert pick_decision([one, two], avoid=["nowhere"]) == (one, 2)
    lost = played("two", Decision("leap"), won=False)
    assert pick_decision([one, two], [lost], avoid=["nowhere"]) == (two, 3)
    assert pick_decision([played("one", plain, plain)]) == (played("one", plain, plain), 1)
    assert pick_decision([played("one", Decision("wait"))]) is None
