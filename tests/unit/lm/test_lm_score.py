"""Scores of many continuations in one pass equal those of every full sequence on its own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itp.lm.trie import TokenTrie
from models import decode, lm, make_policy, random_text

PROMPTS = [random_text(seed, length) for seed, length in enumerate((4, 25, 1, 12))]
COMMANDS = [
    "go to drawer 1",
    "go to drawer 12",
    "go to drawer 2",
    "go",
    "go to",
    "take mug 1 from drawer 1",
    "take mug 1 from drawer 12",
    "look",
    "",
]


def naive(prompt: str, continuation: str) -> float:
    """The whole sequence in one pass of its own, next-token log-probabilities summed."""
    language_model = lm()
    start, rest = language_model.encode(prompt), [*language_model.encode(continuation), language_model.end_id]
    with torch.no_grad():
        logprobs = language_model.model(torch.tensor([start + rest])).logits[0].log_softmax(-1)
    return sum(float(logprobs[len(start) + i - 1, token]) for i, token in enumerate(rest))


@pytest.mark.parametrize("limit", [16384, 150, 1])
def test_scores_equal_naive_scores_for_all_prompts_and_commands(limit: int) -> None:
    scores = lm(max_batch_tokens=limit).score(PROMPTS, [COMMANDS[n:] for n in range(len(PROMPTS))])
    for n, (prompt, score) in enumerate(zip(PROMPTS, scores, strict=True)):
        assert score.logprobs == pytest.approx([naive(prompt, command) for command in COMMANDS[n:]], abs=1e-4)
        assert score.prompt_tokens == len(lm().encode(prompt))


def test_shared_beginnings_are_computed_once() -> None:
    score = lm().score(["open"], [COMMANDS])[0]
    separate = sum(len(lm().encode_continuation(command)) for command in COMMANDS)
    assert score.continuation_tokens < separate
    once = lm().score(["open"], [["look", "look", "look"]])[0]
    assert once.continuation_tokens == len(lm().encode_continuation("look"))
    assert len(set(once.logprobs)) == 1


def test_a_prompt_without_continuations_has_no_scores() -> None:
    assert [len(s.logprobs) for s in lm().score(["open", "go"], [[], ["look"]])] == [0, 1]


def test_probabilities_of_all_one_token_continuations_sum_to_less_than_one() -> None:
    words = [decode([token]) for token in range(270, 330)]
    total = sum(torch.tensor(lm().score(["go"], [words])[0].logprobs).exp().tolist())
    assert 0 < total < 1


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(8, 390), min_size=1, max_size=12),
    st.lists(st.lists(st.integers(8, 11), min_size=1, max_size=5), min_size=1, max_size=8),
)
def test_any_tree_of_tokens_scores_as_its_branches_alone(prompt: list[int], branches: list[list[int]]) -> None:
    language_model = lm()
    trie = TokenTrie.build(branches)
    with torch.no_grad():
        together = language_model.forward([prompt, [9]], [trie, TokenTrie.build([[10, 11]])], [0, 0])[1][0]
        for branch, logprob in zip(branches, together, strict=True):
            logits = language_model.model(torch.tensor([prompt + branch])).logits[0].log_softmax(-1)
            alone = sum(float(logits[len(prompt) + i - 1, token]) for i, token in enumerate(branch))
            assert float(logprob) == pytest.approx(alone, abs=1e-4)
    assert len(trie.tokens) == len({tuple(branch[: i + 1]) for branch in branches for i in range(len(branch))})


def test_scores_are_differentiable_for_training() -> None:
    policy = make_policy(k_max=2, fresh=True)
    logprobs = policy.lm.forward([[9, 10]], [TokenTrie.build([[11, 12], [11, 13]])], [1])[1][0]
    logprobs[0].backward()
    gradients = [p.grad for p in policy.lm.model.parameters()]
    assert all(gradient is not None and bool(gradient.any()) for gradient in gradients)
