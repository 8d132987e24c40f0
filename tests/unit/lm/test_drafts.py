"""Drafts change how many steps decoding takes, and nothing else."""

from __future__ import annotations

import random

import pytest

from itp.lm import decoding
from itp.lm.base import Sampling
from itp.lm.decoding import Engine
from itp.lm.drafts import ORDER, NgramDrafts, add
from models import random_model

GREEDY = Sampling(max_new_tokens=24)


def prompts(count: int) -> list[list[int]]:
    return [random.Random(n).choices(range(8, 390), k=5 + 3 * n) for n in range(count)]


def test_a_draft_is_what_followed_the_last_tokens_in_the_row_or_else_anywhere() -> None:
    drafts, own = NgramDrafts(), {}
    drafts.learn([1, 2, 3, 4, 5, 6])
    add(own, [9, 2, 3, 4, 7])
    assert drafts.propose({}, [0, 1, 2, 3], 8) == [4, 5, 6]
    assert drafts.propose({}, [0, 1, 2, 3], 2) == [4, 5]
    assert drafts.propose(own, [1, 2, 3], 8) == [4, 7], "the row's own text comes first"
    assert drafts.propose(own, [5, 5, 5], 8) == []
    assert drafts.propose(own, [2, 3], 8) == []
    drafts.learn([2, 3, 4, 8])
    assert drafts.propose({}, [2, 3, 4], 1) == [8], "the latest is kept"
    assert ORDER == 3


@pytest.mark.parametrize("count", [1, 5, 40])
def test_results_are_those_of_one_token_a_step(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    step = Engine._step
    monkeypatch.setattr(Engine, "_step", lambda self, *args: steps.append(1) or step(self, *args))
    drafting = Engine(random_model())
    first = drafting.decode(prompts(count), GREEDY, end_ids={1})
    before = len(steps)
    again = drafting.decode(prompts(count), GREEDY, end_ids={1})
    assert len(steps) - before < 0.9 * before, "what was decoded before is drafted"
    monkeypatch.setattr(Engine, "_longest_draft", lambda self, batch: 0)
    plain = Engine(random_model()).decode(prompts(count), GREEDY, end_ids={1})
    for one, two, three in zip(first, again, plain, strict=True):
        assert one.ids == two.ids == three.ids
        assert one.logprob == pytest.approx(three.logprob, abs=1e-3)
        assert two.logprob == pytest.approx(three.logprob, abs=1e-3)


def test_a_draft_never_goes_beyond_the_limit_nor_the_end() -> None:
    engine = Engine(random_model())
    long = engine.decode(prompts(3), GREEDY, end_ids={1})
    for limit in (1, 2, 5, 23):
        short = engine.decode(prompts(3), Sampling(max_new_tokens=limit), end_ids={1})
        assert [d.ids for d in short] == [d.ids[:limit] for d in long]
    end = long[0].ids[10]
    stopped = engine.decode(prompts(1), GREEDY, end_ids={end})[0]
    assert stopped.ids == long[0].ids[: long[0].ids.index(end) + 1]


def test_samples_are_never_drafted(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(random_model())
    engine.decode(prompts(2), GREEDY, end_ids={1})
    monkeypatch.setattr(decoding.NgramDrafts, "propose", lambda *_: [8] if _[-1] > 0 else [])
    sampled = engine.decode(prompts(2), Sampling(max_new_tokens=6, temperature=0.7), end_ids={1})
    assert all(len(d.ids) <= 6 for d in sampled)
