"""The server's answers: to a client that plays, to clients that make mistakes, and to environments that misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from remote_envs import Log, offer, wait_until

from itp.envs.remote.app import create_app
from itp.envs.remote.guard import Guard
from itp.envs.remote.session import Limits
from itp.envs.remote.sessions import MAX_WAITING

JSON = {"content-type": "application/json"}


@pytest.fixture
def log() -> Iterator[Log]:
    made = Log()
    yield made
    made.release.set()


@pytest.fixture
def client(log: Log) -> Iterator[TestClient]:
    with TestClient(create_app(offer(log), Limits(max_sessions=4, step_timeout=0.3, max_body=1000))) as made:
        yield made


@pytest.fixture(scope="module")
def patient() -> Iterator[TestClient]:
    """A client that raises what the server does not handle."""
    with TestClient(create_app(offer(Log()), Limits(max_sessions=20))) as made:
        yield made


def post(client: TestClient, path: str, status: int = 200, **body: Any) -> dict[str, Any]:
    response = client.post(path, json=body)
    assert response.status_code == status, response.text
    return response.json()


def begin(client: TestClient, **reset: Any) -> str:
    session = post(client, "/create")["id"]
    post(client, "/reset", id=session, **reset)
    return session


def test_an_episode(client: TestClient, log: Log) -> None:
    made = post(client, "/create", split="valid", max_steps=2)
    session = made.pop("id")
    assert made == {"env": "odd", "split": "valid", "max_steps": 2, "tasks": 3}
    assert log.made == [{"split": "valid", "max_steps": 2}]
    first = post(client, "/reset", id=session, options={"task_id": "b"})
    assert first["observation"] == "a room"
    assert first["info"] == {"task": "count", "task_id": "b", "task_type": "t", "won": False, "score": 1.5}
    assert first["available_actions"] == ["x"]
    steps = [post(client, "/step", id=session, action="x") for _ in range(2)]
    assert [step["observation"] for step in steps] == ["1: x", "2: x"]
    assert [(step["terminated"], step["truncated"], step["done"]) for step in steps] == [
        (False, False, False),
        (False, True, True),
    ]
    assert client.get(f"/tasks?id={session}").json() == {"task_ids": ["a", "b", "c"], "total": 3}
    assert client.get(f"/tasks?id={session}&offset=1&limit=1").json()["task_ids"] == ["b"]
    assert post(client, "/close", id=session) == {"id": session, "closed": True}
    assert log.closed == 1


def test_requests_of_agentgyms_alfworld_client(client: TestClient) -> None:
    session = client.post("/create").json()["id"]  # without a body, as it sends it
    first = post(client, "/reset", id=session, game=1, world_type="Text")
    assert first["observation"] == "a room\nYour task is to: count"
    assert first["available_actions"] == ["x"]
    step = post(client, "/step", id=session, action="x")
    assert (step["observation"], step["reward"], step["done"]) == ("1: x", 0.5, False)
    assert client.get(f"/observation?id={session}").json() == "1: x"
    assert client.get(f"/available_actions?id={session}").json() == ["x"]
    assert client.get(f"/detail?id={session}").json() == step
    assert post(client, "/close", id=session)["closed"]


def test_requests_of_agentgyms_scienceworld_client(client: TestClient) -> None:
    session = client.post("/create").json()["id"]
    first = post(client, "/reset", id=session, data_idx=2)
    assert (first["task_description"], first["observation"]) == ("count", "a room")
    assert first["info"]["task_id"] == "c"
    step = post(client, "/step", id=session, action="x")
    assert (step["score"], step["done"]) == (1.5, False)


def test_a_session_may_be_called_env_idx(client: TestClient) -> None:
    session = begin(client)
    assert post(client, "/step", env_idx=session, action="x")["observation"] == "1: x"
    assert client.get(f"/observation?env_idx={session}").json() == "1: x"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/step", b"{", 400, "no JSON"),
        ("POST", "/step", b"\xff\xfe", 400, ""),
        ("POST", "/step", b"[" * 900, 400, ""),
        ("POST", "/step", b"", 422, "required"),
        ("POST", "/step", b"[]", 422, "body"),
        ("POST", "/step", b'{"id": "x"}', 422, "action: Field required"),
        ("POST", "/step", b'{"action": "x"}', 422, "id: Field required"),
        ("POST", "/step", b'{"id": "x", "action": 3}', 422, "action: Input should be a valid string, found '3'"),
        ("POST", "/step", b'{"id": "x", "action": "y", "seq": 0}', 422, "seq"),
        ("POST", "/step", b'{"id": "x", "actoin": "y"}', 422, "actoin"),
        ("POST", "/step", b'{"id": "x", "action": "y"}', 404, "unknown"),
        ("POST", "/step", b'{"id": 0, "action": "y"}', 404, "unknown"),
        ("POST", "/reset", b'{"id": "x", "world_type": "Moon"}', 422, "world_type"),
        ("POST", "/reset", b'{"id": "x", "game": true}', 422, "game"),
        ("POST", "/create", b'{"split": "../secret"}', 422, "split"),
        ("POST", "/create", b'{"max_steps": 0}', 422, "max_steps"),
        ("POST", "/create", b'{"key": "short"}', 422, "key"),
        ("POST", "/create", b'{"split": "bad"}', 400, "split 'bad' is unknown"),
        ("POST", "/create", b'{"split": "broken"}', 500, "OSError: no disk"),
        ("POST", "/step", b"x" * 1001, 413, "1000 bytes"),
        ("GET", "/step", None, 405, "GET /step"),
        ("DELETE", "/create", None, 405, "DELETE"),
        ("GET", "/nowhere", None, 404, "/nowhere"),
        ("GET", "/docs", None, 404, "/docs"),
        ("GET", "/observation", None, 422, "?id="),
        ("GET", "/observation?id=x", None, 404, "unknown"),
        ("GET", "/tasks?id=x&limit=0", None, 422, "limit"),
    ],
)
def test_mistakes_are_answered_with_one_line_of_json(
    client: TestClient, method: str, path: str, body: bytes | None, status: int, said: str
) -> None:
    response = client.request(method, path, content=body, headers=JSON)
    assert response.status_code == status, response.text
    error = response.json()
    assert set(error) == {"error", "kind"}
    assert said in error["error"]
    assert "\n" not in error["error"]
    assert "Traceback" not in response.text


def test_a_body_of_another_type_is_named_as_the_mistake(client: TestClient) -> None:
    response = client.post("/step", content=b'{"id": "x", "action": "y"}', headers={"content-type": "text/plain"})
    assert response.status_code in (415, 422)
    assert set(response.json()) == {"error", "kind"}


def test_a_large_body_that_hides_its_size_is_refused(client: TestClient) -> None:
    response = client.post("/step", content=iter([b"x" * 600, b"x" * 600]), headers=JSON)
    assert response.status_code == 413


def test_a_body_that_never_ends_is_given_up() -> None:
    async def endless() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"", "more_body": True}

    async def play() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def app(*_: Any) -> None:
            raise AssertionError("the app must not see it")

        guard = Guard(app, token="", max_body=10, patience=0.05)
        await guard({"type": "http", "path": "/step", "headers": []}, endless, send)
        return sent

    start, body = asyncio.run(play())
    assert start["status"] == 408
    assert "0.05 s" in json.loads(body["body"])["error"]


@settings(max_examples=60, deadline=None)
@given(
    path=st.sampled_from(["/create", "/reset", "/step", "/clone", "/close"]),
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["id", "action", "seq", "options", "seed", "game", "key", "split", "max_steps"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=6,
    ),
)
def test_no_body_breaks_the_server(patient: TestClient, path: str, body: Any) -> None:
    response = patient.post(path, content=json.dumps(body).encode(), headers=JSON)
    assert response.status_code < 500 or response.json()["kind"] == "full"
    assert isinstance(response.json(), dict)


def test_a_bug_of_the_server_is_json_too(log: Log) -> None:
    app = create_app(offer(log))
    app.state.sessions.get = lambda _: 1 / 0
    response = TestClient(app, raise_server_exceptions=False).post("/close", json={"id": "x"})
    assert (response.status_code, response.json()["kind"]) == (500, "server_error")


def test_no_room(client: TestClient, log: Log) -> None:
    ids = [post(client, "/create")["id"] for _ in range(4)]
    assert "4 sessions" in post(client, "/create", 503)["error"]
    assert "4 sessions" in post(client, "/clone", 503, id=ids[0])["error"]
    post(client, "/close", id=ids[0])
    post(client, "/create")
    assert (len(log.made), log.closed) == (5, 1)


def test_an_ended_session_says_why(client: TestClient) -> None:
    session = begin(client)
    post(client, "/close", id=session)
    for path in ("/close", "/reset", "/clone"):
        assert "closed by its client" in post(client, path, 410, id=session)["error"]


def test_before_the_first_episode(client: TestClient) -> None:
    session = post(client, "/create")["id"]
    answer = post(client, "/step", 400, id=session, action="x")
    assert (answer["error"], answer["kind"]) == ("call reset first", "EnvError")
    assert "no episode yet" in client.get(f"/observation?id={session}").json()["error"]


@pytest.mark.parametrize("game", [-1, 3])
def test_a_task_index_that_does_not_exist(client: TestClient, game: int) -> None:
    session = post(client, "/create")["id"]
    assert "there are 3" in post(client, "/reset", 400, id=session, game=game)["error"]


@pytest.mark.parametrize(
    ("action", "status", "said"),
    [
        ("raise", 500, "the environment raised ValueError: two lines"),
        ("exit", 500, "SystemExit: 3"),
        ("nan", 400, "cannot be sent as JSON"),
    ],
)
def test_an_environment_that_raises_costs_nobody_the_session(log: Log, action: str, status: int, said: str) -> None:
    failures: list[BaseException] = []
    with TestClient(create_app(offer(log), on_failure=failures.append)) as client:
        session = begin(client)
        answer = post(client, "/step", status, id=session, action=action)
        assert said in answer["error"]
        assert len(failures) == (status == 500)
        assert client.get(f"/observation?id={session}").json() == "a room"
        assert post(client, "/step", id=session, action="x")["observation"].endswith(": x")


def test_a_step_sent_twice_is_taken_once(client: TestClient, log: Log) -> None:
    session = begin(client, seq=1)
    once = client.post("/step", json={"id": session, "action": "x", "seq": 2})
    again = client.post("/step", json={"id": session, "action": "x", "seq": 2})
    assert once.content == again.content
    assert log.actions == ["x"]
    failed = client.post("/step", json={"id": session, "action": "raise", "seq": 3})
    assert client.post("/step", json={"id": session, "action": "raise", "seq": 3}).content == failed.content
    assert log.actions == ["x", "raise"]
    assert "asked something else" in post(client, "/step", 409, id=session, action="y", seq=3)["error"]
    assert "the next, 4" in post(client, "/step", 409, id=session, action="y", seq=5)["error"]
    assert "the next, 4" in post(client, "/step", 409, id=session, action="x", seq=2)["error"]


def test_a_session_asked_for_twice_is_made_once(client: TestClient, log: Log) -> None:
    key = "k" * 16
    first, second = post(client, "/create", key=key), post(client, "/create", key=key)
    assert first == second
    clones = [post(client, "/clone", id=first["id"], key="c" * 16)["id"] for _ in range(2)]
    assert clones[0] == clones[1] != first["id"]
    assert len(log.made) == 1


def test_clones_go_their_own_way(client: TestClient) -> None:
    session = begin(client)
    post(client, "/step", id=session, action="x")
    twin = post(client, "/clone", id=session)["id"]
    assert client.get(f"/observation?id={twin}").json() == "1: x"
    post(client, "/step", id=session, action="y")
    post(client, "/close", id=session)
    assert post(client, "/step", id=twin, action="z")["observation"] == "2: z"


def test_an_environment_that_cannot_be_cloned(client: TestClient) -> None:
    session = begin(client, options={"task_id": "c"})
    answer = post(client, "/clone", 400, id=session)
    assert answer["kind"] == "EnvError"
    assert "cannot be cloned" in answer["error"]


def test_a_step_that_hangs_costs_its_session_and_nothing_else(client: TestClient, log: Log) -> None:
    hung, other = begin(client), begin(client)
    assert "longer than 0.3 s" in post(client, "/step", 504, id=hung, action="hang")["error"]
    assert "longer than 0.3 s" in post(client, "/step", 410, id=hung, action="x")["error"]
    assert post(client, "/step", id=other, action="x")["observation"] == "1: x"
    status = client.get("/status").json()
    assert (status["sessions"], status["closing"], status["counts"]["timed_out"]) == (1, 1, 1)
    log.release.set()
    wait_until(lambda: client.get("/status").json()["closing"] == 0)
    assert log.closed == 1


def test_environments_that_hang_count_against_the_limit(client: TestClient) -> None:
    for _ in range(4):
        post(client, "/step", 504, id=begin(client), action="hang")
    assert "4 of them ended but still busy" in post(client, "/create", 503)["error"]


def test_all_environments_are_closed_when_the_server_stops(log: Log) -> None:
    with TestClient(create_app(offer(log))) as client:
        for _ in range(3):
            begin(client)
    assert log.closed == 3


def test_a_token(log: Log) -> None:
    with TestClient(create_app(offer(log), token="secret")) as client:
        for headers in (
            {},
            {"authorization": "secret"},
            {"authorization": "Bearer wrong"},
            {"authorization": "Bearer"},
        ):
            response = client.post("/create", headers=headers)
            assert (response.status_code, response.json()["kind"]) == (401, "unauthorized")
            assert response.headers["www-authenticate"] == "Bearer"
        assert client.post("/create", headers={"authorization": "Bearer secret"}).status_code == 200
        assert client.get("/health").json() == {"status": "ok"}
        assert client.get("/status").status_code == 401


def test_steps_of_one_session_take_turns_and_sessions_do_not_wait_for_each_other(log: Log) -> None:
    async def play() -> None:
        app = create_app(offer(log), Limits(step_timeout=5))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            ids = [(await client.post("/create")).json()["id"] for _ in range(2)]
            for session in ids:
                await client.post("/reset", json={"id": session})
            slow, fast = ids
            waiting = [
                asyncio.create_task(client.post("/step", json={"id": slow, "action": "sleep 0.1"})) for _ in range(3)
            ]
            await asyncio.sleep(0.02)
            answer = (await client.post("/step", json={"id": fast, "action": "x"})).json()
            assert answer["observation"] == "1: x"
            assert not any(task.done() for task in waiting)
            answers = [response.json() for response in await asyncio.gather(*waiting)]
            assert sorted(answer["observation"][0] for answer in answers) == ["1", "2", "3"]  # OddEnv asserts the rest
            crowd = [client.post("/step", json={"id": slow, "action": "sleep 0.01"}) for _ in range(MAX_WAITING + 4)]
            codes = [response.status_code for response in await asyncio.gather(*crowd)]
            assert codes.count(429) == 4
            await app.state.sessions.close_all()

    asyncio.run(play())


def test_status_tells_what_happened(client: TestClient) -> None:
    session = begin(client)
    post(client, "/step", id=session, action="x")
    status = client.get("/status").json()
    assert (status["env"], status["sessions"], status["max_sessions"]) == ("odd", 1, 4)
    assert status["counts"] == {"created": 1, "resets": 1, "steps": 1}
    assert client.get("/").json()["status"] == "ok"
