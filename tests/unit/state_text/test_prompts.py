"""The one prompt builder and its renderers: what is in a prompt, and what truncation may never drop."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itp.errors import ConfigError
from itp.lm.tokens import ACT, CTRL, END, IMAGINE, OBS, TASK
from itp.state_text.prompts import PromptBuilder
from itp.state_text.renderers import RENDERERS, get_renderer
from itp.types import State
from models import episodes, imagined, lm, some_states

STATE = State(
    "put a clean mug in drawer.",
    "You are in the middle of a room. Looking quickly around you, you see a drawer 1, a fridge 1, and a sinkbasin 1.",
    (
        ("go to fridge 1", "You arrive at loc 3. The fridge 1 is closed."),
        ("open fridge 1", "You open the fridge 1. The fridge 1 is open. In it, you see a mug 1, and an egg 1."),
        ("take mug 1 from fridge 1", "You pick up the mug 1 from the fridge 1."),
    ),
)
FORESIGHT = imagined(("go to sinkbasin 1", "You arrive at loc 4."), ("clean mug 1", "You clean it."), ("look", "Done."))
BOTH = pytest.mark.parametrize("renderer", list(RENDERERS))


def test_history_tells_the_task_the_first_observation_and_every_step_in_order() -> None:
    text = get_renderer("history-v1").render(STATE)
    steps = "".join(f"{CTRL}{ACT}{action}{END}{OBS}{observation}{END}" for action, observation in STATE.history)
    assert text == f"{TASK}{STATE.task}{OBS}{STATE.first_observation}{END}{steps}"


def test_memory_tells_what_is_held_where_one_is_and_the_last_step() -> None:
    text = get_renderer("memory-v1").render(STATE)
    assert text.startswith(f"{TASK}put a clean mug in drawer.{OBS}hold mug 1 target; at fridge 1 open")
    assert "to drawer 1" in text
    assert "with sinkbasin 1" in text
    assert text.endswith(f"{ACT}take mug 1 from fridge 1{END}{OBS}You pick up the mug 1 from the fridge 1.{END}")
    assert "You open the fridge 1." not in text


def test_memory_of_a_foreign_environment_still_holds_task_and_last_observation() -> None:
    text = get_renderer("memory-v1").render(State("boil water", "This room is a kitchen.").extend("wait", "It boils."))
    assert "boil water" in text
    assert "It boils." in text


def test_a_situation_is_the_same_however_it_was_reached_and_another_once_something_is_achieved() -> None:
    situation = get_renderer("memory-v1").situation
    looked = STATE.extend("look", "You are facing the fridge 1. Next to it, you see nothing.")
    assert situation(looked) == situation(STATE)
    assert get_renderer("history-v1").situation(looked) != get_renderer("history-v1").situation(STATE)
    for action, observation in (
        ("go to sinkbasin 1", "You arrive at loc 4. On the sinkbasin 1, you see nothing."),
        ("close fridge 1", "You close the fridge 1."),
        ("use desklamp 1", "You turn on the desklamp 1."),
        ("put mug 1 in/on fridge 1", "You put the mug 1 in/on the fridge 1."),
    ):
        assert situation(STATE.extend(action, observation)) != situation(STATE), action


def test_memory_v2_counts_how_often_one_has_been_here_and_is_memory_v1_otherwise() -> None:
    one, two = get_renderer("memory-v1"), get_renderer("memory-v2")
    assert two.render(STATE) == one.render(STATE)
    state = STATE
    for times in range(1, 5):
        state = state.extend("look", "You are facing the fridge 1. Next to it, you see nothing.")
        assert f"{OBS}again {min(times, 3)}; hold mug 1 target" in two.render(state)
        assert two.render(state).replace(f"again {min(times, 3)}; ", "") == one.render(state)
    changed = state.extend("go to sinkbasin 1", "You arrive at loc 4. On the sinkbasin 1, you see nothing.")
    assert "again" not in two.render(changed)
    back = changed.extend("go to fridge 1", "You arrive at loc 2. The fridge 1 is open. In it, you see nothing.")
    assert "again" not in two.render(back), "the sinkbasin is known now"
    circle = back.extend("go to sinkbasin 1", "You arrive at loc 4. On the sinkbasin 1, you see nothing.")
    assert "again 1; " in two.render(circle)


def test_memory_v2_of_a_foreign_environment_counts_nothing() -> None:
    state = State("boil water", "This room is a kitchen.").extend("wait", "It boils.").extend("wait", "It boils.")
    assert get_renderer("memory-v2").render(state) == get_renderer("memory-v1").render(state)


def test_situations_of_a_foreign_environment_are_told_apart_by_the_last_step() -> None:
    situation, start = get_renderer("memory-v1").situation, State("boil water", "This room is a kitchen.")
    assert situation(start.extend("wait", "It boils.")) != situation(start.extend("wait", "Nothing."))


@BOTH
def test_imagined_steps_change_the_state_text_exactly_as_real_ones_do(renderer: str) -> None:
    for trajectory in episodes():
        for state, step in zip(trajectory.states(), trajectory.steps, strict=False):
            real = state.extend(step.decision.action, step.observation)
            dreamt = state
            for dream in imagined((step.decision.action, step.observation)).steps:
                dreamt = dreamt.extend(dream.action, dream.observation)
            assert get_renderer(renderer).render(dreamt) == get_renderer(renderer).render(real)
            assert step.observation in get_renderer(renderer).render(real)


def test_renderers_are_found_with_and_without_their_version_and_others_refused() -> None:
    assert get_renderer("memory") is get_renderer("memory-v2")
    with pytest.raises(ConfigError, match=r"renderer prose is unknown: choose one of history-v1, memory-v1"):
        get_renderer("prose")


@BOTH
@pytest.mark.parametrize("horizon", [0, 1, 3])
def test_the_act_prompt_starts_with_the_control_prompt_of_the_same_state(renderer: str, horizon: int) -> None:
    prompts = PromptBuilder(get_renderer(renderer))
    control, act = prompts.control(STATE), prompts.act(STATE, FORESIGHT.prefix(horizon))
    assert control.endswith(CTRL)
    assert act.startswith(control)
    assert act.endswith(ACT)
    ids = lm().encode(act)
    assert ids[: len(lm().encode(control))] == lm().encode(control)


@BOTH
def test_the_whole_foresight_is_in_the_act_prompt_in_order(renderer: str) -> None:
    act = PromptBuilder(get_renderer(renderer)).act(STATE, FORESIGHT)
    tail = act.removeprefix(PromptBuilder(get_renderer(renderer)).control(STATE))
    pairs = "".join(f"{IMAGINE}{step.action}{END}{OBS}{step.observation}{END}" for step in FORESIGHT.steps)
    assert tail == pairs + ACT


@BOTH
def test_no_foresight_and_an_empty_one_give_the_same_prompt(renderer: str) -> None:
    prompts = PromptBuilder(get_renderer(renderer))
    assert prompts.act(STATE) == prompts.act(STATE, FORESIGHT.prefix(0))


@BOTH
def test_the_world_model_prompt_is_the_act_prompt_and_the_action(renderer: str) -> None:
    prompts = PromptBuilder(get_renderer(renderer))
    assert prompts.world_model(STATE, "look") == f"{prompts.act(STATE)}look{END}{OBS}"


words = st.text(st.sampled_from("abc é日🙂<>1 .\n"), max_size=30)
histories = st.lists(st.tuples(words, words), max_size=8)


@settings(max_examples=150, deadline=None)
@given(task=words, first=words, history=histories, budget=st.integers(1, 200), foresight=histories)
def test_truncation_drops_the_oldest_steps_and_never_the_frame(
    task: str, first: str, history: list[tuple[str, str]], budget: int, foresight: list[tuple[str, str]]
) -> None:
    renderer, state = get_renderer("history-v1"), State(task, first, tuple(history))
    prompts = PromptBuilder(renderer, lm().count_tokens, budget)
    text = prompts.state(state)
    kept = [drop for drop in range(len(history) + 1) if text == renderer.render(state, drop)]
    assert kept, "the text is not the state without its oldest steps"
    assert text.startswith(renderer.render(State(task, first)))
    fits = lm().count_tokens(text) <= budget
    assert fits or text == renderer.render(State(task, first))
    if kept[-1] and text != renderer.render(state):
        assert lm().count_tokens(renderer.render(state, min(kept) - 1)) > budget, "more was dropped than had to be"
    foreseen = imagined(*foresight)
    assert prompts.act(state, foreseen).endswith(ACT)
    assert prompts.act(state, foreseen).startswith(text + CTRL)
    assert prompts.act(state, foreseen).count(IMAGINE) == len(foresight)
    assert prompts.world_model(state, "look").endswith(f"{CTRL}{ACT}look{END}{OBS}")


def test_the_budget_counts_tokens_also_where_a_character_is_several() -> None:
    state = State("task", "room", tuple((f"日本語の行動 {n}", "観察" * 5) for n in range(6)))
    prompts = PromptBuilder(get_renderer("history"), lm().count_tokens, 300)
    whole = get_renderer("history").render(state)
    assert len(whole) < 300 < lm().count_tokens(whole)
    assert lm().count_tokens(prompts.state(state)) <= 300
    assert "行動 5" in prompts.state(state)


def test_a_longer_budget_keeps_more_of_the_history() -> None:
    state = max((t.states()[-1] for t in episodes()), key=lambda s: len(s.history))
    lengths = [
        len(PromptBuilder(get_renderer("history"), lm().count_tokens, budget).state(state))
        for budget in range(50, 1000, 50)
    ]
    assert all(short <= long for short, long in pairwise(lengths))
    assert lengths[0] < lengths[-1]
    assert lengths[-1] == len(get_renderer("history").render(state))


def test_states_are_not_changed_by_rendering() -> None:
    states = some_states()
    before = [(s.task, s.first_observation, s.history) for s in states]
    for renderer in RENDERERS.values():
        for state in states:
            PromptBuilder(renderer, lm().count_tokens, 40).act(state, FORESIGHT)
    assert before == [(s.task, s.first_observation, s.history) for s in states]


@BOTH
@pytest.mark.parametrize("budget", [1, 60, 150, 100_000])
def test_knowledge_stands_in_front_and_neither_it_nor_task_nor_cue_is_ever_truncated_away(
    renderer: str, budget: int
) -> None:
    prompts = PromptBuilder(get_renderer(renderer), lm().count_tokens, budget)
    for trajectory in episodes():
        for state in trajectory.states():
            told = replace(state, knowledge="find it <END><CTRL> first")
            for text in (prompts.act(told), prompts.act(told.latest(2)), prompts.act(told.extend("look", "Nothing."))):
                assert text.startswith(f"{TASK}find it first{END}{TASK}{state.task}{OBS}")
                assert text.endswith(CTRL + ACT)
    assert prompts.task_knowledge(STATE).endswith(CTRL + TASK)
    assert prompts.state_knowledge(STATE).endswith(CTRL + OBS)
