"""Prompt templates: plain text files with `[system]` and `[user]` sections and `$placeholders`.

The files beside this module are the defaults; a folder of the user's own replaces those whose names it repeats:

    itp eval --planner itp-i --prompts my_prompts ...      # my_prompts/reflect.txt replaces reflect.txt, the rest stays

`PLACEHOLDERS` lists what each template may use. `docs/prompting.md` tells what each is for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from string import Template

from itp.errors import ConfigError
from itp.lm.chat import Chat, Message

COMMON = frozenset({"task", "history", "history_with_thoughts", "memory", "observation"})
"""What every template may use: the goal, the steps so far (with the thoughts noted at them), what a player of household
games would remember, and the latest observation."""
PLACEHOLDERS: Mapping[str, frozenset[str]] = {
    "act": COMMON | {"commands"},
    "cot": COMMON | {"commands"},
    "react": COMMON | {"commands"},
    "horizon": COMMON | {"commands", "k_max"},
    "propose": COMMON | {"forms"},
    "predict": COMMON | {"action"},
    "imagine": COMMON | {"forms", "horizon"},
    "reflect": COMMON | {"commands", "foresight"},
    "critique": COMMON | {"commands", "draft"},
    "refine": COMMON | {"commands", "draft", "feedback"},
    "candidates": COMMON | {"commands", "count"},
    "choose": COMMON | {"commands", "candidates"},
    "value": COMMON,
}
"""Names that each template may use, by template."""
_SECTION = re.compile(r"^\[(\w+)\]\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """One prompt with places to fill in; `sections` are (role, text) pairs."""

    name: str
    sections: tuple[tuple[str, Template], ...]

    def fill(self, values: Mapping[str, str]) -> Chat:
        """The conversation with every placeholder filled in. Raises KeyError for one that `values` lacks."""
        return Chat(tuple(Message(role, text.substitute(values).strip()) for role, text in self.sections))

    @property
    def names(self) -> frozenset[str]:
        """The placeholders that it uses."""
        return frozenset(name for _, text in self.sections for name in text.get_identifiers())


@cache
def load_templates(folder: Path | None = None) -> Mapping[str, PromptTemplate]:
    """All templates by name, those in `folder` in place of the defaults. Raises ConfigError."""
    files = resources.files("itp.policy") / "templates"
    texts = {name: (files / f"{name}.txt").read_text(encoding="utf-8") for name in PLACEHOLDERS}
    if folder is None:
        return {name: _parse(name, text, f"{name}.txt") for name, text in texts.items()}
    if not folder.is_dir():
        raise ConfigError(f"--prompts {folder} is no folder: give one with files such as reflect.txt")
    own = sorted(folder.glob("*.txt"))
    if not own:
        raise ConfigError(f"--prompts {folder} holds no .txt file: it may hold {', '.join(PLACEHOLDERS)} (.txt)")
    for file in own:
        if file.stem not in PLACEHOLDERS:
            raise ConfigError(f"{file} is no prompt that is used: the names are {', '.join(PLACEHOLDERS)}")
    named = {file.stem: file for file in own}
    return {
        name: _parse(
            name, named[name].read_text(encoding="utf-8") if name in named else text, str(named.get(name, name))
        )
        for name, text in texts.items()
    }


def _parse(name: str, text: str, source: str) -> PromptTemplate:
    pieces = _SECTION.split(text)
    pairs = list(zip(pieces[1::2], pieces[2::2], strict=True))
    if pieces[0].strip() or not pairs or {role for role, _ in pairs} - {"system", "user", "assistant"}:
        raise ConfigError(f"{source}: a prompt has sections that begin with a line [system], [user] or [assistant]")
    template = PromptTemplate(name, tuple((role, Template(body)) for role, body in pairs))
    if not all(body.is_valid() for _, body in template.sections):
        raise ConfigError(f"{source}: a dollar sign begins a placeholder; write $$ for the sign itself")
    unknown = template.names - PLACEHOLDERS[name]
    if unknown:
        allowed = ", ".join(f"${word}" for word in sorted(PLACEHOLDERS[name]))
        raise ConfigError(f"{source}: ${min(unknown)} is unknown there; it may use {allowed}")
    return template
