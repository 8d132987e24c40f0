"""Keys and values of prompts seen lately, so that a prompt that begins like one of them is not computed again.

One decision reads the same state several times (K-head, imagined action, action with foresight), every step of an
imagination extends the one before, and so does every real step where the state text is a history. Prompts are kept in
blocks of a few tokens; a block is known by all tokens up to its end, and the least recently used go first.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
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
        shape = (config.num_hidden_layers, heads, BLOCK, head_dim)
        per_block = 2 * torch.Size(shape).numel() * model.dtype.itemsize
        self._capacity = max(1, max_bytes // per_block)
        self._shape = shape
        self._weights: tuple[int, ...] = ()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._places: OrderedDict[bytes, int] = OrderedDict()
        self._free = self._capacity

    def refresh(self) -> None:
        """Forget everything if the weights have changed since the last call (optimisers change them in place)."""
        weights = weights_version(self._model)
        if weights != self._weights:
            self._weights = weights
            self.clear()
            first = next(self._model.parameters())
            self._keys, self._values = (
                torch.empty((self._capacity, *self._shape), dtype=first.dtype, device=first.device) for _ in range(2)
            )

    def load(self, ids: Sequence[int], keys_LHTD: torch.Tensor, values_LHTD: torch.Tensor) -> int:
        """Fill in what is known of a prompt; at least its last token is left to compute. Returns the tokens filled."""
        places: list[int] = []
        for name in _names(ids, len(ids) - 1):
            place = self._places.get(name)
            if place is None:
                break
            self._places.move_to_end(name)
            places.append(place)
        if not places:
            return 0
        stop = len(places) * BLOCK
        rows = torch.tensor(places, device=self._keys.device)
        for pool, target_LHTD in ((self._keys, keys_LHTD), (self._values, values_LHTD)):
            found_LHTD = pool[rows].permute(1, 2, 0, 3, 4).flatten(2, 3)
            target_LHTD[:, :, :stop] = found_LHTD
        return stop

    def store(self, ids: Sequence[int], keys_LHTD: torch.Tensor, values_LHTD: torch.Tensor) -> None:
        """Keep the full blocks of a prompt that are not kept yet; keys and values are [layers, heads, T, D]."""
        names = _names(ids, len(ids))
        new = [number for number, name in enumerate(names) if name not in self._places]
        if not new or len(new) > self._capacity:
            return
        places = []
        for number in new:
            place = self._place()
            self._places[names[number]] = place
            places.append(place)
        rows, first = torch.tensor(places, device=self._keys.device), new[0]
        count = len(names) - first
        if count != len(new):  # an early block was evicted and later ones were not: write one by one
            for number, place in zip(new, places, strict=True):
                span = slice(number * BLOCK, (number + 1) * BLOCK)
                self._keys[place], self._values[place] = keys_LHTD[:, :, span], values_LHTD[:, :, span]
            return
        span = slice(first * BLOCK, len(names) * BLOCK)
        for pool, source_LHTD in ((self._keys, keys_LHTD), (self._values, values_LHTD)):
            pool[rows] = source_LHTD[:, :, span].unflatten(2, (count, BLOCK)).permute(2, 0, 1, 3, 4)

    def _place(self) -> int:
        """A free block, or that of the least recently used."""
        if self._free:
            self._free -= 1
            return self._free
        return self._places.popitem(last=False)[1]


def _names(ids: Sequence[int], length: int) -> list[bytes]:
    """What each full block within the first `length` tokens is known by: all tokens up to its end."""
    data = array("i", ids).tobytes()
    size = array("i").itemsize
    return [data[: stop * size] for stop in range(BLOCK, length + 1, BLOCK)]
