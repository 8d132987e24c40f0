"""The contract of a planner: one `Decision` for each running episode, batch first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from itp.types import Decision, DecisionContext


class Planner(Protocol):
    """Chooses actions for a lockstep batch of episodes. Stateless between calls: all it needs is in the contexts."""

    name: str

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """Return one decision per context, in the same order."""
        ...
