"""`AlfworldEnv`: episodes, infos, limits and misuse; data discovery and the registry. No real data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from alfworld_tiny import GOALS, tiny_data

import itp
from itp.envs.alfworld.data import GameSource, data_folder, find_games
from itp.envs.alfworld.env import AlfworldEnv
from itp.envs.base import TextEnv
from itp.errors import ConfigError, DataError, EnvError, GameFileError

WIN = ["go to countertop 1", "take mug 1 from countertop 1", "open drawer 2", "put mug 1 in/on drawer 2"]


def sources() -> list[GameSource]:
    return [GameSource(f"{family}-Tiny/trial", data=tiny_data(family)) for family in GOALS]


@pytest.fixture
def env() -> AlfworldEnv:
    return AlfworldEnv(sources(), max_steps=5)


def test_reset_splits_the_first_text(env: AlfworldEnv):
    observation, info = env.reset(options={"task_id": "pick_and_place_simple-Tiny/trial"})
    assert observation.startswith(
        "You are in the middle of a room. Looking quickly around you, you see a countertop 1,"
    )
    assert observation.endswith("and a sinkbasin 1.")
    assert set(info) == {"task", "task_id", "task_type", "admissible_commands", "won", "score"}
    assert (info["task"], info["task_type"]) == ("tidy up.", "pick_and_place_simple")
    assert (info["won"], info["score"]) == (False, 0.0)
    assert info["admissible_commands"]
    assert "go to shelf 1" in info["admissible_commands"]


def test_a_won_episode(env: AlfworldEnv):
    env.reset(options={"task_id": "pick_and_place_simple-Tiny/trial"})
    results = [env.step(command) for command in WIN]
    assert [result[1:4] for result in results] == [(0.0, False, False)] * 3 + [(1.0, True, False)]
    assert (results[-1][4]["won"], results[-1][4]["score"]) == (True, 1.0)
    with pytest.raises(EnvError, match="is over"):
        env.step("look")


def test_an_episode_is_cut_at_the_limit(env: AlfworldEnv):
    env.reset(seed=0)
    results = [env.step("dance") for _ in range(5)]
    assert [(result[2], result[3]) for result in results] == [(False, False)] * 4 + [(False, True)]
    assert results[-1][0] == "Nothing happens."
    with pytest.raises(EnvError, match="call reset first"):
        env.step("look")


def test_winning_on_the_last_step_is_no_truncation():
    env = AlfworldEnv(sources(), max_steps=len(WIN))
    env.reset(options={"task_id": "pick_and_place_simple-Tiny/trial"})
    *_, last = [env.step(command) for command in WIN]
    assert last[1:4] == (1.0, True, False)


def test_misuse_is_named(env: AlfworldEnv):
    with pytest.raises(EnvError, match="has not begun"):
        env.step("look")
    with pytest.raises(ConfigError, match="'nowhere'"):
        env.reset(options={"task_id": "nowhere"})
    with pytest.raises(ConfigError, match="taskid"):
        env.reset(options={"taskid": "nowhere"})
    env.reset()
    with pytest.raises(EnvError, match="must be a string"):
        env.step(3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="max_steps=0"):
        AlfworldEnv(sources(), max_steps=0)
    with pytest.raises(ConfigError, match="unique"):
        AlfworldEnv([*sources(), *sources()])


def test_the_seed_decides_the_task(env: AlfworldEnv):
    draws = [env.reset(seed=seed)[1]["task_id"] for seed in range(30)]
    assert draws == [env.reset(seed=seed)[1]["task_id"] for seed in range(30)]
    assert set(draws) == set(env.task_ids)


def test_a_game_replayed_from_the_cache_starts_afresh():
    env = AlfworldEnv(sources(), max_steps=10, cache_size=1)
    options = {"task_id": "pick_and_place_simple-Tiny/trial"}
    first = env.reset(options=options)
    for command in WIN:
        env.step(command)
    assert env.reset(options=options) == first
    env.reset(options={"task_id": "pick_two_obj_and_place-Tiny/trial"})
    assert env.reset(options=options) == first


def test_games_in_memory_are_made_when_first_played():
    made = []

    def make() -> dict[str, object]:
        made.append(1)
        return tiny_data()

    env = AlfworldEnv([GameSource("lazy", data=make)])
    assert not made
    assert env.reset()[1]["task_type"] == "pick_and_place_simple"
    assert made == [1]


def write_game(root: Path, name: str, solvable: bool = True, **more: object) -> Path:
    path = root / "json_2.1.1" / "train" / name / "game.tw-pddl"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**tiny_data(), "solvable": solvable, **more}))
    return path


def test_only_games_that_count_are_listed_in_order(tmp_path: Path):
    write_game(tmp_path, "pick_and_place_simple-B-None-X-1/trial_2")
    write_game(tmp_path, "pick_and_place_simple-B-None-X-1/trial_1", walkthrough=["look"])
    write_game(tmp_path, "pick_and_place_simple-A-None-X-1/trial_9", solvable=False)
    write_game(tmp_path, "pick_and_place_simple-AppleSliced-None-X-1/trial_1")
    write_game(tmp_path, "pick_and_place_with_movable_recep-B-Bowl-X-1/trial_1")
    names = [game.task_id for game in find_games(tmp_path, "train")]
    assert names == ["pick_and_place_simple-B-None-X-1/trial_1", "pick_and_place_simple-B-None-X-1/trial_2"]
    assert itp.make_env("alfworld", data=tmp_path).reset(seed=1)[1]["task"] == "tidy up."


def test_a_truncated_file_is_named_when_listing(tmp_path: Path):
    path = write_game(tmp_path, "pick_and_place_simple-B-None-X-1/trial_1")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(GameFileError, match="trial_1"):
        find_games(tmp_path, "train")


def test_missing_data_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(DataError, match=r"json_2\.1\.1.*ALFWORLD_DATA"):
        find_games(tmp_path, "train")
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path / "gone"))
    with pytest.raises(DataError, match=r"ALFWORLD_DATA is .*gone"):
        find_games(None, "train")
    write_game(tmp_path, "pick_and_place_simple-B-None-X-1/trial_1")
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path))
    assert len(find_games(None, "train")) == 1
    assert data_folder(tmp_path / "json_2.1.1") == tmp_path
    with pytest.raises(DataError, match="splits there: train"):
        find_games(None, "valid_seen")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("alfwrld", {}, "alfworld, household"),
        ("no_such_module:make", {}, "MODULE:FACTORY"),
        ("alfworld", {"split": "test"}, "train, valid_seen, valid_unseen"),
        ("alfworld", {"engine": "quick"}, "fast, textworld"),
        ("alfworld", {"size": 3}, "cache_size"),
        ("household", {"engine": "quick"}, "fast, textworld"),
        ("household", {"data": "/tmp"}, "generated"),
    ],
)
def test_a_wrong_choice_lists_what_is_allowed(name: str, options: dict[str, object], words: str):
    with pytest.raises(ConfigError, match=words):
        itp.make_env(name, **options)


def make_custom(*, split: str, engine: str, data: object, max_steps: int, color: str = "red") -> TextEnv:
    """A factory such as a user writes one."""
    assert (split, color) == ("mine", "blue")
    return AlfworldEnv(sources(), max_steps=max_steps)


def test_a_factory_of_the_users_own(monkeypatch: pytest.MonkeyPatch):
    env = itp.make_env(f"{__name__}:make_custom", split="mine", color="blue", max_steps=7)
    assert isinstance(env, AlfworldEnv)
    assert env.max_steps == 7


def test_playing_needs_neither_textworld_nor_alfworld():
    code = (
        "import sys, itp; sys.modules.update(textworld=None, alfworld=None);"
        "itp.make_env('household', split='train').reset(seed=0);"
        "assert not any(name.split('.')[0] == 'fast_downward' for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_official_engine_names_the_extra():
    code = (
        "import sys, itp; sys.modules.update(textworld=None, alfworld=None)\n"
        "try: itp.make_env('household', engine='textworld')\n"
        "except itp.errors.ConfigError as error: assert '[alfworld]' in str(error), error\n"
        "else: raise SystemExit('no error')"
    )
    subprocess.run([sys.executable, "-c", f"import itp.errors; {code}"], check=True)
