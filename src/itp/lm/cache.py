"""The static key-value cache of a batch: prompts begin with what is known of them, new tokens get their own places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from itp.lm.prefix_cache import PrefixCache
from itp.lm.tree import attend_row, last_tokens, tree_mask
from itp.lm.trie import TokenTrie

Memory = tuple[torch.Tensor, torch.Tensor]
KEPT_BYTES = 256 * 1024 * 1024
"""Memory for keys and for values up to which it is kept for the next batch."""


class Scratch:
    """Memory that batches use in turn: on a CPU new memory comes page by page, which takes longer than filling it."""

    def __init__(self) -> None:
        self._free: list[Memory] = []

    def take(self, size: int, dtype: torch.dtype, device: torch.device) -> Memory:
        """Two flat tensors of at least this many numbers, whatever they hold."""
        kept = self._free.pop() if self._free else None
        if kept is not None and len(kept[0]) >= size and (kept[0].dtype, kept[0].device) == (dtype, device):
            return kept
        return torch.empty(size, dtype=dtype, device=device), torch.empty(size, dtype=dtype, device=device)

    def give(self, memory: Memory) -> None:
        """The batch is done. Large memory is let go, and that of a GPU, which torch keeps by itself."""
        if memory[0].device.type == "cpu" and memory[0].nbytes <= KEPT_BYTES and not self._free:
            self._free.append(memory)


class BatchCache:
    """Keys and values of a batch, [layers, B, heads, T_max, D]; the token at position p of a row is at index p.

    Args:
        model: a model that `itp.lm.forward.supports`.
        prompts: token ids.
        tries: a tree behind each prompt; its nodes follow the prompt in the row.
        room: places behind the longest prompt.
        prefixes: what is known of prompts.
        scratch: where the memory comes from.

    Attributes:
        lengths: tokens of each prompt.
        known: tokens of each prompt that were known.
        last: where the last token of each prompt is among the packed new tokens.
    """

    def __init__(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        tries: Sequence[TokenTrie],
        room: int,
        prefixes: PrefixCache,
        scratch: Scratch,
    ) -> None:
        config, device = model.config, model.device
        self.lengths = [len(ids) for ids in prompts]
        heads, head_dim = config.num_key_value_heads, model.model.layers[0].self_attn.head_dim
        shape = (config.num_hidden_layers, len(prompts), heads, max(self.lengths) + room, head_dim)
        size = torch.Size(shape).numel()
        memory = scratch.take(size, model.dtype, device)
        self._scratch = scratch
        self._memory: Memory | None = memory
        self.keys, self.values = (flat[:size].view(shape) for flat in memory)
        shortest = min(self.lengths)
        # What lies behind a row's end may be read, with weight zero: it must be a number.
        self.keys[:, :, :, shortest:] = 0
        self.values[:, :, :, shortest:] = 0
        self.known = [prefixes.load(ids, self.keys[:, row], self.values[:, row]) for row, ids in enumerate(prompts)]
        self._tries = tries
        self._masks = [
            tree_mask(n, trie, known, device) for n, trie, known in zip(self.lengths, tries, self.known, strict=True)
        ]
        self.last = last_tokens(self.lengths, tries, self.known)
        self._places = torch.arange(shape[3], device=device)

    def release(self) -> None:
        """Give the memory back: its keys and values are no longer read."""
        memory, self._memory = self._memory, None
        if memory is not None:
            self._scratch.give(memory)

    def keep(self, rows: torch.Tensor) -> None:
        """Drop the other rows."""
        self.keys, self.values = self.keys.index_select(1, rows), self.values.index_select(1, rows)
        self.release()

    def expect(self, positions_BG: torch.Tensor) -> None:
        """Say where the next G tokens of each row go; each of them sees all places up to its own."""
        self._next_BG = positions_BG
        self._stop = int(positions_BG.max()) + 1
        self._seen_B1GT = (self._places[: self._stop] <= positions_BG[..., None])[:, None]
        self._rows_B1 = torch.arange(len(positions_BG), device=positions_BG.device)[:, None]

    def attend_prompts(self, layer: int, q_NHD: torch.Tensor, k_NHD: torch.Tensor, v_NHD: torch.Tensor) -> torch.Tensor:
        """Attention of new tokens to their own prompt and tree branch; fills the cache."""
        mixed, first = [], 0
        for row, (length, trie, known) in enumerate(zip(self.lengths, self._tries, self.known, strict=True)):
            end = length + len(trie.tokens)
            last = first + end - known
            q_HTD, k_HTD, v_HTD = (x[first:last].transpose(0, 1) for x in (q_NHD, k_NHD, v_NHD))
            self.keys[layer, row, :, known:end] = k_HTD
            self.values[layer, row, :, known:end] = v_HTD
            if known:
                k_HTD, v_HTD = self.keys[layer, row, :, :end], self.values[layer, row, :, :end]
            mixed.append(attend_row(q_HTD, k_HTD, v_HTD, self._masks[row]))
            first = last
        return torch.cat(mixed)

    def attend_next(self, layer: int, q_NHD: torch.Tensor, k_NHD: torch.Tensor, v_NHD: torch.Tensor) -> torch.Tensor:
        """Attention of the tokens that `expect` announced, [B × G, heads, D]; their keys and values are kept."""
        batch = self._next_BG.shape
        keys_BHTD, values_BHTD = self.keys[layer], self.values[layer]
        keys_BHTD[self._rows_B1, :, self._next_BG] = k_NHD.unflatten(0, batch)
        values_BHTD[self._rows_B1, :, self._next_BG] = v_NHD.unflatten(0, batch)
        mixed_BHGD = functional.scaled_dot_product_attention(
            q_NHD.unflatten(0, batch).transpose(1, 2),
            keys_BHTD[:, :, : self._stop],
            values_BHTD[:, :, : self._stop],
            attn_mask=self._seen_B1GT,
            enable_gqa=q_NHD.shape[1] != k_NHD.shape[1],
        )
        return mixed_BHGD.transpose(1, 2).flatten(0, 1)
