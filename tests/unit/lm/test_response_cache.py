"""The response cache: what is paid for once, what is never kept, and a damaged folder."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from itp.errors import ConfigError, ServerError
from itp.lm.base import Completion, Sampling
from itp.lm.chat import Chat, Prompt
from itp.lm.response_cache import CachedLM
from itp.lm.scripted import ScriptedLM

pytest.importorskip("diskcache")


class CountingLM(ScriptedLM):
    """Counts what it is asked; its draws tell their seed. Prompts with "bad" fail."""

    def __init__(self, name: str = "m") -> None:
        super().__init__(lambda text: f"echo {text}", name)

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, seeds: Sequence[int] | None = None
    ) -> list[Completion]:
        answers = super().generate(prompts, sampling)
        answers = [replace(a, text=f"{a.text} {s}") for a, s in zip(answers, seeds or [""] * len(answers), strict=True)]
        if any("bad" in str(prompt) for prompt in prompts):
            error = ServerError("no luck", status=500)
            raise ServerError(
                "no luck",
                status=500,
                results=[error if "bad" in str(p) else a for p, a in zip(prompts, answers, strict=True)],
            )
        return answers


def test_a_known_answer_is_not_asked_for_again(tmp_path: Path) -> None:
    lm = CountingLM()
    prompts = ["a b", Chat.of("c"), "a b"]
    first = CachedLM(lm, tmp_path).generate(prompts, Sampling())
    again = CachedLM(lm, tmp_path).generate(prompts, Sampling())
    assert [c.text for c in again] == [c.text for c in first]
    assert len(lm.asked) == 2
    assert [c.cached_tokens for c in first] == [0, 0, 2]
    assert all(c.cached_tokens == c.prompt_tokens > 0 for c in again)
    assert again == [replace(c, cached_tokens=c.prompt_tokens) for c in first]


@pytest.mark.parametrize(
    ("name", "prompt", "sampling"),
    [
        ("other", "a", Sampling()),
        ("m", "b", Sampling()),
        ("m", Chat.of("a"), Sampling()),
        ("m", Chat.of("a", "a"), Sampling()),
        ("m", "a", Sampling(max_new_tokens=3)),
        ("m", "a", Sampling(stop=("x",))),
        ("m", "a", Sampling(temperature=0.5, seed=1)),
    ],
)
def test_anything_else_is_another_question(tmp_path: Path, name: str, prompt: Prompt, sampling: Sampling) -> None:
    CachedLM(CountingLM(), tmp_path).generate(["a"], Sampling())
    lm = CountingLM(name)
    CachedLM(lm, tmp_path).generate([prompt], sampling)
    assert len(lm.asked) == 1


def test_a_greedy_answer_does_not_depend_on_the_seed(tmp_path: Path) -> None:
    lm = CountingLM()
    for seed in (1, 2):
        CachedLM(lm, tmp_path).generate(["a"], Sampling(seed=seed))
    assert len(lm.asked) == 1


def test_draws_are_kept_by_seed_and_never_without(tmp_path: Path) -> None:
    lm, sampling = CountingLM(), Sampling(temperature=1.0, seed=5)
    cached = CachedLM(lm, tmp_path)
    assert [c.text for c in cached.generate(["a", "a", "b"], sampling)] == ["echo a 5", "echo a 6", "echo b 5"]
    assert [c.text for c in cached.generate(["a"], sampling, [6])] == ["echo a 6"]
    assert len(lm.asked) == 3
    assert [c.text for c in cached.generate(["a", "b"], sampling, [7, 5])] == ["echo a 7", "echo b 5"]
    assert len(lm.asked) == 4
    for _ in range(2):
        cached.generate(["a"], Sampling(temperature=1.0))
    assert len(lm.asked) == 6


def test_a_failed_prompt_costs_the_others_nothing(tmp_path: Path) -> None:
    lm = CountingLM()
    cached = CachedLM(lm, tmp_path)
    cached.generate(["z"], Sampling())
    with pytest.raises(ServerError, match="no luck") as caught:
        cached.generate(["a", "bad", "z", "b"], Sampling())
    texts = [getattr(result, "text", None) for result in caught.value.results]
    assert texts == ["echo a ", None, "echo z ", "echo b "]
    asked = len(lm.asked)
    assert [c.text for c in cached.generate(["a", "b"], Sampling())] == ["echo a ", "echo b "]
    assert len(lm.asked) == asked


def _fill(folder: Path, start: int) -> None:
    cached = CachedLM(CountingLM(), folder)
    for number in range(start, start + 30):
        cached.generate([f"p {number}"], Sampling())


def test_threads_and_processes_share_a_folder(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_fill, args=(tmp_path, 0))
    process.start()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda start: _fill(tmp_path, start), (10, 20, 30)))
    process.join(60)
    assert process.exitcode == 0
    lm = CountingLM()
    CachedLM(lm, tmp_path).generate([f"p {number}" for number in range(60)], Sampling())
    assert lm.asked == []


def test_a_damaged_folder_is_named_in_one_line(tmp_path: Path) -> None:
    CachedLM(CountingLM(), tmp_path / "cache").generate(["a"], Sampling())
    for file in (tmp_path / "cache").glob("cache.db*"):
        file.write_bytes(b"no database" * 1000)
    with pytest.raises(ConfigError, match=f"--cache {tmp_path}/cache cannot be used .*delete the folder") as caught:
        CachedLM(CountingLM(), tmp_path / "cache").generate(["a"], Sampling())
    assert "\n" not in str(caught.value)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot be used"):
        CachedLM(CountingLM(), tmp_path / "file")


@pytest.mark.parametrize("record", ["{", "[]", '{"text": "x"}', b"x", 3])
def test_a_damaged_answer_is_asked_for_again(tmp_path: Path, record: Any) -> None:
    lm = CountingLM()
    cached = CachedLM(lm, tmp_path)
    cached.generate(["a"], Sampling())
    for key in list(cached._cache):
        cached._cache.set(key, record)
    assert cached.generate(["a"], Sampling())[0].text == "echo a "
    assert len(lm.asked) == 2


def test_the_oldest_answers_make_room(tmp_path: Path) -> None:
    lm = ScriptedLM(lambda text: text * 200)
    cached = CachedLM(lm, tmp_path, size_limit=300_000)
    for number in range(300):
        cached.generate([f"prompt {number} "], Sampling())
    assert cached._cache.volume() < 1_000_000
    cached.generate(["prompt 299 "], Sampling())
    assert len(lm.asked) == 300
    cached.generate(["prompt 0 "], Sampling())
    assert len(lm.asked) == 301
