"""The client of model servers: what it sends and reads, and that no fault of a server goes unnamed."""

from __future__ import annotations

import logging
import math
import threading
import time
import traceback
from typing import Any

import pytest

from fault_server import SLOW, FaultServer
from itp.errors import ConfigError, ScoringUnsupported, ServerError
from itp.lm.base import Completion, Sampling
from itp.lm.chat import Chat, Message
from itp.lm.openai import OpenAILM
from itp.lm.retrying import Retries, retry_after
from itp.lm.server import _reason

pytest.importorskip("openai")

FAST = Retries(attempts=4, first_wait=0.01, longest_wait=0.02, timeout=SLOW / 3, give_up_after=20.0)
HI = Chat.of("hi")


def client(server: FaultServer, **options: Any) -> OpenAILM:
    return OpenAILM(server.url, "toy", **{"retries": FAST, **options})


def test_conversations_and_plain_prompts_go_where_they_belong() -> None:
    with FaultServer() as server:
        chat = Chat((Message("system", "be brief"), Message("user", "hi")))
        first, second = client(server).generate([chat, "go to"], Sampling(max_new_tokens=7, stop=("!",)))
    assert (first.text, second.text) == ("echo hi", "echo go to")
    bodies = dict(server.requests)
    assert bodies["/v1/chat/completions"] == {
        "model": "toy",
        "messages": chat.as_dicts(),
        "temperature": 0.0,
        "max_tokens": 7,
        "stop": ["!"],
        "chat_template_kwargs": {"enable_thinking": False},
    }
    assert bodies["/v1/completions"] == {
        "model": "toy",
        "prompt": "go to",
        "temperature": 0.0,
        "max_tokens": 7,
        "stop": ["!"],
    }


def test_sampling_is_passed_on_and_equal_prompts_get_seeds_of_their_own() -> None:
    sampling = Sampling(temperature=0.5, top_p=0.9, seed=2**40 + 3)
    with FaultServer() as server:
        client(server).generate(["a", "b", "a"], sampling)
    sent = sorted((body["prompt"], body["seed"]) for _, body in server.requests)
    assert sent == [("a", 3), ("a", 4), ("b", 3)], "a seed of 32 bits each"
    assert all((body["temperature"], body["top_p"]) == (0.5, 0.9) for _, body in server.requests)


def test_seeds_of_their_own_belong_to_prompts() -> None:
    with FaultServer() as server:
        client(server).generate(["a", "b", "a"], Sampling(temperature=1.0, seed=0), [7, 8, 7])
        sent = sorted((body["prompt"], body["seed"]) for _, body in server.requests)
        assert sent == [("a", 7), ("b", 8)], "the same draw twice is one request"
        server.requests.clear()
        client(server).generate(["a", "a"], Sampling(temperature=1.0))
    assert len(server.requests) == 2, "draws without a seed may differ"
    assert all("seed" not in body for _, body in server.requests)


def test_results_keep_their_order_within_the_limit_of_requests() -> None:
    with FaultServer(delay=0.03) as server:
        lm = client(server, max_concurrency=3)
        answers: dict[str, list[Completion]] = {}

        def ask(name: str) -> None:
            answers[name] = lm.generate([f"{name} {n}" for n in range(6)], Sampling())

        threads = [threading.Thread(target=ask, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name in "ab":
        assert [answer.text for answer in answers[name]] == [f"echo {name} {n}" for n in range(6)]
    assert server.most_at_once == 3


def test_equal_greedy_prompts_are_requested_once() -> None:
    with FaultServer(usage={"prompt_tokens": 5, "completion_tokens": 2}) as server:
        first, second = client(server).generate([HI, HI], Sampling())
    assert len(server.requests) == 1
    assert (first.cached_tokens, second.cached_tokens) == (0, 5)
    assert second.text == first.text


@pytest.mark.parametrize("fault", ["429", "500", "503", "slow", "cut", "malformed", "empty"])
def test_passing_faults_are_retried(fault: str) -> None:
    with FaultServer([fault, fault]) as server:
        (answer,) = client(server).generate([HI], Sampling())
    assert answer.text == "echo hi"
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("429", "HTTP 429, .*lower --max-concurrency"),
        ("500", "HTTP 500, .*see the server's log"),
        ("slow", r"no answer within 0\.333 s .*check that a model server runs"),
        ("cut", r"\(4 attempts in .* s\): check"),
        ("malformed", "the answer is no JSON"),
        ("empty", "the answer holds no choices"),
    ],
)
def test_lasting_faults_end_in_one_line(fault: str, said: str) -> None:
    with FaultServer(by_word={"hi": fault}) as server, pytest.raises(ServerError, match=said) as caught:
        client(server).generate([HI], Sampling())
    message = str(caught.value)
    assert server.url in message
    assert "model toy" in message
    assert "\n" not in message
    assert len(server.requests) == 4
    assert not caught.value.fatal


@pytest.mark.parametrize(
    ("status", "fatal", "said"),
    [
        ("401", True, "environment variable MY_KEY"),
        ("404", True, "check the model's name"),
        ("400", False, r"HTTP 400, refused .* lower --max-prompt-tokens"),
    ],
)
def test_refusals_are_not_retried(monkeypatch: pytest.MonkeyPatch, status: str, fatal: bool, said: str) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    with FaultServer(by_word={"hi": status}) as server, pytest.raises(ServerError, match=said) as caught:
        client(server, key_env="MY_KEY").generate(["hi"], Sampling())
    assert len(server.requests) == 1
    assert (caught.value.status, caught.value.fatal) == (int(status), fatal)
    assert "attempts" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"error": {"message": "too long"}}', "too long"),
        ('{"detail": "pinned"}', "pinned"),
        ('{"error": "no"}', "no"),
        ("<html>", "<html>"),
        ('{"detail": [1]}', '{"detail": [1]}'),
        ("[]", "[]"),
    ],
)
def test_what_servers_say_of_errors(text: str, said: str) -> None:
    assert _reason(text) == said


def test_retry_after_is_honoured() -> None:
    with FaultServer(["429"], retry_after="0.3") as server:
        client(server).generate([HI], Sampling())
    assert server.times[1] - server.times[0] >= 0.3


def test_a_wait_beyond_the_overall_limit_is_not_begun() -> None:
    began = time.monotonic()
    with FaultServer(["429"], retry_after="3600") as server, pytest.raises(ServerError, match="1 attempt in"):
        client(server).generate([HI], Sampling())
    assert time.monotonic() - began < 5


def test_retry_after_as_a_date() -> None:
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") < 0  # pyright: ignore[reportOptionalOperand]
    assert retry_after("soon") is retry_after(None) is None


def test_waits_double_up_to_a_limit() -> None:
    retries = Retries(first_wait=1, longest_wait=6)
    for failures, most in [(1, 1), (2, 2), (3, 4), (4, 6), (50, 6)]:
        assert most / 2 <= retries.wait(failures, None) <= most


def test_an_unreachable_server_is_named() -> None:
    with FaultServer() as server:
        url = server.url
    with pytest.raises(ServerError, match="check that a model server runs at this address"):
        OpenAILM(url, "toy", retries=FAST).generate([HI], Sampling())


def test_one_failing_prompt_costs_the_others_nothing() -> None:
    with FaultServer(by_word={"bad": "500"}) as server:
        with pytest.raises(ServerError) as caught:
            client(server).generate(["a", "bad", "b"], Sampling())
        results = caught.value.results
    assert [getattr(result, "text", None) for result in results] == ["echo a", None, "echo b"]
    assert isinstance(results[1], ServerError)
    assert sum(body["prompt"] == "bad" for _, body in server.requests) == 4


def test_a_server_once_given_up_gets_single_attempts_until_it_answers() -> None:
    with FaultServer(["500"] * 5) as server:
        lm = client(server)
        for attempts, said in ((4, "4 attempts in"), (5, "once more, after it was given up")):
            with pytest.raises(ServerError, match=said):
                lm.generate([HI], Sampling())
            assert len(server.requests) == attempts
        assert lm.generate([HI], Sampling())[0].text == "echo hi"
        server.faults = ["500"]
        assert lm.generate([HI], Sampling())[0].text == "echo hi"


def test_usage_is_the_servers_own_or_estimated() -> None:
    told = {"prompt_tokens": 20, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 16}}
    with FaultServer(usage=told) as server:
        (answer,) = client(server).generate([HI], Sampling())
        assert (answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens) == (20, 3, 16)
        server.usage = None
        (answer,) = client(server).generate([HI], Sampling())
        assert (answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens) == (5, 3, 0)
        assert client(server).count_tokens(HI) == 5


def test_an_answer_that_ran_out_of_tokens_is_unfinished() -> None:
    with FaultServer(answer=lambda prompt: {"content": "go", "finish_reason": "length"}) as server:
        assert not client(server).generate([HI], Sampling())[0].finished
        server.answer = lambda prompt: "go"
        assert client(server).generate([HI], Sampling())[0].finished


@pytest.mark.parametrize(
    "message",
    [
        {"content": "<think>\nhmm\n</think>\n\nAction: go"},
        {"content": "hmm\n</think>\n\nAction: go"},
        {"content": "\nAction: go", "reasoning_content": "hmm\n"},
        {"content": "Action: go", "reasoning": "hmm"},
    ],
)
def test_thoughts_are_no_part_of_the_answer(message: dict[str, Any]) -> None:
    with FaultServer(answer=lambda prompt: dict(message)) as server:
        sampling = Sampling(max_new_tokens=16, stop=("hmm",))
        (answer,) = client(server, thinking_tokens=100).generate([HI], sampling)
    assert (answer.text, answer.thought) == ("Action: go", "hmm")
    (_, body) = server.requests[0]
    assert body["max_tokens"] == 116
    assert body["chat_template_kwargs"] == {"enable_thinking": True}
    assert "stop" not in body, "it would end the thought"


def test_an_unfinished_thought_has_no_answer() -> None:
    with FaultServer(answer=lambda prompt: {"content": "<think> hmm", "finish_reason": "length"}) as server:
        (answer,) = client(server).generate([HI], Sampling())
    assert (answer.text, answer.thought, answer.finished) == ("", "hmm", False)


@pytest.mark.parametrize(("reason", "text", "thought"), [("stop", "go", ""), ("length", "", "go")])
def test_an_answer_mistaken_for_a_thought(reason: str, text: str, thought: str) -> None:
    message = {"content": None, "reasoning_content": "go", "finish_reason": reason}
    with FaultServer(answer=lambda prompt: dict(message)) as server:
        (answer,) = client(server).generate([HI], Sampling())
    assert (answer.text, answer.thought) == (text, thought)


def test_a_server_that_knows_no_template_options_is_asked_without_them() -> None:
    with FaultServer(rejects=["chat_template_kwargs"]) as server:
        lm = client(server)
        assert lm.generate([HI], Sampling())[0].text == "echo hi"
        assert lm.generate([Chat.of("again")], Sampling())[0].text == "echo again"
    assert len(server.requests) == 3


def test_a_server_that_limits_completion_tokens_and_has_no_temperature_is_asked_in_its_terms() -> None:
    with FaultServer(rejects=["max_tokens", "temperature", "chat_template_kwargs"]) as server:
        lm = client(server)
        with pytest.warns(UserWarning, match="its own temperature"):
            assert lm.generate([HI], Sampling(max_new_tokens=5))[0].text == "echo hi"
        assert lm.generate([Chat.of("again")], Sampling(max_new_tokens=5))[0].text == "echo again"
    _, body = server.requests[-1]
    assert len(server.requests) == 5, "the terms are found once"
    assert body["max_completion_tokens"] == 5
    assert not {"max_tokens", "temperature", "chat_template_kwargs"} & set(body)


def test_a_request_that_is_wrong_otherwise_is_refused_with_the_servers_words() -> None:
    with FaultServer(rejects=["messages"]) as server, pytest.raises(ServerError, match="Unsupported: messages"):
        client(server).generate([HI], Sampling())
    assert len(server.requests) == 2


def test_answers_end_before_a_stop_even_if_the_server_kept_it() -> None:
    with FaultServer(answer=lambda prompt: "\ngo\nObservation: x") as server:
        (answer,) = client(server).generate(["a"], Sampling(stop=("\n", "\nObs", "1", "2", "3", "4")))
    assert answer.text == "go"
    assert server.requests[0][1]["stop"] == ["\nObs", "1", "2", "3"], "white space would end an answer before it began"


def test_logprobs_are_asked_for_and_unknown_otherwise() -> None:
    tokens = {"content": [{"token": "g", "logprob": -0.5}, {"token": "o", "logprob": -0.25}]}
    with FaultServer(answer=lambda prompt: {"content": "go", "logprobs": tokens}) as server:
        assert client(server, logprobs=True).generate([HI], Sampling())[0].logprob == -0.75
        assert server.requests[-1][1]["logprobs"] is True
        server.answer = lambda prompt: "go"
        assert math.isnan(client(server).generate([HI], Sampling())[0].logprob)
        assert "logprobs" not in server.requests[-1][1]


def test_scores_are_read_from_echoed_logprobs() -> None:
    def echo(prompt: str) -> dict[str, Any]:
        tokens, values = ["go", " to", " drawer" if "drawer" in prompt else " bed", " 1", "!"], [None, -1, -2, -3, -9]
        offsets = [sum(map(len, tokens[:n])) for n in range(5)]
        return {"content": "", "logprobs": {"tokens": tokens, "token_logprobs": values, "text_offset": offsets}}

    with FaultServer(answer=echo) as server:
        (scores,) = client(server).score(["go to"], [[" drawer 1", " bed 1"]])
        assert scores.logprobs == (-5.0, -5.0)
        assert (scores.prompt_tokens, scores.continuation_tokens) == (4, 4)
        with pytest.raises(ScoringUnsupported, match="choose by generation"):
            client(server).score([HI], [["a"]])
        server.answer = lambda prompt: "x"
        with pytest.raises(ScoringUnsupported, match="gives no log-probabilities"):
            client(server).score(["go to"], [["a"]])


@pytest.mark.parametrize("fault", ["401", "500", "good"])
def test_the_key_reaches_the_server_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    key = "sk-very-secret-9"
    monkeypatch.setenv("MY_KEY", key + "\n")
    for name in ("", "openai", "httpx", "httpx2", "httpcore", "httpcore2", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    with FaultServer(by_word={"hi": fault}) as server:
        lm = client(server, key_env="MY_KEY")
        try:
            shown = repr(lm.generate([HI], Sampling()))
        except ServerError as error:
            shown = "".join(traceback.format_exception(error)) + repr(error) + repr(error.results)
    assert server.keys[0] == f"Bearer {key}"
    assert "chat/completions" in caplog.text, "nothing was logged: the test proves nothing"
    assert ("***" in shown) == (fault != "good"), "this server repeats the key"
    for text in (shown, caplog.text, repr(lm), lm.identity, repr(vars(lm)), repr(vars(lm._server))):
        assert key not in text


def test_a_key_is_needed_beyond_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"MY_KEY holds no key for https://example\.org/v1: export it"):
        OpenAILM("https://example.org/v1", "toy", key_env="MY_KEY")
    monkeypatch.setenv("MY_KEY", "sk-x")
    OpenAILM("https://example.org/v1", "toy", key_env="MY_KEY")


@pytest.mark.parametrize("url", ["example.org/v1", "ftp://example.org", "http://me:secret@example.org/v1", "http://"])
def test_addresses_are_checked_and_secrets_in_them_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="is no address of a server") as caught:
        OpenAILM(url, "toy")
    assert "secret" not in str(caught.value)


def test_impossible_limits_are_refused() -> None:
    with pytest.raises(ConfigError, match="--max-concurrency 0"):
        OpenAILM("http://localhost:1/v1", "toy", max_concurrency=0)
    with pytest.raises(ConfigError, match="temperature is -1"):
        OpenAILM("http://localhost:1/v1", "toy").generate(["a"], Sampling(temperature=-1))


def test_an_empty_batch_asks_nothing() -> None:
    assert OpenAILM("http://localhost:1/v1", "toy").generate([], Sampling()) == []
