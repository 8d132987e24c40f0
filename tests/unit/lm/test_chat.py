"""Conversations as text: our own format as a chat template, and thoughts apart from answers."""

from __future__ import annotations

import copy

import pytest

from itp.lm.chat import PLAIN_TEMPLATE, Chat, split_thought
from models import tokenizer

CHATS = [Chat.of("Where is the mug?"), Chat.of("Act.\n{% raw %} <b>", system="Be brief."), Chat.of("", "only rules")]


@pytest.mark.parametrize("chat", CHATS)
def test_the_plain_text_is_what_servers_make_of_the_chat_template(chat: Chat) -> None:
    told = copy.deepcopy(tokenizer())
    told.chat_template = PLAIN_TEMPLATE
    text = told.apply_chat_template(chat.as_dicts(), tokenize=False, add_generation_prompt=True)
    assert text == chat.plain()


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("Action: look", "", "Action: look"),
        ("<think>\nwhere?\n</think>\n\nAction: look", "where?", "Action: look"),
        ("<think></think>Action: look", "", "Action: look"),
        ("opened by the template</think> Action: look", "opened by the template", "Action: look"),
        ("<think>cut off in the mid", "cut off in the mid", ""),
        ("say <think> in passing", "", "say <think> in passing"),
    ],
)
def test_a_thought_is_told_apart_from_the_answer(text: str, thought: str, answer: str) -> None:
    assert split_thought(text) == (thought, answer)
