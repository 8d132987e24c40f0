"""Constrained decoding: a text may only grow towards a command that the environment understands.

A `Constraint` judges texts, not tokens, so it works for any tokenizer: of the tokens that a model likes, the first is
taken behind which a command can still be completed. `OneOf` holds a model to a list, `Grammar` to a parser's templates.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import torch

from itp.errors import ConfigError
from itp.types import CommandGrammar, DecisionContext

Allowed = Callable[[Sequence[int]], bool]
"""Whether new tokens, the latest of them still in question, may stand."""


class Constraint(Protocol):
    """What a text is held to."""

    def viable(self, text: str) -> bool:
        """Whether some allowed text begins so."""
        ...

    def whole(self, text: str) -> bool:
        """Whether the text is allowed as it stands."""
        ...


class OneOf:
    """One of a list of texts."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = sorted({*texts})

    def viable(self, text: str) -> bool:
        """See `Constraint.viable`."""
        place = bisect_left(self._texts, text)
        return place < len(self._texts) and self._texts[place].startswith(text)

    def whole(self, text: str) -> bool:
        """See `Constraint.whole`."""
        place = bisect_left(self._texts, text)
        return self._texts[place : place + 1] == [text]


class Grammar:
    """A command by one of the templates of a `CommandGrammar`, letter by letter: "substance T", not "subsTance T"."""

    def __init__(self, grammar: CommandGrammar) -> None:
        self._templates = [template.split("OBJ") for template in grammar.templates]
        self._names = tuple({*grammar.names})
        self._joiners = grammar.joiners

    def viable(self, text: str) -> bool:
        """See `Constraint.viable`."""
        return any(self._matches(parts, text, whole=False) for parts in self._templates)

    def whole(self, text: str) -> bool:
        """See `Constraint.whole`."""
        return any(self._matches(parts, text, whole=True) for parts in self._templates)

    def _matches(self, parts: Sequence[str], text: str, *, whole: bool) -> bool:
        """Whether a text is, or can become, a template's words with names between them."""
        words, *others = parts
        if len(text) < len(words):
            return not whole and words.startswith(text)
        if not text.startswith(words):
            return False
        rest = text[len(words) :]
        if not others:
            return not rest
        ends, opened = self._name_ends(rest)
        return (opened and not whole) or any(self._matches(others, rest[end:], whole=whole) for end in ends)

    def _name_ends(self, text: str) -> tuple[set[int], bool]:
        """Where a name at the beginning of a text may end, and whether the whole text may be part of a longer one."""
        ends: set[int] = set()
        starts, opened = [0], False
        while starts:
            start = starts.pop()
            rest = text[start:]
            opened = opened or any(name.startswith(rest) for name in self._names if len(name) > len(rest))
            for end in {start + len(name) for name in self._names if rest.startswith(name)} - ends:
                ends.add(end)
                behind = text[end:]
                opened = opened or any(joiner.startswith(behind) for joiner in self._joiners)
                starts += [end + len(joiner) for joiner in self._joiners if behind.startswith(joiner)]
        return ends, opened


def constraint_of(context: DecisionContext) -> Constraint:
    """What a command is held to: the environment's grammar, or else its list.

    Raises:
        ConfigError: it tells neither.
    """
    if context.grammar is not None:
        return Grammar(context.grammar)
    if not context.admissible:
        raise ConfigError(
            "--action constrained needs an environment that lists its commands or tells their grammar, and this one "
            "does neither: use --action generate, or its own option (--env-option commands=grammar of scienceworld)"
        )
    return OneOf(context.admissible)


def allowed_by(constraint: Constraint, decode: Callable[[Sequence[int]], str], end_ids: Iterable[int]) -> Allowed:
    """The judge of a row's new tokens: an end token behind a whole text, any other that leaves the text viable."""
    ends = frozenset(end_ids)

    def allowed(ids: Sequence[int]) -> bool:
        before = decode(ids[:-1])
        if ids[-1] in ends:
            return constraint.whole(before)
        text = decode(ids)
        return text != before and constraint.viable(text)  # special tokens have no text

    return allowed


def hold(
    token: int, before: Sequence[int], logits_V: torch.Tensor, allowed: Allowed, *, temperature: float, seed: int
) -> int:
    """The token itself where it is allowed, else another that is: the likeliest, or one drawn among those allowed.

    Rejecting what is not allowed and drawing among the rest is drawing from the distribution renormalised over it.

    Args:
        token: what was chosen among all.
        before: new tokens so far.
        logits_V: what it was chosen by.
        allowed: the judge.
        temperature: 0 takes the likeliest.
        seed: of the draw.

    Returns:
        A token; the one given where none is allowed.
    """
    if allowed([*before, token]):
        return token
    keys_V = logits_V.float()
    if temperature > 0:
        noise = torch.rand(keys_V.shape, generator=torch.Generator().manual_seed(seed)).to(keys_V.device)
        keys_V = keys_V / temperature - (-noise.clamp_min(1e-20).log()).log()
    order = keys_V.argsort(descending=True).tolist()
    return next((other for other in order if other != token and allowed([*before, other])), token)
