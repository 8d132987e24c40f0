"""Batched inference for small models: a static key-value cache that begins with what is known of each prompt.

`generate`, `score` and reading a hidden state all start the same way: the prompts' known beginnings come from a
`PrefixCache`, the rest is computed packed, one prompt after another without padding. Decoding then adds one token per
row and step; rows that have ended leave the batch. `TransformersLM` uses it for the models that
`itp.lm.forward.supports`, and `itp.lm.generic` for all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from itp.lm.base import Sampling
from itp.lm.forward import forward, logits
from itp.lm.prefix_cache import PrefixCache
from itp.lm.tree import attend_row, forward_trees, last_tokens, nucleus, packed, tree_logprobs, tree_mask
from itp.lm.trie import TokenTrie

_SHRINK_AT = 0.75
"""Finished rows leave the batch when at most this share of it still runs."""


@dataclass(slots=True)
class Decoded:
    """New tokens of one prompt and the sum of their log-probabilities; the end token is included when it came."""

    ids: list[int]
    logprob: float


class Engine:
    """Inference with one model for which `supports` holds; its prompts' keys and values are kept for later calls."""

    def __init__(self, model: Any, *, prefix_bytes: int | None = None) -> None:
        self.model = model
        self.prefixes = PrefixCache(model) if prefix_bytes is None else PrefixCache(model, prefix_bytes)

    @torch.inference_mode()
    def decode(self, prompts: Sequence[Sequence[int]], sampling: Sampling, *, end_id: int) -> list[Decoded]:
        """Continue a batch of prompts, greedily or by sampling at `sampling.temperature` within `top_p`.

        Args:
            prompts: token ids, none of them empty; best of similar length, for their cache is padded on the left.
            sampling: its seed is not read; seed torch before the call.
            end_id: a row stops after this token.

        Returns:
            One `Decoded` per prompt. Log-probabilities are those of the whole vocabulary at the sampling temperature.
        """
        cache, hidden_NC = self._start(prompts, [TokenTrie()] * len(prompts), room=sampling.max_new_tokens)
        hidden_BC = hidden_NC[torch.tensor(cache.last, device=hidden_NC.device)]
        position_B = torch.tensor(cache.lengths, device=hidden_NC.device) - 1
        results = [Decoded([], 0.0) for _ in prompts]
        running = list(range(len(prompts)))
        for offset in range(sampling.max_new_tokens):
            next_B, logprob_B = _choose(logits(self.model, hidden_BC), sampling)
            live = []
            for place, (row, token, logprob) in enumerate(
                zip(running, next_B.tolist(), logprob_B.tolist(), strict=True)
            ):
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
            hidden_BC = forward(self.model, next_B, position_B, cache.attend_next)
            cache.stop += 1
        return results

    @torch.inference_mode()
    def score(self, prompts: Sequence[Sequence[int]], tries: Sequence[TokenTrie]) -> list[torch.Tensor]:
        """Log-probabilities [continuations] for the tree behind each prompt."""
        cache, hidden_NC = self._start(prompts, tries)
        return tree_logprobs(self.model, hidden_NC, cache.last, tries)

    def forward(
        self,
        prompts: Sequence[Sequence[int]],
        tries: Sequence[TokenTrie],
        positions: Sequence[int],
        sampling: Sampling | None = None,
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Differentiable: hidden states [B, C] at one position of each prompt, and the scores of its tree."""
        return forward_trees(self.model, prompts, tries, positions, sampling)

    @torch.inference_mode()
    def hidden(self, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
        """Last-layer hidden states [B, C] at the last token of each prompt."""
        cache, hidden_NC = self._start(prompts, [TokenTrie()] * len(prompts))
        return hidden_NC[torch.tensor(cache.last, device=hidden_NC.device)]

    def _start(
        self, prompts: Sequence[Sequence[int]], tries: Sequence[TokenTrie], room: int = 0
    ) -> tuple[_Cache, torch.Tensor]:
        """Compute what is not known of the prompts, and all of the trees; returns final hidden states [N, C]."""
        self.prefixes.refresh()
        room = max(room, max(len(trie.tokens) for trie in tries))
        cache = _Cache(self.model, prompts, tries, room, self.prefixes)
        ids_N, positions_N = packed(prompts, tries, cache.known, self.model.device)
        hidden_NC = forward(self.model, ids_N, positions_N, cache.attend_prompts)
        for row, ids in enumerate(prompts):
            span = slice(cache.stop - len(ids), cache.stop)
            self.prefixes.store(ids, cache.keys[:, row, :, span], cache.values[:, row, :, span])
        return cache, hidden_NC


class _Cache:
    """Keys and values of a batch, [layers, B, heads, T_max, D]; prompts are aligned at their last token."""

    def __init__(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        tries: Sequence[TokenTrie],
        room: int,
        prefixes: PrefixCache,
    ) -> None:
        config, device = model.config, model.device
        self.lengths = [len(ids) for ids in prompts]
        self.stop, width = max(self.lengths), max(self.lengths) + room
        heads, head_dim = config.num_key_value_heads, model.model.layers[0].self_attn.head_dim
        shape = (config.num_hidden_layers, len(prompts), heads, width, head_dim)
        self.keys, self.values = (torch.empty(shape, dtype=model.dtype, device=device) for _ in range(2))
        for row, length in enumerate(self.lengths):
            # What lies left of a short prompt is read, with weight zero: it must be a number.
            self.keys[:, row, :, : self.stop - length] = 0
            self.values[:, row, :, : self.stop - length] = 0
        self.known = [
            prefixes.load(
                ids,
                self.keys[:, row, :, self.stop - len(ids) : self.stop],
                self.values[:, row, :, self.stop - len(ids) : self.stop],
            )
            for row, ids in enumerate(prompts)
        ]
        self._tries = tries
        self._masks = [
            tree_mask(n, trie, known, device) for n, trie, known in zip(self.lengths, tries, self.known, strict=True)
        ]
        self.last = last_tokens(self.lengths, tries, self.known)
        first_B1 = self.stop - torch.tensor(self.lengths, device=device)[:, None]
        self.filled_BT = torch.arange(width, device=device) >= first_B1

    def keep(self, rows: torch.Tensor) -> None:
        """Drop the other rows, and what lies left of the longest that stays."""
        first = int(self.filled_BT[rows].int().argmax(-1).min())
        self.keys, self.values = self.keys[:, rows, :, first:], self.values[:, rows, :, first:]
        self.filled_BT = self.filled_BT[rows, first:]
        self.stop -= first

    def attend_prompts(self, layer: int, q_NHD: torch.Tensor, k_NHD: torch.Tensor, v_NHD: torch.Tensor) -> torch.Tensor:
        """Attention of new tokens to their own prompt and tree branch; fills the cache."""
        mixed, first = [], 0
        for row, (length, trie) in enumerate(zip(self.lengths, self._tries, strict=True)):
            begin, end = self.stop - length, self.stop + len(trie.tokens)
            last = first + end - begin - self.known[row]
            q_HTD, k_HTD, v_HTD = (x[first:last].transpose(0, 1) for x in (q_NHD, k_NHD, v_NHD))
            self.keys[layer, row, :, begin + self.known[row] : end] = k_HTD
            self.values[layer, row, :, begin + self.known[row] : end] = v_HTD
            if self.known[row]:
                k_HTD, v_HTD = self.keys[layer, row, :, begin:end], self.values[layer, row, :, begin:end]
            mixed.append(attend_row(q_HTD, k_HTD, v_HTD, self._masks[row]))
            first = last
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


def _choose(logits_BV: torch.Tensor, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
    """Next token of each row and its log-probability."""
    if sampling.temperature == 0:
        logprobs_BV = logits_BV.log_softmax(-1)
        next_B = logits_BV.argmax(-1)
    else:
        logprobs_BV = (logits_BV / sampling.temperature).log_softmax(-1)
        next_B = torch.multinomial(nucleus(logprobs_BV, sampling.top_p), 1).squeeze(1)
    return next_B, logprobs_BV.gather(1, next_B[:, None]).squeeze(1)
