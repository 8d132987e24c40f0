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

    The exploring expert knows only what the player has seen. Where a plan was told and the player has left it, or it
    was too short, a random admissible command is taken; where none is listed, the last one again.
    """

    name = "expert"

    def __init__(self, expert: Expert | None = None) -> None:
        self.expert = expert or Expert()

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """See `Planner.decide`. Raises EnvError for an environment that no expert knows."""
        return [self._decide(context) for context in contexts]

    def _decide(self, context: DecisionContext) -> Decision:
        if context.expert_plan:
            return Decision(action=context.expert_plan[0], parse="expert")
        belief = Belief.of(context.state)
        if belief.goal.target:
            return Decision(action=self.expert.act(belief, context.admissible), parse="expert")
        if not context.state.history:
            raise EnvError(
                "the expert knows household and ALFWorld games only, and this environment tells no plan: "
                "add --env-option expert=true if it has one"
            )
        commands = context.admissible or (context.state.history[-1][0],)
        return Decision(action=random.Random(context.seed).choice(commands), parse="random")
