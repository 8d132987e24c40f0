"""Micro-batches: who is decided with whom, what is refused, and whom an error or a cancellation reaches."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import itp
from itp.errors import Overloaded, ServerError
from itp.types import Decision, DecisionContext, HorizonChosen, ImaginedStep, ImaginedTrajectory


class Recorder:
    """Answers with the task; waits at the gate, and fails where the task says so."""

    name = "recorder"

    def __init__(self, *, fatal: bool = False) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fatal = fatal
        self.now = self.most = 0

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        self.now += 1
        self.most = max(self.most, self.now)
        tasks = [context.state.task for context in contexts]
        self.batches.append(tasks)
        assert self.gate.wait(20)
        self.now -= 1
        if any("fail" in task for task in tasks):
            raise ServerError(f"cannot decide {tasks}", fatal=self.fatal)
        return [Decision(task) for task in tasks]


def agent_of(planner: Any, **options: Any) -> itp.Agent:
    return itp.Agent(planner=planner, **{"batch_window": 0.05, **options})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def ask(agent: itp.Agent, *tasks: str) -> list[asyncio.Task[Decision]]:
    return [asyncio.create_task(agent.adecide(task=task)) for task in tasks]


def test_those_who_ask_together_are_decided_together() -> None:
    async def main() -> None:
        agent = agent_of(planner := Recorder(), max_batch=20)
        names = [f"task {n}" for n in range(32)]
        decisions = await asyncio.gather(*ask(agent, *names))
        assert [decision.action for decision in decisions] == names
        assert [len(batch) for batch in planner.batches] == [20, 12]

    asyncio.run(main())


def test_an_agent_serves_one_event_loop_after_the_other_and_threads() -> None:
    agent = agent_of(Recorder(), batch_window=0.0)
    for name in ("a", "b"):
        assert asyncio.run(agent.adecide(task=name)).action == name
    assert agent.submit(itp.Situation(task="c")).result(5).action == "c"
    assert agent.decide(task="d").action == "d"


def test_an_error_reaches_only_those_whose_own_decision_fails() -> None:
    async def main() -> None:
        agent = agent_of(Recorder())
        results = await asyncio.gather(*ask(agent, "a", "fail", "b"), return_exceptions=True)
        assert [r.action if isinstance(r, Decision) else type(r) for r in results] == ["a", ServerError, "b"]
        assert "['fail']" in str(results[1])

    asyncio.run(main())


def test_a_fatal_error_is_not_asked_about_again() -> None:
    async def main() -> None:
        agent = agent_of(planner := Recorder(fatal=True))
        results = await asyncio.gather(*ask(agent, "a", "fail"), return_exceptions=True)
        assert all(isinstance(result, ServerError) for result in results)
        assert len(planner.batches) == 1

    asyncio.run(main())


def test_the_cancelled_leave_the_queue_and_nobody_else_is_touched() -> None:
    async def main() -> None:
        agent = agent_of(planner := Recorder(), batch_window=0.0)
        planner.gate.clear()
        [first] = ask(agent, "first")
        await until(lambda: len(planner.batches) == 1)
        second, third = ask(agent, "second", "third")
        await until(lambda: agent.statistics["waiting"] == 2)
        first.cancel()
        second.cancel()
        await asyncio.sleep(0)
        planner.gate.set()
        assert (await third).action == "third"
        assert planner.batches == [["first"], ["third"]]
        assert first.cancelled()
        assert second.cancelled()

    asyncio.run(main())


def test_more_than_may_wait_are_refused_and_room_is_made_by_the_cancelled() -> None:
    async def main() -> None:
        agent = agent_of(planner := Recorder(), batch_window=0.0, max_waiting=2)
        planner.gate.clear()
        asked = ask(agent, "under way")
        await until(lambda: len(planner.batches) == 1)
        asked += ask(agent, "a", "b")
        await until(lambda: agent.statistics["waiting"] == 2)
        with pytest.raises(Overloaded, match="2 decisions are waiting already"):
            await agent.adecide(task="c")
        asked[1].cancel()
        await asyncio.sleep(0)
        asked += ask(agent, "d")
        await asyncio.sleep(0.01)
        planner.gate.set()
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert [r.action for r in results if isinstance(r, Decision)] == ["under way", "b", "d"]

    asyncio.run(main())


def test_a_batch_that_is_cancelled_as_a_whole_ends_nothing() -> None:
    async def main() -> None:
        agent = agent_of(planner := Recorder(), batch_window=0.1)
        asked = ask(agent, "a", "b")
        await until(lambda: agent.statistics["waiting"] == 2)
        for task in asked:
            task.cancel()
        await until(lambda: agent.statistics["waiting"] == 0)
        await asyncio.sleep(0.2)
        assert (await agent.adecide(task="c")).action == "c"
        assert planner.batches == [["c"]]

    asyncio.run(main())


def test_closing_answers_what_is_under_way_and_refuses_what_waits() -> None:
    async def main() -> None:
        agent = agent_of(planner := Recorder(), batch_window=0.0)
        planner.gate.clear()
        [first] = ask(agent, "first")
        await until(lambda: len(planner.batches) == 1)
        [second] = ask(agent, "second")
        await until(lambda: agent.statistics["waiting"] == 1)
        agent.close()
        with pytest.raises(Overloaded, match="closed"):
            await second
        planner.gate.set()
        assert (await first).action == "first"

    asyncio.run(main())


def test_what_is_under_way_may_be_abandoned() -> None:
    async def main() -> None:
        agent = agent_of(planner := Recorder(), batch_window=0.0)
        planner.gate.clear()
        [first] = ask(agent, "first")
        await until(lambda: len(planner.batches) == 1)
        agent.close(abandon=True)
        with pytest.raises(Overloaded, match="before this decision was made"):
            await first
        planner.gate.set()

    asyncio.run(main())


@pytest.mark.parametrize("parallel", [1, 3])
def test_no_more_planner_calls_at_a_time_than_allowed(parallel: int) -> None:
    async def main() -> None:
        agent = agent_of(planner := Recorder(), batch_window=0.0, max_batch=1, parallel=parallel)
        planner.gate.clear()
        asked = ask(agent, *"abcdef")
        await until(lambda: planner.now == parallel)
        await asyncio.sleep(0.02)
        planner.gate.set()
        assert [(await task).action for task in asked] == list("abcdef")
        assert planner.most == parallel

    asyncio.run(main())


def test_servers_get_batches_side_by_side_and_models_of_this_process_do_not() -> None:
    from fault_server import FaultServer

    with FaultServer(answer=lambda prompt: "Action: look") as server:
        assert itp.Agent(f"openai:{server.url}", planner="act").parallel > 1
        assert itp.Agent(f"openai:{server.url}", "rules").parallel == 1
    assert itp.Agent(lambda messages: "Action: look", planner="act").parallel == 1


class Dreamer:
    """Tells a horizon of 2 and two steps, with a pause at the gate between them; fails first where told so."""

    name = "dreamer"

    def __init__(self, failures: int = 0) -> None:
        self.gate = threading.Event()
        self.failures = failures

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        steps = (ImaginedStep("look", "dust"), ImaginedStep("wipe", "shine"))
        for context in contexts:
            context.tell(HorizonChosen(2))
            context.tell(steps[0])
            assert self.gate.wait(20)
            if self.failures:
                self.failures -= 1
                raise ServerError("once more")
            context.tell(steps[1])
        return [Decision("wipe", 2, ImaginedTrajectory(steps)) for _ in contexts]


def test_a_stream_tells_each_step_when_it_is_made() -> None:
    async def main() -> None:
        agent = agent_of(dreamer := Dreamer(), batch_window=0.0)
        stream = agent.astream(task="clean")
        assert await anext(stream) == HorizonChosen(2)
        assert await anext(stream) == ImaginedStep("look", "dust")
        dreamer.gate.set()
        rest = [event async for event in stream]
        assert rest[0] == ImaginedStep("wipe", "shine")
        assert isinstance(rest[1], Decision)
        assert len(rest) == 2

    asyncio.run(main())


def test_a_stream_that_is_asked_for_again_tells_nothing_twice() -> None:
    async def main() -> None:
        agent = agent_of(dreamer := Dreamer(failures=1))
        dreamer.gate.set()
        streams = [agent.astream(task=name) for name in ("a", "b")]

        async def read(stream: Any) -> list[Any]:
            return [event async for event in stream]

        for events in await asyncio.gather(*map(read, streams)):
            assert [type(event) for event in events] == [HorizonChosen, ImaginedStep, ImaginedStep, Decision]

    asyncio.run(main())


def test_a_stream_ends_in_the_error_of_its_decision() -> None:
    async def main() -> None:
        agent = agent_of(dreamer := Dreamer(failures=1), batch_window=0.0)
        dreamer.gate.set()
        stream = agent.astream(task="a")
        assert await anext(stream) == HorizonChosen(2)
        assert await anext(stream) == ImaginedStep("look", "dust")
        with pytest.raises(ServerError, match="once more"):
            await anext(stream)

    asyncio.run(main())
