"""Templates: what ships can be filled in, a user's folder replaces files by name, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from itp.errors import ConfigError
from itp.lm.scripted import ScriptedLM
from itp.policy.prompted import PromptedPolicy, Question, tell, tell_memory
from itp.policy.templates import PLACEHOLDERS, load_templates
from models import episodes, some_states


def test_every_template_can_be_filled_in_and_asks_for_what_its_parser_reads() -> None:
    for name, template in load_templates().items():
        chat = template.fill(dict.fromkeys(PLACEHOLDERS[name], "VALUE"))
        assert [message.role for message in chat.messages] == ["system", "user"]
        assert "$" not in chat.plain()
        assert "VALUE" in chat.messages[1].content
    reflect = load_templates()["reflect"].fill(dict.fromkeys(PLACEHOLDERS["reflect"], "x")).plain()
    assert all(f"{tag}:" in reflect for tag in ("Reflection", "Thought", "Action"))


def test_a_folder_replaces_templates_by_name(tmp_path: Path) -> None:
    (tmp_path / "act.txt").write_text("[user]\nDo $task for $$5. $memory\n")
    templates = load_templates(tmp_path)
    assert templates["act"].names == {"task", "memory"}
    values = dict.fromkeys(PLACEHOLDERS["cot"], "x")
    assert templates["cot"].fill(values) == load_templates()["cot"].fill(values)
    policy = PromptedPolicy(ScriptedLM(lambda _: "Action: look"), templates)
    state = some_states()[1]
    assert policy.chat(Question("act", state)).messages[0].content == f"Do {state.task} for $5. {tell_memory(state)}"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("acts.txt", "[user]\nx", "no prompt that is used: the names are act, cot"),
        ("act.txt", "no section", "sections that begin with a line"),
        ("act.txt", "[users]\nx", "sections that begin with a line"),
        ("act.txt", "[user]\n$foresight", r"\$foresight is unknown there; it may use \$commands"),
        ("act.txt", "[user]\ncosts 5$ now", "a dollar sign begins a placeholder"),
        ("notes.md", "x", "holds no .txt file"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_templates(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no folder"):
        load_templates(tmp_path / "none")


def test_a_long_history_loses_its_oldest_steps_and_nothing_else() -> None:
    state = max((states[-1] for states in (t.states() for t in episodes())), key=lambda s: len(s.history))
    question = Question("act", state, {"commands": "look\ngo to shelf 1"})
    lm = ScriptedLM(lambda _: "Action: look")
    whole = PromptedPolicy(lm, max_prompt_tokens=100_000).chat(question).plain()
    limit = lm.count_tokens(whole) - 40
    short = PromptedPolicy(lm, max_prompt_tokens=limit).chat(question)
    text = short.plain()
    assert lm.count_tokens(short) <= limit
    assert all(part in text for part in (state.task, state.first_observation, "go to shelf 1", "Action: <one command"))
    assert state.history[-1][1] in text
    assert "earlier steps are left out" in text
    assert "earlier steps" not in whole


def test_thoughts_stand_before_the_steps_they_led_to() -> None:
    state = some_states()[2].latest(2)
    told = tell(state, ("first thought", "second thought"))
    lines = told.splitlines()
    assert lines.index("Thought: first thought") == lines.index(f"> {state.history[0][0]}") - 1
    assert "first thought" not in tell(state, ("first thought", "second thought"), drop=1)
    assert "second thought" in tell(state, ("first thought", "second thought"), drop=1)
