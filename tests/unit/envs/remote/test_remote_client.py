"""`RemoteEnv` beside the local environment: the same play, the same errors, and a network that fails."""

from __future__ import annotations

import http.client
import http.server
import random
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from remote_envs import Log, offer, served

from itp import make_env
from itp.envs.base import TextEnv
from itp.envs.check import check_text_env
from itp.envs.remote import connection
from itp.envs.remote.app import Offer
from itp.envs.remote.client import RemoteEnv, make_remote_env
from itp.envs.remote.connection import Connection
from itp.envs.remote.session import Limits
from itp.errors import ConfigError, EnvError, ItpError
from itp.planners.simple import ExpertPlanner
from itp.rollout.lockstep import run_episodes


@pytest.fixture(scope="module")
def household() -> Iterator[str]:
    with served(Offer(partial(make_env, "household"), "household", "train")) as url:
        yield url


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def odd(log: Log) -> Iterator[str]:
    with served(offer(log), Limits(max_sessions=4, step_timeout=5)) as url:
        yield url
        log.release.set()


def test_the_contract_holds(household: str) -> None:
    assert check_text_env(partial(make_remote_env, household, split="valid"), steps=20) == []


def test_random_play_is_the_same_here_and_there(household: str) -> None:
    here, there = make_env("household", split="valid"), make_env(household, split="valid")
    assert list(there.task_ids) == list(here.task_ids)
    for seed in range(3):
        rng = random.Random(seed)
        local = here.reset(seed=seed)
        assert there.reset(seed=seed) == local
        info, over = local[1], False
        while not over:
            commands = info["admissible_commands"] or []
            action = rng.choice([*commands, "", "dance", "LOOK", "x" * 5000, "naïve ☃ \ud800"])
            answer = here.step(action)
            assert there.step(action) == answer
            info, over = answer[-1], answer[2] or answer[3]


def test_episodes_of_a_planner_are_the_same_here_and_there(household: str) -> None:
    def play(name: str) -> list[Any]:
        env = partial(make_env, name, split="valid")
        played = run_episodes(env, ExpertPlanner(), env().task_ids[:4], batch_size=4, max_steps=30, seed=0)
        return [(one.task, one.stop, one.score, one.error, one.states()) for one in played]

    assert play(household) == play("household")


def wrong_uses(env: TextEnv) -> list[str]:
    said = []
    for use in (
        lambda: env.step("look"),
        lambda: env.reset(options={"task_id": "none"}),
        lambda: env.reset(options={"colour": "red"}),
        lambda: env.reset(options={"task_id": env.task_ids[0]}) and env.step(None),  # pyright: ignore
    ):
        with pytest.raises(ItpError) as raised:
            use()
        said.append(f"{type(raised.value).__name__}: {raised.value}")
    return said


def test_errors_are_the_same_here_and_there(household: str) -> None:
    assert wrong_uses(make_env(household)) == wrong_uses(make_env("household"))


def test_errors_in_making_are_the_same_here_and_there(household: str) -> None:
    said = set()
    for name in (household, "household"):
        with pytest.raises(ConfigError) as raised:
            make_env(name, split="nonesuch")
        said.add(str(raised.value))
    assert len(said) == 1


def test_the_step_limit_is_the_clients(household: str) -> None:
    env = make_env(household, max_steps=2)
    assert isinstance(env, RemoteEnv)
    assert env.max_steps == 2
    env.reset(seed=0)
    assert [env.step("look")[3] for _ in range(2)] == [False, True]


def test_clones_are_independent(household: str) -> None:
    env = make_env(household)
    _, info = env.reset(seed=0)
    commands = info["admissible_commands"] or []
    twin = env.clone()
    moved = env.step(commands[0])
    assert twin.step(commands[0]) == moved
    env.close()
    assert twin.step("look")[0]


def test_tasks_come_in_pages(odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make_remote_env(odd)
    asked: list[str] = []

    def get(self: Connection, path: str) -> dict[str, Any]:
        asked.append(path)
        return self.request("GET", f"{path}&limit=2", None)

    monkeypatch.setattr(Connection, "get", get)
    assert env.task_ids == ("a", "b", "c")
    assert len(asked) == 2
    assert env.task_ids == ("a", "b", "c")
    assert len(asked) == 2


def test_an_answer_that_is_lost_does_not_make_a_second_step(
    odd: str, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, lost = Connection._send, []

    def lossy(self: Connection, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        answer = send(self, method, path, body)
        if path not in lost:
            lost.append(path)
            raise ConnectionResetError("the answer is lost")
        lost.remove(path)
        return answer

    monkeypatch.setattr(Connection, "_send", lossy)
    env = make_remote_env(odd)
    assert env.reset(options={"task_id": "a"})[0] == "a room"
    assert [env.step("x")[0] for _ in range(3)] == ["1: x", "2: x", "3: x"]
    assert env.clone().step("y")[0] == "4: y"
    assert log.actions == ["x", "x", "x", "y"]
    assert len(log.made) == 1


def test_a_failure_of_the_environment_is_an_error_here(odd: str) -> None:
    env = make_remote_env(odd)
    env.reset()
    with pytest.raises(EnvError, match=f"{odd}: the environment raised ValueError: two lines"):
        env.step("raise")
    assert env.step("x")[0] == "1: x"
    env.reset(options={"task_id": "c"})
    with pytest.raises(EnvError, match="cannot be cloned"):
        env.clone()
    with pytest.raises(EnvError, match="sent as JSON"):
        env.reset(options={"task_id": object()})


def test_a_session_that_has_ended(odd: str, log: Log) -> None:
    env = make_remote_env(odd)
    assert isinstance(env, RemoteEnv)
    env._connection.post("/close", {"id": env._id})
    with pytest.raises(EnvError, match="has ended: closed by its client"):
        env.reset()
    env.close()
    env.close()
    with pytest.raises(EnvError, match="is closed"):
        env.reset()
    assert log.closed == 1


def test_no_room(odd: str) -> None:
    kept = [make_remote_env(odd) for _ in range(4)]
    with pytest.raises(EnvError, match="4 sessions"):
        make_remote_env(odd)
    kept[0].close()
    make_remote_env(odd)


def test_a_token(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(offer(log), token="secret") as url:
        for token in (None, "wrong"):
            with pytest.raises(ConfigError, match="ITP_TOKEN"):
                make_remote_env(url, token=token)
        make_remote_env(url, token="secret")
        monkeypatch.setenv("ITP_TOKEN", "secret\n")
        make_env(url)


def test_a_server_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PAUSE", 0.01)
    with served(offer(Log())) as url:
        env = make_remote_env(url)
    with pytest.raises(EnvError, match=r"cannot be reached: connection refused; start it with .* \(4 attempts\)"):
        env.reset()
    with pytest.raises(EnvError, match="itp serve-env"):
        make_remote_env(url, retries=0)
    env.close()


def test_a_server_that_does_not_answer(odd: str, log: Log) -> None:
    env = make_remote_env(odd, timeout=0.1, retries=0)
    env.reset()
    with pytest.raises(EnvError, match="does not answer in time"):
        env.step("hang")
    log.release.set()


class _Other(http.server.BaseHTTPRequestHandler):
    """A server of another kind, which answers everything with what its class says."""

    content = b"<html>hello</html>"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.mark.parametrize("content", [b"<html>hello</html>", b'{"id": 0}', b"3", b""])
def test_a_server_of_another_kind(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Other, "content", content)
    with http.server.HTTPServer(("127.0.0.1", 0), _Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(EnvError, match="no server of `itp serve-env`"):
            make_remote_env(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("http://", {}, "http://HOST:PORT"),
        ("http://host:port", {}, "http://HOST:PORT"),
        ("http://host:99999", {}, "http://HOST:PORT"),
        ("http://user:pass@host", {}, "token="),
        ("http://host/?a=b", {}, "http://HOST:PORT"),
        ("http://host", {"engine": "textworld"}, "itp serve-env"),
        ("http://host", {"data": "folder"}, "itp serve-env"),
        ("http://host", {"timeout": 0}, "timeout=0"),
        ("http://host", {"retries": -1}, "retries=-1"),
        ("http://host", {"colour": "red"}, "colour"),
    ],
)
def test_arguments_that_are_not_allowed(url: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        make_env(url, **options)
    assert "\n" not in str(raised.value)


def test_the_path_of_a_proxy_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def request(self: http.client.HTTPConnection, method: str, url: str, *_: Any) -> None:
        asked.append(f"{self.host}:{self.port} {method} {url}")
        raise ConnectionRefusedError

    monkeypatch.setattr(http.client.HTTPConnection, "request", request)
    with pytest.raises(EnvError):
        make_remote_env("http://games.example/envs/", retries=0)
    assert asked == ["games.example:80 POST /envs/create"]


def test_an_action_larger_than_the_server_takes(odd: str) -> None:
    env = make_remote_env(odd)
    env.reset()
    with pytest.raises(EnvError, match="larger than 1048576 bytes"):
        env.step("x" * 5_000_000)
    assert env.step("x")[0] == "1: x"
