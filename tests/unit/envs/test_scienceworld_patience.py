"""Patient plans: waits in the place of watching, and nothing believed that was not played."""

from collections.abc import Callable
from typing import Any, cast

from itp.envs.scienceworld.patience import by_sight, unbroken, unwatched
from itp.envs.scienceworld.rehearsal import Rehearsal
from itp.envs.scienceworld.simulator import Answer

READ = "use thermometer in inventory on "
START = ["pick up thermometer", "open fridge", "open freezer", "focus on ice", "move pot to stove"]
OPENED = ["open freezer", "open fridge", "focus on ice", "move pot to stove"]
WATCH = ["examine ice", READ + "ice"] * 11
BOIL = "Your task is to boil ice."
LIMIT = "If the melting point of ice is above 10.0 degrees celsius, focus on the red box."


def test_a_watched_pot_is_waited_for_with_a_glance_after_each_wait() -> None:
    plans = list(unwatched([*START, *WATCH, "examine water", READ + "water", "pick up pot"], BOIL))
    assert plans[0] == [*OPENED, *["wait", "examine ice"] * 3, "pick up pot"]
    assert plans[1] == [*OPENED, *["wait", "examine water"] * 3, "pick up pot"]


def test_where_nothing_is_examined_waits_alone_are_left() -> None:
    plans = list(unwatched([READ + "ice", "wait", READ + "ice", "pick up pot"], BOIL))
    assert plans == [["wait", "wait", "pick up pot"]] * 2


def test_what_is_left_at_the_end_is_waits_with_some_to_spare() -> None:
    assert next(unwatched([*START, *WATCH], BOIL)) == [*OPENED, *["wait"] * 5]


def test_a_task_with_a_limit_keeps_its_readings_and_only_long_runs_change() -> None:
    short = [*START[:1], *OPENED, *WATCH[:6], "focus on red box"]
    assert next(unwatched(short, LIMIT)) == short
    (plan, _) = unwatched([*START, *WATCH, "focus on red box"], LIMIT)
    assert plan == [START[0], *OPENED, READ + "ice", *["wait", READ + "ice"] * 2, "focus on red box"]


def test_nothing_is_opened_twice_and_waits_without_a_reading_stay() -> None:
    plan = ["open door", "wait1", "wait1", "open door", "wait", "wait", "pick up pot", "pick up pot"]
    assert next(unwatched(plan, "grow a plant")) == ["open door", *["wait1"] * 2, *["wait"] * 2, "pick up pot"]


def test_looks_between_waits_are_left_out() -> None:
    plan = ["look around", "wait", "pour jug", *["wait", "look around", "wait"] * 2, "focus on plum"]
    assert unbroken(plan) == [*plan[:3], *["wait"] * 5, "look around", "focus on plum"]
    assert unbroken(plan[:-1]) == [*plan[:3], *["wait"] * 8]


def test_life_stages_are_named_without_waits_and_other_tasks_are_left_alone() -> None:
    plan = [
        "go to outside",
        "look around",
        "focus on egg",
        "look around",
        "wait1",
        "focus on adult",
        "look around",
        "wait1",
    ]
    task = "Your task is to focus on the 2 life stages of the hen."
    assert by_sight(plan, task) == ["go to outside", "look around", "focus on egg", "focus on adult"]
    assert by_sight(plan, "Your task is to find a plant.") is None


class Stage:
    """A simulator of which a play knows what comes next: an answer for every action, given the actions before it."""

    def __init__(self, gold: list[str], task: str, answer: Callable[[list[str]], tuple[int, str]]) -> None:
        self.gold, self.task, self.answer = gold, task, answer
        self.done: list[str] = []

    def load(self, *_: Any) -> str:
        self.done = []
        return "You are here."

    def gold_path(self) -> list[str]:
        return self.gold

    def task_description(self) -> str:
        return self.task

    def step(self, action: str) -> Answer:
        self.done.append(action)
        score, text = self.answer(self.done)
        return Answer(text, score, score >= 100)


def rehearsed(gold: list[str], task: str, answer: Callable[[list[str]], tuple[int, str]]) -> list[str]:
    return Rehearsal(cast(Any, Stage(gold, task, answer)), "boil", 0, "easy").plan().plan


def test_a_focus_that_is_refused_is_waited_for() -> None:
    def answer(done: list[str]) -> tuple[int, str]:
        early = done[-1] == "focus on adult" and done.count("wait") < 2
        won = done[-1] == "focus on adult" and not early
        return (100 if won else 0), "No known action matches that input." if early else "Fine."

    gold = ["go to outside", "look around", "focus on egg", *["wait1"] * 14, "focus on adult"]
    task = "Your task is to focus on the 2 life stages of the hen."
    wait = ["wait", "look around"]
    start = ["teleport to outside", "look around", "focus on egg"]
    assert rehearsed(gold, task, answer) == [*start, *wait, *wait, "focus on adult"]


def test_a_plan_is_cut_where_it_wins_and_looks_before_it_names_what_was_shut_away() -> None:
    def answer(done: list[str]) -> tuple[int, str]:
        heated = "move pot to stove" in done and sum(10 if action == "wait" else 1 for action in done) >= 22
        return (100 if heated else 0), "In it is ice." if done[-1] == "look around" else "Fine."

    looked = ["open freezer", "open fridge", "look around", "focus on ice", "move pot to stove"]
    assert rehearsed([*START, *WATCH], BOIL, answer) == [*looked, "wait", "wait"]


def test_where_no_change_wins_the_gold_path_stays() -> None:
    gold = ["go to outside", *["wait1"] * 12]
    assert rehearsed(gold, BOIL, lambda done: (100 if done == gold else 0, "Fine.")) == gold
