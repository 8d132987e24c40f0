"""ITP-I: imagine, then plan, around any language model, without training (Liu et al. 2026, eqs. 2 and 4).

    K from a horizon selector (prompted by default)  ->  foresight  ->  reflect on it, then one command

Two ways to imagine: `rollout`, where policy and world model alternate (eq. 2), and `one-shot`, where the world model
writes all K steps in one answer (the paper's appendix). With K = 0 nothing is imagined and the command is asked for at
once: plain reactive acting.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from itp.errors import ConfigError
from itp.lm.base import Completion, Sampling
from itp.planners.horizon import HorizonChoice, HorizonSelector, tell_horizons
from itp.planners.prompting import ask, decide_by_answers, question
from itp.policy.parsing import parse_integer
from itp.policy.prompted import PromptedPolicy, tell_foresight
from itp.types import Decision, DecisionContext, ImaginedTrajectory, State
from itp.world_model.base import WorldModel
from itp.world_model.imagination import IMAGINED_ACTION, Imagination, imagine
from itp.world_model.prompted import NOTHING, PromptedWorldModel

IMAGINATIONS = ("rollout", "one-shot")
HORIZON = Sampling(8)
"""Token budget of the answer that is one integer."""


class PromptedHorizon:
    """The policy itself names K. An answer without an integer from 0 to K_max is `unparsed`, and imagines nothing.

    Args:
        policy: the model that is asked.
        k_max: largest K.
    """

    name = "prompted"

    def __init__(self, policy: PromptedPolicy, k_max: int) -> None:
        self.policy, self.k_max = policy, k_max

    def select(self, contexts: Sequence[DecisionContext]) -> list[HorizonChoice]:
        """See `HorizonSelector.select`."""
        questions = [question("horizon", context, k_max=str(self.k_max)) for context in contexts]
        answers, usages = ask(self.policy, questions, HORIZON, contexts)
        named = [parse_integer(answer.text, self.k_max) for answer in answers]
        return [
            HorizonChoice(k or 0, usage=usage, parse="unparsed" if k is None else "exact")
            for k, usage in zip(named, usages, strict=True)
        ]


class ItpIPlanner:
    """Adaptive lookahead by prompts.

    Args:
        policy: π, asked for K, for imagined commands and for the real one.
        world_model: M; None when the selector never asks for K > 0.
        horizon: chooses K_t.
        imagination: one of `IMAGINATIONS`; one-shot needs a prompted world model.
        reflected: how the answer with reflection, thought and command is decoded.
        direct: how the answer is decoded where nothing was imagined.
    """

    def __init__(
        self,
        policy: PromptedPolicy,
        world_model: WorldModel | None,
        horizon: HorizonSelector,
        *,
        imagination: str = "rollout",
        reflected: Sampling,
        direct: Sampling,
    ) -> None:
        if imagination == "one-shot" and not isinstance(world_model, PromptedWorldModel):
            raise ConfigError(
                "--imagination one-shot lets a prompted world model write a whole future: "
                "give --world-model openai:URL or transformers:PATH, or use --imagination rollout"
            )
        self.policy, self.world_model, self.horizon, self.imagination = policy, world_model, horizon, imagination
        self.reflected, self.direct = reflected, direct
        self.name = f"itp-i {horizon.name}" + (" one-shot" if imagination == "one-shot" else "")

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """See `Planner.decide`."""
        start = time.perf_counter()
        choices = self.horizon.select(contexts)
        seconds = (time.perf_counter() - start) / max(len(contexts), 1)
        tell_horizons(contexts, choices)
        imagined = self._imagine(contexts, choices)
        decisions: dict[int, Decision] = {}
        for reflects in (False, True):
            rows = [i for i, imagination in enumerate(imagined) if bool(imagination.foresight) is reflects]
            own = [contexts[i] for i in rows]
            decided = self._act(own, [imagined[i].foresight for i in rows], reflects)
            for i, decision in zip(rows, decided, strict=True):
                choice = replace(choices[i], usage=replace(choices[i].usage, seconds=seconds))
                decisions[i] = _complete(decision, choice, imagined[i])
        return [decisions[i] for i in range(len(contexts))]

    def _imagine(self, contexts: Sequence[DecisionContext], choices: Sequence[HorizonChoice]) -> list[Imagination]:
        states, horizons = [context.state for context in contexts], [choice.horizon for choice in choices]
        forms = [context.admissible or () for context in contexts]
        if self.world_model is None:
            if any(horizons):
                raise ValueError("a planner without a world model was asked to imagine")
            return [NOTHING] * len(contexts)
        if self.imagination == "one-shot":
            assert isinstance(self.world_model, PromptedWorldModel)
            foreseen = self.world_model.foresee(states, horizons, forms)
            for context, imagination in zip(contexts, foreseen, strict=True):
                for step in imagination.foresight.steps:
                    context.tell(step)
            return foreseen
        limits, watch = [choice.limits for choice in choices], [context.tell for context in contexts]
        proposer = _Proposer(self.policy, contexts)
        return imagine(states, horizons, proposer, self.world_model, limits=limits, watch=watch)

    def _act(
        self, contexts: Sequence[DecisionContext], foresights: Sequence[ImaginedTrajectory], reflects: bool
    ) -> list[Decision]:
        if not contexts:
            return []
        if not reflects:
            questions, sampling = [question("act", context) for context in contexts], self.direct
        else:
            told = [tell_foresight(foresight) for foresight in foresights]
            pairs = zip(contexts, told, strict=True)
            questions, sampling = [question("reflect", c, foresight=text) for c, text in pairs], self.reflected
        answers, usages = ask(self.policy, questions, sampling, contexts)
        return decide_by_answers(answers, usages, contexts)


class _Proposer:
    """The policy inside the imagination, which remembers how commands were worded where each imagination began."""

    def __init__(self, policy: PromptedPolicy, contexts: Sequence[DecisionContext]) -> None:
        self.policy = policy
        self.forms = {_key(context.state, 0): context.admissible or () for context in contexts}
        self.lengths = sorted({len(context.state.history) for context in contexts}, reverse=True)

    def propose(self, states: Sequence[State], sampling: Sampling = IMAGINED_ACTION) -> list[Completion]:
        """See `PromptedPolicy.propose`."""
        return self.policy.propose(states, sampling, [self._forms(state) for state in states])

    def _forms(self, state: State) -> Sequence[str]:
        roots = (_key(state, len(state.history) - n) for n in self.lengths if n <= len(state.history))
        return next((self.forms[root] for root in roots if root in self.forms), ())


def _key(state: State, undone: int) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    return state.task, state.first_observation, state.history[: len(state.history) - undone]


def _complete(decision: Decision, choice: HorizonChoice, imagination: Imagination) -> Decision:
    """The decision with what came before it."""
    return replace(
        decision,
        horizon=len(imagination.foresight),
        foresight=imagination.foresight,
        horizon_probs=choice.probs,
        horizon_parse=choice.parse,
        policy_usage=choice.usage + imagination.policy_usage + decision.policy_usage,
        world_model_usage=imagination.world_model_usage,
        imagination_usage=imagination.policy_usage + imagination.world_model_usage,
    )
