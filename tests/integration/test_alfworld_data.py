"""The shipped games: how many count, that each of them parses, and how fast."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from itp.envs.alfworld.data import find_games, task_type_of
from itp.envs.alfworld.engine import FastGame

pytestmark = pytest.mark.realdata


@pytest.mark.parametrize(("split", "count"), [("train", 3554), ("valid_seen", 140)])
def test_the_split_has_the_known_number_of_games(alfworld_data: Path, split: str, count: int):
    start = time.perf_counter()
    games = find_games(alfworld_data, split)
    assert len(games) == len({game.task_id for game in games}) == count
    # Well under a second alone; other work may share the machine.
    assert time.perf_counter() - start < 5


def test_every_validation_game_parses_as_its_folder_says(alfworld_data: Path):
    for source in find_games(alfworld_data, "valid_seen"):
        game = source.load()
        assert game.task_type == task_type_of(source.task_id)
        assert game.goal.objects
        fast = FastGame(game)
        assert fast.reset().endswith(game.task)
        assert not fast.won


@pytest.mark.slow
def test_every_training_game_parses_as_its_folder_says(alfworld_data: Path):
    for source in find_games(alfworld_data, "train"):
        assert source.load().task_type == task_type_of(source.task_id)
