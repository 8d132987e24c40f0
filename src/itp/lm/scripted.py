"""A language model that answers by rule, for tests and demonstrations: no weights, no server, the same every time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from itp.errors import ConfigError
from itp.lm.base import Completion, Sampling, Scores
from itp.lm.chat import Chat, Prompt, split_thought


class ScriptedLM:
    """`LanguageModel` by a script. Tokens are words; no answer is cut short but by `Sampling.stop`.

    Args:
        script: a function from the prompt's plain text to the answer, or (pattern, answer) pairs: the answer of the
            first regular expression that is found in the prompt's text. "." also matches line ends.
        name: shown in traces.

    Attributes:
        asked: plain text of every prompt, in order.
    """

    def __init__(self, script: Callable[[str], str] | Sequence[tuple[str, str]], name: str = "scripted") -> None:
        self.name = name
        self.asked: list[str] = []
        self._script = script if callable(script) else _by_pattern(script, name)

    @classmethod
    def load(cls, path: Path | str) -> ScriptedLM:
        """From a JSON file: a list of [pattern, answer] pairs. Raises ConfigError."""
        try:
            pairs = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"scripted:{path} cannot be read ({error}): give a JSON file") from error
        if not isinstance(pairs, list) or not all(
            isinstance(row, list) and [type(part) for part in row] == [str, str] for row in pairs
        ):
            raise ConfigError(f"scripted:{path} is no script: give a JSON list of [pattern, answer] pairs of text")
        return cls([(pattern, answer) for pattern, answer in pairs], f"scripted:{path}")

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, seeds: Sequence[int] | None = None
    ) -> list[Completion]:
        """See `LanguageModel.generate`; nothing is drawn. Raises ConfigError where the script knows no answer."""
        return [self._answer(prompt, sampling) for prompt in prompts]

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]) -> list[Scores]:
        """See `LanguageModel.score`: 0 for the scripted answer itself, -10 for any other."""
        rows = []
        for prompt, texts in zip(prompts, continuations, strict=True):
            answer = self._answer(prompt, Sampling()).text
            logprobs = tuple(0.0 if text.strip() == answer else -10.0 for text in texts)
            rows.append(Scores(logprobs, self.count_tokens(prompt), sum(len(text.split()) + 1 for text in texts)))
        return rows

    def count_tokens(self, text: Prompt) -> int:
        """Words of the plain text."""
        return len(_plain(text).split())

    def _answer(self, prompt: Prompt, sampling: Sampling) -> Completion:
        text = _plain(prompt)
        self.asked.append(text)
        raw = self._script(text)
        thought, answer = split_thought(raw) if isinstance(prompt, Chat) else ("", raw)
        words = len(raw.split()) + 1
        return Completion(sampling.cut(answer.strip()), 0.0, self.count_tokens(prompt), words, thought=thought)


def _plain(prompt: Prompt) -> str:
    return prompt.plain() if isinstance(prompt, Chat) else prompt


def _by_pattern(pairs: Sequence[tuple[str, str]], name: str) -> Callable[[str], str]:
    try:
        rules = [(re.compile(pattern, re.DOTALL | re.MULTILINE), answer) for pattern, answer in pairs]
    except re.error as error:
        raise ConfigError(f"{name}: {error.pattern!r} is no regular expression ({error}): correct it") from error

    def answer(text: str) -> str:
        found = next((answer for pattern, answer in rules if pattern.search(text)), None)
        if found is None:
            tail = " ".join(text.split())[-120:]
            raise ConfigError(
                f'{name}: no pattern matches the prompt that ends "{tail}": add ["", "ANSWER"] at the end'
            )
        return found

    return answer
