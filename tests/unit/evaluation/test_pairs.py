"""Runs compared task by task, and seeds put together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itp.cli.main import main
from itp.evaluation.pairs import compare_pairs, families
from itp.evaluation.seeds import group_by_seed, seed_rows
from itp.evaluation.stats import mcnemar, t_interval
from itp.types import Decision, Step, StopReason, Task, Trajectory, Usage


def episode(task: str, won: bool, steps: int = 3, tokens: int = 10, family: str = "pick") -> Trajectory:
    step = Step(Decision("look", policy_usage=Usage(tokens)), "fine")
    stop = StopReason.WON if won else StopReason.STEP_LIMIT
    return Trajectory(Task(task, "goal", family), "room", (step,) * steps, stop, float(won))


def run(wins: Sequence[bool], **options: Any) -> list[Trajectory]:
    return [episode(f"task-{n}", won, **options) for n, won in enumerate(wins)]


def test_counts_differences_and_p_are_those_of_the_tasks_that_both_played() -> None:
    first = [*run([True, True, False, False, False, False, False]), episode("alone", True)]
    second = run([True, False, True, True, True, True, False], steps=2, tokens=20)
    pair = compare_pairs(first, second[::-1])
    assert (pair.n, pair.unpaired) == (7, 1)
    assert (pair.both, pair.only_first, pair.only_second, pair.neither) == (1, 1, 4, 1)
    assert pair.difference == pytest.approx(3 / 7)
    assert pair.p_value == mcnemar(1, 4)
    assert pair.steps_difference == -1
    assert pair.tokens_difference == 2 * 20 - 3 * 10
    low, high = pair.difference_ci95 or (0, 0)
    assert -1 < low < 3 / 7 < high <= 1


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=12))
def test_the_other_way_round_is_the_negative(wins: list[tuple[bool, bool]]) -> None:
    first, second = run([a for a, _ in wins]), run([b for _, b in wins])
    forth, back = compare_pairs(first, second), compare_pairs(second, first)
    assert forth.difference == -back.difference
    assert (forth.only_first, forth.only_second) == (back.only_second, back.only_first)
    assert forth.p_value == back.p_value
    assert forth.both + forth.only_first + forth.only_second + forth.neither == forth.n == len(wins)
    assert forth.difference == pytest.approx(sum(b - a for a, b in wins) / len(wins))


def test_families_are_compared_alone_and_foreign_runs_refused() -> None:
    first = [*run([True, False]), episode("h", False, family="heat")]
    second = [*run([True, False]), episode("h", True, family="heat"), episode("c", True, family="cool")]
    assert families(first, second) == ["heat", "pick"]
    assert compare_pairs(first, second, "heat").difference == 1
    with pytest.raises(ValueError, match="no task in common"):
        compare_pairs(first, second, "cool")
    with pytest.raises(ValueError, match="twice"):
        compare_pairs(first * 2, second)


def result(rate: float, **config: Any) -> dict[str, Any]:
    return {
        "env": "household", "split": "valid", "planner": config.get("planner", "act"), "n": 50, "success_rate": rate,
        "mean_steps": 10.0, "irreversible_failures": 2, "config": config,
    }  # fmt: skip


def test_runs_that_differ_in_seed_and_checkpoint_alone_are_one_row() -> None:
    results = [
        result(0.5, planner="act", seed=0, policy="a", max_steps=30),
        result(0.6, planner="act", seed=1, policy="b", max_steps=30),
        result(0.9, planner="act", seed=1, policy="b", max_steps=50),
        result(0.7, planner="act", seed=2, policy="c", max_steps=30),
    ]
    assert [len(group) for group in group_by_seed(results)] == [3, 1]
    (three, one) = seed_rows(results)
    low, high = t_interval([0.5, 0.6, 0.7]) or (0, 0)
    assert three[2:8] == ("3", "50", "60.0", f"{100 * low:.1f}–{100 * high:.1f}", "10.0", "50.0, 60.0, 70.0")
    assert one[4:7] == ("90.0", "–", "–")


def played(out: Path, seed: str = "0") -> str:
    words = ["eval", "--env", "household", "--planner", "random", "--episodes", "6", "--max-steps", "3"]
    assert main([*words, "--seed", seed, "--out", str(out)]) == 0
    return str(out)


def test_compare_prints_the_paired_rows_of_two_runs_and_of_many_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, three = (played(tmp_path / name, seed) for name, seed in (("a", "0"), ("b", "1"), ("c", "2")))
    capsys.readouterr()
    assert main(["compare", one, two, "--markdown"]) == 0
    out = capsys.readouterr().out
    assert "random (b) against random (a), task by task" in out
    assert "| all | 6 | 0 | 0 | 0 | 6 | +0.0 |" in out
    assert main(["compare", one, two, three, "--markdown"]) == 0
    assert "task by task" not in capsys.readouterr().out
    assert main(["compare", one, two, three, "--against", two, "--by-seed", "--markdown"]) == 0
    out = capsys.readouterr().out
    assert out.count("against random (b), task by task (p of all tasks after Holm, 2 comparisons)") == 2
    assert "| random | household/valid | 3 | 6 | 0.0 |" in out
    assert main(["compare", one, two, "--against", str(tmp_path)]) == 2
    assert f"--against {tmp_path} is not among the runs" in capsys.readouterr().err


def test_runs_that_cannot_be_compared_by_task_are_refused_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = played(tmp_path / "a"), played(tmp_path / "b")
    (tmp_path / "b" / "traces.jsonl").unlink()
    assert main(["compare", one, two]) == 0
    assert main(["compare", one, two, "--against", one]) == 2
    assert "traces.jsonl is missing" in capsys.readouterr().err
