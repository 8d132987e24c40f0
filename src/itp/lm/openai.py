"""A language model behind any OpenAI-compatible server: vLLM, SGLang, llama.cpp, DeepSeek, `transformers serve`, ...

Conversations go to /chat/completions, where the server applies the model's template; plain prompts go to /completions.
The interface stays synchronous and batch-first: the prompts of a batch are requested side by side on an event loop in
a thread of its own. See docs/servers.md.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from itp.errors import ConfigError, ScoringUnsupported, ServerError
from itp.lm.answers import estimated_tokens, read_completion, read_scores
from itp.lm.base import Completion, Sampling, Scores
from itp.lm.chat import Chat, Prompt
from itp.lm.retrying import Retries
from itp.lm.seeds import row_seeds
from itp.lm.server import ModelServer

MAX_STOPS = 4
"""Stops that the API takes; answers are cut at the others here."""
_SEEDS = 2**31
"""Seeds are folded below this: some servers keep 32 bits."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server takes in a conversation's request; the first is what vLLM, SGLang and most others understand.

    Args:
        template_options: the switch of thinking goes along (`chat_template_kwargs`).
        limit: the field that limits the answer; OpenAI's thinking models know `max_completion_tokens` only.
        temperature: the temperature is sent; OpenAI's thinking models have none.
    """

    template_options: bool = True
    limit: str = "max_tokens"
    temperature: bool = True

    def put(self, body: dict[str, Any], *, thinks: bool) -> dict[str, Any]:
        """The request in these terms."""
        kept = {key: value for key, value in body.items() if key != "max_tokens"}
        if not self.temperature:
            kept = {key: value for key, value in kept.items() if key not in ("temperature", "top_p")}
        options = {"extra_body": {"chat_template_kwargs": {"enable_thinking": thinks}}} if self.template_options else {}
        return {**kept, self.limit: body["max_tokens"], **options}

    def after(self, error: ServerError) -> Dialect | None:
        """What to try after a refusal: what the server named, or else no switch of thinking; None to give up."""
        if error.status not in (400, 422):
            return None
        if self.limit == "max_tokens" and "max_completion_tokens" in str(error):
            return replace(self, limit="max_completion_tokens")
        if self.temperature and "temperature" in str(error) and "support" in str(error).lower():
            warnings.warn(f"{error}: its own temperature is used, so that answers differ between runs", stacklevel=2)
            return replace(self, temperature=False)
        return replace(self, template_options=False) if self.template_options else None


class OpenAILM:
    """`LanguageModel` over a server. Safe to use from several threads, which share its limit of requests.

    Args:
        url: address of the API, such as `http://127.0.0.1:8000/v1`.
        model: name by which the server knows the model.
        key_env: environment variable that holds the key; servers on loopback need none. The key goes into the
            request's header and nowhere else.
        max_concurrency: requests under way at any time.
        thinking_tokens: most tokens that a thinking model may think before each answer to a `Chat`, on top of the
            answer's own; 0 asks the server's template for no thought.
        logprobs: ask for the log-probability of each answer; without it `Completion.logprob` is NaN, "unknown". Some
            servers refuse the question, others ignore it.
        retries: time-outs and retries.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key_env: str = "OPENAI_API_KEY",
        max_concurrency: int = 16,
        thinking_tokens: int = 0,
        logprobs: bool = False,
        retries: Retries | None = None,
    ) -> None:
        self.name, self.url, self.thinking_tokens, self.logprobs = model, url, thinking_tokens, logprobs
        self._server = ModelServer(url, model, key_env, max_concurrency, retries or Retries())
        self._dialect = Dialect()

    @property
    def identity(self) -> str:
        """What answers depend on beside prompt and sampling: the key of a response cache."""
        return json.dumps([self.url, self.name, self.thinking_tokens, self.logprobs])

    def count_tokens(self, text: Prompt) -> int:
        """An estimate, since the tokenizer is elsewhere: one token for every three bytes, and four for each message.

        English takes about four bytes a token, lists of numbered objects about three: the estimate is rarely too low.
        """
        return estimated_tokens(text)

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, seeds: Sequence[int] | None = None
    ) -> list[Completion]:
        """See `LanguageModel.generate`. The same question twice in a batch is asked once, unless draws may differ.

        Raises:
            ServerError: some prompts failed; raised after all others were answered, with what came of each in
                `results`, so that nothing of a batch need be paid for twice.
        """
        if sampling.temperature < 0:
            raise ConfigError(f"temperature is {sampling.temperature}: allowed is 0 (greedy) or more")
        rows = row_seeds(prompts, sampling, seeds)
        free = sampling.temperature > 0 and seeds is None and sampling.seed is None
        requests = [
            (prompt, seed, n if free else 0) for n, (prompt, seed) in enumerate(zip(prompts, rows, strict=True))
        ]
        asked = [self._complete(prompt, replace(sampling, seed=seed)) for prompt, seed, _ in dict.fromkeys(requests)]
        answers = dict(zip(dict.fromkeys(requests), self._server.gather(asked), strict=True))
        failed = [answer for answer in answers.values() if isinstance(answer, ServerError)]
        if failed:
            worst = next((error for error in failed if error.fatal), failed[0])
            results = [answers[request] for request in requests]
            raise ServerError(str(worst), status=worst.status, fatal=worst.fatal, results=results)
        completions: list[Completion] = []
        for request in requests:
            completions.append(answers[request])
            answers[request] = replace(answers[request], cached_tokens=answers[request].prompt_tokens)
        return completions

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]) -> list[Scores]:
        """See `LanguageModel.score`; for plain prompts on servers that echo log-probabilities, such as vLLM.

        The end token is not part of these scores: a server reads texts, not tokens.

        Raises:
            ScoringUnsupported: a `Chat`, or a server that does not tell.
            ServerError: a request failed.
        """
        if any(isinstance(prompt, Chat) for prompt in prompts):
            raise ScoringUnsupported(
                f"{self.name}: servers do not score answers to a conversation: choose by generation"
            )
        pairs = [(str(p), text) for p, texts in zip(prompts, continuations, strict=True) for text in texts]
        body = {"model": self.name, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
        answers = self._server.gather([self._server.complete({**body, "prompt": p + text}) for p, text in pairs])
        for answer in answers:
            if isinstance(answer, ServerError):
                raise answer
        read = iter([read_scores(answer, prompt, text) for answer, (prompt, text) in zip(answers, pairs, strict=True)])
        rows = [[next(read) for _ in texts] for texts in continuations]
        if any(score is None for row in rows for score in row):
            raise ScoringUnsupported(
                f"{self.name}: {self.url} gives no log-probabilities of a prompt: choose by generation"
            )
        return [
            Scores(tuple(s[0] for s in row), sum(s[1] for s in row), sum(s[2] for s in row))  # pyright: ignore[reportOptionalSubscript]
            for row in rows
        ]

    async def _complete(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """One answer; what the server does not take of a conversation's request is put otherwise, then and later."""
        body = self._body(prompt, sampling)
        if not isinstance(prompt, Chat):
            return read_completion(await self._server.complete(body), prompt, sampling)
        dialect = self._dialect
        while True:
            try:
                data = await self._server.chat(dialect.put(body, thinks=self.thinking_tokens > 0))
            except ServerError as error:
                other = dialect.after(error)
                if other is None:
                    raise
                dialect = other
            else:
                self._dialect = dialect
                return read_completion(data, prompt, sampling)

    def _body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """A request. Stops of white space stay here: at the head of an answer, which is stripped, they mean nothing.

        Where the model may think they all stay here, or they would end its thought.
        """
        chat = isinstance(prompt, Chat)
        thinks = chat and self.thinking_tokens > 0
        body: dict[str, Any] = {
            "model": self.name,
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_new_tokens + (self.thinking_tokens if thinks else 0),
        }
        body |= {"messages": prompt.as_dicts()} if isinstance(prompt, Chat) else {"prompt": prompt}
        if sampling.temperature > 0:
            body["top_p"] = sampling.top_p
            if sampling.seed is not None:
                body["seed"] = sampling.seed % _SEEDS
        stops = [] if thinks else [stop for stop in sampling.stop if stop.strip()][:MAX_STOPS]
        if stops:
            body["stop"] = stops
        if self.logprobs:
            body["logprobs"] = True if chat else 0
        return body
