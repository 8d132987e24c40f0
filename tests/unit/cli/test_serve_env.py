"""Flags and messages of `itp serve-env`, without serving."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from itp.cli.main import main
from itp.envs.base import TextEnv
from itp.envs.remote.app import Offer, create_app
from itp.envs.remote.server import EnvServer, bind, failure_log, url_of
from itp.envs.remote.session import Limits
from itp.errors import ConfigError


@pytest.fixture(autouse=True)
def serve_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EnvServer, "serve_here", lambda self: None)
    monkeypatch.delenv("ITP_TOKEN", raising=False)


def refused(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    assert main(["serve-env", "--port", "0", *flags]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("itp: error: ")
    assert output.err.count("\n") == 1
    return output.err


def test_it_says_what_is_served_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve-env", "--split", "valid", "--port", "0", "--env-option", "episodes=7"]) == 0
    output = capsys.readouterr()
    assert output.out.startswith("serving household (valid: 7 tasks) at http://127.0.0.1:")
    assert output.out.endswith("stopped: 0 sessions, 0 steps\n")
    assert output.err == ""


class Unsafe(TextEnv):
    """Says that it is not made for threads."""

    metadata = {"render_modes": [], "thread_safe": False}  # noqa: RUF012

    @property
    def task_ids(self) -> list[str]:
        return ["a"]


@pytest.mark.parametrize(
    ("flags", "serial"),
    [(["--env", "test_serve_env:Unsafe"], True), (["--serial"], True), ([], False)],
)
def test_sessions_take_turns_where_threads_are_not_safe(
    monkeypatch: pytest.MonkeyPatch, flags: list[str], serial: bool
) -> None:
    offers: list[Offer] = []

    def remember(offer: Offer, *limits: Limits, **options: Any) -> FastAPI:
        offers.append(offer)
        return create_app(offer, *limits, **options)

    monkeypatch.setattr("itp.envs.remote.app.create_app", remember)
    assert main(["serve-env", "--port", "0", *flags]) == 0
    assert offers[0].serial == serial


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"--port {port} cannot be used: the port is taken" in refused(capsys, "--port", port)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--port", "70000"], "70000"),
        (["--host", "no such host"], "--host no such host"),
        (["--host", "192.0.2.1"], "no address of this machine"),
        (["--max-sessions", "0"], "--max-sessions"),
        (["--step-timeout", "-1"], "--step-timeout"),
        (["--idle-timeout", "0"], "--idle-timeout"),
        (["--max-body", "0"], "--max-body"),
        (["--env", "nonesuch"], "nonesuch"),
        (["--env", "http://127.0.0.1:1"], "is a server already"),
        (["--split", "nonesuch"], "nonesuch"),
        (["--max-steps", "0"], "--max-steps"),
        (["--env-option", "colour=red"], "colour"),
        (["--token-file", "no/such/file"], "no/such/file"),
    ],
)
def test_flags_that_cannot_work(capsys: pytest.CaptureFixture[str], flags: list[str], said: str) -> None:
    assert said in refused(capsys, *flags)


@pytest.mark.parametrize("content", ["", "\n", "two words", "naïve"])
def test_a_file_without_a_usable_token(capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    assert str(file) in refused(capsys, "--token-file", str(file))


def test_other_machines_without_a_token_are_warned_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert main(["serve-env", "--port", "0", "--host", "0.0.0.0"]) == 0
    warned = capsys.readouterr().err
    assert "without a token" in warned
    assert warned.count("\n") == 1
    file = tmp_path / "token"
    file.write_text("secret\n")
    assert main(["serve-env", "--port", "0", "--host", "0.0.0.0", "--token-file", str(file)]) == 0
    monkeypatch.setenv("ITP_TOKEN", "secret")
    assert main(["serve-env", "--port", "0", "--host", "0.0.0.0"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_an_ipv6_address_is_written_in_brackets() -> None:
    try:
        server = bind("::1", 0)
    except ConfigError:
        pytest.skip("no IPv6 on this machine")
    with server:
        assert url_of(server).startswith("http://[::1]:")


def test_a_failure_is_shown_once_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    log = failure_log()
    for _ in range(3):
        try:
            raise ValueError("boom")
        except ValueError as error:
            log(error)
    shown = capsys.readouterr().err
    assert shown.count("Traceback") == 1
    assert "ValueError: boom" in shown
