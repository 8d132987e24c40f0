"""Known beginnings of prompts are computed once, change no result, and are forgotten with the weights."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from itp.lm.base import Sampling
from itp.lm.cache import BatchCache, Scratch
from itp.lm.decoding import Engine
from itp.lm.generic import GenericEngine
from itp.lm.prefix_cache import BLOCK, PrefixCache
from itp.lm.trie import TokenTrie
from models import random_model

GREEDY = Sampling(max_new_tokens=10)
TRIE = TokenTrie.build([[11, 12, 13], [11, 12], [14], []])


def prompt(seed: int, length: int) -> list[int]:
    return random.Random(seed).choices(range(8, 390), k=length)


def engine(**options: Any) -> Engine:
    return Engine(random_model(), **options)


def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of every forward pass."""
    import itp.lm.decoding as decoding

    counts: list[int] = []
    forward = decoding.forward
    monkeypatch.setattr(
        decoding, "forward", lambda model, ids, *rest: (counts.append(len(ids)), forward(model, ids, *rest))[1]
    )
    return counts


def test_a_known_beginning_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, warm, state = counting(monkeypatch), engine(), prompt(0, 100)
    warm.hidden([state])
    warm.score([[*state, 5, 6]], [TRIE])
    warm.decode([[*state, 5]], Sampling(max_new_tokens=1), end_ids={1})
    known = 100 // BLOCK * BLOCK
    assert counts == [100, 102 - known + len(TRIE.tokens), 101 - known]


def test_results_are_those_of_an_engine_that_knows_nothing() -> None:
    warm, shared = engine(), prompt(1, 60)
    prompts = [[*shared, *prompt(n, n)] for n in (2, 9, 30)] + [prompt(7, 5), shared]
    warm.hidden([shared[:33], prompt(7, 5)])
    torch.testing.assert_close(warm.hidden(prompts), engine().hidden(prompts), atol=1e-4, rtol=1e-4)
    for one, two in zip(warm.score(prompts, [TRIE] * 5), engine().score(prompts, [TRIE] * 5), strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)
    assert [d.ids for d in warm.decode(prompts, GREEDY, end_ids={1})] == [
        d.ids for d in engine().decode(prompts, GREEDY, end_ids={1})
    ]


def test_changed_weights_empty_the_cache() -> None:
    import copy

    model = copy.deepcopy(random_model())
    warm, state = Engine(model), prompt(2, 50)
    before = warm.hidden([state])
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.mul_(1.5)
    after = warm.hidden([state])
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, Engine(model).hidden([state]))


def test_the_least_recently_used_blocks_go_and_results_stay_right() -> None:
    model = random_model()
    per_block = 2 * model.config.num_hidden_layers * model.config.hidden_size * BLOCK * 4
    small = engine(prefix_bytes=6 * per_block)
    prompts = [prompt(n, 30) for n in range(8)]  # three full blocks each, six in all
    fresh = engine(prefix_bytes=0).hidden(prompts)
    for _ in range(3):
        for n, ids in enumerate(prompts):
            torch.testing.assert_close(small.hidden([ids])[0], fresh[n], atol=1e-4, rtol=1e-4)
    assert len(small.prefixes._blocks) == 6


def test_prompts_share_their_beginning_and_go_end_first() -> None:
    model = random_model()
    per_block = 2 * model.config.num_hidden_layers * model.config.hidden_size * BLOCK * 4
    small, shared = engine(prefix_bytes=6 * per_block), prompt(0, 2 * BLOCK)
    branches = [[*shared, *prompt(n, 2 * BLOCK + 1)] for n in (1, 2, 3)]
    for ids in branches:
        small.hidden([ids])
    assert len(small.prefixes._blocks) == 6  # two shared ones, two of each branch: those of the first had to go
    cache_of = [BatchCache(model, [ids], [TokenTrie()], 0, small.prefixes, Scratch()).known for ids in branches]
    assert cache_of == [[2 * BLOCK], [4 * BLOCK], [4 * BLOCK]]


def test_memory_of_a_batch_serves_the_next_and_no_other_at_the_same_time() -> None:
    scratch, cpu = Scratch(), torch.device("cpu")
    first = scratch.take(100, torch.float32, cpu)
    second = scratch.take(100, torch.float32, cpu)
    assert first[0].data_ptr() != second[0].data_ptr()
    scratch.give(first)
    assert scratch.take(60, torch.float32, cpu)[0].data_ptr() == first[0].data_ptr()
    scratch.give(first)
    assert len(scratch.take(101, torch.float32, cpu)[0]) == 101
    scratch.give(first)
    assert scratch.take(60, torch.float16, cpu)[0].dtype == torch.float16


def test_at_least_the_last_token_is_left_to_compute() -> None:
    cache = PrefixCache(random_model())
    cache.refresh()
    config = random_model().config
    shape = (
        config.num_hidden_layers,
        config.num_key_value_heads,
        2 * BLOCK,
        config.hidden_size // config.num_attention_heads,
    )
    ids, keys, values = prompt(3, 2 * BLOCK), torch.randn(shape), torch.randn(shape)
    cache.store(ids, keys, values)
    filled, other = torch.zeros(shape), torch.zeros(shape)
    assert cache.load(ids, filled, other) == BLOCK
    torch.testing.assert_close(filled[:, :, :BLOCK], keys[:, :, :BLOCK])
    torch.testing.assert_close(other[:, :, :BLOCK], values[:, :, :BLOCK])
    assert (
        cache.load(
            [*ids, 9],
            torch.zeros(*shape[:2], 2 * BLOCK + 1, shape[3]),
            torch.zeros(*shape[:2], 2 * BLOCK + 1, shape[3]),
        )
        == 2 * BLOCK
    )
    assert cache.load([9, *ids], filled, other) == 0


def test_the_generic_engine_gives_the_same_for_a_model_both_can_run() -> None:
    lean, generic = engine(), GenericEngine(random_model(), 0)
    prompts, tries = [prompt(4, 20), prompt(5, 7)], [TRIE, TokenTrie.build([[9]])]
    for one, two in ((lean.forward, generic.forward),):
        (hidden, scores), (hidden2, scores2) = one(prompts, tries, [3, 6]), two(prompts, tries, [3, 6])
        torch.testing.assert_close(hidden, hidden2, atol=1e-4, rtol=1e-4)
        for left, right in zip(scores, scores2, strict=True):
            torch.testing.assert_close(left, right, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(lean.hidden(prompts), generic.hidden(prompts), atol=1e-4, rtol=1e-4)
    assert [d.ids for d in lean.decode(prompts, GREEDY, end_ids={1})] == [
        d.ids for d in generic.decode(prompts, GREEDY, end_ids={1})
    ]


def test_the_generic_engine_scores_other_architectures() -> None:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_head=2, n_embd=32, vocab_size=400)).eval()
    ids = prompt(6, 12)
    scores = GenericEngine(model, 0).score([ids], [TRIE])[0]
    with torch.no_grad():
        logits = model(torch.tensor([[*ids, 11, 12, 13]])).logits[0].log_softmax(-1)
    expected = sum(float(logits[11 + n, token]) for n, token in enumerate((11, 12, 13)))
    assert float(scores[0]) == pytest.approx(expected, abs=1e-4)
    assert float(scores[3]) == 0.0
