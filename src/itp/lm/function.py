"""A language model that is a function of the user's own: messages in, the answer's text out.

For clients that no other backend speaks to. What a function does not tell is estimated (tokens) or unknown
(log-probabilities), and it decodes as it likes: `Sampling` reaches it only by the stops that its answers are cut at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from itp.errors import ConfigError, ScoringUnsupported
from itp.lm.answers import estimated_tokens
from itp.lm.base import Completion, Sampling, Scores
from itp.lm.chat import Chat, Prompt, split_thought

AskFunction = Callable[[list[dict[str, str]]], str]


class FunctionLM:
    """`LanguageModel` by a function.

    Args:
        function: takes a conversation as `[{"role": ..., "content": ...}, ...]` and returns the answer. The prompts of
            a batch are asked in threads.
        name: shown in traces.
        max_concurrency: calls under way at any time.
    """

    def __init__(self, function: AskFunction, name: str = "", *, max_concurrency: int = 8) -> None:
        if max_concurrency < 1:
            raise ConfigError(f"max_concurrency is {max_concurrency}: give 1 or more")
        self.function = function
        self.name = name or getattr(function, "__name__", type(function).__name__)
        self.max_concurrency = max_concurrency

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, seeds: Sequence[int] | None = None
    ) -> list[Completion]:
        """See `LanguageModel.generate`. What the function raises goes through; ConfigError for an answer that is no
        text."""
        if len(prompts) < 2 or self.max_concurrency == 1:
            return [self._answer(prompt, sampling) for prompt in prompts]
        with ThreadPoolExecutor(min(len(prompts), self.max_concurrency), "itp-ask") as threads:
            return list(threads.map(lambda prompt: self._answer(prompt, sampling), prompts))

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]) -> list[Scores]:
        """Raises ScoringUnsupported: a function tells no log-probabilities."""
        raise ScoringUnsupported(f"{self.name}: a function tells no log-probabilities: choose by generation")

    def count_tokens(self, text: Prompt) -> int:
        """An estimate, as for servers."""
        return estimated_tokens(text)

    def _answer(self, prompt: Prompt, sampling: Sampling) -> Completion:
        chat = prompt if isinstance(prompt, Chat) else Chat.of(prompt)
        raw = self.function(chat.as_dicts())
        if not isinstance(raw, str):
            raise ConfigError(f"policy function {self.name} returned {type(raw).__name__}: it must return the text")
        thought, answer = split_thought(raw)
        return Completion(
            sampling.cut(answer.strip()), math.nan, estimated_tokens(chat), estimated_tokens(raw), thought=thought
        )
