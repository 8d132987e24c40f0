"""Clones of `AlfworldEnv`: the same state at any moment, and then a life of their own."""

from __future__ import annotations

import pickle
import time
from typing import Any

import pytest
from alfworld_tiny import GOALS, tiny_data
from hypothesis import given, settings
from hypothesis import strategies as st

from itp.envs.alfworld.data import GameSource
from itp.envs.alfworld.engine import FastGame
from itp.envs.alfworld.env import AlfworldEnv
from itp.envs.alfworld.library import GameLibrary
from itp.errors import ConfigError, EnvError

FAMILIES = list(GOALS)


def new_library() -> GameLibrary:
    return GameLibrary([GameSource(f"{family}-Tiny/trial", data=tiny_data(family)) for family in GOALS])


LIBRARY = new_library()
WIN = ["go to countertop 1", "take mug 1 from countertop 1", "open drawer 2", "put mug 1 in/on drawer 2"]
PICK = {"task_id": "pick_and_place_simple-Tiny/trial"}

choices = st.lists(st.integers(min_value=-1, max_value=999), max_size=25)
"""What to do at each step: an admissible command by its number, or (-1) nonsense."""


def act(env: AlfworldEnv, choice: int, admissible: list[str]) -> tuple[Any, ...]:
    return env.step("dance" if choice < 0 else admissible[choice % len(admissible)])


def play(env: AlfworldEnv, admissible: list[str], plan: list[int]) -> list[tuple[Any, ...]]:
    """Outcomes until the plan or the episode ends."""
    outcomes = []
    for choice in plan:
        outcomes.append(act(env, choice, admissible))
        if outcomes[-1][2] or outcomes[-1][3]:
            break
        admissible = outcomes[-1][4]["admissible_commands"]
    return outcomes


@settings(max_examples=60, deadline=None)
@given(family=st.sampled_from(FAMILIES), expert=st.booleans(), before=choices, one=choices, other=choices)
def test_a_clone_goes_on_as_a_replay_does(
    family: str, expert: bool, before: list[int], one: list[int], other: list[int]
) -> None:
    """Clone, let original and clone part, and compare each with a fresh environment that replays everything."""
    options = {"task_id": f"{family}-Tiny/trial"}

    def fresh() -> tuple[AlfworldEnv, list[str], bool]:
        """With a library of its own: a fault that soiled a shared one would soil the reference as well."""
        env = AlfworldEnv(new_library(), max_steps=30, expert=expert)
        admissible = env.reset(options=options)[1]["admissible_commands"] or []
        played = play(env, admissible, before)
        if not played:
            return env, admissible, False
        return env, played[-1][4]["admissible_commands"], played[-1][2] or played[-1][3]

    env, admissible, over = fresh()
    clone = env.clone()
    if over:
        for ended in (env, clone):
            with pytest.raises(EnvError, match="is over"):
                ended.step("look")
        return
    of_clone = play(clone, admissible, other)
    of_original = play(env, admissible, one)
    assert of_original == play(fresh()[0], admissible, one)
    assert of_clone == play(fresh()[0], admissible, other)


@settings(max_examples=30, deadline=None)
@given(plan=choices, branches=st.lists(choices, min_size=1, max_size=4))
def test_branches_leave_the_original_where_it_is(plan: list[int], branches: list[list[int]]) -> None:
    env = AlfworldEnv(LIBRARY)
    admissible = env.reset(options=PICK)[1]["admissible_commands"] or []
    played = play(env, admissible, plan)
    if played and (played[-1][2] or played[-1][3]):
        return
    admissible = played[-1][4]["admissible_commands"] if played else admissible
    for branch in branches:
        play(env.clone(), admissible, branch)
    # `look` changes nothing, and lists what the receptacles here show.
    assert env.clone().step("look") == env.step("look")


APPLE = ["go to countertop 1", "take apple 2 from countertop 1"]
RARE = {
    "clean": ("pick_and_place_simple", [*APPLE, "go to sinkbasin 1"], ["clean apple 2 with sinkbasin 1"]),
    "heat": ("pick_and_place_simple", [*APPLE, "go to microwave 1"], ["heat apple 2 with microwave 1"]),
    "cool": (
        "pick_and_place_simple",
        [*APPLE, "go to microwave 1", "heat apple 2 with microwave 1", "go to fridge 1"],
        ["cool apple 2 with fridge 1"],
    ),
    "slice": (
        "pick_and_place_simple",
        ["go to countertop 1", "take knife 1 from countertop 1"],
        ["slice apple 2 with knife 1", "put knife 1 in/on countertop 1", "take apple 2 from countertop 1"],
    ),
    "open": ("pick_and_place_simple", ["go to fridge 1"], ["open fridge 1"]),
    "put": ("pick_and_place_simple", [*APPLE, "open drawer 2"], ["put apple 2 in/on drawer 2"]),
    "light": (
        "look_at_obj_in_light",
        ["go to shelf 1", "take mug 1 from shelf 1"],
        ["go to drawer 2", "use desklamp 1"],
    ),
}
"""Family, commands before the clone, and the one in which the two then differ."""
PROBES = [
    "examine apple 2", "look", "put knife 1 in/on countertop 1", "take apple 2 from countertop 1", "examine apple 2",
    "go to shelf 1", "go to countertop 1", "look", "go to fridge 1", "examine fridge 1",
]  # fmt: skip


@pytest.mark.parametrize("who", ["original", "clone"])
@pytest.mark.parametrize("what", RARE)
def test_what_one_does_never_shows_in_the_other(what: str, who: str) -> None:
    """Every property of an object, and every place where things lie, belongs to one of the two alone."""
    family, before, change = RARE[what]

    def at_the_fork() -> AlfworldEnv:
        env = AlfworldEnv(new_library())
        env.reset(options={"task_id": f"{family}-Tiny/trial"})
        for command in before:
            assert env.step(command)[0] != "Nothing happens."
        return env

    original = at_the_fork()
    clone = original.clone()
    acting, waiting = (original, clone) if who == "original" else (clone, original)
    for command in change:
        assert acting.step(command)[0] != "Nothing happens."
    untouched = at_the_fork()
    assert [waiting.step(probe) for probe in PROBES] == [untouched.step(probe) for probe in PROBES]


def test_before_the_first_reset() -> None:
    env = AlfworldEnv(LIBRARY)
    clone = env.clone()
    with pytest.raises(EnvError, match="has not begun"):
        clone.step("look")
    assert clone.reset(seed=4) == env.reset(seed=4)


def test_after_the_end() -> None:
    env = AlfworldEnv(LIBRARY)
    env.reset(options=PICK)
    for command in WIN:
        env.step(command)
    clone = env.clone()
    with pytest.raises(EnvError, match="is over"):
        clone.step("look")
    clone.reset(options=PICK)
    clone.step("look")
    with pytest.raises(EnvError, match="is over"):
        env.step("look")


def test_the_step_limit_counts_on_in_each() -> None:
    env = AlfworldEnv(LIBRARY, max_steps=3)
    env.reset(options=PICK)
    env.step("look")
    clone = env.clone()
    assert [clone.step("look")[3], clone.step("look")[3]] == [False, True]
    assert [env.step("look")[3], env.step("look")[3]] == [False, True]


def test_a_reset_of_one_does_not_touch_the_other() -> None:
    """All environments share the parsed games; playing the same game side by side must not mix them."""
    env, other = AlfworldEnv(LIBRARY), AlfworldEnv(LIBRARY)
    env.reset(options=PICK)
    env.step(WIN[0])
    env.step(WIN[1])
    clone = env.clone()
    clone.reset(options=PICK)
    other.reset(options=PICK)
    assert other.step("inventory")[0] == clone.step("inventory")[0] == "You are not carrying anything."
    assert env.step("inventory")[0] == "You are carrying: a mug 1."


def test_the_clone_draws_what_the_original_would_have_drawn() -> None:
    env = AlfworldEnv(LIBRARY)
    env.reset(seed=7)
    clone, clone_of_clone = env.clone(), env.clone().clone()
    draws = [[e.reset()[1]["task_id"] for _ in range(20)] for e in (env, clone, clone_of_clone)]
    assert draws[0] == draws[1] == draws[2]
    assert len(set(draws[0])) > 1
    assert clone.np_random.random() == clone_of_clone.np_random.random()


def test_a_generator_of_the_users_own_is_copied_too() -> None:
    import numpy as np

    env = AlfworldEnv(LIBRARY)
    env.np_random = np.random.Generator(np.random.MT19937(3))
    clone = env.clone()
    assert clone.np_random is not env.np_random
    assert clone.np_random.integers(1 << 40) == env.np_random.integers(1 << 40)


def test_an_environment_can_be_sent_to_another_process() -> None:
    env = AlfworldEnv(LIBRARY, expert=True)
    env.reset(options=PICK, seed=1)
    env.step(WIN[0])
    copy = pickle.loads(pickle.dumps(env))
    assert copy.step(WIN[1]) == env.step(WIN[1])
    assert copy.reset() == env.reset()


def test_cloning_takes_microseconds() -> None:
    env = AlfworldEnv(LIBRARY)
    env.reset(options=PICK, seed=0)
    env.step(WIN[0])
    start = time.perf_counter()
    for _ in range(500):
        env.clone()
    # About 3 microseconds alone on a core; loading a game takes a thousand.
    assert (time.perf_counter() - start) / 500 < 200e-6


def test_opening_a_game_twice_parses_it_once() -> None:
    made: list[int] = []

    def make() -> dict[str, Any]:
        made.append(1)
        return tiny_data()

    library = GameLibrary([GameSource("lazy", data=make)])
    envs = [AlfworldEnv(library) for _ in range(5)]
    assert not made
    first = {env.reset()[0] for env in envs}
    assert (len(first), made) == (1, [1])
    assert isinstance(library.opening("lazy").game, FastGame)
    with pytest.raises(ConfigError, match="cache_size=0"):
        GameLibrary([GameSource("lazy", data=make)], cache_size=0)
    with pytest.raises(ConfigError, match="cache_size='big'"):
        AlfworldEnv([GameSource("lazy", data=make)], cache_size="big")  # pyright: ignore[reportArgumentType]
