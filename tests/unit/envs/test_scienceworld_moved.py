"""Starts in which what a task names lies elsewhere, and plans that look for it."""

import random

import pytest

from itp.envs.scienceworld.moved import SEARCHED, moved_starts

BOIL = "Your task is to boil chocolate. First, focus on the substance."
PLAN = ["teleport to kitchen", "look around", "open fridge", "pick up metal pot", "focus on chocolate",
        "move chocolate to metal pot", "activate stove"]  # fmt: skip


def moved(plan: list[str] = PLAN, task: str = BOIL, start: str = "hallway", seed: int = 0) -> list:
    return list(moved_starts(plan, task, start, random.Random(seed)))


def test_the_thing_is_carried_off_before_the_episode_and_looked_for_in_a_fixed_order() -> None:
    (prelude, plan), *_ = moved()
    there = prelude[-3].removeprefix("teleport to ")
    assert prelude == ["teleport to kitchen", "open fridge", "pick up chocolate", "close fridge",
                       f"teleport to {there}", "drop chocolate", "teleport to hallway"]  # fmt: skip
    rooms = [room for room in SEARCHED[: SEARCHED.index(there) + 1] if room != "kitchen"]
    search = [step for room in rooms for step in (f"teleport to {room}", "look around")]
    assert plan == [*PLAN[:4], *search, "pick up chocolate", "teleport to kitchen", *PLAN[4:]]


def test_what_is_liquid_is_carried_in_what_holds_it() -> None:
    taken = [prelude[2] for prelude, _ in moved()]
    assert taken == [f"pick up {name}chocolate" for name in ("", "cup containing ", "metal pot containing ")]


def test_the_draw_chooses_the_room_and_never_the_one_it_is_in_nor_that_of_the_start() -> None:
    rooms = {moved(start="outside", seed=seed)[0][0][-3].removeprefix("teleport to ") for seed in range(60)}
    assert rooms == {*SEARCHED} - {"kitchen", "outside"}


@pytest.mark.parametrize(
    ("plan", "task"),
    [
        (PLAN, "Your task is to boil water."),
        (PLAN, "Your task is to measure the melting point of chocolate, which is located around the kitchen."),
        (["look around", "mix pot", "focus on chocolate"], BOIL),
        (["focus on chocolate"], BOIL),
        (["look around"], BOIL),
    ],
)
def test_nothing_is_moved_that_the_task_does_not_name_or_places_or_that_is_made_first(
    plan: list[str], task: str
) -> None:
    assert moved(plan, task) == []
