"""Prompts for models that were trained to converse: messages, and the plain text of them for models without a template.

A prompt is a text, continued as it stands, or a `Chat`, which each backend renders in its model's own format: the
tokenizer's chat template, or the messages of a server's API.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

ROLES = ("system", "user", "assistant")
PLAIN_TEMPLATE = (
    "{% for message in messages %}### {{ message['role'] | capitalize }}\n{{ message['content'] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}### Assistant\n{% endif %}"
)
"""`Chat.plain` as a chat template, for tokenizers of our own: servers then write the very same prompts."""
_THOUGHT = re.compile(r"\A\s*<think>.*?</think>\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Message:
    """One message; `role` is one of `ROLES`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation that awaits the assistant's answer."""

    messages: tuple[Message, ...]

    @classmethod
    def of(cls, user: str, system: str = "") -> Chat:
        """One question, with instructions before it where there are any."""
        head = (Message("system", system),) if system else ()
        return cls((*head, Message("user", user)))

    def as_dicts(self) -> list[dict[str, str]]:
        """The messages as chat templates and servers take them."""
        return [{"role": m.role, "content": m.content} for m in self.messages]

    def plain(self) -> str:
        """Text for a model without a chat template; it ends with the cue for the answer."""
        return "".join(f"### {m.role.capitalize()}\n{m.content}\n\n" for m in self.messages) + "### Assistant\n"


Prompt: TypeAlias = str | Chat
"""What a language model continues."""


def split_thought(text: str) -> tuple[str, str]:
    """(thought, answer) of a thinking model's text; a thought without end has no answer."""
    found = _THOUGHT.match(text)
    if found:
        return found[0].replace("<think>", "").replace("</think>", "").strip(), text[found.end() :].strip()
    if text.lstrip().startswith("<think>"):
        return text.replace("<think>", "").strip(), ""
    # Some templates end with an opened thought, so that the model only closes it.
    head, closed, tail = text.partition("</think>")
    return (head.strip(), tail.strip()) if closed else ("", text)
