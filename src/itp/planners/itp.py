"""Imagine, then act: the planner of the method. With K = 0 it is the plain reactive policy, `act`.

K comes from a `HorizonSelector`, the foresight from `imagine`, and the action from the policy with the whole foresight
in view: either the best-scored admissible command, or generated text that is sent exactly as it stands.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from itp.lm.base import Sampling
from itp.lm.constraint import constraint_of
from itp.planners.horizon import HorizonChoice, HorizonSelector, tell_horizons
from itp.planners.proposals import propose
from itp.policy.model import Policy
from itp.types import Decision, DecisionContext, ImaginedTrajectory, Usage
from itp.world_model.base import WorldModel
from itp.world_model.imagination import Imagination, imagine

ActionMode = Literal["score", "generate", "constrained"]
ACTION = Sampling(max_new_tokens=16)
"""Token budget of a real action in the paper."""


class ItpPlanner:
    """Adaptive lookahead around a policy. `Decision.horizon` is the number of steps really imagined.

    Args:
        policy: π.
        world_model: M, or None when the selector never asks for K > 0.
        horizon: chooses K_t.
        action_mode: "score" picks the admissible command with the highest log π(a | s, τ̂) (where the environment lists
            none, it generates); "generate" decodes greedily and never repairs the text; "constrained" decodes what the
            environment's list or grammar of commands allows.
        action_sampling: how a generated action is decoded.
        proposals: with "generate" and "constrained": commands to write, of which the likeliest as a whole is sent. The
            first is decoded as `action_sampling` says, the others are drawn (`itp.planners.proposals`).
        last_only: show the policy the last imagined step alone (an ablation).
    """

    def __init__(
        self,
        policy: Policy,
        world_model: WorldModel | None,
        horizon: HorizonSelector,
        *,
        action_mode: ActionMode = "score",
        action_sampling: Sampling = ACTION,
        proposals: int = 1,
        last_only: bool = False,
        name: str = "itp",
    ) -> None:
        self.policy = policy
        self.world_model = world_model
        self.horizon = horizon
        self.action_mode = action_mode
        self.action_sampling = action_sampling
        self.proposals = proposals
        self.last_only = last_only
        self.name = name

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """See `Planner.decide`."""
        start = time.perf_counter()
        choices = self.horizon.select(contexts)
        seconds = (time.perf_counter() - start) / max(len(contexts), 1)
        choices = [replace(choice, usage=replace(choice.usage, seconds=seconds)) for choice in choices]
        tell_horizons(contexts, choices)
        imaginations = self._imagine(contexts, choices)
        decisions: list[Decision | None] = [None] * len(contexts)
        scored = [i for i, c in enumerate(contexts) if self.action_mode == "score" and c.admissible]
        generated = [i for i in range(len(contexts)) if i not in set(scored)]
        for rows, act in ((scored, self._score), (generated, self._generate)):
            if rows:
                parts = act([contexts[i] for i in rows], [imaginations[i] for i in rows])
                for i, (action, raw, parse, usage) in zip(rows, parts, strict=True):
                    decisions[i] = self._decision(choices[i], imaginations[i], action, raw, parse, usage)
        return [decision for decision in decisions if decision is not None]

    def _imagine(self, contexts: Sequence[DecisionContext], choices: Sequence[HorizonChoice]) -> list[Imagination]:
        horizons = [choice.horizon for choice in choices]
        if self.world_model is None:
            if any(horizons):
                raise ValueError("a planner without a world model was asked to imagine")
            return [Imagination(Decision("").foresight, Usage(), Usage()) for _ in contexts]
        return imagine(
            [context.state for context in contexts],
            horizons,
            self.policy,
            self.world_model,
            limits=[choice.limits for choice in choices],
            watch=[context.tell for context in contexts],
        )

    def _score(
        self, contexts: Sequence[DecisionContext], imaginations: Sequence[Imagination]
    ) -> list[tuple[str, str, str, Usage]]:
        start = time.perf_counter()
        candidates = [context.admissible or () for context in contexts]
        scores = self.policy.score_actions([c.state for c in contexts], self._shown(imaginations), candidates)
        seconds = (time.perf_counter() - start) / len(contexts)
        results = []
        for commands, score in zip(candidates, scores, strict=True):
            best = max(range(len(commands)), key=lambda i: score.logprobs[i])
            usage = Usage(score.prompt_tokens, score.continuation_tokens, 1, seconds)
            results.append((commands[best], "", "scored", usage))
        return results

    def _generate(
        self, contexts: Sequence[DecisionContext], imaginations: Sequence[Imagination]
    ) -> list[tuple[str, str, str, Usage]]:
        start = time.perf_counter()
        proposed = propose(
            self.policy,
            [context.state for context in contexts],
            [self.proposals] * len(contexts),
            [context.seed for context in contexts],
            self.action_sampling,
            [constraint_of(context) for context in contexts] if self.action_mode == "constrained" else None,
            self._shown(imaginations),
        )
        seconds = Usage(seconds=(time.perf_counter() - start) / len(contexts))
        results = []
        for context, written in zip(contexts, proposed, strict=True):
            text = written.likeliest
            known = context.admissible is None or text in context.admissible
            results.append((text, text, "exact" if known else "unparsed", written.usage + seconds))
        return results

    def _shown(self, imaginations: Sequence[Imagination]) -> list[ImaginedTrajectory]:
        return [i.foresight.last() if self.last_only else i.foresight for i in imaginations]

    def _decision(
        self, choice: HorizonChoice, imagination: Imagination, action: str, raw: str, parse: str, usage: Usage
    ) -> Decision:
        return Decision(
            action=action,
            horizon=len(imagination.foresight),
            foresight=imagination.foresight,
            horizon_probs=choice.probs,
            raw_text=raw,
            parse=parse,
            policy_usage=choice.usage + imagination.policy_usage + usage,
            world_model_usage=imagination.world_model_usage,
            imagination_usage=imagination.policy_usage + imagination.world_model_usage,
        )
