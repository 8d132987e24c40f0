"""Slots side by side in one process: hundreds of episodes a call, each failing alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

import itp
from itp.envs.vector import Episode, Failure, SerialVectorEnv, Turn, make_vector
from itp.errors import ConfigError
from workers_toys import Walk


def test_slots_play_as_single_environments_do() -> None:
    env = itp.make_env("household", split="valid")
    with itp.make_vec_env("household", 200, split="valid") as vector:
        tasks = [vector.task_ids[n % len(vector.task_ids)] for n in range(200)]
        starts = vector.reset({slot: Episode(task, seed=slot) for slot, task in enumerate(tasks)})
        commands = {slot: turn.info["admissible_commands"][0] for slot, turn in turns(starts).items()}  # pyright: ignore[reportOptionalSubscript]
        answers = turns(vector.step(commands))
        for slot in (0, 7, 123):
            observation, info = env.reset(options={"task_id": tasks[slot]})
            assert (starts[slot].observation, starts[slot].info) == (observation, info)  # pyright: ignore[reportAttributeAccessIssue]
            answer = answers[slot]
            assert env.step(commands[slot]) == (
                answer.observation,
                answer.reward,
                answer.terminated,
                answer.truncated,
                answer.info,
            )


def turns(outcomes: dict[int, Turn | Failure]) -> dict[int, Turn]:
    assert all(isinstance(outcome, Turn) for outcome in outcomes.values())
    return outcomes  # pyright: ignore[reportReturnType]


def test_a_slot_that_fails_leaves_the_others_alone_and_plays_again_after_a_reset(tmp_path: Path) -> None:
    vector = SerialVectorEnv(partial(Walk, flags=str(tmp_path)), 3)
    vector.reset({0: Episode("t5-a"), 1: Episode("t5-raise"), 2: Episode("t5-b")})
    vector.step(dict.fromkeys(range(3), "up"))
    outcomes = vector.step(dict.fromkeys(range(3), "up"))
    assert outcomes[1].message == "RuntimeError: engine lost"  # pyright: ignore[reportAttributeAccessIssue]
    assert [outcomes[n].observation for n in (0, 2)] == ["value 2", "value 2"]  # pyright: ignore[reportAttributeAccessIssue]
    again = vector.step({1: "up"})[1]
    assert isinstance(again, Failure)
    assert "reset it first" in again.message
    assert isinstance(vector.reset({1: Episode("t5-raise")})[1], Turn)


def test_what_an_environment_says_becomes_one_line() -> None:
    class Wordy(Walk):
        def step(self, action: str):
            raise ValueError("first\nsecond")

    vector = SerialVectorEnv(Wordy, 1)
    vector.reset({0: Episode("t3-0")})
    assert vector.step({0: "up"})[0].message == "ValueError: first second"  # pyright: ignore[reportAttributeAccessIssue]


def test_an_answer_of_the_wrong_shape_is_a_failure_that_names_it() -> None:
    class Mute(Walk):
        def info(self):  # pyright: ignore[reportIncompatibleMethodOverride]
            info = super().info()
            del info["won"]  # pyright: ignore[reportGeneralTypeIssues]
            return info

    outcome = SerialVectorEnv(Mute, 1).reset({0: Episode("t3-0")})[0]
    assert outcome == Failure("EnvError: info lacks 'won'; run `itp check-env`", outcome.seconds)


def test_wrong_numbers_are_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="num_envs=0"):
        make_vector(Walk, 0)
    with pytest.raises(ConfigError, match="workers=-1"):
        make_vector(Walk, 1, workers=-1)
    with pytest.raises(ConfigError, match="slot 4 does not exist: there are 2"):
        make_vector(Walk, 2).step({4: "up"})
    with pytest.raises(ConfigError, match="cannot be sent to worker processes"):
        make_vector(lambda: Walk(), 2, workers=1)
