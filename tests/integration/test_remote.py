"""`itp serve-env` as its own process: real games, signals, a crowd of clients."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from itp import make_env
from itp.errors import EnvError

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def serving(*flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server's process and URL."""
    command = [sys.executable, "-m", "itp.cli", "serve-env", "--port", "0", *flags]
    environment = {key: value for key, value in os.environ.items() if key != "ITP_TOKEN"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://\S+", line)
            assert found, line + process.communicate(timeout=20)[1]
            yield process, found.group()
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_cleanly(number: signal.Signals) -> None:
    with serving("--split", "valid") as (process, url):
        env = make_env(url, split="valid", retries=0)
        env.reset(seed=0)
        env.step("look")
        began = time.monotonic()
        process.send_signal(number)
        out, errors = process.communicate(timeout=20)
        assert process.returncode == 0
        assert (out, errors) == ("stopped: 1 sessions, 1 steps\n", "")
        assert time.monotonic() - began < 10
        with pytest.raises(EnvError, match="cannot be reached"):
            env.step("look")


def test_a_client_outlives_a_server_that_is_started_again() -> None:
    with serving() as (process, url):
        env = make_env(url)
        env.reset(seed=0)
        process.kill()
        process.wait()
        port = url.rpartition(":")[2]
        with serving("--port", port) as (_, again):
            assert again == url
            with pytest.raises(EnvError, match="is unknown; POST /create makes one"):
                env.step("look")
            make_env(url).reset(seed=0)


def test_a_crowd_of_clients_leaves_nothing_behind() -> None:
    script = [sys.executable, str(ROOT / "benchmarks" / "serve_env.py")]
    flags = ["--sessions", "20", "--rounds", "1", "--idle-timeout", "0.5"]
    result = subprocess.run([*script, *flags], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "19 sessions done, 1 vanished" in result.stdout
    assert "sessions 0 -> 0" in result.stdout


@pytest.mark.realdata
def test_real_games_are_the_same_here_and_there(alfworld_data: Path) -> None:
    flags = ["--env", "alfworld", "--data", str(alfworld_data), "--env-option", "expert=true", "--split", "train"]
    local = make_env("alfworld", split="valid_seen", data=alfworld_data, expert=True)
    rng = random.Random(0)
    with serving(*flags) as (_, url):
        remote = make_env(url, split="valid_seen")
        assert list(remote.task_ids) == list(local.task_ids)
        for task in rng.sample(list(local.task_ids), 3):
            here = local.reset(options={"task_id": task})
            assert remote.reset(options={"task_id": task}) == here
            info, over = here[1], False
            while not over:
                plan = info.get("expert_plan", [])
                action = plan[0] if rng.random() < 0.7 else rng.choice(info["admissible_commands"] or [])
                answer = local.step(action)
                assert remote.step(action) == answer
                info, over = answer[-1], answer[2] or answer[3]
