"""The world knowledge model's planner (WKM, Qiao et al. 2024): a policy told about its task, its choice mixed with
what experts did in states like this one.

    p(a) = γ · p_agent(a) + (1 - γ) · p_knowledge(a)        over the admissible commands

p_agent is the policy's distribution over the commands, task knowledge in front of its prompt; p_knowledge the votes of
the knowledge base for the state knowledge written at this step. The knowledge model's tokens count as those of the
world model, the agent's as the policy's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from itp.errors import ConfigError
from itp.lm.base import Sampling
from itp.planners.horizon import FixedHorizon
from itp.planners.itp import ACTION, ItpPlanner
from itp.policy.model import Policy
from itp.types import Decision, DecisionContext, ImaginedTrajectory, Usage
from itp.world_model.knowledge import Knowledge, KnowledgeBase, KnowledgeModel


class WkmPlanner:
    """See the module. Where an environment lists no commands, the agent's own text is sent and nothing is mixed.

    Args:
        policy: the agent, trained with `itp train policy --knowledge`.
        model: writes task and state knowledge.
        base: knows what experts did.
        gamma: γ, from 0 (knowledge alone, where it says anything) to 1 (agent alone).
        action_sampling: decoding of such text.
    """

    name = "wkm"

    def __init__(
        self,
        policy: Policy,
        model: KnowledgeModel,
        base: KnowledgeBase,
        gamma: float = 0.4,
        *,
        action_sampling: Sampling = ACTION,
    ) -> None:
        if not 0 <= gamma <= 1:
            raise ConfigError(f"--gamma {gamma:g} is not allowed: give the agent's share, from 0 to 1")
        self.policy = policy
        self.model = model
        self.base = base
        self.gamma = gamma
        self._generating = ItpPlanner(
            policy, None, FixedHorizon(0), action_mode="generate", action_sampling=action_sampling, name=self.name
        )

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """See `Planner.decide`; `Decision.reflection` is the task knowledge, `Decision.thought` the state knowledge."""
        start = time.perf_counter()
        tasks = self.model.task_knowledge([context.state for context in contexts])
        told = [
            replace(context, state=replace(context.state, knowledge=task.text))
            for context, task in zip(contexts, tasks, strict=True)
        ]
        listed = [row for row, context in enumerate(contexts) if context.admissible]
        states = dict(zip(listed, self.model.state_knowledge([told[row].state for row in listed]), strict=True))
        seconds = (time.perf_counter() - start) / max(len(contexts), 1)
        acted = self._mixed([told[row] for row in listed], [states[row].text for row in listed])
        decisions = dict(zip(listed, acted, strict=True))
        open_rows = [row for row in range(len(contexts)) if row not in states]
        decisions |= zip(open_rows, self._generating.decide([told[row] for row in open_rows]), strict=True)
        return [
            self._complete(decisions[row], contexts[row], task, states.get(row), seconds)
            for row, task in enumerate(tasks)
        ]

    def _mixed(self, contexts: Sequence[DecisionContext], knowledge: Sequence[str]) -> list[Decision]:
        """The best command of each context under the mixture; the earlier one of equals."""
        if not contexts:
            return []
        start = time.perf_counter()
        commands = [context.admissible or () for context in contexts]
        nothing = [ImaginedTrajectory()] * len(contexts)
        scores = self.policy.score_actions([context.state for context in contexts], nothing, commands)
        seconds = (time.perf_counter() - start) / len(contexts)
        decisions = []
        for context, text, score, listed in zip(contexts, knowledge, scores, commands, strict=True):
            voted = self.base.probabilities(text, context.state, listed)
            mixture = mix(score.logprobs, voted, self.gamma)
            usage = Usage(score.prompt_tokens, score.continuation_tokens, 1, seconds)
            decisions.append(Decision(listed[int(np.argmax(mixture))], policy_usage=usage))
        return decisions

    def _complete(
        self, decision: Decision, context: DecisionContext, task: Knowledge, state: Knowledge | None, seconds: float
    ) -> Decision:
        """Add the texts and what they cost: task knowledge counts once, at the beginning of its episode."""
        usage = Usage(seconds=seconds)
        if not context.state.history:
            usage += task.usage
        if state is not None:
            usage += state.usage
        return replace(decision, reflection=task.text, thought=state.text if state else "", world_model_usage=usage)


def mix(logprobs: Sequence[float], voted: Sequence[float] | None, gamma: float) -> list[float]:
    """γ · p_agent + (1 - γ) · p_knowledge.

    Args:
        logprobs: log π(a | s) of each command, not normalised over them.
        voted: p_knowledge of each command; None (nothing admissible was voted for) leaves the agent alone.
        gamma: the agent's share.
    """
    scores = np.asarray(logprobs, dtype=np.float64)
    weights = np.exp(scores - scores.max())
    agent = weights / weights.sum()
    if voted is None:
        return agent.tolist()
    return (gamma * agent + (1 - gamma) * np.asarray(voted)).tolist()
