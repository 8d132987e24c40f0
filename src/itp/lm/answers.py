"""What servers answer, read leniently: texts, thoughts, reasons to stop, log-probabilities and usage.

Servers that call themselves compatible differ in what they leave out; only the text itself is needed here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from itp.lm.base import Completion, Sampling
from itp.lm.chat import Chat, Prompt, split_thought

BYTES_PER_TOKEN = 3
"""Of the estimate where a server's own count is missing."""
_TOKENS_PER_MESSAGE = 4


def estimated_tokens(text: Prompt) -> int:
    """About how many tokens a text or a conversation takes."""
    if isinstance(text, Chat):
        return sum(_TOKENS_PER_MESSAGE + estimated_tokens(message.content) for message in text.messages)
    return -(-len(text.encode(errors="replace")) // BYTES_PER_TOKEN)


def read_completion(data: Mapping[str, Any], prompt: Prompt, sampling: Sampling) -> Completion:
    """The answer to a prompt from the JSON of /chat/completions or /completions, which has at least one choice."""
    choice = _mapping(data["choices"][0])
    if isinstance(prompt, Chat):
        message = _mapping(choice.get("message"))
        raw = _text(message.get("content"))
        # vLLM renamed `reasoning_content` to `reasoning`.
        reasoning = _text(message.get("reasoning_content")) or _text(message.get("reasoning"))
        if not raw and choice.get("finish_reason") == "stop":
            # Some reasoning parsers take an answer without a thought for a thought (vLLM issue 17609).
            raw, reasoning = reasoning, ""
        thought, text = split_thought(raw)
        thought, raw = "\n".join(part for part in (reasoning.strip(), thought) if part), reasoning + raw
    else:
        raw = text = _text(choice.get("text"))
        thought = ""
    usage = _mapping(data.get("usage"))
    details = _mapping(usage.get("prompt_tokens_details"))
    return Completion(
        text=sampling.cut(text.strip()),
        logprob=_logprob(_mapping(choice.get("logprobs"))),
        prompt_tokens=_count(usage, "prompt_tokens", estimated_tokens(prompt)),
        completion_tokens=_count(usage, "completion_tokens", estimated_tokens(raw)),
        finished=choice.get("finish_reason") != "length",
        cached_tokens=_count(details, "cached_tokens", _count(usage, "prompt_cache_hit_tokens", 0)),
        thought=thought,
    )


def read_scores(data: Mapping[str, Any], prompt: str, text: str) -> tuple[float, int, int] | None:
    """Log-probability of `text` behind `prompt` from an echoed completion, its prompt and its own tokens.

    The last token, which the server was made to generate, lies beyond the text and is left out. None when the server
    did not tell.
    """
    logprobs = _mapping(_mapping(data["choices"][0]).get("logprobs"))
    offsets, tokens, values = (logprobs.get(key) for key in ("text_offset", "tokens", "token_logprobs"))
    if not (isinstance(offsets, list) and isinstance(tokens, list) and isinstance(values, list)):
        return None
    rows = list(zip(offsets, tokens, values, strict=False))
    end = len(prompt) + len(text)
    own = [value for offset, token, value in rows if offset + len(token) > len(prompt) and offset < end]
    if not own or not all(isinstance(value, int | float) for value in own):
        return None
    before = sum(offset + len(token) <= len(prompt) for offset, token, _ in rows)
    return float(sum(own)), before, len(own)


def _logprob(logprobs: Mapping[str, Any]) -> float:
    """Sum over the answer's tokens; NaN where the server did not tell."""
    content = logprobs.get("content")
    if isinstance(content, list):
        values: Any = [_mapping(token).get("logprob") for token in content]
    else:
        values = logprobs.get("token_logprobs")
    known = isinstance(values, list) and values and all(isinstance(value, int | float) for value in values)
    return float(sum(values)) if known else math.nan


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(usage: Mapping[str, Any], key: str, otherwise: int) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and value >= 0 else otherwise
