"""From an answer to a command: which rule takes it, and that nothing is made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itp.policy.parsing import (
    PARSES,
    ParsedAction,
    field,
    parse_action,
    parse_actions,
    parse_foresight,
    parse_integer,
)

COMMANDS = ("go to drawer 1", "go to drawer 11", "look", "put egg 1 in/on cabinet 2", "open Drawer 3")


@pytest.mark.parametrize(
    ("text", "action", "parse"),
    [
        ("Action: look", "look", "exact"),
        ("Thought: I should look.\nAction: go to drawer 1\n", "go to drawer 1", "exact"),
        ("Action: go to drawer 1\nAction: look", "look", "exact"),
        ("Action: Look.", "look", "case"),
        ("Action: `open drawer 3`", "open Drawer 3", "case"),
        ("**Action:** look", "look", "tag"),
        ("action: look", "look", "tag"),
        ("Final answer: go to drawer 11", "go to drawer 11", "tag"),
        ("I do this now: <action>look</action> and wait", "look", "tag"),
        ("```\nlook\n```", "look", "tag"),
        ("1. look", "look", "tag"),
        ("Let me see.\nlook", "look", "tag"),
        ("Action: put egg 1 in cabinet 2", "put egg 1 in/on cabinet 2", "closest"),
        ("Action: go to the drawer 1", "go to drawer 1", "closest"),
        ("Action: go to drawer 2", "go to drawer 2", "unparsed"),
        ("Action: go to drawer", "go to drawer", "unparsed"),
        ("Action: dance", "dance", "unparsed"),
        ("", "", "unparsed"),
        ("Action:", "", "unparsed"),
    ],
)
def test_each_rule_takes_what_it_should(text: str, action: str, parse: str) -> None:
    assert parse_action(text, COMMANDS) == ParsedAction(action, parse)


@given(st.text(max_size=60))
def test_what_is_read_is_admissible_or_says_that_it_is_not(text: str) -> None:
    found = parse_action(text, COMMANDS)
    assert found.parse in PARSES
    assert (found.action in COMMANDS) == (found.parse != "unparsed")
    assert len(found.action) <= 200
    assert "\n" not in found.action


def test_an_open_action_space_takes_what_is_marked() -> None:
    assert parse_action("Thought: a\nAction: press the red button", None) == ParsedAction(
        "press the red button", "exact"
    )
    assert parse_action("press the red button", None) == ParsedAction("press the red button", "tag")
    assert parse_action("Action:", None) == ParsedAction("", "unparsed")


def test_lists_of_commands_keep_their_order_and_lose_what_cannot_be_read() -> None:
    found = parse_actions("1. go to drawer 11\n2. dance\n- look\nAction: go to drawer 11", COMMANDS)
    assert [action.action for action in found] == ["go to drawer 11", "look"]
    assert parse_actions("", COMMANDS) == []


@pytest.mark.parametrize(
    ("text", "number"), [("3", 3), ("K = 0", 0), ("about 2 or 3", 2), ("6", None), ("-1", None), ("none", None)]
)
def test_an_integer_is_read_or_refused_but_never_clamped(text: str, number: int | None) -> None:
    assert parse_integer(text, 5) == number


def test_fields_end_where_the_next_begins() -> None:
    text = "Reflection: it goes\nwrong\nThought: **do** it\nAction: look"
    assert field(text, "Reflection") == "it goes\nwrong"
    assert field(text, "Thought") == "**do** it"
    assert field("Action: look", "Thought") == ""


def test_a_future_in_one_answer_ends_at_the_first_incomplete_step() -> None:
    text = "1. Action: look\nObservation: You see\na cup.\n2. Action: take cup 1\nObservation: Taken.\nAction: wait"
    assert parse_foresight(text, 5) == [("look", "You see a cup."), ("take cup 1", "Taken.")]
    assert parse_foresight(text, 1) == [("look", "You see a cup.")]
    assert parse_foresight("I cannot tell.", 3) == []
