"""Models from scratch: a tokenizer for any string, and models of the size they are said to have."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from itp.errors import ConfigError
from itp.lm.tokens import END, PAD, SPECIAL_TOKENS
from itp.training.scratch import SIZES, fresh_model, train_tokenizer
from models import lm, tokenizer


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_string_comes_back_from_the_tokenizer(text: str) -> None:
    assert tokenizer().decode(lm().encode(text)) == text


def test_household_text_comes_back_and_lists_are_short() -> None:
    text = "On the countertop 12, you see a mug 1, a mug 2, and an apple 3."
    assert tokenizer().decode(lm().encode(text)) == text
    assert len(lm().encode(", a mug 2")) < len(lm().encode("xylophone"))


@pytest.mark.parametrize("token", SPECIAL_TOKENS)
def test_special_tokens_are_one_token_each_wherever_they_stand(token: str) -> None:
    [special] = lm().encode(token)
    assert lm().encode(f"go{token}to") == [*lm().encode("go"), special, *lm().encode("to")]
    assert tokenizer().decode([special, *lm().encode("go")], skip_special_tokens=True) == "go"


def test_a_saved_tokenizer_is_the_same_one(tmp_path: object) -> None:
    tokenizer().save_pretrained(str(tmp_path))
    loaded = AutoTokenizer.from_pretrained(str(tmp_path))
    text = f"<TASK>put a mug<OBS>  you see, a mug 1 {END}é日🙂"
    assert loaded(text)["input_ids"] == tokenizer()(text)["input_ids"]
    assert (loaded.pad_token, loaded.eos_token) == (PAD, END)


def test_training_is_repeatable_and_bounded_by_the_vocabulary_size() -> None:
    texts = ["go to drawer 1", "go to drawer 2", "<TASK>take mug 1 from drawer 1<END>"] * 5
    first, second = train_tokenizer(texts, vocab_size=280), train_tokenizer(texts, vocab_size=280)
    assert first.get_vocab() == second.get_vocab()
    assert len(first) <= 280
    assert len(train_tokenizer([], vocab_size=2048)) >= 256 + len(SPECIAL_TOKENS)


def test_fresh_models_grow_with_their_size_and_depend_on_the_torch_seed() -> None:
    counts = []
    for size in SIZES:
        torch.manual_seed(3)
        counts.append(fresh_model(tokenizer(), size).num_parameters())
    assert counts == sorted(counts)
    assert 0.4e6 < counts[0] < 1.2e6 < counts[1] < 3e6 < counts[2] < 8e6
    torch.manual_seed(3)
    one = fresh_model(tokenizer(), "tiny")
    torch.manual_seed(3)
    assert all(
        torch.equal(a, b) for a, b in zip(one.parameters(), fresh_model(tokenizer(), "tiny").parameters(), strict=True)
    )


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(ConfigError, match="model size huge is unknown: choose one of tiny, small, base"):
        fresh_model(tokenizer(), "huge")
