"""The contract of a language model: `generate` and `score`, batch first. Policies and world models are built on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to decode. `temperature` 0 is greedy; `seed` makes sampling repeatable within one call."""

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """One generated text. `logprob` is the sum over its tokens (end token included), in nats."""

    text: str
    logprob: float
    prompt_tokens: int
    completion_tokens: int
    finished: bool = True
    """False when generation ran into `max_new_tokens` before an end token."""
    ids: tuple[int, ...] = ()
    """The sampled token ids, end token included, where the backend tells: training scores them, not the text."""


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

    def generate(self, prompts: Sequence[str], sampling: Sampling) -> list[Completion]:
        """Continue every prompt until an end token or `max_new_tokens`."""
        ...

    def score(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[Scores]:
        """Score all continuations of each prompt; the prompt is computed once."""
        ...

    def count_tokens(self, text: str) -> int:
        """Number of tokens of a text, special tokens in it counted as one."""
        ...
