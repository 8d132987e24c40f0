"""`check_text_env`: a right environment passes, and each deliberate fault gives exactly its own line."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import gymnasium
import pytest
from envs_with_faults import FAULTS, CloneShares, ClosesOnce, Count, TakesNumbers

from itp.envs.base import TextEnv
from itp.envs.check import assert_text_env, check_text_env
from itp.envs.registry import make_env
from itp.errors import EnvError


def test_a_right_environment_has_no_problems():
    assert check_text_env(Count) == []
    assert check_text_env(Count()) == []
    assert_text_env(Count)


@pytest.mark.parametrize(("line", "faulty"), FAULTS, ids=[faulty.__name__ for _, faulty in FAULTS])
def test_each_fault_gives_its_own_line(line: str, faulty: type[Count]):
    problems = [str(problem) for problem in check_text_env(faulty)]
    assert len(problems) == 1, problems
    assert problems[0].startswith(line)
    assert "\n" not in problems[0]


def broken_factory() -> TextEnv:
    raise OSError("the simulator\nis not there")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (broken_factory, "factory(): expected an environment, found OSError: the simulator is not there"),
        (lambda: 3, "environment: expected a gymnasium.Env (subclass itp.envs.base.TextEnv), found int 3"),
        ("household", "environment: expected a gymnasium.Env (subclass itp.envs.base.TextEnv), found str 'household'"),
        (gymnasium.Env, "task_ids: expected a property that lists the task ids, found AttributeError: "),
        (TextEnv, "task_ids: expected a property that lists the task ids, found NotImplementedError:"),
    ],
)
def test_what_is_no_environment_gives_one_line(given, line):
    problems = [str(problem) for problem in check_text_env(given)]
    assert len(problems) == 1
    assert problems[0].startswith(line)


def test_several_faults_are_all_named():
    class Sloppy(TakesNumbers, CloneShares, ClosesOnce):
        pass

    assert [problem.method for problem in check_text_env(Sloppy)] == ["step", "clone", "close, called twice"]
    with pytest.raises(EnvError, match=r"(?s)no string.*undisturbed.*called twice"):
        assert_text_env(Sloppy)


class Hostile(Count):
    """Raises at a random call, whatever it is."""

    def __init__(self, seed: int) -> None:
        object.__setattr__(self, "luck", random.Random(seed))
        super().__init__()

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("__") and name != "luck" and self.luck.random() < 0.004:
            raise [KeyError(name), SystemExit(3), RecursionError(name), EnvError(name)][self.luck.randrange(4)]
        return super().__getattribute__(name)


@pytest.mark.parametrize("seed", range(40))
def test_the_check_never_raises(seed):
    env = Hostile.__new__(Hostile)
    object.__setattr__(env, "luck", random.Random(0))
    env.luck.random = lambda: 1.0
    env.__init__(seed)
    for problem in check_text_env(env):
        assert str(problem)


def test_environments_that_cannot_be_cloned_may_say_so():
    class Alone(Count):
        def clone(self):
            raise EnvError("the simulator cannot be copied")

    assert check_text_env(Alone) == []


@pytest.mark.parametrize("size", ["small", "full"])
def test_household_keeps_the_contract(size):
    assert check_text_env(partial(make_env, "household", size=size), steps=60) == []
