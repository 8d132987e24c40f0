"""How one predicted observation compares with the real one."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple


class Outcome(NamedTuple):
    """One comparison: whether the texts are equal, and their token-F1."""

    exact: bool
    f1: float


def token_f1(predicted: str, real: str) -> float:
    """F1 over white-space tokens, counted with multiplicity; 1 when both are empty."""
    left, right = Counter(predicted.split()), Counter(real.split())
    if not left or not right:
        return float(left == right)
    shared = sum((left & right).values())
    return 2 * shared / (sum(left.values()) + sum(right.values()))
