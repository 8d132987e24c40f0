"""The contract of a language model: `generate` and `score`, batch first. Policies and world models are built on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from itp.lm.chat import Prompt


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to decode. `temperature` 0 is greedy; `seed` makes sampling repeatable within one call.

    `stop`: texts that end an answer; the answer keeps what stands before the first of them.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()

    def cut(self, text: str) -> str:
        """A text up to the first of the stops."""
        return text[: min((text.find(stop) for stop in self.stop if stop in text), default=len(text))]


@dataclass(frozen=True, slots=True)
class Completion:
    """One generated text. `logprob` is the sum over its tokens (end token included), in nats; NaN where a server tells
    none."""

    text: str
    logprob: float
    prompt_tokens: int
    completion_tokens: int
    finished: bool = True
    """False when generation ran into `max_new_tokens` before an end token."""
    ids: tuple[int, ...] = ()
    """The sampled token ids, end token included, where the backend tells: training scores them, not the text."""
    cached_tokens: int = 0
    """Prompt tokens that a server says it knew already; all of them where the answer came from disk."""
    thought: str = ""
    """What a thinking model wrote before its answer; its tokens are counted, its text is no part of `text`."""
    prompt: str = ""
    """What was asked, where the asker keeps it; backends leave it empty."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Log-probabilities (nats, summed over tokens, end token included) of the continuations of one prompt."""

    logprobs: tuple[float, ...]
    prompt_tokens: int
    continuation_tokens: int
    """Tokens really computed: continuations that share a beginning share its tokens."""


class LanguageModel(Protocol):
    """A causal language model behind any backend."""

    name: str

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, seeds: Sequence[int] | None = None
    ) -> list[Completion]:
        """Continue every prompt until an end token or `max_new_tokens`.

        `seeds`, one for each prompt in place of `sampling.seed`, make what is sampled independent of the batch.
        """
        ...

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]) -> list[Scores]:
        """Score all continuations of each prompt; the prompt is computed once."""
        ...

    def count_tokens(self, text: Prompt) -> int:
        """Number of tokens of a text, special tokens in it counted as one."""
        ...
