"""Free state texts of other projects, taken apart: the task, what is seen now, what was done before.

The authors' data tell a state in one string, and no two sources agree on its form: a plain observation ("On the desk 1,
you see ..."), a first text with the task in it ("... Your task is to: put a mug in desk."), or labelled parts ("Task:
... Observation: ... History: ..."). Nothing is lost: whatever has no label of its own stays in the observation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LABEL = re.compile(
    r"^[ \t]*(task|mission|goal|current observation|observation|inventory|history)[ \t]*:", re.IGNORECASE | re.MULTILINE
)
_TASK_LINE = re.compile(r"\byour task is to[ \t]*:[ \t]*(.+?)[ \t]*$", re.IGNORECASE | re.MULTILINE)
_TASK_SENTENCE = re.compile(r"^\s*(your task is to\b[^:].*)$", re.IGNORECASE | re.DOTALL)
_TASK_LABELS = ("task", "mission", "goal")
_ACTION = re.compile(r"^[ \t]*action[ \t]*:[ \t]*(\S.*?)[ \t]*$", re.IGNORECASE | re.MULTILINE)
_THOUGHT = re.compile(r"^[ \t]*thought[ \t]*:", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class StateText:
    """The parts of one state text; each is "" where the text has none.

    Attributes:
        task: the goal.
        observation: what is seen now, with the inventory and everything that bears no label.
        history: earlier actions and observations, as the text tells them.
    """

    task: str = ""
    observation: str = ""
    history: str = ""

    @property
    def told(self) -> str:
        """Observation and history in one text: the state where no steps before it are known."""
        return "\n".join(
            part for part in (f"History: {self.history}" if self.history else "", self.observation) if part
        )


def read_state(text: str) -> StateText:
    """Take a state text apart."""
    marks = list(_LABEL.finditer(text))
    parts: dict[str, list[str]] = {"task": [], "observation": [], "history": []}
    before = text[: marks[0].start()] if marks else text
    task, rest = _task_in(before)
    parts["observation"].append(rest)
    ends = [after.start() for after in marks[1:]] + [len(text)]
    for mark, end in zip(marks, ends, strict=False):
        label = mark[1].lower()
        content = text[mark.end() : end].strip()
        if label in _TASK_LABELS:
            parts["task"].append(content)
        elif label == "history":
            parts["history"].append(content)
        elif label == "inventory":
            parts["observation"].append(f"Inventory: {content}")
        else:
            inner, seen = _task_in(content)
            task, content = task or inner, seen
            parts["observation"].append(content)
    joined = {name: "\n".join(part for part in found if part) for name, found in parts.items()}
    return StateText(joined["task"] or task, joined["observation"], joined["history"])


def read_action(text: str) -> tuple[str, str]:
    """(action, thought) of "Thought: ... Action: ..."; the action is "" where there is no such line."""
    found = list(_ACTION.finditer(text))
    if not found:
        return "", ""
    thought = _THOUGHT.sub("", text[: found[-1].start()], count=1).strip()
    return found[-1][1], thought


def same(one: str, other: str) -> bool:
    """Equal but for white space."""
    return one.split() == other.split()


def _task_in(text: str) -> tuple[str, str]:
    """(task, the text without it): ALFWorld's "Your task is to: ..." line, or ScienceWorld's whole sentence."""
    if line := _TASK_LINE.search(text):
        return line[1], (text[: line.start()] + text[line.end() :]).strip()
    if sentence := _TASK_SENTENCE.match(text):
        return " ".join(sentence[1].split()), ""
    return "", text.strip()
