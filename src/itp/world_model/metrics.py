"""How one predicted observation compares with the real one."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple, Self

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_LIST = re.compile(r"(.*?(?:\byou see|\bis|\bare|\bcontaining|:))\s*:?\s+((?:an?|the|some)\s.*)", re.IGNORECASE)
_ITEMS = re.compile(r",\s*and\s+|,\s*|\s+and\s+(?=(?:an?|the|some)\s)")


class Outcome(NamedTuple):
    """One comparison: whether the texts are equal, their token-F1, and their fact-F1."""

    exact: bool
    f1: float
    fact_f1: float

    @classmethod
    def of(cls, predicted: str, real: str) -> Self:
        """Compare two observations."""
        return cls(predicted == real, token_f1(predicted, real), fact_f1(predicted, real))


def token_f1(predicted: str, real: str) -> float:
    """F1 over white-space tokens, counted with multiplicity; 1 when both are empty."""
    return _f1(Counter(predicted.split()), Counter(real.split()))


def fact_f1(predicted: str, real: str) -> float:
    """F1 over atomic facts, counted with multiplicity; 1 when both are empty."""
    return _f1(Counter(facts(predicted)), Counter(facts(real)))


def facts(observation: str) -> list[str]:
    """What an observation says, one thing each: a sentence, or one item of a list with the words before the list.

    "On the desk 1, you see a mug 1, and a pen 2." holds two facts, "On the desk 1, you see a mug 1" and "... a pen 2".
    """
    found = []
    for sentence in filter(None, map(str.strip, _SENTENCE.split(observation))):
        listed = _LIST.fullmatch(sentence.rstrip("."))
        items = _ITEMS.split(listed[2]) if listed else []
        found += [f"{listed[1]} {item}" for item in items] if listed and len(items) > 1 else [sentence.rstrip(".")]
    return found


def _f1(left: Counter[str], right: Counter[str]) -> float:
    if not left or not right:
        return float(left == right)
    shared = sum((left & right).values())
    return 2 * shared / (sum(left.values()) + sum(right.values()))
