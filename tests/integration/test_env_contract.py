"""Every environment that is shipped keeps the contract, and stands random commands of any kind.

`check_text_env` runs on each of them, hypothesis on those that are cheap enough. What an environment needs and the
machine lacks (games, Java, a library) is a skip with its reason. ScienceWorld, which is slow, is checked once, in
test_scienceworld.py; ALFWorld's official engine plays household games here.
"""

from __future__ import annotations

import importlib.util
import math
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_remote import serving

from itp.envs.base import TextEnv
from itp.envs.check import check_text_env
from itp.envs.registry import make_env
from itp.errors import EnvError

pytestmark = pytest.mark.slow

Make = Callable[..., TextEnv]


def needs(*modules: str, java: bool = False) -> None:
    """Skip the test unless the libraries, and Java, are there."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    if java and shutil.which("java") is None:
        pytest.skip("there is no Java on the PATH")


@pytest.fixture
def server() -> Iterator[str]:
    """URL of a server of household games."""
    with serving("--env", "household") as (_, url):
        yield url


def maker(name: str, request: pytest.FixtureRequest) -> Make:
    """A factory of the environment that a test names, or a skip."""
    if name == "example":
        return partial(make_env, "examples.crossing:CrossingEnv")
    if name == "remote":
        needs("fastapi", "uvicorn")
        return partial(make_env, request.getfixturevalue("server"))
    if name.startswith("gymnasium"):
        return partial(make_env, name)
    if name.startswith("household"):
        engine = "textworld" if "official" in name else "fast"
        if engine == "textworld":
            needs("textworld", "alfworld")
        size = "full" if "full" in name else "small"
        return partial(make_env, "household", engine=engine, size=size, episodes=20)
    if name.startswith("alfworld"):
        data = request.getfixturevalue("alfworld_data")
        return partial(make_env, "alfworld", split="valid_seen", data=data, expert="expert" in name)
    if name == "textworld":
        return partial(make_env, "textworld", data=request.getfixturevalue("textworld_games"))
    needs("textworld_express", java=True)
    return partial(make_env, "textworld-express", game="cookingworld", expert="expert" in name)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("household", 40),
        ("household full", 40),
        ("household official", 4),
        pytest.param("alfworld", 30, marks=pytest.mark.realdata),
        pytest.param("alfworld expert", 30, marks=pytest.mark.realdata),
        ("textworld", 12),
        ("textworld-express", 20),
        ("textworld-express expert", 20),
        ("gymnasium:FrozenLake-v1", 30),
        ("gymnasium:Taxi-v4", 30),
        ("example", 30),
        ("remote", 20),
    ],
)
def test_the_contract_holds(name: str, steps: int, request: pytest.FixtureRequest) -> None:
    make = maker(name, request)
    given = make() if "official" in name else make  # more instances would take longer than all the rest
    assert [str(problem) for problem in check_text_env(given, steps=steps)] == []


COMMANDS = st.lists(
    st.one_of(
        st.integers(0, 10_000),  # an admissible command, counted round
        st.text(max_size=40),
        st.sampled_from(["", "look", "LOOK", "help", "inventory", "go to", "take", "\n", "quit", "x" * 5_000]),
    ),
    min_size=1,
    max_size=25,
)
PROPERTY = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
CHEAP = ["household", "household full", "textworld", "textworld-express", "gymnasium:FrozenLake-v1", "example"]
RANGES = {"household": (0, 1), "household full": (0, 1), "textworld": (0, 3), "textworld-express": (-1, 1)}


def chosen(command: int | str, info: Any) -> str:
    """The command itself, or the admissible one that a number stands for."""
    if isinstance(command, str):
        return command
    admissible = info["admissible_commands"]
    return admissible[command % len(admissible)]


def step_checked(env: TextEnv, action: str, low: float, high: float) -> Any:
    """Take a step; whatever the command was, the answer has the right types and the score is in its range."""
    answer = env.step(action)
    text, reward, terminated, truncated, info = answer
    assert isinstance(text, str)
    assert math.isfinite(reward)
    assert low <= info["score"] <= high
    assert not info["won"] or terminated
    assert info["admissible_commands"] or terminated or truncated
    return answer


@pytest.fixture(params=CHEAP)
def player(request: pytest.FixtureRequest) -> Any:
    """A cheap environment, made once for all examples of a test, and the range of its score."""
    env = maker(request.param, request)()
    yield env, *RANGES.get(request.param, (0, 1))
    env.close()


@PROPERTY
@given(commands=COMMANDS, seed=st.integers(0, 2**32 - 1), split_at=st.integers(0, 24))
def test_any_commands_are_stood_and_a_clone_goes_on_alike(
    player: tuple[TextEnv, float, float], commands: list[int | str], seed: int, split_at: int
) -> None:
    env, low, high = player
    _, info = env.reset(seed=seed)
    twin: TextEnv | None = None
    ahead: list[tuple[str, Any]] = []
    for index, command in enumerate(commands):
        if index == split_at:
            twin = env.clone()
        action = chosen(command, info)
        answer = step_checked(env, action, low, high)
        info = answer[4]
        if twin is not None:
            ahead.append((action, answer))
        if answer[2] or answer[3]:
            with pytest.raises(EnvError):
                env.step("look")
            break
    for action, answer in ahead:
        assert twin is not None
        assert twin.step(action) == answer
    if twin is not None:
        twin.close()


@PROPERTY
@given(commands=COMMANDS, seed=st.integers(0, 2**32 - 1), size=st.sampled_from(["small", "full"]))
def test_what_is_not_admissible_leaves_a_household_as_it_was(commands: list[int | str], seed: int, size: str) -> None:
    env = make_env("household", size=size, max_steps=1000)
    _, info = env.reset(seed=seed)
    for command in commands:
        action = chosen(command, info)
        admissible = info["admissible_commands"] or []
        answer = env.step(action)
        if action.strip() not in admissible and action.strip() != "examine":
            look = env.clone().step("look")[0]
            assert answer[:4] == ("Nothing happens.", 0.0, False, False), action
            assert answer[4] == info
            assert look == env.clone().step("look")[0]
        info = answer[4]
        if answer[2]:
            return
