"""Planners without a model: uniform random commands, and the exploring expert."""

from __future__ import annotations

import random
from collections.abc import Sequence

from itp.envs.alfworld.belief import Belief
from itp.envs.alfworld.expert import Expert
from itp.errors import EnvError
from itp.types import Decision, DecisionContext


class RandomPlanner:
    """A uniformly random admissible command, drawn from the context's seed."""

    name = "random"

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """See `Planner.decide`. Raises EnvError when an environment lists no commands."""
        decisions = []
        for context in contexts:
            if not context.admissible:
                raise EnvError("the random planner needs admissible commands, and this environment lists none")
            action = random.Random(context.seed).choice(context.admissible)
            decisions.append(Decision(action=action, parse="random"))
        return decisions


class ExpertPlanner:
    """The environment's own expert where it tells its plan, else the exploring expert of household games.

    The exploring expert knows only what the player has seen.
    """

    name = "expert"

    def __init__(self, expert: Expert | None = None) -> None:
        self.expert = expert or Expert()

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """See `Planner.decide`."""
        return [Decision(action=self._act(context), parse="expert") for context in contexts]

    def _act(self, context: DecisionContext) -> str:
        if context.expert_plan:
            return context.expert_plan[0]
        return self.expert.act(Belief.of(context.state), context.admissible)
