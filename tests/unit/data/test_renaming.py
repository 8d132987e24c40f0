"""Renamed copies: the same episode, every text in it told with other names, and files that hold no names."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from itp.cli.main import main
from itp.data.renaming import Group, Names, renamed
from itp.errors import DataError
from itp.types import Decision, Step, StopReason, Task, Trajectory
from training_data import write_episodes


def grown(goal: str = "grow an apple in pot 1") -> Trajectory:
    step = Step(
        Decision("move apple seed to pot 1"),
        "In the pot 1 is an apple seed. In the pot 2 is a plum seed. Nearby: apple juice, a pineapple.",
        expert_action="move apple seed to pot 2",
        admissible=("eat apple", "eat plum"),
    )
    return Trajectory(Task("grow/0", goal), "You see an apple and pot 1.", (step,), StopReason.WON)


FRUIT = Names(goal=(Group.of("apple", "plum"),))


def test_a_copy_changes_the_names_of_the_goal_with_others_of_their_group_in_every_text() -> None:
    played, copy = renamed([grown()], FRUIT, copies=1)
    assert played == grown()
    step = copy.steps[0]
    assert copy.task.goal == "grow an plum in pot 1"
    assert copy.first_observation == "You see an plum and pot 1."
    assert step.decision.action == "move plum seed to pot 1"
    assert step.expert_action == "move plum seed to pot 2"
    assert step.admissible == ("eat plum", "eat apple")
    said = "In the pot 1 is an plum seed. In the pot 2 is a apple seed. Nearby: plum juice, a pineapple."
    assert step.observation == said
    assert (copy.task.task_id, copy.stop) == (played.task.task_id, played.stop)


def test_a_longer_name_is_not_taken_for_the_shorter_one_in_it() -> None:
    names = Names(goal=(Group.of("apple", "plum"), Group.of("apple juice", "milk")))
    _, copy = renamed([grown("drink milk, then an apple")], names, copies=1)
    assert "Nearby: milk, a pineapple" in copy.steps[0].observation
    assert "is an plum seed" in copy.steps[0].observation


def test_names_the_goal_does_not_mention_stay_unless_they_always_change() -> None:
    assert list(renamed([grown("tidy up")], FRUIT, copies=3)) == [grown("tidy up")]
    pots = Names(always=(Group.of("pot 1", "pot 2", "pot 3"),))
    told = {copy.steps[0].decision.action for copy in renamed([grown("tidy up")], pots, copies=20)}
    assert told == {f"move apple seed to pot {number}" for number in (1, 2, 3)}
    for copy in renamed([grown("tidy up")], pots, copies=20):
        assert copy.steps[0].decision.action != copy.steps[0].expert_action


def test_the_same_seed_draws_the_same_names_and_another_one_others() -> None:
    names = Names(goal=(Group.of("apple", *(f"fruit {n}" for n in range(40))),))
    once, again, other = (list(renamed([grown()], names, copies=4, seed=seed)) for seed in (1, 1, 2))
    assert once == again != other
    assert len({copy.task.goal for copy in once}) > 2


def test_words_that_go_together_turn_an_episode_into_one_with_the_other_outcome(tmp_path: Path) -> None:
    file = tmp_path / "names.json"
    outcome = [["conductive", "lamp, which is on"], ["nonconductive", "lamp, which is off"]]
    file.write_text(json.dumps({"always": [{"where": "conductive", "names": outcome}], "times": {"conductive": 5}}))
    goal = "is the fork conductive? If conductive, take the red box. If nonconductive, take the blue box."
    step = Step(Decision("look"), "You see a lamp, which is on.", expert_action="move fork to red box")
    played = Trajectory(Task("fork/0", goal), "You see a lamp, which is off.", (step,), StopReason.WON)
    copies = list(renamed([played], Names.load(file), copies=4))[1:]
    assert len(copies) == 20
    other = [copy for copy in copies if copy != played]
    assert 0 < len(other) < 20
    for copy in other:
        assert copy.steps[0].observation == "You see a lamp, which is off."
        assert copy.first_observation == "You see a lamp, which is on."
        assert "If nonconductive, take the red box. If conductive, take the blue box" in copy.task.goal
        assert copy.steps[0].expert_action == step.expert_action
    elsewhere = replace(played, task=Task("fork/1", "tidy up"))
    assert list(renamed([elsewhere], Names.load(file), copies=4)) == [elsewhere]


def test_a_word_may_hold_a_part_of_the_episode_and_changes_before_the_other_names(tmp_path: Path) -> None:
    file = tmp_path / "names.json"
    outcome = {"where": "", "part": "^connect fork to (.+)$", "names": [["yes", "{}, on"], ["no", "{}, off"]]}
    file.write_text(json.dumps({"always": [outcome, ["red lamp", "blue lamp", "old lamp"]]}))
    names, goal = Names.load(file), "if yes, take the box. if no, leave it."
    step = Step(Decision("connect fork to red lamp"), "You see a red lamp, on. You see a blue lamp, off.")
    played = Trajectory(Task("fork/0", goal), "", (step,), StopReason.WON)
    texts = {(copy.task.goal, copy.steps[0].observation) for copy in renamed([played], names, copies=60)}
    assert len(texts) == 12
    for goal_told, text in texts:
        state = "on" if goal_told == goal else "off"
        lamp = re.fullmatch(rf"You see a (\w+ lamp), {state}. You see a (\w+ lamp), off.", text)
        assert lamp is not None
        assert lamp[1] != lamp[2]
    other = replace(played, steps=(replace(step, decision=Decision("look")),))
    assert {copy.task.goal for copy in renamed([other], names, copies=9)} == {goal}


def test_a_part_counts_in_a_group_of_the_goal_too() -> None:
    group = Group((("{} seed",), ("plum seed",)), part="^move (.+) seed")
    goal = "plant the apple seed in pot 1"
    assert [copy.task.goal for copy in renamed([grown(goal)], Names(goal=(group,)), copies=1)] == [
        goal,
        "plant the plum seed in pot 1",
    ]
    assert len(list(renamed([grown(goal)], Names(goal=(replace(group, part="^eat (.+)"),)), copies=1))) == 1


def test_a_name_in_two_groups_that_apply_to_one_goal_is_refused() -> None:
    where = Names(goal=(Group.of("apple", "plum"), replace(Group.of("apple", "pear"), where="pot")))
    with pytest.raises(DataError, match="'apple' is in two groups that apply to the goal 'grow an apple in pot 1'"):
        list(renamed([grown()], where, copies=1))
    assert len(list(renamed([grown("grow an apple")], where, copies=1))) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"goals": [["a", "b"]]}', "is no list of names"),
        ("{}", "is no list of names"),
        ('{"goal": [[1, 2]]}', "cannot be read"),
        ('{"goal": [["a", ["b", "c"]]]}', "is no list of names"),
        ('{"always": [{"where": "(", "names": ["a", "b"]}]}', "cannot be read"),
        ('{"always": [{"names": ["a", "b"]}]}', "cannot be read"),
        (
            '{"always": [{"where": "", "part": "x", "names": ["a", "b"]}]}',
            r"cannot be read \(part 'x' must have one group",
        ),
        ('{"always": [["a", "b"]], "times": {"a": 0}}', "has times that are not whole numbers of at least 1"),
        ('{"always": [["a", "b"]], "times": {"a": 2.5}}', "has times that are not whole numbers of at least 1"),
        ('{"goal": [["a", "b"]], "always": [["b", "c"]]}', "has 'b' twice: give each name in one group, once"),
    ],
)
def test_a_file_that_holds_no_names_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "names.json"
    file.write_text(text)
    with pytest.raises(DataError, match=f"--rename {file} {message}"):
        Names.load(file)


def test_training_rows_are_more_by_the_copies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, file = write_episodes(tmp_path / "data", 3), tmp_path / "names.json"
    file.write_text(json.dumps({"always": [[f"{thing} {n}" for n in range(1, 9)] for thing in ("drawer", "cabinet")]}))

    def train(out: str, *words: str) -> int:
        settings = ("--base", "scratch:tiny", "--vocab-size", "300", "--epochs", "1", "--held-out", "0", *words)
        return main(["train", "policy", "--data", str(data), *settings, "--out", str(tmp_path / out)])

    def rows(out: str) -> int:
        return json.loads((tmp_path / out / "training.json").read_text())["metrics"]["rows"]

    assert train("plain") == train("told", "--rename", str(file), "--renamed", "2") == 0
    assert rows("told") > 2 * rows("plain")
    assert train("none", "--rename", str(file), "--renamed", "0") == 2
    assert "--renamed 0 is too small" in capsys.readouterr().err
    assert train("none", "--rename", str(tmp_path / "nothing.json")) == 2
    assert "nothing.json cannot be read" in capsys.readouterr().err
