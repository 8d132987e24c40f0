"""One decision's imagination, passed on while it grows, whatever the planner is able to tell."""

from __future__ import annotations

from itp.types import Decision, HorizonChosen, ImaginedStep, Watch

Event = HorizonChosen | ImaginedStep


class Relay:
    """A `Watch` that tells each thing once, and makes up at the end for planners that told nothing.

    A decision that is asked for a second time, because a batch failed, imagines once more: what was told already is not
    told again.

    Args:
        watch: who is told.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._told = 0
        self._seen = 0

    def __call__(self, event: Event) -> None:
        """Pass an event on. A horizon begins an imagination."""
        self._seen = 1 if isinstance(event, HorizonChosen) else self._seen + 1
        if self._seen > self._told:
            self._told = self._seen
            self._watch(event)

    def rest(self, decision: Decision) -> list[Event]:
        """What the finished decision tells and nobody was told of."""
        whole = [HorizonChosen(decision.horizon), *decision.foresight.steps]
        return whole[self._told :]

    def finish(self, decision: Decision) -> None:
        """Tell the rest."""
        for event in self.rest(decision):
            self._watch(event)
