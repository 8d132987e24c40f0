"""Fidelity of a world model: figures on cases worked out by hand, and the held-out rule."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from itp.cli.main import main
from itp.trace.store import TraceStore
from itp.types import Decision, State, Step, StopReason, Task, Trajectory
from itp.world_model.fidelity import LookupTable, Transition, changes, evaluate, transitions
from itp.world_model.metrics import fact_f1, facts, token_f1
from models import ScriptedWorldModel, episodes, save_world_model


@pytest.mark.parametrize(
    ("predicted", "real", "f1"),
    [
        ("", "", 1.0),
        ("", "a", 0.0),
        ("a", "", 0.0),
        ("a b c", "a b c", 1.0),
        ("c b a", "a b c", 1.0),
        ("a b", "a c", 0.5),
        ("a a a", "a b", 2 * 1 / 5),
        ("a a", "a a b", 2 * 2 / 5),
        ("x", "y", 0.0),
    ],
)
def test_token_f1(predicted: str, real: str, f1: float) -> None:
    assert token_f1(predicted, real) == pytest.approx(f1)


def episode(room: str, *pairs: tuple[str, str], task: str = "t", expert: str = "go") -> Trajectory:
    steps = tuple(Step(Decision(action), answer, expert_action=expert) for action, answer in pairs)
    return Trajectory(Task(task, "goal"), room, steps, StopReason.STEP_LIMIT)


def test_the_lookup_table_prefers_this_room_then_any_room_then_nothing_happens() -> None:
    table = LookupTable(
        [
            episode("kitchen", ("open fridge 1", "egg"), ("open fridge 1", "egg"), ("open fridge 1", "milk")),
            episode("cellar", ("open fridge 1", "wine"), ("open fridge 1", "wine"), ("open fridge 1", "wine")),
        ]
    )

    def answer(room: str, action: str) -> str:
        return table.predict([State("goal", room)], [action])[0].observation

    assert answer("kitchen", "open fridge 1") == "egg"
    assert answer("attic", "open fridge 1") == "wine"
    assert answer("kitchen", "fly") == "Nothing happens."


def test_transitions_are_all_steps_with_the_state_before_them() -> None:
    items = transitions([episode("room", ("go", "one"), ("look", "two"))])
    assert [(i.state.history, i.action, i.observation, i.expert) for i in items] == [
        ((), "go", "one", True),
        ((("go", "one"),), "look", "two", False),
    ]


def test_evaluate_splits_by_who_acted_and_by_verb() -> None:
    state = State("goal", "room")
    items = [
        Transition(state, "go to a", "saw go to a", True),
        Transition(state, "go to b", "something else", False),
        Transition(state, "take c", "saw take d", False),
    ]
    table = evaluate(ScriptedWorldModel(), items, batch_size=2)
    assert set(table) == {"all", "expert", "noisy", "changes", "go", "take"}
    assert [table[g]["n"] for g in ("all", "expert", "noisy", "go", "take")] == [3, 1, 2, 2, 1]
    assert table["all"]["exact_match"] == pytest.approx(1 / 3)
    assert table["go"]["exact_match"] == 0.5
    assert table["expert"]["exact_match"] == 1
    assert table["take"]["exact_match"] == 0
    assert table["take"]["token_f1"] == pytest.approx(2 / 3)
    assert table["all"]["token_f1"] == pytest.approx((1 + 0 + 2 / 3) / 3)
    assert table["all"]["exact_match_low"] < 1 / 3 < table["all"]["exact_match_high"]


def test_steps_that_change_nothing_are_told_apart() -> None:
    trajectory = episodes()[0]
    items = transitions([trajectory])
    looked = replace(items[1], action="look", observation="You are in the middle of a room.")
    refused = replace(items[1], action="go to moon", observation="Nothing happens.")
    assert changes(items[0]), "the first command goes somewhere"
    assert not changes(looked)
    assert not changes(refused)
    assert changes(Transition(State("boil water", "a kitchen"), "look", "a pot", True)), (
        "nothing is known of situations"
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("You arrive at loc 2. The fridge 1 is closed.", ["You arrive at loc 2", "The fridge 1 is closed"]),
        (
            "On the desk 1, you see a mug 1, and a pen 2.",
            ["On the desk 1, you see a mug 1", "On the desk 1, you see a pen 2"],
        ),
        ("a cup\nOn the table is: a bowl, a fork.", ["a cup", "On the table is a bowl", "On the table is a fork"]),
    ],
)
def test_facts(text: str, found: list[str]) -> None:
    assert facts(text) == found


def test_fact_f1_counts_what_is_said_and_not_its_words() -> None:
    real = "On the desk 1, you see a mug 1, and a pen 2."
    assert fact_f1(real, real) == 1
    assert fact_f1("On the desk 1, you see a pen 2, and a mug 1.", real) == 1
    assert fact_f1("On the desk 1, you see a mug 1, and a pen 3.", real) == 0.5
    assert fact_f1("On the bed 1, you see a mug 1, and a pen 2.", real) == 0


def write(path: Path, trajectories: tuple[Trajectory, ...]) -> Path:
    store = TraceStore(path / "expert-0.jsonl")
    for trajectory in trajectories:
        store.append(trajectory)
    return path


def test_held_out_data_that_shares_a_task_with_training_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held_out, training = write(tmp_path / "a", episodes()[:3]), write(tmp_path / "b", episodes()[2:])
    words = ["--data", str(held_out), "--train-data", str(training), "--world-model", "rules"]
    assert main(["world-model", "eval", *words, "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert "--data shares 1 tasks with --train-data" in message
    assert episodes()[2].task.task_id in message


def test_the_command_judges_the_model_beside_both_baselines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held_out, training = write(tmp_path / "a", episodes()[:2]), write(tmp_path / "b", episodes()[2:])
    model = save_world_model(tmp_path / "model")
    words = [
        "--data",
        str(held_out),
        "--train-data",
        str(training),
        "--world-model",
        model,
        "--transitions",
        "5",
        "--horizon",
        "2",
    ]
    assert main(["world-model", "eval", *words, "--out", str(tmp_path / "out")]) == 0
    figures = json.loads((tmp_path / "out" / "fidelity.json").read_text())
    assert set(figures) == {"model", "lookup", "rules"}
    assert all(table["all"]["n"] == 5 for table in figures.values())
    assert all(table["free-running 2"]["n"] == 2 for table in figures.values())
    assert "free-running 3" not in figures["model"]
    assert 0 <= figures["rules"]["all"]["fact_f1"] <= 1
    assert figures["rules"]["all"]["exact_match"] > figures["model"]["all"]["exact_match"]
    assert "next observation" in capsys.readouterr().out
