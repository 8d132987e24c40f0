"""A real model server, `transformers serve`: the same folder answers and acts the same there as in this process."""

from __future__ import annotations

import copy
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from itp import make_env
from itp.errors import ServerError
from itp.lm.base import LanguageModel, Sampling
from itp.lm.chat import Chat, Message, Prompt
from itp.lm.openai import OpenAILM
from itp.lm.retrying import Retries
from itp.lm.spec import load_lm
from itp.planners.prompting import PromptingPlanner
from itp.policy.prompted import PromptedPolicy
from itp.rollout.lockstep import run_episodes
from models import random_model, random_text, tokenizer

NEEDED = ("openai", "fastapi", "uvicorn", "typer")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
COMMAND = Path(sys.executable).with_name("transformers")
pytestmark = pytest.mark.skipif(
    bool(MISSING) or not COMMAND.exists(), reason=f"transformers[serving] is not installed: {MISSING or COMMAND}"
)

# As thinking models have it: a thought is opened unless the caller says otherwise.
TEMPLATE = (
    "{% for message in messages %}<OBS>{{ message.role }}: {{ message.content }}{% endfor %}"
    "{% if add_generation_prompt %}<ACT>"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% else %}<think>\n{% endif %}"
    "{% endif %}"
)
ONCE = Retries(attempts=1, timeout=60)
PROMPTS: list[Prompt] = [
    Chat.of("go to the drawer"),
    Chat((Message("system", "be brief"), Message("user", "hi"), Message("assistant", "yes"), Message("user", "look"))),
    *(Chat.of(random_text(seed, 20 + 30 * seed), "You play a game.") for seed in range(3)),
    "go to drawer 1",
    random_text(7, 40),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose tokenizer has a chat template."""
    path = tmp_path_factory.mktemp("served") / "model"
    talking = copy.deepcopy(tokenizer())
    talking.chat_template = TEMPLATE
    talking.save_pretrained(path)
    random_model().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def url(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server of that model, which ends with the tests whatever happens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("log") / "serve.log"
    command = [COMMAND, "serve", folder, "--host", "127.0.0.1", "--port", port, "--device", "cpu", "--dtype", "float32"]
    home = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(log.parent)}
    with log.open("w") as stream:
        process = subprocess.Popen(
            [str(word) for word in command],
            env={**os.environ, **home},
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", process, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + 90
    while time.monotonic() < until:
        assert process.poll() is None, f"the server ended: {log.read_text()[-2000:]}"
        try:
            opener.open(address, timeout=2).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"the server did not come up: {log.read_text()[-2000:]}")


def served(url: str, folder: Path, thinking_tokens: int = 0) -> OpenAILM:
    return OpenAILM(url, str(folder), retries=ONCE, thinking_tokens=thinking_tokens)


def test_greedy_answers_are_the_same_as_in_process(url: str, folder: Path) -> None:
    sampling = Sampling(max_new_tokens=12)
    here = load_lm(f"transformers:{folder}").generate(PROMPTS, sampling)
    there = served(url, folder).generate(PROMPTS, sampling)
    assert [(c.text, c.prompt_tokens, c.completion_tokens) for c in there] == [
        (c.text, c.prompt_tokens, c.completion_tokens) for c in here
    ]
    assert len({c.text for c in here}) > 3, "all answers alike: the comparison proves little"


def test_stops_cut_answers_the_same(url: str, folder: Path) -> None:
    whole = served(url, folder).generate(PROMPTS[:2], Sampling(max_new_tokens=12))
    stop = whole[0].text[3:5]
    assert stop.strip()
    sampling = Sampling(max_new_tokens=12, stop=(stop,))
    here, there = (
        lm.generate(PROMPTS[:2], sampling) for lm in (load_lm(f"transformers:{folder}"), served(url, folder))
    )
    assert [c.text for c in there] == [c.text for c in here]
    assert len(there[0].text) < len(whole[0].text)


def test_thinking_reaches_the_template(url: str, folder: Path) -> None:
    chats = PROMPTS[:2]
    for thinking_tokens in (0, 5):
        there = served(url, folder, thinking_tokens=thinking_tokens).generate(chats, Sampling(max_new_tokens=3))
        here = load_lm(f"transformers:{folder}", thinking_tokens=thinking_tokens)
        assert [c.prompt_tokens for c in there] == [here.count_tokens(chat) for chat in chats]
        assert all(c.completion_tokens <= 3 + thinking_tokens for c in there)


def test_a_wrong_model_is_named(url: str) -> None:
    with pytest.raises(ServerError, match="model other: HTTP 400, Server is pinned to"):
        OpenAILM(url, "other", retries=ONCE).generate(["a"], Sampling())


def test_the_same_actions_in_the_same_games(url: str, folder: Path) -> None:
    def actions(lm: LanguageModel) -> list[list[tuple[str, str]]]:
        env = make_env("household", split="train")
        planner = PromptingPlanner(PromptedPolicy(lm), "act", Sampling(max_new_tokens=8))
        played = run_episodes(
            lambda: make_env("household", split="train", max_steps=3),
            planner,
            list(env.task_ids)[:3],
            batch_size=3,
            max_steps=3,
            seed=0,
        )
        return [[(step.decision.action, step.decision.parse) for step in trajectory.steps] for trajectory in played]

    assert actions(served(url, folder)) == actions(load_lm(f"transformers:{folder}"))
