"""Rows that teach a small model every prompt: what is asked is what planners ask, answers are what they read."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from itp.data.collect import label_with_expert
from itp.data.prompt_rows import prompt_names, prompt_rows
from itp.data.rows import Row
from itp.lm.tokens import END
from itp.policy.parsing import parse_action, parse_integer
from itp.policy.templates import load_templates
from itp.types import Trajectory
from models import episodes

SHORT = Path(__file__).parents[3] / "configs/prompts/short"
EVERY = len(prompt_names()) - 1
"""More prompts than this cannot be drawn for a step besides `act`."""


def chars(text: str) -> list[int]:
    """An encoding in which every token is a character, so that rows can be read."""
    return [ord(letter) for letter in text]


def parts(row: Row) -> tuple[str, str]:
    """The prompt, without loss, and the answer, with it."""
    asked = [token for token, label in zip(row.input_ids, row.labels, strict=True) if label < 0]
    told = [token for token, label in zip(row.input_ids, row.labels, strict=True) if label >= 0]
    assert row.input_ids == asked + told, "the answer comes last"
    return "".join(map(chr, asked)), "".join(map(chr, told))


@cache
def rows(per_step: int = EVERY) -> list[tuple[str, str]]:
    made = prompt_rows(episodes(3), chars, None, templates=load_templates(SHORT), per_step=per_step, end=END)
    return [parts(row) for row in made]


def of(name: str) -> list[tuple[str, str]]:
    """Rows of the short template that begins with this word."""
    return [(asked, told) for asked, told in rows() if asked.startswith(f"### User\n{name}")]


def test_every_labelled_step_teaches_its_command_and_ends() -> None:
    labelled = [step.expert_action for trajectory in episodes(3) for step in trajectory.steps if step.expert_action]
    assert [told for _, told in of("act:")] == [f"Action: {action}{END}" for action in labelled]
    assert all(asked.endswith("### Assistant\n") for asked, _ in rows())


def test_all_prompts_have_rows_and_fewer_are_drawn_when_asked() -> None:
    words = Counter(asked.split("\n")[1].split(":")[0].split()[0] for asked, _ in rows())
    steps = words["act"]
    assert set(words) == {
        "act", "candidates", "choose", "think", "critique", "horizon", "foresee", "see", "next", "react", "refine",
        "reflect", "value",
    }  # fmt: skip
    assert len(rows(2)) <= 3 * steps < len(rows())


@pytest.mark.parametrize("name", ["act:", "think:", "react:", "reflect:", "choose:", "refine:"])
def test_answers_are_read_as_an_exact_command_by_the_planners_parser(name: str) -> None:
    found = of(name)
    assert found
    commands = {step.expert_action for trajectory in episodes(3) for step in trajectory.steps if step.expert_action}
    for _, told in found:
        parsed = parse_action(told.removesuffix(END), sorted(commands))
        assert (parsed.action in commands, parsed.parse) == (True, "exact")


def test_horizons_are_numbers_and_outcomes_what_really_happened() -> None:
    answers = {told.removesuffix(END) for _, told in of("horizon:")}
    assert answers == {"0", "1"}
    assert all(parse_integer(answer, 3) == int(answer) for answer in answers)
    seen = {step.observation for trajectory in episodes(3) for step in trajectory.steps}
    assert {told.removesuffix(END) for _, told in of("see:")} <= seen


def test_kept_commands_are_the_ones_named() -> None:
    def with_commands(trajectory: Trajectory, keep: bool) -> Trajectory:
        from itp.envs.alfworld.expert import Expert

        return label_with_expert(trajectory, Expert(), keep_commands=keep)

    played = episodes(1)[0]
    full = replace(played, steps=tuple(replace(step, admissible=("look", "help")) for step in played.steps))
    assert all(step.admissible is None for step in with_commands(full, False).steps)
    kept = with_commands(full, True)
    assert all(step.admissible == ("look", "help") for step in kept.steps)
    made = prompt_rows([kept], chars, None, templates=load_templates(SHORT), per_step=0, end=END)
    assert all("look" in asked and "help" in asked for asked, _ in map(parts, made))
