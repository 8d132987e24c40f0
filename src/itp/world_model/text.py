"""The textual world model: one step of p(s' | s, a) by a causal LM, always with the prompt of `PromptBuilder`."""

from __future__ import annotations

import time
from collections.abc import Sequence

from itp.errors import CheckpointError
from itp.lm.base import Completion, LanguageModel, Sampling
from itp.lm.transformers import TransformersLM
from itp.policy.checkpoint import read_itp_config
from itp.state_text.prompts import PromptBuilder
from itp.state_text.renderers import get_renderer
from itp.types import State, Usage
from itp.world_model.base import Prediction

MAX_KNOWN = 100_000
"""Remembered predictions; about 100 MB of text at most."""


class TextWorldModel:
    """A language model read as a world model.

    Args:
        lm: any `LanguageModel`.
        prompts: the prompt builder it was trained with.
        sampling: greedy by default; `max_new_tokens` bounds one imagined observation.
    """

    def __init__(self, lm: LanguageModel, prompts: PromptBuilder, sampling: Sampling | None = None) -> None:
        self.lm = lm
        self.name = lm.name
        self.prompts = prompts
        self.sampling = sampling or Sampling(max_new_tokens=192)
        self._known: dict[str, Completion] = {}
        self._version: object = None

    @classmethod
    def load(cls, path: str, *, device: str = "cpu", dtype: str = "float32") -> TextWorldModel:
        """Load a checkpoint written by `itp train world-model`, or any causal LM folder."""
        config = read_itp_config(path)
        if config.kind != "world_model" and config.stage != "pretrained":
            raise CheckpointError(f"{path} is a {config.kind} checkpoint: --world-model needs a world model")
        lm = TransformersLM.load(path, device=device, dtype=dtype)
        prompts = PromptBuilder(
            get_renderer(config.renderer), lm.count_tokens, config.max_state_tokens, config.history_steps
        )
        return cls(lm, prompts, Sampling(max_new_tokens=config.max_observation_tokens))

    def predict(self, states: Sequence[State], actions: Sequence[str]) -> list[Prediction]:
        """See `WorldModel.predict`. Greedy predictions are remembered; a remembered one counts its tokens, not time."""
        start = time.perf_counter()
        prompts = [self.prompts.world_model(state, action) for state, action in zip(states, actions, strict=True)]
        if self.sampling.temperature > 0:
            new, completions = prompts, self.lm.generate(prompts, self.sampling)
        else:
            known = self._valid()
            new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]
            known.update(zip(new, self.lm.generate(new, self.sampling), strict=True))
            completions = [known[prompt] for prompt in prompts]
        seconds = (time.perf_counter() - start) / max(len(new), 1)
        computed = set(new)
        return [
            Prediction(
                observation=c.text,
                logprob=c.logprob / max(c.completion_tokens, 1),
                usage=Usage(c.prompt_tokens, c.completion_tokens, 1, seconds if prompt in computed else 0.0),
            )
            for prompt, c in zip(prompts, completions, strict=True)
        ]

    def _valid(self) -> dict[str, Completion]:
        """Remembered answers; those of other weights are dropped, and all of them when they are too many."""
        version = getattr(self.lm, "version", None)
        if version != self._version or len(self._known) > MAX_KNOWN:
            self._version, self._known = version, {}
        return self._known
