"""Household games on textworld, under our own rules and under ALFWorld's: the same bytes as on the fast engine."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from itp.envs.alfworld.data import GameSource
from itp.envs.alfworld.official import OfficialEnv
from itp.envs.base import TextEnv
from itp.envs.household import generate_game, make_household_env, seed_of
from itp.envs.household.generator import parse_task_id

pytest.importorskip("textworld", reason="textworld is not installed (extra 'alfworld'): no official engine to compare")
pytest.importorskip("alfworld", reason="alfworld is not installed (extra 'alfworld'): no official engine to compare")

pytestmark = pytest.mark.slow


def play_both(one: TextEnv, other: TextEnv, task_id: str, plan: tuple[str, ...], rng: random.Random) -> int:
    """Play the same commands on two environments, half of them from the plan; number of steps that agreed."""
    assert one.reset(options={"task_id": task_id}) == other.reset(options={"task_id": task_id})
    info = one.reset(options={"task_id": task_id})[1]
    remaining, steps = list(plan), 0
    while True:
        commands = info["admissible_commands"] or []
        handling = [c for c in commands if not c.startswith(("go to", "look", "inventory"))]
        if remaining and remaining[0] in commands and rng.random() < 0.5:
            command = remaining.pop(0)
        else:
            command = rng.choice(rng.choice([handling or commands, commands, ["open nonsense 1"]]))
        answer = one.step(command)
        assert answer == other.step(command), command
        steps, info = steps + 1, answer[-1]
        if answer[2] or answer[3]:
            return steps


@pytest.mark.parametrize(
    ("size", "index"), [("small", 0), ("small", 1), ("small", 2), ("small", 3), ("full", 4), ("full", 5)]
)
def test_engines_agree_byte_for_byte(size, index):
    game = generate_game(seed_of("train", index), size=size)
    fast = make_household_env(size=size, episodes=6, max_steps=25)
    official = make_household_env(size=size, episodes=6, max_steps=25, engine="textworld")
    assert play_both(fast, official, game.task_id, game.walkthrough, random.Random(index)) > 0


@pytest.mark.parametrize(
    ("index", "knobs"), [(0, {"receptacles": 14, "distractors": 3}), (3, {"receptacles": 5, "hidden": True})]
)
def test_engines_agree_on_games_with_knobs(index: int, knobs: dict[str, Any]):
    fast = make_household_env(episodes=6, max_steps=25, **knobs)
    official = make_household_env(episodes=6, max_steps=25, engine="textworld", **knobs)
    seed, size, parsed = parse_task_id(fast.task_ids[index])
    game = generate_game(seed, size=size, knobs=parsed)
    assert play_both(fast, official, game.task_id, game.walkthrough, random.Random(index)) > 0


@pytest.mark.parametrize("index", range(6))
def test_the_walkthrough_of_each_family_wins_officially(index):
    game = generate_game(seed_of("test", index))
    env = make_household_env("test", engine="textworld", episodes=6)
    env.reset(options={"task_id": game.task_id})
    answers = [env.step(command) for command in game.walkthrough]
    assert [answer[-1]["won"] for answer in answers] == [False] * (len(answers) - 1) + [True]


def knife_work() -> tuple[str, list[str]]:
    """A kitchen with knife and food on its furniture, and commands that slice, clean, cool and heat that food."""
    for index in range(0, 600):
        game = generate_game(seed_of("train", index))
        parsed = game.game
        if game.room != "kitchen" or game.task_type == "pick_clean_then_place_in_recep":
            continue
        where = {thing: place for place, things in enumerate(parsed.contents) for thing in things}
        open_places = set(range(len(parsed.contents))) - parsed.openable
        for knife in parsed.knives:
            for food in parsed.sliceable & parsed.cleanable & parsed.coolable & parsed.heatable:
                places = {where[knife], where[food]}
                alone = len({parsed.receptacle_location[p] for p in places}) == 2
                if places <= open_places and alone and knife in parsed.accepts[where[food]]:
                    cut, eat = parsed.object_names[knife], parsed.object_names[food]
                    shelf, table = (parsed.receptacle_names[where[thing]] for thing in (knife, food))
                    look = f"examine {eat}"
                    return game.task_id, [
                        *(f"go to {shelf}", f"take {cut} from {shelf}", f"go to {table}", f"slice {eat} with {cut}"),
                        *(f"slice {eat} with {cut}", f"put {cut} in/on {table}", f"take {eat} from {table}", look),
                        *("go to sinkbasin 1", f"clean {eat} with sinkbasin 1", look, "look"),
                        *("go to fridge 1", f"cool {eat} with fridge 1", look, "open fridge 1", "close fridge 1"),
                        *("go to microwave 1", f"heat {eat} with microwave 1", look, "inventory", "look"),
                    ]
    raise AssertionError("no such kitchen among 600 games")


def test_slicing_and_changing_food_reads_the_same():
    """Random play hardly ever slices: the knife must be in hand where something to slice lies."""
    task_id, commands = knife_work()
    fast = make_household_env()
    official = make_household_env(engine="textworld")
    assert fast.reset(options={"task_id": task_id}) == official.reset(options={"task_id": task_id})
    said = ""
    for command in commands:
        answer = fast.step(command)
        assert answer == official.step(command), command
        said += answer[0] + "\n"
    for expected in (
        "You sliced the",
        "This is a sliced",
        "clean sliced",
        "cool and clean sliced",
        "hot and clean sliced",
    ):
        assert expected in said


@pytest.mark.realdata
@pytest.mark.parametrize("index", range(6))
def test_our_rules_and_the_official_rules_are_the_same_game(index, alfworld_data: Path):
    """The same problem under ALFWorld's own domain and grammar: nothing a player sees may differ."""
    game = generate_game(seed_of("valid", index))
    logic = alfworld_data / "logic"
    rules = {
        "pddl_domain": (logic / "alfred.pddl").read_text(),
        "grammar": (logic / "alfred.twl2").read_text().replace("UNKNOWN GOAL.", game.task),
    }
    ours = OfficialEnv([GameSource(game.task_id, data=game.data)], max_steps=25)
    theirs = OfficialEnv([GameSource(game.task_id, data={**game.data, **rules})], max_steps=25)
    assert play_both(ours, theirs, game.task_id, game.walkthrough, random.Random(index)) > 0
