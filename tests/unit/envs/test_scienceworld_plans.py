"""Tidy plans: what is left out of a gold path, the way back after a detour, and which detours are offered."""

import random
from typing import Any

import pytest

from itp import make_env
from itp.envs.scienceworld.plans import CAUTION, Plan, Tidying, detours, direct, tidy
from itp.errors import ConfigError

GOLD = (
    "look around", "open door to hallway", "go to hallway", "look around", "open door to kitchen", "go to kitchen",
    "pick up thermometer", "open door to hallway", "go to hallway", "open door to kitchen", "go to kitchen",
    "pour metal pot into metal pot", *["wait1"] * 12, "focus on water",
)  # fmt: skip


def test_a_tidy_plan_teleports_looks_once_and_leaves_out_what_does_nothing() -> None:
    assert tidy(GOLD, Tidying(waterings=0)) == [
        "teleport to kitchen", "look around", "pick up thermometer", "teleport to kitchen", "wait", "wait1", "wait1",
        "focus on water",
    ]  # fmt: skip


def test_each_caution_leaves_more_of_the_gold_path_as_it_is() -> None:
    assert tidy(GOLD, Tidying(tens=False, waterings=0)).count("wait1") == 12
    assert "look around" not in tidy(GOLD, Tidying(look=False))
    walk = tidy(GOLD, CAUTION[-1])
    assert [action for action in walk if action.startswith(("go", "teleport"))] == [
        "go to hallway",
        "go to kitchen",
    ] * 2
    lengths = [len(tidy(GOLD, how)) for how in CAUTION]
    assert lengths[0] == min(lengths)


def test_a_look_that_the_gold_path_takes_itself_is_not_doubled() -> None:
    assert tidy(["go to kitchen", "look around", "read recipe"]) == [
        "teleport to kitchen",
        "look around",
        "read recipe",
    ]


def test_a_plan_goes_back_to_where_it_was_left() -> None:
    plan = Plan.start(["pick up pot", "teleport to foundry", "open oven"], "This room is called the kitchen. In it ...")
    plan.took("xyzzy", "No known action matches that input.")
    assert plan.commands()[0] == "pick up pot"
    plan.took("teleport to outside", "You teleport to the outside.")
    plan.took("go to greenhouse", "You move to the greenhouse.")
    assert plan.commands() == ["teleport to kitchen", "pick up pot", "teleport to foundry", "open oven"]
    plan.took("teleport to kitchen", "You teleport to the kitchen.")
    plan.took("pick up pot", "You move the pot to the inventory.")
    plan.took("teleport to bathroom", "You teleport to the bathroom.")
    assert plan.commands() == ["teleport to foundry", "open oven"]  # it leaves for another room anyway
    plan.took("teleport to foundry", "You teleport to the foundry.")
    assert plan.commands() == ["open oven"]


def test_detours_are_no_step_of_the_plan_and_no_focus_out_of_turn() -> None:
    plan = ["focus on adult banana tree", "pick up flower pot 6", "teleport to workshop", "focus on green box"]
    offered = {command for seed in range(50) for command in detours(plan, "kitchen", random.Random(seed))}
    assert plan[0] not in offered
    assert "focus on green box" not in offered
    assert "teleport to kitchen" not in offered
    assert {"look around", "inventory", "pick up flower pot 6"} <= offered
    astray = {command.removeprefix("focus on ") for command in offered if command.startswith("focus")}
    assert {"adult banana", "adult tree", "banana tree", "adult tree banana"} <= astray
    assert all(set(words.split()) <= {"adult", "banana", "tree"} for words in astray)
    assert detours(plan, "kitchen", random.Random(3)) == detours(plan, "kitchen", random.Random(3))


def test_rooms_in_which_nothing_is_done_are_not_visited() -> None:
    way = ["pick up pot", "teleport to hallway", "look around", "pick up pot", "teleport to bedroom", "look around"]
    sink = ["teleport to greenhouse", "look around", "move pot to sink"]
    assert direct([*way, *sink]) == ["pick up pot", *sink]
    assert direct([*way[:1], "teleport to bedroom", "pick up cup", *sink]) == [
        "pick up pot",
        "teleport to bedroom",
        "pick up cup",
        *sink,
    ]
    assert direct(["look around", *sink]) == ["look around", *sink]
    assert direct([]) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expert": "neat"}, "expert 'neat' is unknown; scienceworld has False, True, tidy"),
        ({"readings": "rounded"}, "readings 'rounded' is unknown; scienceworld has plain, compared"),
        ({"names": "given"}, "names 'given' is unknown; scienceworld has plain, target"),
        ({"commands": "detours"}, "give expert=tidy as well"),
        ({"moved": 1}, "moved needs a plan that finds what was moved: give expert=tidy as well"),
        ({"moved": "far", "expert": "tidy"}, "moved='far' must be a whole number, at least 0"),
        ({"expert": "tidy", "simplifications": "openDoors"}, "leave simplifications at easy"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_env("scienceworld", split="wide", **options)
