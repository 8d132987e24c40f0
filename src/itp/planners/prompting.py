"""Planners that ask a language model once for each command, without imagination: `act`, `cot`, `react`.

    act     the command alone
    cot     a fresh chain of thought before each command (Wei et al. 2022)
    react   thoughts stay in view, between commands and observations (Yao et al. 2023)

`decide_by_answers` is what every prompted planner ends with: an answer becomes a command by the rules of
`itp.policy.parsing`, and the trace says by which.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from itp.lm.base import Completion, Sampling
from itp.policy.parsing import ParsedAction, field, parse_action
from itp.policy.prompted import PromptedPolicy, Question, listed
from itp.types import Decision, DecisionContext, Usage

ONE_QUESTION = ("act", "cot", "react")
SHORT = 24
"""Tokens of an answer that is one command: the paper's 16, and what "Action: " takes."""
LONG = 256
"""Tokens of an answer with reasoning."""


class PromptingPlanner:
    """One question, one command.

    Args:
        policy: the model that is asked.
        name: template and name, one of `ONE_QUESTION`.
        sampling: how answers are decoded.
        score: choose the admissible command of the highest log-probability instead of reading an answer (`act` only,
            and only with models that tell log-probabilities).
    """

    def __init__(self, policy: PromptedPolicy, name: str, sampling: Sampling, *, score: bool = False) -> None:
        self.policy, self.name, self.sampling, self.score = policy, name, sampling, score

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """See `Planner.decide`."""
        questions = [question(self.name, context) for context in contexts]
        if self.score and all(context.admissible for context in contexts):
            return self._scored(questions, contexts)
        answers, usages = ask(self.policy, questions, self.sampling, contexts)
        return decide_by_answers(answers, usages, contexts)

    def _scored(self, questions: Sequence[Question], contexts: Sequence[DecisionContext]) -> list[Decision]:
        start = time.perf_counter()
        commands = [context.admissible or () for context in contexts]
        scores = self.policy.score(questions, commands)
        seconds = (time.perf_counter() - start) / len(contexts)
        return [
            Decision(
                action=own[max(range(len(own)), key=lambda i: logprobs[i])],
                policy_usage=Usage(prompt_tokens, continuation_tokens, 1, seconds),
            )
            for own, (logprobs, prompt_tokens, continuation_tokens) in zip(commands, scores, strict=True)
        ]


def question(template: str, context: DecisionContext, **values: str) -> Question:
    """A question about a context, its possible commands among the values."""
    return Question(template, context.state, {"commands": listed(context.admissible), **values}, context.thoughts)


def ask(
    policy: PromptedPolicy, questions: Sequence[Question], sampling: Sampling, contexts: Sequence[DecisionContext]
) -> tuple[list[Completion], list[Usage]]:
    """Answers and what each cost. Several questions in a row may belong to one context; their draws differ."""
    if not questions:
        return [], []
    start = time.perf_counter()
    each = len(questions) // len(contexts)
    seeds = [(context.seed + n) % 2**32 for context in contexts for n in range(each)]
    answers = policy.ask(questions, sampling, seeds if sampling.temperature > 0 else None)
    seconds = (time.perf_counter() - start) / len(questions)
    return answers, [usage_of(answer, seconds) for answer in answers]


def usage_of(answer: Completion, seconds: float = 0.0) -> Usage:
    """The cost of one answer."""
    return Usage(answer.prompt_tokens, answer.completion_tokens, 1, seconds, answer.cached_tokens)


def decide_by_answers(
    answers: Sequence[Completion], usages: Sequence[Usage], contexts: Sequence[DecisionContext]
) -> list[Decision]:
    """Read the command, the thought and the reflection out of each answer."""
    decisions = []
    for answer, usage, context in zip(answers, usages, contexts, strict=True):
        parsed = parse_action(answer.text, context.admissible)
        decisions.append(decision_of(parsed, answer, usage))
    return decisions


def decision_of(parsed: ParsedAction, answer: Completion, usage: Usage) -> Decision:
    """A decision with everything that the answer told."""
    return Decision(
        action=parsed.action,
        reflection=field(answer.text, "Reflection"),
        thought=field(answer.text, "Thought") or answer.thought,
        raw_text=answer.text,
        prompt=answer.prompt,
        parse=parsed.parse,
        policy_usage=usage,
    )
