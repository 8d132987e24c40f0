"""Parsing of game files: names, families, and errors that name the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from alfworld_tiny import GOALS, INIT, tiny_data, tiny_game

from itp.envs.alfworld.problem import TASK_TYPES, demangle, load_game, parse_game
from itp.errors import GameFileError


def test_numbers_descend_over_sorted_ids_and_basins_are_named():
    names = demangle(["mug_bar_2", "mug_bar_1", "sink_bar_1_bar_sinkbasin", "sink_bar_1", "agent1"])
    assert names == {
        "mug_bar_1": "mug 2",
        "mug_bar_2": "mug 1",
        "sink_bar_1": "sink 1",
        "sink_bar_1_bar_sinkbasin": "sinkbasin 1",
        "agent1": "agent1 ",
    }


@pytest.mark.parametrize("family", GOALS)
def test_the_family_is_read_off_the_goal(family: str):
    assert tiny_game(family).task_type == family
    assert set(GOALS) == set(TASK_TYPES)


def test_goal_names_the_things_that_count():
    game = tiny_game("pick_heat_then_place_in_recep")
    assert [game.object_names[o] for o in sorted(game.goal.objects)] == ["apple 2", "apple 1"]
    assert [game.receptacle_names[r] for r in game.goal.receptacles] == ["shelf 1"]
    assert (game.goal.state, game.goal.count, game.task) == ("hot", 1, "tidy up.")


def test_task_id_is_the_last_two_folders(tmp_path: Path):
    path = tmp_path / "task" / "trial" / "game.tw-pddl"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(tiny_data()))
    assert load_game(path).task_id == "task/trial"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (json.dumps(tiny_data())[:-40], "not valid JSON"),
        ("", "not valid JSON"),
        ("[]", "a JSON object is expected, found list"),
        ("{}", "key 'grammar' is missing"),
        (json.dumps({**tiny_data(), "pddl_problem": "(:goal )"}), "no (:init ...)"),
        (json.dumps({**tiny_data(), "grammar": ""}), "Your task is to"),
        (json.dumps(tiny_data(init=INIT.replace("(atLocation agent1 loc_bar_0)", ""))), "exactly one location"),
        (json.dumps(tiny_data(init=INIT + "(holds agent1 Mug_bar_1)")), "object in hand"),
        (json.dumps(tiny_data(init=INIT + "(inReceptacle Mug_bar_1)")), "inconsistent"),
    ],
)
def test_a_damaged_file_is_one_line_that_names_it(tmp_path: Path, content: str, reason: str):
    path = tmp_path / "game.tw-pddl"
    path.write_text(content)
    with pytest.raises(GameFileError) as error:
        load_game(path)
    message = str(error.value)
    assert str(path) in message
    assert reason in message
    assert "\n" not in message


def test_binary_and_missing_files(tmp_path: Path):
    path = tmp_path / "game.tw-pddl"
    with pytest.raises(GameFileError, match="cannot be read"):
        load_game(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GameFileError, match="not valid JSON"):
        load_game(path)


def test_a_foreign_goal_is_refused():
    data = tiny_data()
    data["pddl_problem"] = data["pddl_problem"].partition("(:goal")[0] + "(:goal (opened Drawer_bar_1)))"
    with pytest.raises(GameFileError, match="none of the six"):
        parse_game(data, "x")
