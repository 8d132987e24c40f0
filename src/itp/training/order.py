"""The order in which training rows are read: a function of seed and epoch alone.

Neither the number of processes nor a restart changes which rows make up a step, so that a resumed run and a run on
several processes follow the curve of an uninterrupted one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

WINDOW = 50
"""Batches within which rows are sorted by length: long enough to bring like lengths together, short enough to mix."""


def epoch_order(lengths: Sequence[int], batch: int, seed: int, epoch: int, *, parts: int = 1) -> list[int]:
    """Row numbers of one epoch: shuffled, rows of like length in one batch, batches shuffled again.

    Args:
        lengths: tokens of each row.
        batch: rows of one optimiser step, over all processes and accumulated passes.
        seed: of the shuffles.
        epoch: counts from 0.
        parts: what a batch is split into; longer and shorter rows are dealt out evenly.

    Returns:
        a multiple of `batch` numbers; the last batch is filled up from the beginning of the epoch's shuffle.
    """
    draw = random.Random(f"{seed}:{epoch}")
    order = list(range(len(lengths)))
    draw.shuffle(order)
    order = list(islice(cycle(order), -(-len(order) // batch) * batch))
    batches = []
    for start in range(0, len(order), WINDOW * batch):
        window = sorted(order[start : start + WINDOW * batch], key=lambda row: -lengths[row])
        batches += [window[at : at + batch] for at in range(0, len(window), batch)]
    draw.shuffle(batches)
    return [row for rows in batches for part in range(parts) for row in rows[part::parts]]


class EpochSampler:
    """What a PyTorch data loader asks for row numbers; `epoch` is set before each pass."""

    def __init__(self, lengths: Sequence[int], batch: int, seed: int, *, parts: int = 1) -> None:
        self.lengths, self.batch, self.seed, self.parts = lengths, batch, seed, parts
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        return iter(epoch_order(self.lengths, self.batch, self.seed, self.epoch, parts=self.parts))

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch) * self.batch
