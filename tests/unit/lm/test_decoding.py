"""Decoding with our own cache gives what `transformers.generate` gives, for each architecture it takes on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from itp.lm.base import Sampling
from itp.lm.decoding import Decoded, Engine
from itp.lm.forward import supports
from itp.lm.tree import nucleus, token_logprobs

VOCABULARY, END = 50, 1
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.4,
    "eos_token_id": END,
    "bos_token_id": None,
}
MODELS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=True)),
    "llama, attention bias": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, attention_bias=True)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE)),
    "qwen3, wide heads": lambda: Qwen3ForCausalLM(Qwen3Config(**SHAPE, head_dim=16)),
}
PROMPTS = [[5, 6, 7], list(range(2, 30)), [9], [3, 4] * 6, [11, 12, 13, 14]]


def model_of(name: str, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return MODELS[name]().eval()


def decode(model: Any, prompts: list[list[int]], sampling: Sampling, *, end_ids: set[int]) -> list[Decoded]:
    return Engine(model).decode(prompts, sampling, end_ids=end_ids)


def by_transformers(model: Any, ids: list[int], new_tokens: int) -> list[int]:
    with torch.inference_mode():
        output = model.generate(
            torch.tensor([ids]), max_new_tokens=new_tokens, do_sample=False, eos_token_id=END, pad_token_id=0
        )
    return output[0, len(ids) :].tolist()


@pytest.mark.parametrize("name", MODELS)
def test_greedy_tokens_equal_those_of_transformers(name: str):
    model = model_of(name)
    assert supports(model)
    decoded = decode(model, PROMPTS, Sampling(max_new_tokens=12), end_ids={END})
    assert [d.ids for d in decoded] == [by_transformers(model, ids, 12) for ids in PROMPTS]


def test_rows_that_end_early_leave_the_others_as_they_are():
    for seed in range(40):  # some random model lets rows of the batch end at different steps
        model = model_of("llama", seed)
        decoded = decode(model, PROMPTS, Sampling(max_new_tokens=20), end_ids={END})
        ended = {len(d.ids) for d in decoded if d.ids[-1] == END}
        if len(ended) >= 2:
            assert [d.ids for d in decoded] == [by_transformers(model, ids, 20) for ids in PROMPTS]
            return
    pytest.fail("no model ended two rows at different steps")


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_logprob_is_that_of_the_tokens_given_the_prompt(temperature: float):
    model = model_of("qwen3, wide heads")
    torch.manual_seed(3)
    for ids, decoded in zip(
        PROMPTS, decode(model, PROMPTS, Sampling(max_new_tokens=6, temperature=temperature), end_ids={END}), strict=True
    ):
        with torch.inference_mode():
            logits_TV = model(torch.tensor([ids + decoded.ids])).logits[0, len(ids) - 1 : -1] / (temperature or 1.0)
        expected = logits_TV.log_softmax(-1).gather(1, torch.tensor(decoded.ids)[:, None]).sum()
        assert decoded.logprob == pytest.approx(float(expected), abs=1e-4)


def test_top_p_keeps_the_smallest_set_that_reaches_it():
    probs = torch.tensor([[0.15, 0.5, 0.05, 0.3]])
    kept = nucleus(probs.log(), 0.8) > 0
    assert kept.tolist() == [[False, True, False, True]]
    assert (nucleus(probs.log(), 1.0) > 0).all()
    assert (nucleus(probs.log(), 0.01) > 0).sum() == 1


def test_weights_that_changed_are_used_at_once():
    model = model_of("llama")
    before = decode(model, PROMPTS[:1], Sampling(max_new_tokens=8), end_ids={END})
    with torch.no_grad():
        model.model.layers[0].self_attn.q_proj.weight.mul_(-3)
    after = decode(model, PROMPTS[:1], Sampling(max_new_tokens=8), end_ids={END})
    assert before[0].logprob != after[0].logprob
    assert after[0].ids == by_transformers(model, PROMPTS[0], 8)


def test_other_models_are_left_to_transformers():
    assert not supports(GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=VOCABULARY)))
    scaled = LlamaConfig(**SHAPE, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0})
    assert not supports(LlamaForCausalLM(scaled))
    adapted = model_of("llama")
    adapted.model.layers[1].mlp.down_proj = torch.nn.Sequential(adapted.model.layers[1].mlp.down_proj)
    assert not supports(adapted)


def test_log_probabilities_of_a_draw_are_those_of_its_temperature_and_nucleus():
    logits = torch.tensor([[2.0, 1.0, 0.5, -1.0]], requires_grad=True)
    drawn = token_logprobs(logits, Sampling(temperature=0.5, top_p=0.9))
    kept = (logits.detach() / 0.5)[0, :2].softmax(-1)  # 0.84 and 0.11 are the smallest set that reaches 0.9
    assert drawn[0, :2].exp().tolist() == pytest.approx(kept.tolist(), abs=1e-6)
    drawn[0, 1].backward()
    assert logits.grad is not None
    assert float(logits.grad[0, 2:].abs().sum()) == pytest.approx(0.0, abs=1e-6)
