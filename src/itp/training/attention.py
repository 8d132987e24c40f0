"""Attention over packed rows: a batch without padding, laid out as one sequence, each row seeing itself only.

The collator says where rows begin (`cu_seq_lens_q`), `transformers` hands that to every attention layer, and the
function registered here splits queries, keys and values there. No mask of the whole sequence is ever made. On a GPU
each row goes to PyTorch's fused kernel. On a CPU that kernel's backward pass runs at a tenth of what the matrix
products reach, so rows are computed there in blocks of queries that stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

NAME = "itp_packed"
MODEL_TYPES = ("llama", "qwen2", "qwen3")
"""Architectures with plain causal attention: no window, no soft cap, no sinks."""
BLOCK = 128
"""Queries computed at once on a CPU; scores of a block then fit the second-level cache."""
KEPT_LENGTH = 512
"""Longer rows compute their attention weights again in the backward pass instead of keeping them."""


def supports(model: PreTrainedModel) -> bool:
    """Whether packed rows can be isolated in this architecture; others train on padded batches."""
    layers: Any = getattr(model.config, "layer_types", None) or ()
    return getattr(model.config, "model_type", "") in MODEL_TYPES and "sliding_attention" not in layers


@contextmanager
def packed_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let a model read packed rows inside the block; outside of it, and after an error, it attends as before."""
    before = str(model.config._attn_implementation)
    norms = [part for part in model.modules() if type(part).__name__.endswith("RMSNorm")]
    model.set_attn_implementation(NAME)
    if model.device.type == "cpu":
        for norm in norms:
            norm.forward = partial(_norm, norm)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
        for norm in norms:
            norm.__dict__.pop("forward", None)


def _norm(module: Any, x: torch.Tensor) -> torch.Tensor:
    """An RMS norm in one call, rounded for autocast once: five products read it and would each round it again."""
    normed = functional.rms_norm(x, module.weight.shape, module.weight, module.variance_epsilon)
    return normed.to(torch.get_autocast_dtype("cpu")) if torch.is_autocast_enabled("cpu") else normed


@contextmanager
def ordinary_attention(model: PreTrainedModel) -> Iterator[None]:
    """The opposite, for generating text while a model is in training."""
    before = str(model.config._attn_implementation)
    model.set_attn_implementation("sdpa" if before == NAME else before)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def attend(
    module: torch.nn.Module,
    query_1HTD: torch.Tensor,
    key_1GTD: torch.Tensor,
    value_1GTD: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    *,
    cu_seq_lens_q: torch.Tensor,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each row; what `transformers` calls an attention interface.

    Args:
        query_1HTD: queries of all rows, one after another; keys and values may have fewer heads (G divides H).
        cu_seq_lens_q: where rows begin, and the end: [rows + 1].

    Returns:
        mixed values [1, T, H, D], and no weights.
    """
    scale = scaling if scaling is not None else query_1HTD.shape[-1] ** -0.5
    lengths = cu_seq_lens_q.diff().tolist()
    # Rotary positions come in fp32 under autocast and raise queries and keys to it; values tell the dtype to use.
    rows = zip(*(x.to(value_1GTD.dtype).split(lengths, 2) for x in (query_1HTD, key_1GTD, value_1GTD)), strict=True)
    if query_1HTD.device.type == "cpu" and not dropout:
        groups = query_1HTD.shape[1] // key_1GTD.shape[1]
        mixed = [
            _blocked(query[0], _repeat(key[0], groups), _repeat(value[0], groups), scale) for query, key, value in rows
        ]
        return torch.cat(mixed, dim=1).transpose(0, 1)[None], None
    mixed = [
        functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scale, dropout_p=dropout, enable_gqa=True
        )
        for query, key, value in rows
    ]
    return torch.cat(mixed, dim=2).transpose(1, 2), None


def _repeat(x_GTD: torch.Tensor, groups: int) -> torch.Tensor:
    return x_GTD if groups == 1 else x_GTD.repeat_interleave(groups, dim=0)


def _blocked(query_HTD: torch.Tensor, key_HTD: torch.Tensor, value_HTD: torch.Tensor, scale: float) -> torch.Tensor:
    keep = torch.is_grad_enabled() and query_HTD.shape[1] <= KEPT_LENGTH
    return _BlockedAttention.apply(query_HTD, key_HTD, value_HTD, scale, keep)  # pyright: ignore[reportReturnType]


class _BlockedAttention(torch.autograd.Function):
    """softmax(Q Kᵀ · scale) V, causal, a block of queries at a time; tensors are [H, T, D]."""

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, keep: bool
    ) -> torch.Tensor:
        query = query * scale  # here once instead of in every score
        mask = torch.full((min(query.shape[1], BLOCK),) * 2, float("-inf"), dtype=query.dtype).triu_(1)
        output, kept = torch.empty_like(query), []
        for start, end in _blocks(query):
            weights = _weights(query, key, start, end, mask)
            output[:, start:end] = torch.bmm(weights, value[:, :end])
            if keep:
                kept.append(weights)
        ctx.save_for_backward(query, key, value, mask, *kept)
        ctx.scale = scale
        return output

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        query, key, value, mask, *kept = ctx.saved_tensors
        grad_query, grad_key, grad_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        for number, (start, end) in enumerate(_blocks(query)):
            weights = kept[number] if kept else _weights(query, key, start, end, mask)
            grad_block = grad[:, start:end]
            grad_value[:, :end] += torch.bmm(weights.transpose(1, 2), grad_block)
            grad_weights = torch.bmm(grad_block, value[:, :end].transpose(1, 2))
            grad_scores = torch._softmax_backward_data(  # pyright: ignore[reportPrivateImportUsage]
                grad_weights, weights, -1, weights.dtype
            )
            grad_query[:, start:end] = torch.bmm(grad_scores, key[:, :end])
            grad_key[:, :end] += torch.bmm(grad_scores.transpose(1, 2), query[:, start:end])
        return grad_query.mul_(ctx.scale), grad_key, grad_value, None, None


def _blocks(query: torch.Tensor) -> Iterator[tuple[int, int]]:
    length = query.shape[1]
    return ((start, min(start + BLOCK, length)) for start in range(0, length, BLOCK))


def _weights(query: torch.Tensor, key: torch.Tensor, start: int, end: int, mask: torch.Tensor) -> torch.Tensor:
    """Attention weights [H, end - start, end] of one block of queries; only its diagonal part needs the mask."""
    scores = torch.bmm(query[:, start:end], key[:, :end].transpose(1, 2))
    scores[:, :, start:end] += mask[: end - start, : end - start]
    return scores.softmax(-1)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, lambda *_, **__: None)
