"""Keys and values of prompts seen lately, so that a prompt that begins like one of them is not computed again.

One decision reads the same state several times (K-head, imagined action, action with foresight), every step of an
imagination extends the one before, and so does every real step where the state text is a history. Prompts are kept in
blocks of a few tokens, known by the block before and their own tokens; the least recently used go first. What one call
adds lies in one piece, and is copied in one.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import torch

from itp.lm.forward import weights_version

BLOCK = 8
"""Tokens of a block: up to this many tokens of a known prefix are computed again."""
DEFAULT_BYTES = 512 * 1024 * 1024


class PrefixCache:
    """Blocks of keys and values of one model. It empties itself when the weights change.

    Args:
        model: a model that `itp.lm.forward.supports`.
        max_bytes: memory for keys and values together; it is touched only as far as it is used.
    """

    def __init__(self, model: Any, max_bytes: int = DEFAULT_BYTES) -> None:
        self._model = model
        config = model.config
        heads, head_dim = config.num_key_value_heads, model.model.layers[0].self_attn.head_dim
        self._shape = (config.num_hidden_layers, heads, BLOCK, head_dim)
        per_block = 2 * torch.Size(self._shape).numel() * model.dtype.itemsize
        self._capacity = max(1, max_bytes // per_block)
        self._weights: tuple[int, ...] = ()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        # (number of the block before, own tokens) -> (place, own number); numbers are never used again.
        self._blocks: OrderedDict[tuple[int, bytes], tuple[int, int]] = OrderedDict()
        self._numbers = count(1)

    def refresh(self) -> None:
        """Forget everything if the weights have changed since the last call (optimisers change them in place)."""
        weights = weights_version(self._model)
        if weights != self._weights:
            self._weights = weights
            self.clear()
            first, (layers, heads, _, head_dim) = next(self._model.parameters()), self._shape
            shape = (layers, heads, self._capacity * BLOCK, head_dim)
            self._keys, self._values = (torch.empty(shape, dtype=first.dtype, device=first.device) for _ in range(2))

    def load(self, ids: Sequence[int], keys_LHTD: torch.Tensor, values_LHTD: torch.Tensor) -> int:
        """Fill in what is known of a prompt; at least its last token is left to compute. Returns the tokens filled."""
        places = [place for place, _ in self._known(_blocks(ids[:-1]))]
        for first, stop in _runs(places):
            here = slice(places[first] * BLOCK, (places[first] + stop - first) * BLOCK)
            there = slice(first * BLOCK, stop * BLOCK)
            keys_LHTD[:, :, there], values_LHTD[:, :, there] = self._keys[:, :, here], self._values[:, :, here]
        return len(places) * BLOCK

    def store(self, ids: Sequence[int], keys_LHTD: torch.Tensor, values_LHTD: torch.Tensor) -> None:
        """Keep the full blocks of a prompt that are not kept yet; keys and values are [layers, heads, T, D]."""
        blocks = _blocks(ids)
        known = self._known(blocks)
        if len(blocks) == len(known) or len(blocks) > self._capacity:
            return
        new, number = blocks[len(known) :], known[-1][1] if known else 0
        places, names = self._take(len(new)), []
        for block, place in zip(new, places, strict=True):
            names.append((number, block))
            number = next(self._numbers)
            self._blocks[names[-1]] = place, number
        for first, stop in _runs(places):
            here = slice((len(known) + first) * BLOCK, (len(known) + stop) * BLOCK)
            there = slice(places[first] * BLOCK, (places[first] + stop - first) * BLOCK)
            self._keys[:, :, there], self._values[:, :, there] = keys_LHTD[:, :, here], values_LHTD[:, :, here]
        self._touch(names)
        self._known(blocks[: len(known)])

    def _known(self, blocks: Sequence[bytes]) -> list[tuple[int, int]]:
        """Place and number of the blocks that are kept, from the first one on."""
        found: list[tuple[int, int]] = []
        names: list[tuple[int, bytes]] = []
        number = 0
        for block in blocks:
            name = number, block
            kept = self._blocks.get(name)
            if kept is None:
                break
            found.append(kept)
            names.append(name)
            number = kept[1]
        self._touch(names)
        return found

    def _touch(self, names: Sequence[tuple[int, bytes]]) -> None:
        """Blocks were used: the later ones of a prompt go before the earlier, without which they are of no use."""
        for name in reversed(names):
            self._blocks.move_to_end(name)

    def _take(self, count: int) -> list[int]:
        """Places for new blocks, those that follow each other in a row: free ones, then the least recently used."""
        used = len(self._blocks)
        free = min(count, self._capacity - used)
        evicted = [self._blocks.popitem(last=False)[1][0] for _ in range(count - free)]
        return sorted([*evicted, *range(used, used + free)])


def _blocks(ids: Sequence[int]) -> list[bytes]:
    """The tokens of each full block."""
    data = array("i", ids).tobytes()
    size = array("i").itemsize * BLOCK
    return [data[stop - size : stop] for stop in range(size, len(data) + 1, size)]


def _runs(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where places follow each other: (first, stop) in the list."""
    first = 0
    for stop in range(1, len(places) + 1):
        if stop == len(places) or places[stop] != places[stop - 1] + 1:
            yield first, stop
            first = stop
