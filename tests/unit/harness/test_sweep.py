"""`itp sweep`, `itp merge`, `itp eval --shard` and `--retry-errors`, as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from itp.cli.main import main
from itp.harness import pool
from itp.trace.store import TraceStore
from traces import results_without_times, without_times

SWEEP = """
common: {env: household, split: valid, episodes: 6, max_steps: 3}
runs:
  random: {planner: random}
  expert: {planner: expert}
seeds: [0, 1]
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    return path


def results(folder: Path) -> dict[str, object]:
    return {path.parent.name: results_without_times(path.parent) for path in sorted(folder.glob("runs/*/results.json"))}


def test_a_sweep_plays_every_run_and_compares_them(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["sweep", str(sweep), "--out", str(out), "--dry-run"]) == 0
    assert "4 runs, 24 episodes" in capsys.readouterr().out
    assert not out.exists()
    assert main(["sweep", str(sweep), "--out", str(out), "--only", "random*"]) == 0
    assert list(results(out)) == ["random_seed=0", "random_seed=1"]
    assert main(["sweep", str(sweep), "--out", str(out)]) == 0
    assert len(results(out)) == 4
    assert "expert_seed=1" in (out / "table.md").read_text()
    assert main(["compare", *map(str, sorted((out / "runs").iterdir()))]) == 0
    single = tmp_path / "single"
    words = ["--split", "valid", "--episodes", "6", "--max-steps", "3", "--planner", "random", "--seed", "1"]
    assert main(["eval", *words, "--out", str(single)]) == 0
    assert results_without_times(single) == results(out)["random_seed=1"]


def test_jobs_change_nothing_but_the_time(sweep: Path, tmp_path: Path) -> None:
    assert main(["sweep", str(sweep), "--out", str(tmp_path / "a")]) == 0
    assert main(["sweep", str(sweep), "--out", str(tmp_path / "b"), "--jobs", "2"]) == 0
    assert results(tmp_path / "a") == results(tmp_path / "b")
    assert (tmp_path / "b/logs/random_seed=0.log").is_file()


def test_shards_merge_to_the_whole(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards = [str(tmp_path / f"s{index}") for index in (1, 2, 3)]
    for index, shard in enumerate(shards, start=1):
        assert main(["sweep", str(sweep), "--out", shard, "--shard", f"{index}/3"]) == 0
    assert main(["sweep", str(sweep), "--out", shards[0], "--shard", "2/3"]) == 2
    assert main(["sweep", str(sweep), "--out", str(tmp_path / "whole")]) == 0
    capsys.readouterr()
    assert main(["merge", *shards[:2], "--out", str(tmp_path / "merged")]) == 2
    assert "shard 3/3 is missing, with 2 episodes" in capsys.readouterr().err
    assert main(["merge", *shards, "--out", str(tmp_path / "merged")]) == 0
    assert main(["merge", *shards, "--out", str(tmp_path / "merged")]) == 0, "a merge can be given again"
    assert results(tmp_path / "merged") == results(tmp_path / "whole")
    assert main(["sweep", str(sweep), "--out", str(tmp_path / "merged")]) == 0, "a merged sweep is a sweep"
    for name in ("random_seed=1", "expert_seed=0"):
        ours, theirs = (TraceStore(tmp_path / kind / "runs" / name / "traces.jsonl") for kind in ("merged", "whole"))
        assert {e.task.task_id: without_times(e) for e in ours} == {e.task.task_id: without_times(e) for e in theirs}


def test_shards_of_other_settings_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "--planner", "random", "--split", "valid", "--episodes", "4", "--max-steps", "2"]
    for index, seed in ((1, 0), (2, 5)):
        out = str(tmp_path / f"s{index}")
        assert main([*words, "--shard", f"{index}/2", "--seed", str(seed), "--out", out]) == 0
    capsys.readouterr()
    assert main(["merge", str(tmp_path / "s1"), str(tmp_path / "s2"), "--out", str(tmp_path / "m")]) == 2
    assert "seed: 0 and 5" in capsys.readouterr().err
    assert main(["merge", str(tmp_path / "s1"), str(tmp_path / "s1"), "--out", str(tmp_path / "m")]) == 2
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("planner: random", "planer: random"), "run random_seed=0: unknown key 'planer': did you mean planner?"),
        (("planner: random", "planner: randm"), "run random_seed=0: --planner randm is unknown"),
        (("planner: expert", "planner: act"), "run expert_seed=0: --planner act needs --policy"),
        (("max_steps: 3", "max_steps: three"), "max_steps is 'three' (str), expected int"),
        (("episodes: 6", "episodes: 100000"), "--episodes 100000 exceeds"),
        (("planner: expert", "out: x"), "out belongs to all runs"),
        (("planner: expert", "executor: ray"), "executor belongs to all runs"),
        (("household", "hosehold"), "environment 'hosehold' is unknown"),
    ],
)
def test_a_faulty_sweep_is_refused_before_anything_is_played(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], message: str
) -> None:
    sweep.write_text(SWEEP.replace(*change))
    assert main(["sweep", str(sweep), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not said.out
    assert not (tmp_path / "out").exists()


def test_only_names_the_nearest_run(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", str(sweep), "--out", str(tmp_path / "o"), "--only", "randm_seed=0"]) == 2
    assert "did you mean random_seed=0?" in capsys.readouterr().err


def test_failed_episodes_are_results_until_they_are_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["eval", "--env", "failing_toys:flaky_household", "--planner", "random", "--split", "valid"]
    words += ["--episodes", "5", "--max-steps", "3", "--out", str(tmp_path)]
    monkeypatch.setenv("FLAKY", "1")
    assert main(words) == 0
    assert json.loads((tmp_path / "results.json").read_text())["errors"] == 2
    assert "--retry-errors plays them again" in capsys.readouterr().out
    monkeypatch.delenv("FLAKY")
    assert main(words) == 0
    assert json.loads((tmp_path / "results.json").read_text())["errors"] == 2, "not without being asked"
    assert main([*words, "--retry-errors"]) == 0
    found = json.loads((tmp_path / "results.json").read_text())
    assert (found["errors"], found["n"]) == (0, 5)


def test_a_process_that_dies_costs_its_own_item_only() -> None:
    from failing_toys import square

    ended: dict[int, pool.Outcome[int]] = {}
    pool.run_all(
        square, [1, 2, 3, 4, 5], jobs=2, alike=lambda a, b: False, on_start=lambda item: None,
        on_end=lambda outcome: ended.__setitem__(outcome.item, outcome),
    )  # fmt: skip
    assert {item: outcome.value for item, outcome in ended.items()} == {1: 1, 2: None, 3: None, 4: None, 5: 25}
    assert "exit code 9" in ended[2].error
    assert ended[3].error == "three is refused"
    assert ended[4].error == "ZeroDivisionError: four"
    assert "Traceback" in ended[4].bug
