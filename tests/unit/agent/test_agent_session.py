"""Episodes that the agent remembers for its user."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import itp
from itp.errors import ConfigError, EnvError
from itp.types import Decision, HorizonChosen

COMMANDS = ["look", "wait"]


def answer(messages: list[dict[str, str]]) -> str:
    return "Thought: patience\nAction: wait"


def make(planner: str = "itp-i") -> itp.Agent:
    world: dict[str, Any] = (
        {"world_model": lambda state, action: "dust", "horizon": "fixed:1"} if planner == "itp-i" else {}
    )
    return itp.Agent(answer, planner=planner, **world)


def test_a_session_decides_as_the_agent_does_when_it_is_told_everything() -> None:
    agent = make()
    session = agent.session(task="clean", observation="a room")
    for _ in range(2):
        session.act(COMMANDS)
        session.observe("dust falls")
    last = session.act(COMMANDS)
    told = agent.decide(
        task="clean",
        first_observation="a room",
        history=[("wait", "dust falls")] * 2,
        admissible_commands=COMMANDS,
        thoughts=["patience", "patience"],
    )
    assert session.history == [("wait", "dust falls")] * 2
    assert (last.action, last.foresight, last.policy_usage.tokens) == (
        told.action,
        told.foresight,
        told.policy_usage.tokens,
    )
    assert [made.action for made in session.decisions] == ["wait", "wait"]
    assert session.usage.tokens > 2 * told.policy_usage.tokens


def test_thoughts_and_imagined_tokens_go_along() -> None:
    session = make("react").session(task="clean", observation="a room")
    session.act(COMMANDS)
    session.observe("dust")
    assert session.situation().thoughts == ("patience",)
    session = make().session(task="clean", observation="a room")
    decision = session.act(COMMANDS)
    session.observe("dust")
    assert session.situation().imagined_tokens == decision.imagination_usage.tokens > 0
    assert session.situation().imagined_steps == 1


def test_what_was_really_done_may_differ_from_the_decision() -> None:
    session = make().session(task="clean", observation="a room")
    session.act(COMMANDS)
    session.observe("a view", action="look")
    session.observe("dust", action="sweep")
    assert session.history == [("look", "a view"), ("sweep", "dust")]
    assert [made.parse for made in session.decisions] == ["given", "given"]


def test_nothing_is_observed_before_something_is_done() -> None:
    session = make().session(task="clean", observation="a room")
    with pytest.raises(EnvError, match="act first, or say which action was taken"):
        session.observe("dust")
    session.act(COMMANDS)
    session.act(COMMANDS)
    session.observe("dust")
    with pytest.raises(EnvError, match="act first"):
        session.observe("dust")
    with pytest.raises(ConfigError, match="observation is int"):
        session.observe(3, action="look")  # pyright: ignore[reportArgumentType]
    assert session.history == [("wait", "dust")]


def test_a_session_without_a_task_is_refused() -> None:
    with pytest.raises(ConfigError, match="task is empty"):
        make().session(task=" ", observation="a room")


def test_coroutines_act_and_stream() -> None:
    async def main() -> None:
        session = make().session(task="clean", observation="a room")
        assert (await session.aact(COMMANDS)).action == "wait"
        session.observe("dust")
        events = [event async for event in session.astream(COMMANDS)]
        assert isinstance(events[0], HorizonChosen)
        assert isinstance(events[-1], Decision)
        session.observe("more dust")
        assert session.history == [("wait", "dust"), ("wait", "more dust")]

    asyncio.run(main())
