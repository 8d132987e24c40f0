"""Human goals from `traj_data.json`, and the expert that reads the template all the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from alfworld_tiny import tiny_data

import itp
from itp.envs.alfworld.data import GameSource
from itp.envs.alfworld.env import AlfworldEnv
from itp.envs.check import check_text_env
from itp.errors import ConfigError, DataError, GameFileError, ItpError

SENTENCES = ["Put a mug in the drawer. ", "move the cup\nto a  drawer", "Stow the mug."]
TASK = "pick_and_place_simple-Mug-None-Drawer-1/trial_T1"
GRAMMAR = '"task": [ { "rhs": "Your task is to: put a mug in drawer." } ]'


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with one game whose goal the expert can read."""
    trial = tmp_path / "json_2.1.1" / "train" / TASK
    trial.mkdir(parents=True)
    (trial / "game.tw-pddl").write_text(json.dumps({**tiny_data(), "grammar": GRAMMAR}))
    write(trial, {"turk_annotations": {"anns": [{"task_desc": text} for text in SENTENCES]}})
    return tmp_path


def trial_of(data: Path) -> Path:
    return data / "json_2.1.1" / "train" / TASK


def write(trial: Path, content: Any) -> None:
    (trial / "traj_data.json").write_text(json.dumps(content))


def test_only_the_task_differs(data: Path) -> None:
    template = itp.make_env("alfworld", data=data)
    human = itp.make_env("alfworld", data=data, goal="human")
    (observation, info), (shown, human_info) = template.reset(), human.reset()
    assert (info["task"], human_info["task"]) == ("put a mug in drawer.", "Put a mug in the drawer.")
    assert shown == observation
    assert {**human_info, "task": ""} == {**info, "task": ""}
    *outcome, human_info = human.step("go to shelf 1")
    *expected, info = template.step("go to shelf 1")
    assert outcome == expected
    assert human_info["task"] == "Put a mug in the drawer."


@pytest.mark.parametrize(("annotation", "task"), [(1, "move the cup to a drawer"), (2, "Stow the mug.")])
def test_the_annotation_is_chosen(data: Path, annotation: int, task: str) -> None:
    env = itp.make_env("alfworld", data=data, goal="human", annotation=annotation)
    assert [env.reset(seed=seed)[1]["task"] for seed in range(3)] == [task] * 3


def test_a_random_annotation_follows_the_seed(data: Path) -> None:
    env = itp.make_env("alfworld", data=data, goal="human", annotation="random")
    options = {"task_id": TASK}
    drawn = [env.reset(seed=seed, options=options)[1]["task"] for seed in range(20)]
    assert drawn == [env.reset(seed=seed, options=options)[1]["task"] for seed in range(20)]
    assert set(drawn) == {" ".join(text.split()) for text in SENTENCES}


@pytest.mark.parametrize("goal", ["template", "human"])
def test_the_expert_wins_whatever_goal_is_shown(data: Path, goal: str) -> None:
    env = itp.make_env("alfworld", data=data, goal=goal, expert=True)
    info = env.reset()[1]
    while not info["won"]:
        _, _, terminated, truncated, info = env.step(info.get("expert_plan", [])[0])
        assert terminated == info["won"]
        assert not truncated
    assert info.get("expert_plan") == []
    assert "expert_plan" not in itp.make_env("alfworld", data=data, goal=goal).reset()[1]


@pytest.mark.parametrize("options", [{"goal": "human"}, {"goal": "human", "annotation": "random", "expert": True}])
def test_the_contract_holds_with_every_option(data: Path, options: dict[str, Any]) -> None:
    assert check_text_env(lambda: itp.make_env("alfworld", data=data, **options)) == []


def test_collecting_with_human_goals_follows_the_expert(data: Path) -> None:
    """The planner takes the environment's plan, which was made from the template goal."""
    from itp.planners.simple import ExpertPlanner
    from itp.rollout.lockstep import run_episodes

    def make() -> Any:
        return itp.make_env("alfworld", data=data, goal="human", expert=True)

    (trajectory,) = run_episodes(make, ExpertPlanner(), [TASK], batch_size=1, max_steps=None, seed=0)
    assert trajectory.won
    assert trajectory.task.goal == "Put a mug in the drawer."
    assert all(step.expert_action == step.decision.action for step in trajectory.steps)


def test_what_reads_templates_stays_calm() -> None:
    """Belief, renderer and failure categories do not know such a goal; they must take it without a crash."""
    from itp.envs.alfworld.belief import Belief
    from itp.envs.alfworld.expert import Expert
    from itp.evaluation.failures import failure_category
    from itp.types import Decision, Step, StopReason, Task, Trajectory

    task = Task("t", "Stow the mug, please!", "pick_and_place_simple")
    steps = tuple(Step(Decision(f"go to shelf {n}"), "Nothing happens.") for n in range(3))
    lost = Trajectory(task, "You are in the middle of a room.", steps, StopReason.STEP_LIMIT)
    assert failure_category(lost) == "other"
    belief = Belief.of(lost.states()[-1])
    assert belief.goal.family == "unknown"
    assert Expert().act(belief, ["inventory", "look"]) == "look"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "truncated"),
        ({}, "task_desc is missing"),
        ({"turk_annotations": {"anns": [{"task_desc": 3}]}}, "task_desc is missing"),
        ({"turk_annotations": {"anns": [{"task_desc": "  "}]}}, "holds no sentence"),
        ({"turk_annotations": {"anns": [{"task_desc": "Only one."}]}}, "annotation 1 is asked for and there are 1"),
    ],
)
def test_a_bad_file_is_named_in_one_line(data: Path, content: Any, words: str) -> None:
    file = trial_of(data) / "traj_data.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    env = AlfworldEnv([trial_of(data) / "game.tw-pddl"], goal="human", annotation=1)
    with pytest.raises(GameFileError, match=words) as caught:
        env.reset()
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named_and_the_template_still_plays(data: Path) -> None:
    file = trial_of(data) / "traj_data.json"
    file.unlink()
    env = AlfworldEnv([trial_of(data) / "game.tw-pddl"], goal="human")
    with pytest.raises(DataError, match=r"traj_data\.json.*goal=template"):
        env.reset()
    assert AlfworldEnv([trial_of(data) / "game.tw-pddl"]).reset()[1]["task"] == "put a mug in drawer."
    with pytest.raises(DataError, match="held in memory"):
        AlfworldEnv([GameSource("t", data=tiny_data())], goal="human").reset()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"goal": "humans"}, "allowed are template, human"),
        ({"goal": "human", "annotation": -1}, "give 0, 1, 2, or random"),
        ({"goal": "human", "annotation": "first"}, "give 0, 1, 2, or random"),
        ({"annotation": 1}, "add goal=human"),
        ({"expert": "yes"}, "give true or false"),
        ({"cache_size": 0}, "cache_size=0"),
        ({"goals": "human"}, "annotation, cache_size, expert, goal"),
    ],
)
def test_options_that_are_not_allowed(data: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ItpError, match=words) as caught:
        itp.make_env("alfworld", data=data, **options)
    assert isinstance(caught.value, ConfigError)


def test_no_steps_are_no_default(data: Path) -> None:
    with pytest.raises(ConfigError, match="max_steps=0"):
        itp.make_env("alfworld", data=data, max_steps=0)
