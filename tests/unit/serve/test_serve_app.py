"""The server's answers: decisions, sessions, streams, and one exact error for every mistake."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient

import itp
from itp.errors import EnvError, ServerError
from itp.serve.app import create_app
from itp.serve.sessions import Limits, Sessions
from itp.serve.stream import as_server_sent
from itp.types import Decision, DecisionContext, HorizonChosen, ImaginedStep, ImaginedTrajectory, Usage

LIMITS = Limits(max_sessions=2, max_steps=3, max_commands=4, max_body=2000)
PLACE = {"task": "find a cup", "first_observation": "a room", "admissible_commands": ["look", "wait"]}


class Planner:
    """Imagines one step; tasks that begin with an error's name fail with it, others wait for the gate."""

    name = "toy"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.contexts: list[DecisionContext] = []

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        self.contexts += contexts
        errors = {"server": ServerError("the model is gone"), "env": EnvError("no such\nthing"), "bug": KeyError("x")}
        for context in contexts:
            if found := errors.get(context.state.task.split()[0]):
                raise found
            context.tell(HorizonChosen(1))
        assert self.gate.wait(20)
        return [self._decision(context) for context in contexts]

    def _decision(self, context: DecisionContext) -> Decision:
        foresight = ImaginedTrajectory((ImaginedStep("look", "dust"),))
        action = (context.admissible or ("anything",))[0]
        tried = ImaginedTrajectory((ImaginedStep("jump", "it breaks"),))
        return Decision(
            action, 1, foresight, (0.5, 0.5), thought="hm", policy_usage=Usage(10, 5, 1, 0.5), passed_over=(tried,)
        )


@pytest.fixture
def planner() -> Iterator[Planner]:
    made = Planner()
    yield made
    made.gate.set()


@pytest.fixture
def failures() -> list[BaseException]:
    return []


@pytest.fixture
def client(planner: Planner, failures: list[BaseException]) -> Iterator[TestClient]:
    agent = itp.Agent(planner=planner, max_waiting=1, batch_window=0.0)
    with TestClient(create_app(agent, LIMITS, on_failure=failures.append)) as made:
        yield made


def post(client: TestClient, path: str, status: int = 200, **body: Any) -> dict[str, Any]:
    response = client.post(path, json=body)
    assert response.status_code == status, response.text
    return response.json()


def until(condition: Callable[[], bool]) -> None:
    for _ in range(5000):
        if condition():
            return
        time.sleep(0.002)
    raise TimeoutError


def events_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The server-sent events of an answer."""
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.strip().split("\n\n")]
    return [(block["event"], json.loads(block["data"])) for block in blocks]


def test_a_decision(client: TestClient, planner: Planner) -> None:
    history = [{"action": "open door", "observation": "a hall"}]
    answer = post(client, "/v1/decide", **PLACE, history=history, thoughts=["a door"])
    usage = answer.pop("usage")
    assert answer == {
        "action": "look",
        "parse": "scored",
        "horizon": 1,
        "foresight": [{"action": "look", "observation": "dust"}],
        "passed_over": [[{"action": "jump", "observation": "it breaks"}]],
        "reflection": "",
        "thought": "hm",
        "raw_text": "",
        "horizon_parse": "",
        "horizon_probs": [0.5, 0.5],
    }
    assert usage["policy"] == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cached_tokens": 0,
        "calls": 1,
        "seconds": 0.5,
    }
    [context] = planner.contexts
    assert context.state.history == (("open door", "a hall"),)
    assert (context.admissible, context.thoughts) == (("look", "wait"), ("a door",))


def test_without_commands_any_text_may_be_answered(client: TestClient) -> None:
    assert post(client, "/v1/decide", task="x")["action"] == "anything"
    assert post(client, "/v1/decide", task="x", admissible_commands=None)["action"] == "anything"


def test_any_text_travels(client: TestClient) -> None:
    assert post(client, "/v1/decide", task="caf\u00e9", admissible_commands=["caf\u00e9"])["action"] == "caf\u00e9"
    body = '{"task": "x", "admissible_commands": ["\\ud800"]}'  # half of a character
    answer = client.post("/v1/decide", content=body, headers={"content-type": "application/json"})
    assert answer.json()["action"] == "\ud800"


def test_a_stream(client: TestClient) -> None:
    answer = client.post("/v1/decide", json={**PLACE, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    (first, second, third) = events_of(answer.text)
    assert first == ("horizon", {"horizon": 1})
    assert second == ("imagined", {"step": 1, "action": "look", "observation": "dust"})
    assert third[0] == "decision"
    assert {**third[1], "usage": None} == {**post(client, "/v1/decide", **PLACE), "usage": None}


def test_an_error_in_a_stream_is_its_last_event(client: TestClient) -> None:
    answer = client.post("/v1/decide", json={"task": "server is down", "stream": True})
    assert events_of(answer.text) == [("error", {"error": "the model is gone", "kind": "ServerError"})]


def test_a_session(client: TestClient, planner: Planner) -> None:
    made = post(client, "/v1/sessions", 201, task="find a cup", observation="a room")
    path = f"/v1/sessions/{made['id']}"
    assert made["steps"] == 0
    assert post(client, f"{path}/act", admissible_commands=["look"])["action"] == "look"
    assert client.get(path).json()["decided"] == "look"
    assert post(client, f"{path}/observe", observation="dust")["steps"] == 1
    answer = client.post(f"{path}/act", json={"stream": True})
    assert events_of(answer.text)[-1][1]["action"] == "anything"
    assert post(client, f"{path}/observe", observation="shine", action="wipe")["steps"] == 2
    shown = client.get(path).json()
    assert shown["history"] == [
        {"action": "look", "observation": "dust"},
        {"action": "wipe", "observation": "shine"},
    ]
    assert (shown["task"], shown["first_observation"], shown["decided"]) == ("find a cup", "a room", None)
    assert shown["usage"]["prompt_tokens"] == 20
    assert planner.contexts[-1].thoughts == ("hm",)
    assert client.delete(path).json() == {"id": made["id"], "closed": True}
    assert post(client, f"{path}/act", 404)["kind"] == "unknown_session"


def begin(client: TestClient) -> str:
    return f"/v1/sessions/{post(client, '/v1/sessions', 201, task='find a cup')['id']}"


def test_what_a_session_refuses(client: TestClient, planner: Planner) -> None:
    path = begin(client)
    assert post(client, f"{path}/observe", 409, observation="dust")["kind"] == "nothing_decided"
    planner.gate.clear()
    thread = threading.Thread(target=lambda: client.post(f"{path}/act", json={}))
    thread.start()
    until(lambda: bool(planner.contexts))
    assert post(client, f"{path}/act", 409)["kind"] == "busy"
    assert post(client, f"{path}/observe", 409, observation="dust")["kind"] == "busy"
    planner.gate.set()
    thread.join()
    for _ in range(3):
        post(client, f"{path}/observe", observation="dust", action="look")
    assert post(client, f"{path}/act", 409)["kind"] == "too_long"
    path = begin(client)
    post(client, f"{path}/observe", observation="x" * 1800, action="look")
    assert post(client, f"{path}/observe", observation="x" * 300, action="look")["steps"] == 2
    refused = post(client, f"{path}/act", 409)
    assert "beyond the server's --max-body" in refused["error"]
    refused = post(client, "/v1/sessions", 429, task="find a cup")
    assert refused == {"error": "2 sessions are open, and no more may be", "kind": "too_many_sessions"}


def test_idle_sessions_are_forgotten(planner: Planner) -> None:
    now = [0.0]
    sessions = Sessions(itp.Agent(planner=planner), Limits(max_sessions=2, idle_timeout=10), clock=lambda: now[0])
    old, kept = (sessions.create("x", "") for _ in range(2))
    now[0] = 8.0
    sessions.get(kept.id)
    now[0] = 12.0
    new = sessions.create("x", "")
    assert len(sessions) == 2
    assert sessions.get(new.id)
    assert sessions.get(kept.id)
    with pytest.raises(Exception, match="is unknown or has ended"):
        sessions.get(old.id)
    with sessions.turn(kept.id):
        now[0] = 99.0
        sessions.forget_idle()
    assert len(sessions) == 1


@pytest.mark.parametrize(
    ("body", "status", "kind", "said"),
    [
        ({}, 422, "bad_request", "task: Field required"),
        ({"task": ""}, 422, "bad_request", "task: String should have at least 1 character"),
        ({"task": "  "}, 422, "ConfigError", "task is empty"),
        ({"task": 3}, 422, "bad_request", "task: Input should be a valid string"),
        ({"task": "x", "observation": "y"}, 422, "bad_request", "observation: Extra inputs are not permitted"),
        ({"task": "x", "history": [{"action": "a"}]}, 422, "bad_request", "history.0.observation: Field required"),
        ({"task": "x", "admissible_commands": []}, 422, "ConfigError", "admissible_commands is empty"),
        ({"task": "x", "admissible_commands": ["a"] * 5}, 422, "too_many", "more than the server's --max-commands 4"),
        (
            {"task": "x", "history": [{"action": "a", "observation": "b"}] * 4},
            422,
            "too_many",
            "more than the server's --max-steps 3",
        ),
        ({"task": "x" * 3000}, 413, "too_large", "larger than 2000 bytes"),
        ({"task": "server is down"}, 503, "ServerError", "the model is gone"),
        ({"task": "env fails"}, 422, "EnvError", "no such thing"),
        ({"task": "bug"}, 500, "decision_failed", "the decision failed: KeyError: 'x'"),
    ],
)
def test_every_mistake_has_its_answer(
    client: TestClient, failures: list[BaseException], body: dict[str, Any], status: int, kind: str, said: str
) -> None:
    answer = post(client, "/v1/decide", status, **body)
    assert set(answer) == {"error", "kind"}
    assert answer["kind"] == kind
    assert said in answer["error"]
    assert len(failures) == (status == 500)


def test_bodies_that_are_no_json_and_paths_that_lead_nowhere(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    broken = client.post("/v1/decide", content="{", headers=headers)
    assert (broken.status_code, broken.json()["kind"]) == (400, "bad_json")
    typed = client.post("/v1/decide", content="{}", headers={"content-type": "text/plain"})
    assert (typed.status_code, typed.json()["kind"]) == (415, "bad_type")
    assert client.get("/nowhere").json()["kind"] == "no_route"
    assert client.get("/v1/decide").status_code == 405


def test_more_than_may_wait_are_refused_and_so_is_everybody_at_the_end(client: TestClient, planner: Planner) -> None:
    planner.gate.clear()
    threads = [threading.Thread(target=lambda: client.post("/v1/decide", json=PLACE)) for _ in range(2)]
    threads[0].start()
    until(lambda: bool(planner.contexts))
    threads[1].start()
    until(lambda: client.get("/status").json()["waiting"] == 1)
    assert post(client, "/v1/decide", 429, **PLACE)["kind"] == "overloaded"
    refused = client.post("/v1/decide", json={**PLACE, "stream": True})
    assert refused.status_code == 429
    planner.gate.set()
    for thread in threads:
        thread.join()


def test_a_server_that_stops_says_so(planner: Planner) -> None:
    agent = itp.Agent(planner=planner)
    with TestClient(create_app(agent)) as client:
        agent.close()
        assert post(client, "/v1/decide", 503, **PLACE)["kind"] == "stopping"


def test_a_token_opens_everything_but_health_and_documentation(planner: Planner) -> None:
    with TestClient(create_app(itp.Agent(planner=planner), token="secret")) as client:
        for path in ("/health", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 200
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret"}):
            for path in ("/v1/decide", "/v1/sessions"):
                refused = client.post(path, json=PLACE, headers=headers)
                assert (refused.status_code, refused.json()["kind"]) == (401, "unauthorized")
            assert client.get("/status", headers=headers).status_code == 401
        good = client.post("/v1/decide", json=PLACE, headers={"authorization": "Bearer secret"})
        assert good.status_code == 200
        assert "HTTPBearer" in client.get("/openapi.json").json()["components"]["securitySchemes"]


def test_the_api_is_described(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {
        "/health",
        "/status",
        "/v1/decide",
        "/v1/sessions",
        "/v1/sessions/{id}",
        "/v1/sessions/{id}/act",
        "/v1/sessions/{id}/observe",
    }
    answers = described["paths"]["/v1/decide"]["post"]["responses"]
    assert set(answers) == {"200", "400", "401", "413", "422", "429", "503"}
    assert answers["429"]["content"]["application/json"]["schema"]["$ref"].endswith("ErrorAnswer")
    assert set(answers["200"]["content"]) == {"application/json", "text/event-stream"}
    assert "stream" in described["components"]["schemas"]["DecideRequest"]["properties"]
    assert "swagger" in client.get("/docs").text


def test_a_silent_stream_shows_that_it_lives() -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def events() -> AsyncIterator[Decision]:
            await release.wait()
            yield Decision("look")

        stream = as_server_sent(events(), lambda error: pytest.fail(str(error)), heartbeat=0.01)
        assert await anext(stream) == b": thinking\n\n"
        assert await anext(stream) == b": thinking\n\n"
        release.set()
        assert (await anext(stream)).startswith(b"event: decision\n")

    asyncio.run(main())
