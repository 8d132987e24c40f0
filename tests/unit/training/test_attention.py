"""Attention over packed rows: each row as if it were alone, forwards and backwards."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, Qwen2Config

from itp.training import attention
from itp.training.attention import attend, ordinary_attention, packed_attention, supports


class Layer(torch.nn.Module):
    """Stands in for the attention layer that calls."""


def tensors(rows: list[int], heads: int, key_heads: int, dtype: torch.dtype) -> list[torch.Tensor]:
    torch.manual_seed(0)
    shapes = [(1, count, sum(rows), 16) for count in (heads, key_heads, key_heads)]
    return [torch.randn(shape).to(dtype).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("dropout", [0.0, 1e-9])  # the second takes PyTorch's kernel, as a GPU does
@pytest.mark.parametrize(("heads", "key_heads"), [(4, 4), (4, 2)])
@pytest.mark.parametrize("rows", [[1], [5, 1, 9], [130, 3, 128], [600, 257]])
def test_each_row_is_attended_to_as_if_it_were_alone(
    rows: list[int], heads: int, key_heads: int, dropout: float
) -> None:
    query, key, value = tensors(rows, heads, key_heads, torch.float32)
    borders = torch.tensor([0, *rows]).cumsum(0)
    mixed, weights = attend(Layer(), query, key, value, None, dropout, cu_seq_lens_q=borders)
    assert weights is None
    assert mixed.shape == (1, sum(rows), heads, 16)
    outer = torch.randn_like(mixed)
    found = torch.autograd.grad(mixed, [query, key, value], outer)

    scores = query @ key.repeat_interleave(heads // key_heads, 1).transpose(2, 3) * 16**-0.5
    number = torch.arange(len(rows)).repeat_interleave(torch.tensor(rows))
    allowed = (number[:, None] == number[None]).tril()
    shares = scores.masked_fill(~allowed, float("-inf")).softmax(-1)
    expected = (shares @ value.repeat_interleave(heads // key_heads, 1)).transpose(1, 2)
    torch.testing.assert_close(mixed, expected, atol=1e-5, rtol=1e-5)
    for one, other in zip(found, torch.autograd.grad(expected, [query, key, value], outer), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_bfloat16_is_as_exact_as_pytorchs_own_kernel() -> None:
    query, key, value = tensors([200], 4, 4, torch.bfloat16)
    exact, *grads = _exact(query, key, value)
    ours, _ = attend(Layer(), query, key, value, None, cu_seq_lens_q=torch.tensor([0, 200]))
    theirs = functional.scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2)
    for mixed in (ours, theirs):
        assert (mixed - exact).abs().max() < 0.03
        for found, grad in zip(torch.autograd.grad(mixed.sum(), [query, key, value]), grads, strict=True):
            assert (found - grad).abs().max() < 0.05 * max(1.0, float(grad.abs().max()))


def _exact(*inputs: torch.Tensor) -> list[torch.Tensor]:
    wide: Any = [x.detach().double().requires_grad_() for x in inputs]
    mixed = functional.scaled_dot_product_attention(*wide, is_causal=True).transpose(1, 2)
    return [mixed, *torch.autograd.grad(mixed.sum(), wide)]


def small(**options: Any) -> dict[str, Any]:
    return {
        "vocab_size": 50,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        **options,
    }


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_model_reads_packed_rows_as_it_reads_them_apart(checkpointing: bool) -> None:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**small()))
    if checkpointing:
        model.gradient_checkpointing_enable()
        model.train()
    rows = [torch.randint(0, 50, (n,)) for n in (7, 1, 20)]
    apart = torch.cat([model(row[None]).logits[0] for row in rows])
    lengths = [len(row) for row in rows]
    with packed_attention(model):
        inputs: Any = {
            "input_ids": torch.cat(rows)[None],
            "position_ids": torch.cat([torch.arange(n) for n in lengths])[None],
            "cu_seq_lens_q": torch.tensor([0, *lengths]).cumsum(0),
        }
        packed = model(**inputs, use_cache=False).logits[0]
        packed.sum().backward()
        with ordinary_attention(model):
            torch.testing.assert_close(model(rows[2][None]).logits[0], apart[-20:])
    torch.testing.assert_close(packed, apart, atol=1e-5, rtol=1e-4)
    assert model.config._attn_implementation != attention.NAME, "it does not attend as before"


def test_only_plain_causal_architectures_are_packed() -> None:
    assert supports(LlamaForCausalLM(LlamaConfig(**small())))
    for config in (MistralConfig(**small()), Qwen2Config(**small(use_sliding_window=True, max_window_layers=0))):
        model: Any = Layer()
        model.config = config
        assert not supports(model)
