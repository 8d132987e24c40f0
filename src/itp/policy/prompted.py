"""Any language model as a policy, by prompts alone: the questions that the training-free planners ask.

A `Question` names a template, a state and what else the template needs; `PromptedPolicy.ask` turns a batch of them into
conversations that fit the model's context and returns the answers. When a prompt is too long the oldest steps go, never
the task, the commands or the cue for the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from itp.lm.base import Completion, LanguageModel, Sampling
from itp.lm.chat import Chat
from itp.policy.parsing import parse_action
from itp.policy.templates import PromptTemplate, load_templates
from itp.state_text.memory import memory_fields
from itp.types import ImaginedTrajectory, State

UNKNOWN_FORMS = "(none seen yet)"
ANY = "(there is no list: any short command that this world would understand)"


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt to be.

    Attributes:
        template: name of a template.
        state: what it tells of.
        values: placeholders beyond the state's own.
        thoughts: what was thought at each step of the history, for templates that tell it.
    """

    template: str
    state: State
    values: Mapping[str, str] = field(default_factory=dict)
    thoughts: tuple[str, ...] = ()


class PromptedPolicy:
    """A language model that is asked, never trained.

    Args:
        lm: any backend.
        templates: by name; the defaults when omitted.
        max_prompt_tokens: limit of a whole prompt.
        keep_prompts: answers tell what was asked, for traces.
    """

    def __init__(
        self,
        lm: LanguageModel,
        templates: Mapping[str, PromptTemplate] | None = None,
        *,
        max_prompt_tokens: int = 4096,
        keep_prompts: bool = False,
    ) -> None:
        self.lm = lm
        self.name = lm.name
        self.templates = templates or load_templates()
        self.max_prompt_tokens = max_prompt_tokens
        self.keep_prompts = keep_prompts

    def ask(
        self, questions: Sequence[Question], sampling: Sampling, seeds: Sequence[int] | None = None
    ) -> list[Completion]:
        """One answer to each question, in order; `seeds` as in `LanguageModel.generate`."""
        chats = [self.chat(question) for question in questions]
        answers = self.lm.generate(chats, sampling, seeds)
        if not self.keep_prompts:
            return answers
        return [replace(answer, prompt=chat.plain()) for answer, chat in zip(answers, chats, strict=True)]

    def score(
        self, questions: Sequence[Question], candidates: Sequence[Sequence[str]]
    ) -> list[tuple[tuple[float, ...], int, int]]:
        """Log-probabilities of the answers "Action: COMMAND" to each question, its prompt and continuation tokens."""
        scores = self.lm.score(
            [self.chat(question) for question in questions],
            [[f"Action: {command}" for command in commands] for commands in candidates],
        )
        return [(s.logprobs, s.prompt_tokens, s.continuation_tokens) for s in scores]

    def propose(
        self, states: Sequence[State], sampling: Sampling, forms: Sequence[Sequence[str]] | None = None
    ) -> list[Completion]:
        """One command for each (imagined) state, taken out of its answer: the policy inside the imagination.

        Args:
            states: where to act.
            sampling: how to decode; its budget is for the command, and is widened by what the answer's form takes.
            forms: commands that were possible where the imagination began, so that the model knows their wording.
        """
        known = forms or [()] * len(states)
        questions = [
            Question("propose", state, {"forms": _forms(state, commands)})
            for state, commands in zip(states, known, strict=True)
        ]
        answers = self.ask(questions, replace(sampling, max_new_tokens=sampling.max_new_tokens + TAG_TOKENS))
        return [replace(answer, text=parse_action(answer.text, None).action) for answer in answers]

    def chat(self, question: Question) -> Chat:
        """The conversation of a question, with as many of the latest steps as fit."""
        steps, low = len(question.state.history), 0
        chat = self._filled(question, 0)
        if self._fits(chat):
            return chat
        high = steps
        while low < high:
            drop = (low + high) // 2
            low, high = (low, drop) if self._fits(self._filled(question, drop)) else (drop + 1, high)
        return self._filled(question, low)

    def _fits(self, chat: Chat) -> bool:
        text = sum(len(message.content.encode(errors="replace")) for message in chat.messages)
        return text + 64 <= self.max_prompt_tokens or self.lm.count_tokens(chat) <= self.max_prompt_tokens

    def _filled(self, question: Question, drop: int) -> Chat:
        state, template = question.state, self.templates[question.template]
        values = {"task": state.task, "observation": state.observation, **question.values}
        if "history" in template.names:
            values["history"] = tell(state, (), drop)
        if "history_with_thoughts" in template.names:
            values["history_with_thoughts"] = tell(state, question.thoughts, drop)
        if "memory" in template.names:
            values["memory"] = tell_memory(state)
        return template.fill(values)


TAG_TOKENS = 6
"""What "Action: " takes beside the command."""


def tell(state: State, thoughts: Sequence[str], drop: int = 0) -> str:
    """The episode as it happened, without its oldest `drop` steps."""
    knowledge = [f"What is known of the task: {state.knowledge}"] if state.knowledge else []
    gap = [f"({drop} earlier steps are left out)"] if drop else []
    lines = [*knowledge, state.first_observation, *gap]
    for number, (action, observation) in enumerate(state.history[drop:], start=drop):
        if number < len(thoughts) and thoughts[number]:
            lines.append(f"Thought: {thoughts[number]}")
        lines += [f"> {action}", observation]
    return "\n".join(lines)


def tell_memory(state: State) -> str:
    """What a player of household games remembers, and the last step."""
    last = "\n> {}\n{}".format(*state.history[-1]) if state.history else ""
    return f"{memory_fields(state)}{last}"


def tell_foresight(foresight: ImaginedTrajectory) -> str:
    """Every imagined step; a fixed phrase where nothing was imagined."""
    lines = [line for step in foresight.steps for line in (f"> {step.action}", step.observation)]
    return "\n".join(lines) or "(nothing)"


def listed(commands: Sequence[str] | None) -> str:
    """Commands, one a line; for an open action space, that any will do."""
    return "\n".join(commands) if commands else ANY


def _forms(state: State, commands: Sequence[str]) -> str:
    return "\n".join(commands or dict.fromkeys(action for action, _ in state.history)) or UNKNOWN_FORMS
