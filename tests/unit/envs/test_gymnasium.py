"""Gymnasium environments as text environments: names for actions, words for observations, tasks, wins, endings."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from itp.envs.check import check_text_env
from itp.envs.gymnasium import GymnasiumTextEnv
from itp.envs.gymnasium_words import describe
from itp.envs.registry import make_env
from itp.errors import ConfigError, EnvError

IDS = ("FrozenLake-v1", "CliffWalking-v1", "CartPole-v1", "Blackjack-v1", "MountainCar-v0")
SHORTEST = ["down", "down", "right", "right", "down", "right"]
"""Over the ice of the 4x4 map, when it is not slippery."""


@pytest.mark.parametrize("identifier", IDS)
def test_gymnasiums_own_environments_keep_the_contract(identifier: str) -> None:
    assert check_text_env(partial(make_env, f"gymnasium:{identifier}")) == []


def test_an_episode_is_won_by_named_actions() -> None:
    env = make_env("gymnasium:FrozenLake-v1", is_slippery=False)
    observation, info = env.reset(options={"task_id": "seed-3"})
    assert observation == "You observe 0, out of 0 to 15."
    assert info == {
        "task": "Get the highest score you can in FrozenLake-v1.",
        "task_id": "seed-3",
        "task_type": "FrozenLake-v1",
        "admissible_commands": ["left", "down", "right", "up"],
        "won": False,
        "score": 0.0,
    }
    answers = [env.step(command) for command in SHORTEST]
    assert [answer[0] for answer in answers[:2]] == ["You observe 4, out of 0 to 15.", "You observe 8, out of 0 to 15."]
    assert [answer[4]["won"] for answer in answers] == [False] * 5 + [True]
    assert answers[-1][1:4] == (1.0, True, False)
    assert answers[-1][4]["score"] == 1.0


def test_the_seed_is_the_task() -> None:
    env, bare = make_env("gymnasium:Taxi-v4", tasks=3, split="test"), gymnasium.make("Taxi-v4")
    assert env.task_ids == ("seed-2000000", "seed-2000001", "seed-2000002")
    for task_id in env.task_ids:
        state, _ = bare.reset(seed=int(task_id.removeprefix("seed-")))
        assert env.reset(seed=9, options={"task_id": task_id})[0] == f"You observe {state}, out of 0 to 499."
        for action, command in enumerate(("south", "north", "east", "west", "pick up", "drop off")):
            state, reward, *_ = bare.step(action)
            text, ours, *_ = env.step(command)
            assert (text, ours) == (f"You observe {state}, out of 0 to 499.", reward)


def test_a_command_that_is_none_uses_up_a_step_and_changes_nothing() -> None:
    env = make_env("gymnasium:FrozenLake-v1", is_slippery=False, max_steps=3)
    env.reset(seed=0)
    assert env.step("down")[0] == "You observe 4, out of 0 to 15."
    assert env.step("DOWN")[:4] == ("Nothing happens.", 0.0, False, False)
    assert env.step("up")[:4] == ("You observe 0, out of 0 to 15.", 0.0, False, True)
    with pytest.raises(EnvError, match="the episode is over; call reset"):
        env.step("up")


def test_falling_over_is_no_win_and_a_score_may_be_asked_for() -> None:
    env = make_env("gymnasium:CartPole-v1")
    env.reset(seed=0)
    answer = env.step("push left")
    while not answer[2]:
        answer = env.step("push left")
    assert (answer[1], answer[4]["won"]) == (1.0, False)
    easy = make_env("gymnasium:CartPole-v1", win_score=8)
    easy.reset(seed=0)
    answer = easy.step("push left")
    while not answer[2]:
        answer = easy.step("push left")
    assert answer[4]["won"]
    assert answer[4]["score"] >= 8


class Riddle(gymnasium.Env[str, str]):
    """A user's environment: text in and out, our keys in its info."""

    observation_space = spaces.Text(200)
    action_space = spaces.Text(200)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.answer = str(self.np_random.choice(["owl", "eel"]))
        return "Who am I?", {"task": "guess who I am.", "admissible_commands": ["owl", "eel"]}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        right = action == self.answer
        return "Yes!" if right else "No.", 0.0, right, False, {"is_success": right, "irreversible": not right}


def test_a_users_text_environment_speaks_for_itself() -> None:
    env = GymnasiumTextEnv(Riddle(), tasks=5, max_steps=4)
    assert check_text_env(partial(GymnasiumTextEnv, Riddle(), tasks=5)) == []
    observation, info = env.reset(options={"task_id": "seed-1"})
    assert (observation, info["task"], info["admissible_commands"]) == ("Who am I?", "guess who I am.", ["owl", "eel"])
    answers = [env.step(command) for command in ("cat", env.env.unwrapped.answer)]  # pyright: ignore
    assert [(a[0], a[2], a[4]["won"], a[4].get("irreversible")) for a in answers] == [
        ("No.", False, False, True),
        ("Yes!", True, True, False),
    ]


def test_clones_go_their_own_way() -> None:
    env = make_env("gymnasium:FrozenLake-v1")
    env.reset(seed=1)
    twin = env.clone()
    one, two = ([player.step("up")[0] for _ in range(4)] for player in (env, twin))
    assert one == two
    env.step("up")
    assert twin.reset(seed=3) == env.reset(seed=3)


@pytest.mark.parametrize(
    ("space", "value", "text"),
    [
        (spaces.Text(9), "hello", "hello"),
        (spaces.Discrete(4, start=1), np.int64(2), "You observe 2, out of 1 to 4."),
        (spaces.MultiDiscrete([3, 3]), np.array([0, 2]), "You observe 0, 2."),
        (spaces.MultiBinary(2), np.array([1, 0]), "You observe 1, 0."),
        (spaces.Box(-1, 1, (2, 2)), np.array([[0.5, -1], [1 / 3, 0]]), "You observe 0.5, -1, 0.3333, 0."),
        (
            spaces.Tuple([spaces.Discrete(2), spaces.Text(5)]),
            (1, "a"),
            "part 0: You observe 1, out of 0 to 1.\npart 1: a",
        ),
        (spaces.Dict({"speed": spaces.Box(0, 9)}), {"speed": np.array([2.0])}, "speed: You observe 2."),
    ],
)
def test_observations_in_words(space: Any, value: Any, text: str) -> None:
    assert describe(space, value) == text


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("FrozenLak-v1", {}, "gymnasium:FrozenLak-v1' cannot be made: .*FrozenLake"),
        ("FrozenLake-v1", {"slippery": False}, "unexpected keyword argument 'slippery'"),
        ("no_such_module:Env-v0", {}, "No module named 'no_such_module'"),
        ("Pendulum-v1", {}, "action space Box.*only Discrete and Text"),
        ("FrozenLake-v1", {"split": "dev"}, "split 'dev' is unknown; .* has train, valid, test"),
        ("FrozenLake-v1", {"engine": "textworld"}, "has one engine and no data folder"),
        ("FrozenLake-v1", {"actions": "a,b"}, r"actions=\['a', 'b'\]: FrozenLake-v1 needs 4 different names"),
        ("FrozenLake-v1", {"actions": "a,b,c,a"}, "needs 4 different names"),
        ("FrozenLake-v1", {"tasks": 0}, "tasks=0.*at least 1"),
        ("FrozenLake-v1", {"max_steps": 0}, "max_steps=0: whole numbers, at least"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make_env(f"gymnasium:{name}", **options)
    assert "\n" not in str(caught.value)


def test_actions_may_be_named() -> None:
    env = make_env("gymnasium:FrozenLake-v1", actions="go west, go south, go east, go north", is_slippery=False)
    assert env.reset(seed=0)[1]["admissible_commands"] == ["go west", "go south", "go east", "go north"]
    assert env.step("go south")[0] == "You observe 4, out of 0 to 15."
