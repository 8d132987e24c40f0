"""The fast engine against the official one on a few real games of each family: same bytes at every step.

`scripts/compare_engines.py` does the same for hundreds of games.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

pytest.importorskip("textworld", reason="the official engine is not installed (extra: alfworld)")

from itp.envs.alfworld.data import GameSource, find_games, task_type_of
from itp.envs.alfworld.differential import (
    compare_engines,
    expert_player,
    odd_command,
    random_player,
    script_player,
    shuffle,
    tour,
)
from itp.envs.alfworld.engine import FastGame
from itp.envs.alfworld.env import AlfworldEnv
from itp.envs.alfworld.official import OfficialEnv, OfficialGame
from itp.envs.alfworld.problem import TASK_TYPES
from itp.envs.base import TextEnv
from itp.errors import EnvError

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


def sample(data: Path, family: str) -> GameSource:
    """The smallest of twenty games of a family: small games load faster officially."""
    games = [game for game in find_games(data, "valid_seen") if task_type_of(game.task_id) == family]
    games = random.Random(family).sample(games, min(20, len(games)))
    return min(games, key=lambda game: len(game.load().receptacle_names))


@pytest.mark.parametrize("family", TASK_TYPES)
def test_random_play_agrees(alfworld_data: Path, family: str):
    source = sample(alfworld_data, family)
    assert source.path is not None
    player = random_player(random.Random(family))
    result = compare_engines(source.task_id, FastGame(source.load()), OfficialGame(source.path), player, 25)
    assert not result.difference
    assert result.covered["refused"] > 0


@pytest.mark.parametrize("family", ["look_at_obj_in_light", "pick_two_obj_and_place"])
def test_expert_play_agrees_and_wins(alfworld_data: Path, family: str):
    source = sample(alfworld_data, family)
    assert source.path is not None
    fast = FastGame(source.load())
    player = expert_player(fast.reset(), random.Random(0), noise=0.0)
    result = compare_engines(source.task_id, fast, OfficialGame(source.path), player, 40)
    assert not result.difference
    assert result.covered["won"] > 0


def test_sliced_hot_clean_and_cool_agree(alfworld_data: Path):
    """Rare states, in a kitchen where a knife can slice something that can be heated."""
    games = [game for game in find_games(alfworld_data, "valid_seen") if "Tomato" in game.task_id]
    games = [game for game in games if any(command.startswith("slice") for command in tour(game.load()))]
    source = min(games, key=lambda game: (len(game.load().receptacle_names), game.task_id))
    assert source.path is not None
    fast = FastGame(source.load())
    plan = tour(fast.game)
    result = compare_engines(source.task_id, fast, OfficialGame(source.path), script_player(plan), len(plan))
    assert not result.difference
    assert result.covered["slice"] > 0
    assert result.covered["several states"] > 0


def test_next_to_it_lists_agree(alfworld_data: Path):
    """An object moved around several receptacles of one location is listed once per receptacle it was taken from."""
    games = [game for game in find_games(alfworld_data, "valid_seen") if len(shuffle(game.load())) >= 9]
    source = min(games, key=lambda game: (len(game.load().receptacle_names), game.task_id))
    assert source.path is not None
    fast = FastGame(source.load())
    commands = shuffle(fast.game)
    script = iter(commands)
    official = OfficialGame(source.path)
    result = compare_engines(source.task_id, fast, official, lambda *_: next(script), len(commands))
    assert not result.difference
    assert result.covered["beside"] > 1


def episode(env: TextEnv, task_id: str, commands: list[str]) -> list[object]:
    """Everything an environment returns over an episode."""
    results: list[object] = [env.reset(options={"task_id": task_id})]
    for command in commands:
        results.append(env.step(command))
        if any(results[-1][2:4]):  # pyright: ignore[reportIndexIssue]
            break
    return results


def test_both_environments_return_the_same(alfworld_data: Path):
    """Observations, rewards, flags and infos, for a file and for the same game held in memory."""
    source = sample(alfworld_data, "pick_and_place_simple")
    assert source.path is not None
    data = json.loads(source.path.read_bytes())
    rng, game = random.Random(2), FastGame(source.load())
    game.reset()
    commands = []
    for _ in range(8):
        admissible = game.admissible_commands()
        commands += [odd_command(rng, admissible, admissible), rng.choice(admissible)]
        game.step(commands[-2])
        game.step(commands[-1])
    in_memory = GameSource(source.task_id, data=data)
    fast = AlfworldEnv([source], max_steps=12)
    official = OfficialEnv([in_memory], max_steps=12)
    expected = episode(fast, source.task_id, commands)
    assert episode(official, source.task_id, commands) == expected
    assert len(expected) == 13
    official.close()


def test_both_environments_show_the_same_human_goal_and_plan(alfworld_data: Path):
    """Only the fast one can be cloned; the other says so."""
    source = sample(alfworld_data, "pick_clean_then_place_in_recep")
    options = {"goal": "human", "annotation": "random", "expert": True}
    fast, official = AlfworldEnv([source], **options), OfficialEnv([source], **options)
    ours, theirs = fast.reset(seed=5), official.reset(seed=5)
    assert ours == theirs
    for _ in range(4):
        command = ours[-1].get("expert_plan", [])[0]
        ours, theirs = fast.step(command), official.step(command)
        assert ours == theirs
    assert fast.clone().step("look") == official.step("look")
    with pytest.raises(EnvError, match="cannot be cloned; replay"):
        official.clone()
    official.close()
