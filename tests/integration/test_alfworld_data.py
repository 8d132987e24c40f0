"""The shipped games: how many count, that each of them parses, and how fast."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from itp import make_env
from itp.envs.alfworld.annotations import TRAJECTORY_NAME, read_sentences
from itp.envs.alfworld.data import find_games, task_type_of
from itp.envs.alfworld.engine import FastGame
from itp.envs.alfworld.inventory import take_stock
from itp.envs.base import TextEnv
from itp.errors import DataError

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


def test_stock_of_the_shipped_games(alfworld_data: Path):
    stock = take_stock(alfworld_data)
    assert stock.problems() == []
    assert {split.split: split.playable.total() for split in stock.splits} == {"train": 3554, "valid_seen": 140}
    assert sorted(stock.splits[1].playable.values()) == [13, 16, 24, 25, 27, 35]
    assert [split.files - split.with_goals for split in stock.splits] == [0, 0]
    assert stock.absent == ["valid_unseen"]


def test_a_split_that_is_not_there_names_those_that_are(alfworld_data: Path):
    with pytest.raises(DataError, match="splits there: train, valid_seen"):
        make_env("alfworld", split="valid_unseen", data=alfworld_data)


def test_every_validation_game_has_three_human_goals(alfworld_data: Path):
    for source in find_games(alfworld_data, "valid_seen"):
        assert source.path is not None
        sentences = read_sentences(source.path.with_name(TRAJECTORY_NAME))
        assert len(sentences) >= 3
        assert all(text == " ".join(text.split()) for text in sentences)


def test_the_expert_is_as_good_with_human_goals(alfworld_data: Path):
    """Its plan comes from the template goal, whatever goal the player is shown: the same steps in the same games."""

    def lengths(goal: str) -> list[int]:
        env = make_env("alfworld", split="valid_seen", data=alfworld_data, goal=goal, expert=True)
        steps = []
        for task_id in env.task_ids:
            info = env.reset(options={"task_id": task_id})[1]
            steps.append(0)
            while plan := info.get("expert_plan"):
                *_, info = env.step(plan[0])
                steps[-1] += 1
            assert info["won"]
        return steps

    assert lengths("human") == lengths("template")


def test_clones_of_every_validation_game_go_on_as_replays_do(alfworld_data: Path):
    """Thirty random steps, a fork, thirty more on both sides; then each side is replayed from the start."""
    env, replay = (make_env("alfworld", split="valid_seen", data=alfworld_data, max_steps=100) for _ in range(2))

    def play(player: TextEnv, commands: list[str], rng: random.Random, steps: int) -> list[tuple[str, tuple[Any, ...]]]:
        outcomes: list[tuple[str, tuple[Any, ...]]] = []
        while len(outcomes) < steps:
            command = rng.choice(commands)
            outcome = player.step(command)
            outcomes.append((command, outcome))
            if outcome[2]:
                break
            commands = outcome[4]["admissible_commands"] or []
        return outcomes

    for task_id in env.task_ids:
        start = env.reset(options={"task_id": task_id})[1]["admissible_commands"] or []
        before = play(env, start, random.Random(task_id), 30)
        *_, (_, (_, _, won, _, info)) = before
        if won:
            continue
        clone, commands = env.clone(), info["admissible_commands"]
        sides = [play(clone, commands, random.Random(1), 30), play(env, commands, random.Random(2), 30)]
        for side in sides:
            replay.reset(options={"task_id": task_id})
            assert [(command, replay.step(command)) for command, _ in (*before, *side)] == [*before, *side]
