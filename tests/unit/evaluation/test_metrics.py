"""results.json, failure categories and tables from hand-made episodes."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import pytest

from itp.evaluation.failures import failure_category, is_loop
from itp.evaluation.metrics import normalized_budget, summarize
from itp.evaluation.table import HEADERS, markdown_table, results_table, rows, task_type_table
from itp.types import Decision, Step, StopReason, Task, Trajectory, Usage

KITCHEN = "You are in the middle of a room. Looking quickly around you, you see a cabinet 1, a desk 1, and a shelf 1."
GOAL = "put a mug in desk."


def episode(
    stop: StopReason,
    steps: Sequence[Step] = (),
    task_type: str = "pick",
    score: float = 0.0,
    goal: str = GOAL,
    irreversible: bool = False,
) -> Trajectory:
    error = "RuntimeError: x" if stop is StopReason.ERROR else ""
    return Trajectory(Task("id", goal, task_type), KITCHEN, tuple(steps), stop, score, error, 2.0, irreversible)


def step(k: int = 0, observation: str = "fine", policy: int = 10, world_model: int = 0, parse: str = "scored") -> Step:
    return Step(
        Decision("look", k, parse=parse, policy_usage=Usage(policy), world_model_usage=Usage(0, world_model)),
        observation,
    )


def said(*pairs: tuple[str, str]) -> list[Step]:
    return [Step(Decision(action), observation) for action, observation in pairs]


EPISODES = [
    episode(StopReason.WON, [step(0), step(2, world_model=50)], score=1.0),
    episode(StopReason.STEP_LIMIT, [step(2, "Nothing happens.", parse="unparsed"), step(1)], "heat"),
    episode(StopReason.LOST, [step(0)], "heat", score=-100.0, irreversible=True),
    episode(StopReason.ERROR, [], ""),
]


def summary(episodes: Sequence[Trajectory] = EPISODES, **options: Any) -> dict[str, Any]:
    return summarize(episodes, env="household", split="valid", planner="itp learned", **options)


def test_results_have_every_promised_key_and_are_json() -> None:
    results = summary(config={"seed": 1}, versions={"itp": "0"})
    promised = {
        "schema_version", "env", "split", "planner", "n", "success_rate", "success_ci95", "by_task_type", "mean_score",
        "irreversible_failures", "mean_steps", "mean_k", "k_histogram", "tokens", "normalized_budget", "seconds",
        "errors", "config", "versions",
    }  # fmt: skip
    assert promised <= results.keys()
    assert {"policy", "world_model", "per_episode"} <= results["tokens"].keys()
    assert json.loads(json.dumps(results, allow_nan=False))["n"] == 4


def test_figures() -> None:
    results = summary()
    assert results["success_rate"] == 0.25  # the episode with an error counts
    assert results["success_ci95"] == pytest.approx([0.0456, 0.6994], abs=1e-4)
    assert results["mean_score"] == pytest.approx(-99 / 4)
    assert results["irreversible_failures"] == 1
    assert results["mean_steps"] == 5 / 4
    assert results["mean_k"] == 1.0
    assert results["k_histogram"] == {"0": 2, "1": 1, "2": 2}
    assert results["tokens"] == {"policy": 50, "world_model": 50, "per_episode": 25.0, "per_decision": 20.0}
    assert results["normalized_budget"] is None
    assert results["seconds"] == 8.0
    assert results["errors"] == 1
    assert results["unparsed_actions"] == 1
    assert results["invalid_actions"] == 1
    assert results["failures"]["error"] == 1


def test_task_types_are_counted_apart() -> None:
    groups = summary()["by_task_type"]
    assert {name: (group["n"], group["success_rate"]) for name, group in groups.items()} == {
        "heat": (2, 0.0),
        "pick": (1, 1.0),
        "unknown": (1, 0.0),
    }


def test_no_episodes_give_no_figures_but_no_crash() -> None:
    results = summary([])
    assert results["n"] == 0
    assert results["success_rate"] is None
    assert results["mean_k"] is None
    assert rows([results])[0][3] == "–"


def test_normalized_budget() -> None:
    assert normalized_budget(150, 100, 300) == 0.25
    assert normalized_budget(300, 100, 300) == 1.0
    assert summary(budget_reference=(5.0, 105.0))["normalized_budget"] == pytest.approx(0.2)
    with pytest.raises(ValueError, match="no budget"):
        normalized_budget(150, 100, 100)


GO_DESK = ("go to desk 1", "You arrive at loc 1. On the desk 1, you see nothing.")
GO_SHELF_WITH_PEN = ("go to shelf 1", "You arrive at loc 2. On the shelf 1, you see a pen 1.")
GO_SHELF_WITH_MUG = ("go to shelf 1", "You arrive at loc 2. On the shelf 1, you see a mug 1, and a pen 1.")
TAKE_PEN = ("take pen 1 from shelf 1", "You pick up the pen 1 from the shelf 1.")
TAKE_MUG = ("take mug 1 from shelf 1", "You pick up the mug 1 from the shelf 1.")


@pytest.mark.parametrize(
    ("pairs", "category"),
    [
        ([GO_DESK, GO_SHELF_WITH_PEN], "target_never_seen"),
        ([GO_SHELF_WITH_PEN, TAKE_PEN], "target_never_seen"),
        ([GO_SHELF_WITH_MUG, TAKE_PEN], "wrong_object"),
        ([GO_SHELF_WITH_MUG, TAKE_MUG, GO_DESK], "other"),
        ([GO_SHELF_WITH_MUG], "other"),
        ([GO_DESK, GO_SHELF_WITH_PEN] * 6, "loop"),
    ],
)
def test_failure_categories(pairs: list[tuple[str, str]], category: str) -> None:
    assert failure_category(episode(StopReason.STEP_LIMIT, said(*pairs))) == category


def test_failure_categories_without_a_goal_that_can_be_read() -> None:
    pairs = said(GO_SHELF_WITH_PEN)
    assert failure_category(episode(StopReason.LOST, pairs, goal="boil water")) == "other"
    assert failure_category(episode(StopReason.ERROR)) == "error"
    assert failure_category(episode(StopReason.WON, said(*[GO_DESK] * 40))) is None


def test_a_loop_needs_only_old_news_at_the_end() -> None:
    def looping(pairs: list[tuple[str, str]]) -> bool:
        return is_loop(episode(StopReason.STEP_LIMIT, said(*pairs)), loop_steps=3)

    a, b, c = ("a", "1"), ("b", "1"), ("a", "2")
    assert looping([a, b, a, b, a])
    assert looping([a, a, a, a])
    assert not looping([a, b, a, b])  # one step too short: b was new three steps from the end
    assert not looping([a, b, a, b, a, c])  # the same action, another answer
    assert not looping([a, b])


def test_tables_show_the_same_cells() -> None:
    from rich.console import Console

    results = [summary(), {**summary([]), "planner": "a|b", "normalized_budget": 0.5}]
    assert len(rows(results)[0]) == len(HEADERS)
    screen = io.StringIO()
    console = Console(file=screen, width=160)
    console.print(results_table(results))
    console.print(task_type_table(results[0]))
    markdown = markdown_table(results)
    for cell in ("itp learned", "household/valid", "25.0", "4.6–69.9", "1.00"):
        assert cell in screen.getvalue()
        assert cell in markdown
    assert "heat" in screen.getvalue()
    assert "a\\|b" in markdown
    lines = markdown.splitlines()
    assert len(lines) == 4
    assert {line.replace("\\|", "").count("|") for line in lines} == {len(HEADERS) + 1}
