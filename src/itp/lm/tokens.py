"""The special tokens that give prompts their structure; every model of this project knows them.

Environments and models produce plain text: `strip_special` removes anything in it that would read as structure.
"""

from __future__ import annotations

import re

PAD = "<PAD>"
END = "<END>"
TASK = "<TASK>"
OBS = "<OBS>"
ACT = "<ACT>"
CTRL = "<CTRL>"
"""The K-head and the value head read the hidden state at this token (Liu et al. 2026, section on ITP-R)."""
IMAGINE = "<IMAGINE>"
"""Opens an imagined action; the imagined observation follows after `OBS`."""

SPECIAL_TOKENS = (PAD, END, TASK, OBS, ACT, CTRL, IMAGINE)
_PATTERN = re.compile("|".join(re.escape(token) for token in SPECIAL_TOKENS))
_PARTS = re.compile(f"({_PATTERN.pattern})")


def strip_special(text: str) -> str:
    """Remove special tokens from untrusted text and fold its white space."""
    if "<" in text:
        text = _PATTERN.sub(" ", text)
    return " ".join(text.split())


def parts(text: str) -> list[str]:
    """The text cut before and behind every special token; nothing is left out."""
    return [part for part in _PARTS.split(text) if part]
