"""Any language model as a world model, by prompts alone: one step (`predict`), or a whole future at once (`foresee`).

Eq. 2 of Liu et al. 2026 lets policy and world model alternate, which `itp.world_model.imagination.imagine` does with
`predict`; their appendix lets the world model write all K steps in one generation, which is `foresee`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from itp.lm.base import Completion, Sampling
from itp.policy.parsing import parse_foresight
from itp.policy.prompted import PromptedPolicy, Question
from itp.types import ImaginedStep, ImaginedTrajectory, State, Usage
from itp.world_model.base import Prediction
from itp.world_model.imagination import Imagination

OBSERVATION_TOKENS = 192
"""Token budget of one imagined step in the paper."""


class PromptedWorldModel:
    """A language model that is asked what happens next.

    Args:
        asked: the model with its templates; another than the policy's when the two are different models.
        sampling: greedy by default; `max_new_tokens` bounds one observation.
    """

    def __init__(self, asked: PromptedPolicy, sampling: Sampling | None = None) -> None:
        self.asked = asked
        self.name = asked.name
        self.sampling = sampling or Sampling(OBSERVATION_TOKENS)

    def predict(self, states: Sequence[State], actions: Sequence[str]) -> list[Prediction]:
        """See `WorldModel.predict`."""
        start = time.perf_counter()
        questions = [Question("predict", s, {"action": action}) for s, action in zip(states, actions, strict=True)]
        answers = self.asked.ask(questions, self.sampling)
        seconds = (time.perf_counter() - start) / max(len(answers), 1)
        return [
            Prediction(" ".join(answer.text.split()), _certainty(answer), _usage(answer, seconds)) for answer in answers
        ]

    def foresee(
        self, states: Sequence[State], horizons: Sequence[int], forms: Sequence[Sequence[str]]
    ) -> list[Imagination]:
        """K steps from each state in one answer; what cannot be read ends a foresight early.

        Args:
            states: where each imagination starts.
            horizons: K for each state; 0 asks nothing.
            forms: commands that are possible at the start, so that the model knows their wording.
        """
        start = time.perf_counter()
        asked = [row for row, horizon in enumerate(horizons) if horizon]
        questions = [
            Question("imagine", states[row], {"horizon": str(horizons[row]), "forms": "\n".join(forms[row])})
            for row in asked
        ]
        longest = max(horizons, default=0)
        sampling = Sampling(self.sampling.max_new_tokens * longest, self.sampling.temperature, self.sampling.top_p)
        answers = dict(zip(asked, self.asked.ask(questions, sampling) if asked else [], strict=True))
        seconds = (time.perf_counter() - start) / max(len(asked), 1)
        return [
            _imagination(answers[row], horizons[row], seconds) if row in answers else NOTHING
            for row in range(len(states))
        ]


NOTHING = Imagination(ImaginedTrajectory(), Usage(), Usage())


def _imagination(answer: Completion, horizon: int, seconds: float) -> Imagination:
    steps = tuple(ImaginedStep(*pair) for pair in parse_foresight(answer.text, horizon))
    return Imagination(ImaginedTrajectory(steps), Usage(), _usage(answer, seconds))


def _certainty(answer: Completion) -> float | None:
    """Mean token log-probability, where the backend tells it."""
    return None if math.isnan(answer.logprob) else answer.logprob / max(answer.completion_tokens, 1)


def _usage(answer: Completion, seconds: float) -> Usage:
    return Usage(answer.prompt_tokens, answer.completion_tokens, 1, seconds, answer.cached_tokens)
