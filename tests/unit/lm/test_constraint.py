from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from itp.errors import ConfigError
from itp.lm.base import Sampling
from itp.lm.constraint import Grammar, OneOf, allowed_by, constraint_of, hold
from itp.types import CommandGrammar, DecisionContext, State
from models import lm

GRAMMAR = CommandGrammar(
    ("look", "use OBJ on OBJ", "open OBJ"), ("tin", "tin cup", "Inventory", "oven"), joiners=(" in ",)
)
COMMANDS = ("look", "open tin", "use tin cup on oven", "use tin in Inventory on tin cup in oven", "open oven in tin")
REFUSED = ("", "lo", "open", "open cup", "use tin on", "use tin", "open tin cup on oven", "look tin", "open  tin")
OTHERWISE_SPELT = ("Open tin", "open Tin", "use tin in inventory on oven", "LOOK")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_grammar_is_whole_and_so_is_no_beginning_of_it(command: str) -> None:
    grammar = Grammar(GRAMMAR)
    assert grammar.whole(command)
    assert all(grammar.viable(command[:n]) for n in range(len(command) + 1))


@pytest.mark.parametrize("text", [*REFUSED, *OTHERWISE_SPELT])
def test_what_the_grammar_lacks_is_not_whole(text: str) -> None:
    assert not Grammar(GRAMMAR).whole(text)


@pytest.mark.parametrize("text", ["x", "open cup", "look ", "use tin oven", "open tin inn", "use tin on on"])
def test_what_can_become_no_command_is_not_viable(text: str) -> None:
    assert not Grammar(GRAMMAR).viable(text)


WORDS = st.sampled_from(["tin", "cup", "tin cup", "in", "a b", "b"])


@given(st.lists(WORDS, min_size=1, max_size=3), st.text("tincupab ", max_size=9))
def test_a_text_is_viable_if_it_begins_a_whole_one(names: list[str], text: str) -> None:
    grammar = Grammar(CommandGrammar(("go OBJ", "put OBJ in OBJ"), tuple(names), joiners=(" in ",)))
    texts = [f"go {one}" for one in names] + [f"put {one} in {two}" for one in names for two in names]
    assert all(grammar.whole(one) for one in texts)
    for one in texts:
        if one.startswith(f"go {text}"):
            assert grammar.viable(f"go {text}")
    if grammar.whole(f"go {text}"):
        assert grammar.viable(f"go {text}")


@given(st.lists(st.text("ab", max_size=4), max_size=6), st.text("ab", max_size=5))
def test_one_of_a_list(texts: list[str], text: str) -> None:
    held = OneOf(texts)
    assert held.whole(text) == (text in texts)
    assert held.viable(text) == any(one.startswith(text) for one in texts)


def test_a_draw_is_the_distribution_renormalised_over_what_is_allowed() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, 3.0])
    weights = {token: math.exp(float(logits[token])) for token in (0, 2)}
    drawn = Counter(
        hold(3, [], logits, lambda ids: ids[-1] in weights, temperature=1.0, seed=seed) for seed in range(4000)
    )
    assert set(drawn) == set(weights)
    assert drawn[2] / 4000 == pytest.approx(weights[2] / sum(weights.values()), abs=0.03)


def test_greedily_the_likeliest_allowed_token_is_taken_and_the_choice_itself_where_none_is() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, 3.0])
    assert hold(3, [], logits, lambda ids: ids[-1] < 2, temperature=0.0, seed=0) == 1
    assert hold(2, [], logits, lambda ids: ids[-1] == 2, temperature=0.0, seed=0) == 2
    assert hold(3, [], logits, lambda _: False, temperature=0.0, seed=0) == 3


PROMPTS = ["a mug", "go to the shelf", "x"]
LISTS = [("go to shelf 1", "look"), ("open drawer 1",), ("take mug 1 from shelf 1", "take mug 2 from shelf 1")]


@pytest.mark.parametrize("ours", [True, False], ids=["our engine", "transformers"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_random_model_writes_nothing_but_allowed_commands(
    ours: bool, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("itp.lm.transformers.supports", lambda _: ours)
    model = lm()
    sampling = Sampling(max_new_tokens=40, temperature=temperature)
    held = [OneOf(texts) for texts in LISTS]
    seeds = [1, 2, 3] if temperature else None
    completions = model.generate_held(PROMPTS, sampling, held, seeds)
    assert all(c.text in texts and c.finished for c, texts in zip(completions, LISTS, strict=True))
    rows = zip(PROMPTS, held, (1, 2, 3), strict=True)
    alone = [model.generate_held([prompt], sampling, [one], seeds and [seed])[0] for prompt, one, seed in rows]
    assert [one.text for one in alone] == [c.text for c in completions]


def test_a_token_without_text_gets_nobody_nearer_to_a_command() -> None:
    allowed = allowed_by(OneOf(["ab"]), lambda ids: "".join("abz"[i] if i < 3 else "" for i in ids), [9])
    assert allowed([0])
    assert not allowed([5])
    assert not allowed([0, 9])
    assert allowed([0, 1, 9])


def test_a_context_tells_what_holds_or_is_refused_in_one_line() -> None:
    state = State("task", "first")
    assert constraint_of(DecisionContext(state, ("look",))).whole("look")
    assert constraint_of(DecisionContext(state, grammar=GRAMMAR)).whole("open tin")
    with pytest.raises(ConfigError, match="commands=grammar"):
        constraint_of(DecisionContext(state))
