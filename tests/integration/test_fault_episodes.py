"""A model server that misbehaves costs no episode: every one is in the results, and what went wrong has a name."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from fault_server import FaultServer
from itp import make_env
from itp.errors import ServerError
from itp.lm.base import LanguageModel, Sampling
from itp.lm.openai import OpenAILM
from itp.lm.response_cache import CachedLM
from itp.lm.retrying import Retries
from itp.planners.prompting import PromptingPlanner
from itp.policy.prompted import PromptedPolicy
from itp.rollout.lockstep import run_episodes
from itp.types import StopReason, Trajectory

pytest.importorskip("openai")

FAST = Retries(attempts=6, first_wait=0.01, longest_wait=0.02, timeout=0.5, give_up_after=20.0)
FAULTS = ("429", "good", "500", "good", "cut", "malformed", "good", "empty", "slow", "good")
EPISODES, STEPS = 5, 4


def play(lm: LanguageModel) -> list[Trajectory]:
    env = make_env("household", split="train")
    planner = PromptingPlanner(PromptedPolicy(lm), "act", Sampling(max_new_tokens=24))
    return run_episodes(
        lambda: make_env("household", split="train", max_steps=STEPS),
        planner,
        list(env.task_ids)[:EPISODES],
        batch_size=EPISODES,
        max_steps=STEPS,
        seed=0,
    )


def actions(trajectories: list[Trajectory]) -> list[list[str]]:
    return [[step.decision.action for step in trajectory.steps] for trajectory in trajectories]


def server(**options: Any) -> FaultServer:
    return FaultServer(answer=lambda prompt: "Action: look", **options)


def test_passing_faults_change_nothing() -> None:
    with server() as good, server(faults=itertools.islice(itertools.cycle(FAULTS), 40)) as bad:
        wanted = play(OpenAILM(good.url, "toy", retries=FAST))
        found = play(OpenAILM(bad.url, "toy", retries=FAST))
    assert not bad.faults, "not all faults were met"
    assert actions(found) == actions(wanted) == [["look"] * STEPS] * EPISODES
    assert {trajectory.stop for trajectory in found} == {StopReason.STEP_LIMIT}


def test_a_lasting_fault_ends_its_own_episode_and_names_itself(tmp_path: Path) -> None:
    goals = [trajectory.task.goal for trajectory in _played()]
    alone = next(goal for goal in goals if goals.count(goal) == 1)
    with server(by_word={alone: "500"}) as bad:
        found = play(CachedLM(OpenAILM(bad.url, "toy", retries=FAST), tmp_path))
    failed = [trajectory for trajectory in found if trajectory.stop is StopReason.ERROR]
    assert [trajectory.task.goal for trajectory in failed] == [alone]
    assert failed[0].error.startswith(f"ServerError: model server {bad.url}, model toy: HTTP 500")
    assert len(found) == EPISODES
    assert all(len(trajectory.steps) == STEPS for trajectory in found if trajectory not in failed)
    good = [body for _, body in bad.requests if alone not in body["messages"][-1]["content"]]
    assert len(good) == (EPISODES - 1) * STEPS, "an answer was paid for twice"


def test_a_server_that_is_gone_ends_all_episodes_with_its_name() -> None:
    with server() as gone:
        url = gone.url
    found = play(OpenAILM(url, "toy", retries=FAST))
    assert [trajectory.stop for trajectory in found] == [StopReason.ERROR] * EPISODES
    assert all("check that a model server runs at this address" in trajectory.error for trajectory in found)


def test_a_wrong_key_ends_the_run_at_once() -> None:
    with server(by_word={"": "401"}) as locked, pytest.raises(ServerError, match="environment variable OPENAI_API_KEY"):
        play(OpenAILM(locked.url, "toy", retries=FAST))
    assert len(locked.requests) == EPISODES


def _played() -> list[Trajectory]:
    with server() as good:
        return play(OpenAILM(good.url, "toy", retries=FAST))
