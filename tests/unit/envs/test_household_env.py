"""The household environment and the writer of game files, as a user meets them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import itp.envs.household.env as household_env
from itp.envs.alfworld.data import find_games
from itp.envs.alfworld.env import AlfworldEnv
from itp.envs.household import generate_game, make_household_env, seed_of, write_games
from itp.envs.household.knobs import Knobs
from itp.envs.registry import make_env
from itp.errors import ConfigError


def test_make_env_plays_household_by_name():
    env = make_env("household", split="valid")
    assert len(env.task_ids) == 200
    observation, info = env.reset(options={"task_id": "household-small-valid-000004"})
    game = generate_game(seed_of("valid", 4))
    assert observation.startswith("You are in the middle of a room.")
    assert (info["task"], info["task_type"], info["task_id"]) == (game.task, game.task_type, game.task_id)
    for command in game.walkthrough[:-1]:
        assert command in (info["admissible_commands"] or [])
        _, reward, terminated, _, info = env.step(command)
        assert (reward, terminated) == (0.0, False)
    _, reward, terminated, _, info = env.step(game.walkthrough[-1])
    assert (reward, terminated, info["won"], info["score"]) == (1.0, True, True, 1.0)


@pytest.mark.parametrize(("split", "episodes"), [("train", 2000), ("valid", 200), ("test", 200)])
def test_default_number_of_games(split, episodes):
    ids = make_household_env(split).task_ids
    assert len(ids) == episodes
    assert ids[0] == f"household-small-{split}-000000"


def test_games_are_generated_on_first_reset_and_then_kept(monkeypatch):
    made: list[int] = []

    def counting(seed: int, *, size: str, knobs: Knobs):
        made.append(seed)
        return generate_game(seed, size=size, knobs=knobs)

    monkeypatch.setattr(household_env, "generate_game", counting)
    household_env._game.cache_clear()
    environments = [make_household_env("train") for _ in range(3)]
    assert made == []
    for env in environments:
        env.reset(options={"task_id": env.task_ids[17]})
        env.reset(options={"task_id": env.task_ids[17]})
    assert made == [17]


def test_a_step_limit_truncates():
    env = make_household_env(max_steps=2, episodes=1)
    env.reset(options={"task_id": env.task_ids[0]})
    assert env.step("look")[2:4] == (False, False)
    assert env.step("look")[2:4] == (False, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, "'dev' is unknown: choose one of train, valid, test"),
        ({"size": "tiny"}, "'tiny' is unknown: choose one of small, full"),
        ({"engine": "slow"}, "'slow' is unknown; allowed are fast, textworld"),
        ({"episodes": 0}, "episodes=0 is not allowed: choose 1 to 1000000"),
        ({"episodes": "many"}, "episodes='many' is not allowed"),
        ({"colour": "red"}, "'colour'.* unknown; household takes size, episodes, family, receptacles"),
    ],
)
def test_wrong_options_are_refused_with_what_is_allowed(options, message):
    with pytest.raises(ConfigError, match=message):
        make_household_env(**options)


def test_the_fast_engine_needs_neither_textworld_nor_alfworld():
    code = (
        "import sys\n"
        "sys.modules.update(textworld=None, alfworld=None)\n"
        "from itp.envs.household import make_household_env\n"
        "env = make_household_env(); env.reset(seed=0); env.step('look')\n"
        "assert not {'torch', 'transformers', 'fast_downward'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(("split", "official"), [("train", "train"), ("valid", "valid_seen"), ("test", "valid_unseen")])
def test_written_games_are_played_by_the_alfworld_environment(tmp_path, split, official):
    paths = write_games(tmp_path, split, 7, "small")
    games = [generate_game(seed_of(split, index)) for index in range(7)]
    for path, game in zip(paths, games, strict=True):
        assert path.relative_to(tmp_path).parts[:2] == ("json_2.1.1", official)
        assert path.name == "game.tw-pddl"
        assert json.loads(path.read_text()) == game.data
        assert json.loads((path.parent / "traj_data.json").read_text())["task_type"] == game.task_type
    env = AlfworldEnv(find_games(tmp_path, official))
    assert len(env.task_ids) == 7
    by_trial = {task_id.split("/")[1]: task_id for task_id in env.task_ids}
    for game in games:
        _, info = env.reset(options={"task_id": by_trial[game.task_id]})
        assert (info["task"], info["task_type"]) == (game.task, game.task_type)
        for command in game.walkthrough:
            info = env.step(command)[-1]
        assert info["won"]


def test_write_games_refuses_what_it_cannot_do(tmp_path):
    with pytest.raises(ConfigError, match="n=0 games is not allowed"):
        write_games(tmp_path, "train", 0)
    with pytest.raises(ConfigError, match="choose one of train, valid, test"):
        write_games(tmp_path, "valid_seen", 1)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_games(blocked, "train", 1)
