"""A lean forward pass for Llama and Qwen weights over packed tokens: what small models need to be fast.

`transformers` spends most of a small model's step outside the matrix products. Here prompts lie one after another
without padding, logits are computed only where they are read, and the caller says through `attend` which tokens see
each other. The weights are used where they are, so they may be training at the same time, and gradients flow. Every
other architecture runs in `transformers` itself; `supports` tells which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

MODEL_TYPES = ("llama", "qwen2", "qwen3")
Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(layer, queries, keys, values), each [N, heads, D], to mixed values [N, heads, D]."""


def supports(model: Any) -> bool:
    """Whether this module can run the model: a known architecture, plain linear layers, ordinary rotary positions."""
    config = model.config
    if getattr(config, "model_type", "") not in MODEL_TYPES or "sliding_attention" in (
        getattr(config, "layer_types", None) or ()
    ):
        return False
    if getattr(model.model.rotary_emb, "rope_type", "default") != "default" or config.hidden_act != "silu":
        return False
    linears = (child for layer in model.model.layers for child in (layer.self_attn.q_proj, layer.mlp.down_proj))
    return all(type(linear) is torch.nn.Linear for linear in (*linears, model.lm_head))


def weights_version(model: Any) -> tuple[int, ...]:
    """A value that differs once any weight was replaced or changed in place, as optimisers do."""
    return tuple(n for parameter in model.parameters() for n in (parameter.data_ptr(), parameter._version))


def forward(model: Any, ids_N: torch.Tensor, positions_N: torch.Tensor, attend: Attend) -> torch.Tensor:
    """Final hidden states [N, C] of N packed tokens."""
    core = model.model
    hidden_NC = functional.embedding(ids_N, core.embed_tokens.weight)
    cos_1ND, sin_1ND = core.rotary_emb(hidden_NC, position_ids=positions_N[None])
    cos_N1D, sin_N1D = cos_1ND[0, :, None], sin_1ND[0, :, None]
    for number, layer in enumerate(core.layers):
        attention, mlp, x_NC = layer.self_attn, layer.mlp, _norm(layer.input_layernorm, hidden_NC)
        q_NHD, k_NHD, v_NHD = (
            _linear(projection, x_NC).unflatten(-1, (-1, attention.head_dim))
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        if hasattr(attention, "q_norm"):
            q_NHD, k_NHD = _norm(attention.q_norm, q_NHD), _norm(attention.k_norm, k_NHD)
        mixed_NHD = attend(number, _rotate(q_NHD, cos_N1D, sin_N1D), _rotate(k_NHD, cos_N1D, sin_N1D), v_NHD)
        hidden_NC = hidden_NC + _linear(attention.o_proj, mixed_NHD.flatten(1))
        x_NC = _norm(layer.post_attention_layernorm, hidden_NC)
        gated_NF = functional.silu(_linear(mlp.gate_proj, x_NC)) * _linear(mlp.up_proj, x_NC)
        hidden_NC = hidden_NC + _linear(mlp.down_proj, gated_NF)
    return _norm(core.norm, hidden_NC)


def logits(model: Any, hidden_NC: torch.Tensor) -> torch.Tensor:
    """Next-token logits [N, V] in fp32."""
    return functional.linear(hidden_NC, model.lm_head.weight).float()


def _linear(module: Any, x: torch.Tensor) -> torch.Tensor:
    return functional.linear(x, module.weight, module.bias)


def _norm(module: Any, x: torch.Tensor) -> torch.Tensor:
    return functional.rms_norm(x, module.weight.shape, module.weight, module.variance_epsilon)


def _rotate(x_NHD: torch.Tensor, cos_N1D: torch.Tensor, sin_N1D: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding (Su et al. 2021) in the two-halves layout of the Hugging Face models."""
    first, second = x_NHD.chunk(2, dim=-1)
    return x_NHD * cos_N1D + torch.cat((-second, first), dim=-1) * sin_N1D
