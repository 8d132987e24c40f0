"""The whole path at miniature size through the command line: from nothing to an evaluated learned horizon."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from itp.cli.main import main
from itp.policy.model import Policy
from itp.trace.store import TraceStore
from itp.types import Trajectory, Usage
from models import save_policy, save_world_model

TINY = ["--base", "scratch:tiny", "--vocab-size", "320", "--epochs", "1", "--batch-size", "16"]


def stages(out: Path) -> dict[str, list[str]]:
    """Every command of the path, in order, by the folder it writes."""
    data, policy, world = str(out / "data"), str(out / "policy" / "model"), str(out / "world_model" / "model")
    models, brief = ["--world-model", world], ["--epochs", "1", "--batch-size", "4"]
    few = ["--envs", "2", "--rollout", "2", "--updates", "2", "--value-warmup", "1", "--max-steps", "8"]
    short = ["--planner", "itp", "--episodes", "3", "--max-steps", "5"]
    return {
        "data": ["collect", "--episodes", "8", "--max-steps", "12", "--epsilon", "0", "0.3"],
        "world_model": ["train", "world-model", "--data", data, *TINY],
        "policy": ["train", "policy", "--data", data, *TINY],
        "labels": ["label", "--data", data, "--policy", policy, *models, "--states", "12", "--k-max", "2"],
        "warmup": ["train", "warmup", "--labels", str(out / "labels"), "--policy", policy, *brief, "--k-max", "2"],
        "a2c": ["train", "a2c", "--policy", str(out / "warmup" / "model"), *models, *few],
        "eval": ["eval", "--horizon", "learned", "--policy", str(out / "a2c" / "model"), *models, *short],
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pipeline")
    for name, words in stages(out).items():
        assert main([*words, "--out", str(out / name)]) == 0, f"{name} failed"
    return out


def snapshot(folder: Path) -> dict[str, bytes]:
    """Content of all files but the lock and the event files of tensorboard."""
    files = (file for file in folder.rglob("*") if file.is_file() and "tensorboard" not in file.parts)
    return {str(file.relative_to(folder)): file.read_bytes() for file in files if file.name != ".lock"}


def test_the_learned_horizon_is_evaluated_end_to_end(finished: Path) -> None:
    results = json.loads((finished / "eval" / "results.json").read_text())
    assert results["n"] == 3
    assert results["planner"] == "itp learned"
    assert set(results["k_histogram"]) <= {"0", "1", "2"}
    for trajectory in TraceStore(finished / "eval" / "traces.jsonl"):
        for step in trajectory.steps:
            decision = step.decision
            assert len(decision.horizon_probs) == 3
            assert decision.horizon_probs[decision.horizon] == max(decision.horizon_probs)
            assert len(decision.foresight) == decision.horizon


def test_each_checkpoint_says_where_it_comes_from(finished: Path) -> None:
    policy = Policy.load(str(finished / "a2c" / "model"))
    assert (policy.config.stage, policy.config.k_max) == ("a2c", 2)
    assert policy.config.parent == str(finished / "warmup" / "model")
    assert Policy.load(policy.config.parent).config.parent == str(finished / "policy" / "model")


@pytest.mark.parametrize("name", list(stages(Path())))
def test_a_second_run_of_a_finished_stage_does_nothing(finished: Path, name: str) -> None:
    before = snapshot(finished / name)
    assert main([*stages(finished)[name], "--out", str(finished / name)]) == 0
    after = snapshot(finished / name)
    assert before.keys() == after.keys()
    changed = {file for file in before if before[file] != after[file]}
    assert changed <= {"results.json"}, "only the summary may be written again"


@pytest.mark.parametrize("name", list(stages(Path())))
def test_another_config_in_a_stages_folder_is_refused_with_both_values(
    finished: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*stages(finished)[name], "--seed", "7", "--out", str(finished / name)]) == 2
    error = capsys.readouterr().err
    assert "holds a run with other settings" in error
    assert "seed" in error
    assert error.count("\n") == 1


def test_the_folder_of_one_stage_is_refused_to_another(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*stages(finished)["policy"], "--out", str(finished / "world_model")]) == 2
    assert "holds a run of `itp train world-model`" in capsys.readouterr().err


def test_nothing_is_pickled_but_the_resumable_state_of_trainers(finished: Path) -> None:
    for name in ("world_model", "policy", "warmup", "a2c"):
        suffixes = {file.suffix for file in (finished / name / "model").iterdir()}
        assert suffixes <= {".json", ".safetensors", ".md", ".jinja"}


def plain(trajectory: Trajectory) -> Trajectory:
    """Without wall-clock times."""

    def timeless(usage: Usage) -> Usage:
        return replace(usage, seconds=0.0)

    steps = tuple(
        replace(
            step,
            decision=replace(
                step.decision,
                policy_usage=timeless(step.decision.policy_usage),
                world_model_usage=timeless(step.decision.world_model_usage),
                imagination_usage=timeless(step.decision.imagination_usage),
            ),
        )
        for step in trajectory.steps
    )
    return replace(trajectory, steps=steps, seconds=0.0)


def evaluate(out: Path, *words: str) -> dict[str, Trajectory]:
    common = ["eval", "--planner", "itp", "--world-model", "rules", "--episodes", "3", "--max-steps", "6"]
    assert main([*common, *words, "--out", str(out)]) == 0
    return {t.task.task_id: plain(t) for t in TraceStore(out / "traces.jsonl")}


@pytest.mark.parametrize("horizon", ["random", "learned"])
def test_both_engines_give_the_same_traces(tmp_path: Path, horizon: str) -> None:
    pytest.importorskip("textworld", reason="textworld is not installed: the official engine cannot be compared")
    pytest.importorskip("alfworld", reason="alfworld is not installed: the official engine cannot be compared")
    words: list[str] = ["--policy", save_policy(tmp_path / "policy", k_max=2), "--horizon", horizon]
    fast = evaluate(tmp_path / "fast", *words)
    official = evaluate(tmp_path / "official", *words, "--engine", "textworld")
    assert fast == official
    assert len(fast) == 3


def test_the_same_checkpoint_seed_and_tasks_give_the_same_traces_in_any_batch(tmp_path: Path) -> None:
    policy, world = save_policy(tmp_path / "policy", k_max=2), save_world_model(tmp_path / "world_model")
    words: list[Any] = ["--policy", policy, "--world-model", world, "--horizon", "random", "--max-steps", "2"]
    one = evaluate(tmp_path / "one", *words)
    assert evaluate(tmp_path / "again", *words) == one
    alone = evaluate(tmp_path / "alone", *words, "--batch-size", "1")
    assert {k: [s.decision.action for s in t.steps] for k, t in alone.items()} == {
        k: [s.decision.action for s in t.steps] for k, t in one.items()
    }
    other = evaluate(tmp_path / "other", *words, "--seed", "1")
    assert [s.decision.horizon for t in other.values() for s in t.steps] != [
        s.decision.horizon for t in one.values() for s in t.steps
    ]
