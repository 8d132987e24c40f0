"""Batched decoding for small models: a static key-value cache and a lean forward pass for Llama and Qwen weights.

`transformers.generate` spends most of a step outside the matrix products when a model is small: it grows the cache by
concatenation, rebuilds masks and keeps finished rows in the batch. Here the cache is allocated once, the weights are
used where they are (they may be training at the same time) and rows that have ended leave the batch. `TransformersLM`
asks `supports` and falls back to `generate` for every other model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from itp.lm.base import Sampling

MODEL_TYPES = ("llama", "qwen2", "qwen3")
_Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
_SHRINK_AT = 0.75
"""Finished rows leave the batch when at most this share of it still runs."""


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


@dataclass(slots=True)
class Decoded:
    """New tokens of one prompt and the sum of their log-probabilities; the end token is included when it came."""

    ids: list[int]
    logprob: float


class _Cache:
    """Keys and values of a batch, [layers, B, heads, T_max, D]; prompts are aligned at their last token.

    Prompts are computed packed, one after another without padding: a batch of unequal prompts costs its real tokens.
    """

    def __init__(self, model: Any, lengths: Sequence[int], new_tokens: int) -> None:
        config, device = model.config, model.device
        self.lengths, self.stop = lengths, max(lengths)
        width = self.stop + new_tokens
        heads, head_dim = config.num_key_value_heads, model.model.layers[0].self_attn.head_dim
        shape = (config.num_hidden_layers, len(lengths), heads, width, head_dim)
        # Zeros, for what lies left of a short prompt is read, with weight zero.
        self.keys, self.values = (torch.zeros(shape, dtype=model.dtype, device=device) for _ in range(2))
        first_B1 = self.stop - torch.tensor(lengths, device=device)[:, None]
        self.filled_BT = torch.arange(width, device=device) >= first_B1

    def keep(self, rows: torch.Tensor) -> None:
        """Drop the other rows."""
        self.keys, self.values = self.keys.index_select(1, rows), self.values.index_select(1, rows)
        self.filled_BT = self.filled_BT[rows]

    def attend_prompts(self, layer: int, q_NHD: torch.Tensor, k_NHD: torch.Tensor, v_NHD: torch.Tensor) -> torch.Tensor:
        """Causal attention within each prompt, over packed tokens; fills the cache."""
        mixed, first = [], 0
        for row, length in enumerate(self.lengths):
            q_HTD, k_HTD, v_HTD = (x[first : first + length].transpose(0, 1) for x in (q_NHD, k_NHD, v_NHD))
            self.keys[layer, row, :, self.stop - length : self.stop] = k_HTD
            self.values[layer, row, :, self.stop - length : self.stop] = v_HTD
            mixed_1HTD = functional.scaled_dot_product_attention(
                q_HTD[None], k_HTD[None], v_HTD[None], is_causal=True, enable_gqa=len(q_HTD) != len(k_HTD)
            )
            mixed.append(mixed_1HTD[0].transpose(0, 1))
            first += length
        return torch.cat(mixed)

    def attend_next(self, layer: int, q_BHD: torch.Tensor, k_BHD: torch.Tensor, v_BHD: torch.Tensor) -> torch.Tensor:
        """Attention of one new token per row to all before it and itself; it goes to position `stop`."""
        self.keys[layer, :, :, self.stop] = k_BHD
        self.values[layer, :, :, self.stop] = v_BHD
        mixed_BH1D = functional.scaled_dot_product_attention(
            q_BHD[:, :, None],
            self.keys[layer, :, :, : self.stop + 1],
            self.values[layer, :, :, : self.stop + 1],
            attn_mask=self.filled_BT[:, None, None, : self.stop + 1],
            enable_gqa=q_BHD.shape[1] != k_BHD.shape[1],
        )
        return mixed_BH1D[:, :, 0]


@torch.inference_mode()
def decode(model: Any, prompts: Sequence[Sequence[int]], sampling: Sampling, *, end_id: int) -> list[Decoded]:
    """Continue a batch of prompts, greedily or by sampling at `sampling.temperature` within `top_p`.

    Args:
        model: a model for which `supports` holds.
        prompts: token ids, none of them empty; best of similar length, for they are padded on the left.
        sampling: its seed is not read; seed torch before the call.
        end_id: a row stops after this token.

    Returns:
        One `Decoded` per prompt. Log-probabilities are those of the whole vocabulary at the sampling temperature.
    """
    lengths = [len(ids) for ids in prompts]
    cache, device = _Cache(model, lengths, sampling.max_new_tokens), model.device
    ids_N = torch.tensor([token for ids in prompts for token in ids], device=device)
    positions_N = torch.cat([torch.arange(length, device=device) for length in lengths])
    hidden_NC = _forward(model, ids_N, positions_N, cache.attend_prompts)
    length_B = torch.tensor(lengths, device=device)
    hidden_BC, position_B = hidden_NC[length_B.cumsum(0) - 1], length_B - 1
    results = [Decoded([], 0.0) for _ in prompts]
    running = list(range(len(prompts)))
    for offset in range(sampling.max_new_tokens):
        next_B, logprob_B = _choose(functional.linear(hidden_BC, model.lm_head.weight).float(), sampling)
        live = []
        for place, (row, token, logprob) in enumerate(zip(running, next_B.tolist(), logprob_B.tolist(), strict=True)):
            result = results[row]
            if not (result.ids and result.ids[-1] == end_id):
                result.ids.append(token)
                result.logprob += logprob
                if token != end_id:
                    live.append(place)
        if not live or offset == sampling.max_new_tokens - 1:
            break
        if len(live) <= _SHRINK_AT * len(running):
            rows = torch.tensor(live, device=next_B.device)
            cache.keep(rows)
            next_B, position_B = next_B[rows], position_B[rows]
            running = [running[place] for place in live]
        position_B = position_B + 1
        hidden_BC = _forward(model, next_B, position_B, cache.attend_next)
        cache.stop += 1
    return results


def _choose(logits_BV: torch.Tensor, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
    """Next token of each row and its log-probability."""
    if sampling.temperature == 0:
        logprobs_BV = logits_BV.log_softmax(-1)
        next_B = logits_BV.argmax(-1)
    else:
        logprobs_BV = (logits_BV / sampling.temperature).log_softmax(-1)
        next_B = torch.multinomial(_nucleus(logprobs_BV, sampling.top_p), 1).squeeze(1)
    return next_B, logprobs_BV.gather(1, next_B[:, None]).squeeze(1)


def _nucleus(logprobs_BV: torch.Tensor, top_p: float) -> torch.Tensor:
    """Probabilities with all but the smallest set of tokens that reaches `top_p` set to zero."""
    probs_BV = logprobs_BV.exp()
    if top_p >= 1:
        return probs_BV
    sorted_BV, order_BV = probs_BV.sort(dim=-1, descending=True)
    beyond_BV = sorted_BV.cumsum(-1) - sorted_BV >= top_p
    return probs_BV.masked_fill(torch.zeros_like(beyond_BV).scatter(1, order_BV, beyond_BV), 0.0)


def _forward(model: Any, ids_N: torch.Tensor, positions_N: torch.Tensor, attend: _Attend) -> torch.Tensor:
    """Final hidden states [N, C] of N tokens; `attend` knows which of them see each other."""
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


def _linear(module: Any, x: torch.Tensor) -> torch.Tensor:
    return functional.linear(x, module.weight, module.bias)


def _norm(module: Any, x: torch.Tensor) -> torch.Tensor:
    return functional.rms_norm(x, module.weight.shape, module.weight, module.variance_epsilon)


def _rotate(x_NHD: torch.Tensor, cos_N1D: torch.Tensor, sin_N1D: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding (Su et al. 2021) in the two-halves layout of the Hugging Face models."""
    first, second = x_NHD.chunk(2, dim=-1)
    return x_NHD * cos_N1D + torch.cat((-second, first), dim=-1) * sin_N1D
