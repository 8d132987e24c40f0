"""Sessions without HTTP: idleness by a clock of our own, endings, threads that do not pile up."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from remote_envs import Log, OddEnv, wait_until

from itp.envs.remote import sessions as module
from itp.envs.remote.session import Limits, Session
from itp.envs.remote.sessions import Sessions
from itp.envs.remote.wire import Refusal, step_fields
from itp.errors import ConfigError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def make(sessions: Sessions, log: Log) -> Session:
    session = await sessions.create(lambda: OddEnv(log), lambda _: {}, None)
    await sessions.play(session, None, "reset", lambda env: {"observation": env.reset()[0], "available_actions": None})
    return session


def step(action: str) -> Any:
    return lambda env: step_fields(*env.step(action))


def test_only_idle_sessions_are_reaped() -> None:
    async def play() -> None:
        log, clock = Log(), Clock()
        sessions = Sessions(Limits(idle_timeout=10, step_timeout=5), clock=clock)
        idle, used, busy = [await make(sessions, log) for _ in range(3)]
        clock.now = 8
        sessions.get(used.id)
        running = asyncio.create_task(sessions.play(busy, None, "step", step("sleep 0.1")))
        await asyncio.sleep(0.03)
        clock.now = 12
        assert await sessions.reap() == 1
        assert log.closed == 1
        with pytest.raises(Refusal, match="no request for 10 s") as refused:
            sessions.get(idle.id)
        assert refused.value.status == 410
        await running
        assert (sessions.get(busy.id), sessions.get(used.id)) == (busy, used)
        clock.now = 30
        assert await sessions.reap() == 2
        assert (len(sessions), sessions.closing, sessions.counts["reaped"]) == (0, 0, 3)

    asyncio.run(play())


def test_a_session_closed_while_it_steps_finishes_the_step_first() -> None:
    async def play() -> None:
        log = Log()
        sessions = Sessions(Limits())
        session = await make(sessions, log)
        running = asyncio.create_task(sessions.play(session, None, "step", step("sleep 0.1")))
        await asyncio.sleep(0.03)
        waiting = asyncio.create_task(sessions.play(session, None, "step", step("x")))
        await asyncio.sleep(0.01)
        await sessions.close(session, "closed by its client")
        assert (await running).observation == "1: sleep 0.1"
        with pytest.raises(Refusal, match="closed by its client"):
            await waiting
        assert log.closed == 1

    asyncio.run(play())


def test_an_environment_that_is_made_too_late_is_closed() -> None:
    async def play() -> None:
        log = Log()

        def slowly() -> OddEnv:
            log.release.wait(10)
            return OddEnv(log)

        sessions = Sessions(Limits(step_timeout=0.05))
        with pytest.raises(Refusal, match=r"longer than 0\.05 s"):
            await sessions.create(slowly, lambda _: {}, None)
        log.release.set()
        while sessions.closing:
            await asyncio.sleep(0.01)
        assert (len(sessions), log.closed) == (0, 1)

    asyncio.run(play())


@pytest.mark.parametrize("serial", [True, False])
def test_environments_take_turns_if_they_must(serial: bool) -> None:
    async def play() -> None:
        log = Log()
        sessions = Sessions(Limits(), serial=serial)
        made = [await make(sessions, log) for _ in range(4)]
        await asyncio.gather(*(sessions.play(one, None, "step", step("sleep 0.05")) for one in made))
        assert (log.most_running == 1) == serial
        await sessions.close_all()
        assert log.closed == 4

    asyncio.run(play())


def test_threads_end_with_their_sessions() -> None:
    async def play() -> None:
        log = Log()
        sessions = Sessions(Limits())
        made = [await make(sessions, log) for _ in range(5)]
        assert len(started()) == 5
        for session in made:
            await sessions.close(session, "over")

    def started() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "itp-env"} - others

    others: set[threading.Thread] = set()
    others = started()  # other tests' threads, which may end meanwhile
    asyncio.run(play())
    wait_until(lambda: not started())


def test_only_so_many_endings_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)

    async def play() -> None:
        sessions = Sessions(Limits())
        made = [await make(sessions, Log()) for _ in range(3)]
        for session in made:
            await sessions.close(session, "over")
        codes = []
        for session in made:
            with pytest.raises(Refusal) as refused:
                sessions.get(session.id)
            codes.append(refused.value.status)
        assert codes == [404, 410, 410]

    asyncio.run(play())


@pytest.mark.parametrize("name", ["max_sessions", "idle_timeout", "step_timeout", "max_body"])
def test_limits_must_be_positive(name: str) -> None:
    with pytest.raises(ConfigError, match=name.replace("_", "-")):
        Limits(**{name: 0})
