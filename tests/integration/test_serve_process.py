"""`itp serve` as its own process, talked to over the wire: decisions, streams, crowds, strangers, and Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fault_server import FaultServer

PLACE = {"task": "find a cup", "first_observation": "a room", "admissible_commands": ["look", "wait"]}


@contextlib.contextmanager
def serving(*flags: str, token: str = "") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server's process and URL."""
    command = [sys.executable, "-m", "itp.cli", "serve", "--port", "0", *flags]
    command += ["--token-env", "TEST_TOKEN"] if token else []
    environment = {**os.environ, "TEST_TOKEN": token}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"at (http://\S+)", line)
            assert found, line + process.communicate(timeout=20)[1]
            yield process, found[1]
        finally:
            process.kill()


def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.01)
    raise TimeoutError


def stopped(process: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
    """Exit code, output and errors of a server that is told to stop."""
    process.send_signal(number)
    out, errors = process.communicate(timeout=20)
    return process.returncode, out, errors


@pytest.fixture
def script(tmp_path: Path) -> str:
    """A policy that looks two steps ahead, and its world."""
    answers = [["integer", "2"], ["the next observation", "dust"], ["", "Thought: hm\nAction: look"]]
    path = tmp_path / "script.json"
    path.write_text(json.dumps(answers))
    return f"scripted:{path}"


def test_decide_stream_session_and_a_clean_end(script: str) -> None:
    with serving("--policy", script) as (process, url), httpx.Client(base_url=url) as client:
        decision = client.post("/v1/decide", json=PLACE).json()
        assert (decision["action"], decision["horizon"], decision["parse"]) == ("look", 2, "exact")
        streamed = client.post("/v1/decide", json={**PLACE, "stream": True})
        assert re.findall("^event: (.*)$", streamed.text, re.MULTILINE) == [
            "horizon",
            "imagined",
            "imagined",
            "decision",
        ]
        path = f"/v1/sessions/{client.post('/v1/sessions', json={'task': 'find a cup'}).json()['id']}"
        for step in range(2):
            assert client.post(f"{path}/act", json={}).json()["action"] == "look"
            assert client.post(f"{path}/observe", json={"observation": "dust"}).json()["steps"] == step + 1
        assert client.delete(path).json()["closed"]
        code, out, errors = stopped(process)
        assert (code, out, errors) == (0, "stopped: 4 decisions in 4 batches, 1 sessions\n", "")


def test_a_crowd_is_decided_in_few_batches(script: str) -> None:
    async def crowd(url: str) -> list[dict[str, Any]]:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            asked = [client.post("/v1/decide", json={**PLACE, "task": f"find cup {n}"}) for n in range(32)]
            return [answer.json() for answer in await asyncio.gather(*asked)]

    with serving("--policy", script, "--batch-window", "0.3") as (process, url):
        answers = asyncio.run(crowd(url))
        assert [answer["action"] for answer in answers] == ["look"] * 32
        assert httpx.get(f"{url}/status").json()["batches"] <= 4
        assert stopped(process, signal.SIGTERM)[0] == 0


def test_strangers_and_too_large_bodies_are_sent_away(script: str) -> None:
    with serving("--policy", script, "--max-body", "5000", token="s3cret") as (process, url):
        good = {"authorization": "Bearer s3cret"}
        assert httpx.get(f"{url}/health").json() == {"status": "ok"}
        assert httpx.post(f"{url}/v1/decide", json=PLACE).status_code == 401
        assert httpx.post(f"{url}/v1/decide", json=PLACE, headers={"authorization": "Bearer x"}).status_code == 401
        large = httpx.post(f"{url}/v1/decide", json={**PLACE, "task": "x" * 9000}, headers=good)
        assert (large.status_code, large.json()["kind"]) == (413, "too_large")
        assert httpx.post(f"{url}/v1/decide", json=PLACE, headers=good).json()["action"] == "look"
        code, out, errors = stopped(process)
        assert (code, errors) == (0, "")
        assert "s3cret" not in out


def answer_of(prompt: str) -> str:
    return "2" if "integer" in prompt else "Action: look"


def test_steps_come_while_the_model_is_still_at_work_and_ctrl_c_waits_for_the_answer() -> None:
    with (
        FaultServer(answer=answer_of, delay=0.3) as model,
        serving("--policy", f"openai:{model.url}") as (process, url),
    ):
        times: dict[str, float] = {}
        with httpx.stream("POST", f"{url}/v1/decide", json={**PLACE, "stream": True}, timeout=60) as answer:
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    times.setdefault(line, time.monotonic())
        assert times["event: decision"] - times["event: horizon"] > 0.9
        assert times["event: decision"] - times["event: imagined"] > 0.6
        answers: list[httpx.Response] = []
        asker = threading.Thread(target=lambda: answers.append(httpx.post(f"{url}/v1/decide", json=PLACE, timeout=60)))
        before = len(model.requests)
        asker.start()
        until(lambda: len(model.requests) > before)
        code, out, errors = stopped(process)
        asker.join()
        assert (code, errors) == (0, "")
        assert out.startswith("stopped: 2 decisions")
        assert answers[0].json()["action"] == "look"


def test_a_model_server_that_is_gone_is_named_and_the_next_request_is_answered() -> None:
    with (
        FaultServer(answer=answer_of, by_word={"forbidden": "401"}) as model,
        serving("--policy", f"openai:{model.url}", "--planner", "act") as (process, url),
    ):
        refused = httpx.post(f"{url}/v1/decide", json={**PLACE, "task": "forbidden"}, timeout=60)
        assert (refused.status_code, refused.json()["kind"]) == (503, "ServerError")
        assert "HTTP 401" in refused.json()["error"]
        assert httpx.post(f"{url}/v1/decide", json=PLACE, timeout=60).json()["action"] == "look"
        assert stopped(process)[0] == 0


def test_ctrl_c_does_not_wait_for_a_model_that_hangs() -> None:
    with (
        FaultServer(answer=answer_of, delay=60) as model,
        serving("--policy", f"openai:{model.url}", "--parallel", "1", "--max-batch", "1") as (process, url),
    ):
        answers: list[httpx.Response] = []

        def waiting(count: int) -> None:
            until(lambda: httpx.get(f"{url}/status").json()["waiting"] == count and bool(model.requests))

        def ask(stream: bool) -> None:
            answers.append(httpx.post(f"{url}/v1/decide", json={**PLACE, "stream": stream}, timeout=60))

        askers = [threading.Thread(target=ask, args=(stream,)) for stream in (False, True)]
        for asker in askers:
            asker.start()
        waiting(1)
        with httpx.stream("POST", f"{url}/v1/decide", json={**PLACE, "stream": True}):
            waiting(2)
        waiting(1)  # whoever hangs up leaves the queue
        began = time.monotonic()
        code, out, errors = stopped(process)
        assert (code, out, errors) == (0, "stopped: 0 decisions in 0 batches, 0 sessions\n", "")
        assert time.monotonic() - began < 10
        for asker in askers:
            asker.join()
        assert {answer.status_code for answer in answers} == {200, 503}
        assert all('"kind":"stopping"' in answer.text for answer in answers)
