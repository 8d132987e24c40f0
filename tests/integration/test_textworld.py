"""TextWorld games, compiled here, as a player meets them through the adapter."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from itp.envs.check import check_text_env
from itp.envs.registry import make_env
from itp.envs.textworld import NO_OBJECTIVE, REFUSED
from itp.errors import ConfigError, DataError, EnvError, GameFileError
from itp.planners.simple import ExpertPlanner
from itp.rollout.lockstep import run_episodes
from textworld_games import APPLE

pytestmark = pytest.mark.slow


def test_the_games_of_a_folder_are_its_tasks(textworld_games: Path) -> None:
    assert make_env("textworld", data=textworld_games).task_ids == ("keep.z8", "rooms.z8")
    assert make_env("textworld", data=textworld_games, split="all").task_ids == ("train/keep.z8", "train/rooms.z8")
    assert make_env("textworld", data=textworld_games / "train" / "keep.z8").task_ids == ("keep.z8",)


def test_a_game_is_won_for_its_points(textworld_games: Path) -> None:
    env = make_env("textworld", data=textworld_games, split="all")
    observation, info = env.reset(options={"task_id": "train/keep.z8"})
    assert observation.startswith("-= Kitchen =-\n")
    assert APPLE not in observation
    assert "$$" not in observation
    assert {"take apple", "close chest", "look", "inventory"} <= set(info["admissible_commands"] or ())
    assert {**info, "admissible_commands": None} == {
        "task": APPLE,
        "task_id": "train/keep.z8",
        "task_type": "train",
        "admissible_commands": None,
        "won": False,
        "score": 0.0,
        "max_score": 3.0,
        "irreversible": False,
    }
    assert env.step("take apple")[:4] == ("You pick up the apple from the ground.", 0.0, False, False)
    text, reward, terminated, truncated, info = env.step("insert apple into chest")
    assert text.startswith("You put the apple into the chest.\n\n\nYour score has just gone up by three points.")
    assert (reward, terminated, truncated, info["won"], info["score"]) == (3.0, True, False, True, 3.0)
    with pytest.raises(EnvError, match="the episode is over"):
        env.step("look")


def test_a_lost_game_is_terminated_and_irreversible(textworld_games: Path) -> None:
    env = make_env("textworld", data=textworld_games / "train" / "keep.z8")
    env.reset()
    env.step("take apple")
    text, reward, terminated, _, info = env.step("eat apple")
    assert "*** You lost! ***" in text
    assert (reward, terminated, info["won"], info.get("irreversible")) == (0.0, True, False, True)
    assert env.reset()[1].get("irreversible") is False


def test_the_expert_wins_the_generated_game(textworld_games: Path) -> None:
    make = partial(make_env, "textworld", data=textworld_games, expert=True)
    for trajectory in run_episodes(make, ExpertPlanner(), ["rooms.z8"], batch_size=1, max_steps=None, seed=0):
        assert trajectory.won
        assert [step.expert_action for step in trajectory.steps] == [step.decision.action for step in trajectory.steps]
    assert "expert_plan" not in make_env("textworld", data=textworld_games).reset(seed=0)[1]


def test_commands_to_the_interpreter_stay_outside(textworld_games: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    env = make_env("textworld", data=textworld_games / "train" / "keep.z8")
    env.reset()
    env.step("take apple")
    for command in ("quit", "RESTART", "save", "restore", "undo", "tw-trace-actions", "look. quit", "look then script"):
        assert env.step(command)[:4] == (REFUSED, 0.0, False, False)
    assert env.step("inventory")[0] == "You are carrying: an apple."
    assert env.step("look\ninventory")[0] != "You are carrying: an apple."  # one line, which is no command
    assert env.step("look")[0].startswith("-= Kitchen =-")  # and nothing of it is left over
    assert env.step("\\help")[0] != ""
    assert list(tmp_path.iterdir()) == []


def test_a_clone_goes_on_from_the_same_state(textworld_games: Path) -> None:
    env = make_env("textworld", data=textworld_games / "train" / "keep.z8", max_steps=4)
    env.reset()
    env.step("take apple")
    twin = env.clone()
    assert env.step("eat apple")[4].get("irreversible")
    answer = twin.step("insert apple into chest")
    assert (answer[2], answer[4]["won"]) == (True, True)
    with pytest.raises(EnvError, match="no game to clone"):
        make_env("textworld", data=textworld_games).clone()


@pytest.mark.parametrize("expert", [False, True])
def test_the_contract_holds(textworld_games: Path, expert: bool) -> None:
    make = partial(make_env, "textworld", data=textworld_games, expert=expert)
    assert check_text_env(make, steps=12) == []


def test_a_game_without_its_json_has_open_actions(textworld_games: Path, tmp_path: Path) -> None:
    shutil.copy(textworld_games / "train" / "keep.z8", tmp_path / "other.z8")
    make = partial(make_env, "textworld", data=tmp_path, split="all")
    observation, info = make().reset()
    assert (info["task"], info["admissible_commands"], info["score"]) == (NO_OBJECTIVE, None, 0.0)
    assert observation.startswith("-= Kitchen =-") or APPLE in observation
    assert ">" not in observation
    assert check_text_env(make, steps=8) == []


def test_a_damaged_game_is_refused_and_does_not_end_the_process(textworld_games: Path, tmp_path: Path) -> None:
    story = (textworld_games / "train" / "keep.z8").read_bytes()
    (tmp_path / "cut.z8").write_bytes(story[: len(story) // 2])
    (tmp_path / "changed.z8").write_bytes(story[:90_000] + bytes([story[90_000] ^ 1]) + story[90_001:])
    (tmp_path / "other.z8").write_bytes(b"hello" * 100)
    (tmp_path / "empty.z8").write_bytes(b"")
    code = (
        "import sys\n"
        "from itp import make_env\n"
        "env = make_env('textworld', data=sys.argv[1], split='all')\n"
        "for task_id in env.task_ids:\n"
        "    try:\n"
        "        env.reset(options={'task_id': task_id})\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__, error)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    result = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    lines = result.stdout.splitlines()
    assert result.returncode == 0, result.stderr
    for line, name in zip(lines, ("changed", "cut", "empty", "other"), strict=True):
        assert line.startswith(f"GameFileError {tmp_path / name}.z8 is ")


def test_a_damaged_description_is_refused(textworld_games: Path, tmp_path: Path) -> None:
    shutil.copy(textworld_games / "train" / "keep.z8", tmp_path / "bad.z8")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(GameFileError, match=r"bad\.z8 cannot be read as a game"):
        make_env("textworld", data=tmp_path / "bad.z8").reset()


def test_missing_games_are_named(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "glulx").mkdir()
    (tmp_path / "glulx" / "old.ulx").write_text("")
    (tmp_path / "notes.txt").write_text("")
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({}, ConfigError, "textworld needs games: give --data FOLDER"),
        ({"data": tmp_path / "nowhere"}, DataError, "does not exist: name a .z8 game"),
        ({"data": tmp_path}, DataError, "holds no games"),
        ({"data": tmp_path, "split": "valid"}, ConfigError, "there are glulx, train, and 'all' takes every game"),
        ({"data": tmp_path, "split": "glulx"}, GameFileError, "cannot play Glulx games; make it again with tw-make"),
        ({"data": tmp_path / "notes.txt"}, GameFileError, "is no Z-machine game: name a file that ends in .z1 to .z8"),
        ({"data": tmp_path, "colour": 1}, ConfigError, "has no option colour; it takes expert"),
    ]
    for options, error, message in cases:
        with pytest.raises(error, match=message):
            make_env("textworld", **options)
