"""Recitation: a training row ends by telling again, word for word, parts of what it has told.

    <state> ... <END> <CTRL> a stretch of the row <CTRL> another one ...

A small model from scratch learns by heart which room mostly follows "teleport to" long before it learns to look up the
room that its task names. What is recited cannot be known by heart and stands in the context: the model has to copy, and
what copies there copies in the expert's actions too. `itp train policy|world-model --recite N`; docs/training.md has
what it is worth.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from itp.data.rows import Row

LENGTHS = (16, 40)
"""Fewest and most tokens of a stretch."""
GIVEN = 2
"""Tokens at the beginning of a stretch that tell which one it is, and are not learnt."""
OPENING = 60
"""Tokens of a row in which two of five stretches begin: there the task is told."""


def recited(rows: Iterable[Row], stretches: int, *, marker: int, limit: int, seed: int) -> Iterator[Row]:
    """Rows with so many stretches of themselves behind them, each after the marker.

    Args:
        rows: what is learnt; left as they are.
        stretches: stretches of a row; 0 changes nothing.
        marker: token id that opens a stretch.
        limit: most tokens of a row; stretches that do not fit are left out.
        seed: of the draw.
    """
    rng = random.Random(seed)
    for row in rows:
        longer = Row([*row.input_ids], [*row.labels], row.copies)
        for _ in range(stretches):
            stretch = _stretch(row.input_ids, rng)
            if len(longer.input_ids) + 1 + len(stretch) > limit:
                break
            longer.add([marker, *stretch[:GIVEN]], learn=False)
            longer.add(stretch[GIVEN:], learn=True)
        yield longer


def _stretch(ids: list[int], rng: random.Random) -> list[int]:
    length = rng.randint(*LENGTHS)
    begin = max(len(ids) - length, 0)
    start = rng.randint(0, begin if rng.random() < 0.6 else min(begin, OPENING))
    return ids[start : start + length]
