"""`--planner no-repeat`: acting with a memory of what was tried, and no imagination. A control for lookahead.

The likeliest admissible command that was not taken before in the same situation of this episode
(`Renderer.situation`); where all were, the one taken least often. `--planner itp --avoid` sees in advance that a
command would lead back; this rule learns it by going there once. What separates the two is foresight.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from itp.errors import EnvError
from itp.policy.model import Policy
from itp.types import Decision, DecisionContext, ImaginedTrajectory, State, Usage


class NoRepeatPlanner:
    """See the module.

    Args:
        policy: ranks the commands; its renderer says which situations are the same.
    """

    name = "no-repeat"

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """See `Planner.decide`. Raises EnvError when an environment lists no commands."""
        if not all(context.admissible for context in contexts):
            raise EnvError("--planner no-repeat ranks admissible commands, and this environment lists none: use act")
        start = time.perf_counter()
        states, commands = [context.state for context in contexts], [context.admissible or () for context in contexts]
        scores = self.policy.score_actions(states, [ImaginedTrajectory()] * len(states), commands)
        seconds = (time.perf_counter() - start) / max(len(contexts), 1)
        decisions = []
        for state, listed, score in zip(states, commands, scores, strict=True):
            tried = self._tried(state)
            best = max(range(len(listed)), key=lambda i: (-tried[listed[i]], score.logprobs[i]))
            usage = Usage(score.prompt_tokens, score.continuation_tokens, 1, seconds)
            decisions.append(Decision(listed[best], policy_usage=usage))
        return decisions

    def _tried(self, state: State) -> Counter[str]:
        """How often each command was taken in this situation."""
        situation = self.policy.prompts.renderer.situation
        now, before, tried = situation(state), State(state.task, state.first_observation), Counter[str]()
        for action, observation in state.history:
            tried[action] += situation(before) == now
            before = before.extend(action, observation)
        return tried
