"""The contract of a world model: the next observation for a batch of (state, action) pairs, in text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from itp.types import State, Usage


@dataclass(frozen=True, slots=True)
class Prediction:
    """One predicted observation. `logprob` is its mean token log-probability in nats, None when there is none."""

    observation: str
    logprob: float | None = None
    usage: Usage = field(default_factory=Usage)
    ended: bool = False
    """The episode is over with this step, where a model can know that; imagination goes no further."""


class WorldModel(Protocol):
    """p(s' | s, a), Liu et al. 2026, eq. 1. It never sees the real environment's next observation or commands."""

    name: str

    def predict(self, states: Sequence[State], actions: Sequence[str]) -> list[Prediction]:
        """Predict one next observation for each pair."""
        ...
