"""`itp eval`, `itp show` and `itp compare` on the household environment, from the command line's side."""

from __future__ import annotations

import json
import re
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from itp.cli.compare import fill_budgets
from itp.cli.eval import choose_tasks
from itp.cli.main import main
from itp.cli.show import show_decision
from itp.envs.base import InfoDict, TextEnv
from itp.errors import ConfigError
from itp.trace.store import TraceStore
from itp.types import Decision, ImaginedStep, ImaginedTrajectory, Step, StopReason, Task, Trajectory


def evaluate(out: Path, *words: str) -> int:
    return main(["eval", "--planner", "random", "--max-steps", "4", "--episodes", "5", "--out", str(out), *words])


def results_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "results.json").read_text())


def actions_of(out: Path) -> dict[str, list[str]]:
    store = TraceStore(out / "traces.jsonl")
    return {trajectory.task.task_id: [step.decision.action for step in trajectory.steps] for trajectory in store}


class BrokenEnv(TextEnv):
    """Every episode fails at reset, or only those of task "bad"."""

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        self.tasks = tasks

    @property
    def task_ids(self) -> Sequence[str]:
        return self.tasks

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, InfoDict]:  # pyright: ignore[reportIncompatibleMethodOverride]
        task_id = (options or {})["task_id"]
        if task_id == "bad":
            raise RuntimeError("engine lost")
        return "start", self.info(task_id)

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return "done", 1.0, True, False, self.info("good")

    def info(self, task_id: str) -> InfoDict:
        return InfoDict(task="win", task_id=task_id, task_type="t", admissible_commands=["win"], won=True, score=1.0)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> str:
    module: Any = types.ModuleType("itp_test_plugin")
    module.all_bad = lambda **_: BrokenEnv(["bad"])
    module.some_bad = lambda **_: BrokenEnv(["good", "bad"])
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.__name__


def test_eval_writes_traces_results_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert evaluate(out) == 0
    results = results_of(out)
    assert results["n"] == 5
    assert results["planner"] == "random"
    assert results["config"]["max_steps"] == 4
    assert len(actions_of(out)) == 5
    output = capsys.readouterr().out
    assert "household/valid" in output
    assert "5/5" in output


def test_a_complete_run_prints_its_table_again_without_playing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(tmp_path / "run") == 0
    before = (tmp_path / "run" / "traces.jsonl").read_bytes()
    capsys.readouterr()
    assert evaluate(tmp_path / "run") == 0
    assert "household/valid" in capsys.readouterr().out
    assert (tmp_path / "run" / "traces.jsonl").read_bytes() == before


def test_a_killed_run_resumes_to_the_same_result(tmp_path: Path) -> None:
    assert evaluate(tmp_path / "whole") == 0
    assert evaluate(tmp_path / "torn") == 0
    traces = tmp_path / "torn" / "traces.jsonl"
    lines = traces.read_bytes().splitlines(keepends=True)
    traces.write_bytes(b"".join(lines[:2]) + lines[2][:100])
    (tmp_path / "torn" / "results.json").unlink()
    assert evaluate(tmp_path / "torn", "--batch-size", "1") == 0
    assert actions_of(tmp_path / "torn") == actions_of(tmp_path / "whole")
    assert results_of(tmp_path / "torn")["success_rate"] == results_of(tmp_path / "whole")["success_rate"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--planner", "acr"], "--planner acr is unknown: choose one of act, itp, no-repeat, wkm, itp-i, cot"),
        (["--action", "guess"], "--action guess is unknown"),
        (["--planner", "itp", "--policy", "p"], "--planner itp needs --world-model"),
        (["--planner", "act"], "--planner act needs --policy"),
        (["--planner", "itp", "--policy", "p", "--world-model", "rules", "--horizon", "3"], "--horizon 3 is unknown"),
        (
            ["--planner", "itp", "--policy", "p", "--world-model", "rules", "--horizon", "fixed:9", "--k-max", "5"],
            "--horizon fixed:9 exceeds K_max=5",
        ),
        (
            ["--planner", "act", "--policy", "p", "--horizon", "fixed:3"],
            "--horizon fixed:3 does nothing with --planner act: leave it out, or use itp or itp-i",
        ),
        (["--episodes", "-1"], "--episodes -1 is too small"),
        (["--episodes", "999999"], "--episodes 999999 exceeds the split's"),
        (["--batch-size", "0"], "--batch-size 0 is too small: give at least 1"),
        (["--data", "/nowhere"], "--data /nowhere does not exist"),
        (["--split", "vaild"], "'vaild' is unknown"),
        (["--env", "housheold"], "'housheold' is unknown"),
        (["--engine", "slow"], "'slow' is unknown"),
        (["--planner", "act", "--policy", "/nowhere"], "checkpoint /nowhere does not exist"),
    ],
)
def test_refused_flags_leave_no_folder(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(tmp_path / "run", *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_other_settings_are_refused_for_an_existing_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(tmp_path) == 0
    assert evaluate(tmp_path, "--seed", "7") == 2
    assert "seed: 0 there, 7 now" in capsys.readouterr().err


def test_failed_episodes_are_counted_and_shown(tmp_path: Path, plugin: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "--env", f"{plugin}:some_bad", "--planner", "random", "--out", str(tmp_path / "run")]
    assert main(words) == 0
    assert results_of(tmp_path / "run")["errors"] == 1
    assert results_of(tmp_path / "run")["success_rate"] == 0.5
    assert "RuntimeError: engine lost" in capsys.readouterr().out


def test_a_run_of_nothing_but_errors_fails(tmp_path: Path, plugin: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "--env", f"{plugin}:all_bad", "--planner", "random", "--out", str(tmp_path / "run")]
    assert main(words) == 2
    assert "every episode failed; the first said: RuntimeError: engine lost" in capsys.readouterr().err
    assert results_of(tmp_path / "run")["errors"] == 1


def test_subsets_are_fixed_nested_and_in_order() -> None:
    tasks = [f"task {number}" for number in range(40)]
    five, ten = choose_tasks(tasks, 5), choose_tasks(tasks, 10)
    assert len(ten) == 10
    assert set(five) < set(ten)
    assert ten == sorted(ten, key=tasks.index)
    assert ten != tasks[:10]
    assert choose_tasks(tasks, 0) == tasks
    assert set(choose_tasks(tasks[::-1], 5)) == set(five)


def test_show_lists_episodes_and_prints_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(tmp_path)
    actions = actions_of(tmp_path)
    capsys.readouterr()
    assert main(["show", str(tmp_path)]) == 0
    listing = capsys.readouterr().out.splitlines()
    assert len(listing) == 5
    task_id = next(iter(actions))
    assert task_id in listing[0]
    for name in ("1", task_id):
        assert main(["show", str(tmp_path), "--episode", name]) == 0
        text = capsys.readouterr().out
        assert re.findall(r"> (.*)  \(random\)", text) == actions[task_id]
    assert main(["show", str(tmp_path / "traces.jsonl"), "--episode", "1", "--step", "2"]) == 0
    assert f"    > {actions[task_id][1]}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--episode", "6"], "--episode 6 is none of them: give a number from 1 to 5"),
        (["--episode", ""], "is none of them"),
        (["--episode", "1", "--step", "0"], "--step 0 is not in this episode"),
        (["--step", "1"], "--step needs --episode"),
    ],
)
def test_show_refuses(words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(tmp_path)
    capsys.readouterr()
    assert main(["show", str(tmp_path), *words]) == 2
    assert message in capsys.readouterr().err


def test_show_names_the_files_a_folder_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "expert-0.jsonl").write_text("")
    assert main(["show", str(tmp_path)]) == 2
    assert "it has expert-0.jsonl" in capsys.readouterr().err


def test_a_decision_is_shown_in_full() -> None:
    foresight = ImaginedTrajectory((ImaginedStep("open box", "a cat"), ImaginedStep("pet cat", "purr")))
    decision = Decision("open box", 2, foresight, (0.25, 0.75), "good plan", "a thought", "Action: open box", "exact")
    steps = (
        Step(Decision("look"), "a box"),
        Step(decision, "a dog", admissible=("look", "open box"), expert_action="look"),
    )
    trajectory = Trajectory(Task("id", "find the cat"), "a room", steps, StopReason.LOST)
    text = "\n".join(show_decision(trajectory, 2))
    for part in (
        "find the cat", "a room", "> look", "a box", "look, open box", "K = 2", "p(K=1) 0.75", "a cat", "> pet cat",
        "purr", "good plan", "a thought", "'Action: open box'", "the expert would: look", "a dog", "not as imagined",
    ):  # fmt: skip
        assert part in text
    assert text.index("purr") < text.index("what really happened") < text.index("a dog")


def test_commands_that_were_passed_over_are_shown_with_what_was_imagined() -> None:
    tried, taken = (ImaginedTrajectory((ImaginedStep(f"open {n}", f"inside {n}"),)) for n in ("cage", "box"))
    step = Step(Decision("open box", 1, taken, passed_over=(tried,)), "inside box")
    text = "\n".join(show_decision(Trajectory(Task("id", "goal"), "a room", (step,), StopReason.WON), 1))
    assert text.index("passed over") < text.index("> open cage") < text.index("inside cage") < text.index("> open box")


def result(planner: str, horizon: str, tokens: float, split: str = "valid") -> dict[str, Any]:
    return {
        "env": "household",
        "split": split,
        "tokens": {"per_episode": tokens},
        "normalized_budget": None,
        "config": {"planner": planner, "horizon": horizon},
    }


def test_budgets_are_filled_from_the_runs_beside() -> None:
    runs = [
        result("act", "learned", 100),
        result("itp", "fixed:2", 200),
        result("itp", "fixed:5", 500),
        result("itp", "learned", 150),
        result("itp", "learned", 150, split="test"),
    ]
    assert [run["normalized_budget"] for run in fill_budgets(runs)] == [0.0, 0.25, 1.0, 0.125, None]
    assert [run["normalized_budget"] for run in fill_budgets(runs[1:4])] == [None, None, None]


def test_compare_prints_both_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(tmp_path / "a")
    evaluate(tmp_path / "b", "--split", "test")
    capsys.readouterr()
    folders = [str(tmp_path / "a"), str(tmp_path / "b" / "results.json")]
    assert main(["compare", *folders, "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert "household/valid" in lines[2]
    assert "household/test" in lines[3]
    assert main(["compare", *folders]) == 0
    assert "household/test" in capsys.readouterr().out
    assert main(["compare"]) == 2
    assert main(["compare", str(tmp_path)]) == 2
    assert "at least one run" in capsys.readouterr().err


def test_too_many_episodes() -> None:
    with pytest.raises(ConfigError, match="0 for all"):
        choose_tasks(["a"], 2)
