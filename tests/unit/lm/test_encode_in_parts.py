"""Texts are encoded part by part between special tokens where that gives the same tokens, and nowhere else."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from tokenizers import AddedToken, normalizers, pre_tokenizers

import itp.lm.transformers as module
from itp.lm.loading import encode, encodes_in_parts
from itp.lm.tokens import SPECIAL_TOKENS, parts
from models import lm, tokenizer

PIECES = (*SPECIAL_TOKENS, "<ACT", "END>", " ", "\n", "go to shelf 1", " cool", "12", ", and a", "é", "you see: ", "<")


def copied() -> Any:
    """Its own copy, to be changed."""
    return copy.deepcopy(tokenizer())


def test_the_tokens_are_those_of_the_whole_text() -> None:
    model, draw = lm(), random.Random(0)
    assert encodes_in_parts(model.tokenizer)
    for length in range(200):
        text = "".join(draw.choices(PIECES, k=length % 40))
        assert "".join(parts(text)) == text
        assert model.encode(text) == encode(model.tokenizer, text)


def test_a_history_is_encoded_at_its_end_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = lm(), []
    monkeypatch.setattr(module, "encode", lambda tokens, text: (seen.append(text), encode(tokens, text))[1])
    history = "<TASK>find it<OBS>a room<END><CTRL><ACT>look<END>"
    model.encode(history)
    seen.clear()
    model.encode(f"{history}<OBS>a new room<END><CTRL>")
    assert seen == ["a new room"]


@pytest.mark.parametrize(
    "change",
    [
        lambda t: setattr(t.backend_tokenizer, "pre_tokenizer", pre_tokenizers.ByteLevel(add_prefix_space=True)),
        lambda t: setattr(t.backend_tokenizer, "pre_tokenizer", pre_tokenizers.Metaspace()),
        lambda t: setattr(t.backend_tokenizer, "normalizer", normalizers.Prepend("_")),
        lambda t: t.add_tokens([AddedToken("<ACT>", lstrip=True, special=True)], special_tokens=True),
    ],
    ids=["prefix space", "metaspace", "normalizer", "a token that takes the space before it"],
)
def test_where_parts_could_differ_the_text_stays_whole(change: Any) -> None:
    other = copied()
    assert encodes_in_parts(other)
    change(other)
    assert not encodes_in_parts(other)
