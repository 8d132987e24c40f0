"""Imagination: policy and world model alternate for each row's own K, in text alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from itp.envs.alfworld.engine import FastGame
from itp.envs.base import TextEnv
from itp.lm.tokens import ACT, CTRL, END, OBS
from itp.state_text.prompts import PromptBuilder
from itp.state_text.renderers import RENDERERS, get_renderer
from itp.types import State, Usage
from itp.world_model.imagination import Imagination, imagine
from itp.world_model.text import TextWorldModel
from models import (
    ScriptedPolicy,
    ScriptedWorldModel,
    episodes,
    make_policy,
    make_world_model,
    save_world_model,
    some_states,
)

STATES = [State(f"task {n}", "room") for n in range(4)]


def run(
    states: list[State], horizons: list[int], policy: ScriptedPolicy, world: ScriptedWorldModel
) -> list[Imagination]:
    return imagine(states, horizons, cast("Any", policy), world)


def test_each_row_is_imagined_exactly_as_far_as_its_own_horizon() -> None:
    results = run(STATES, [0, 1, 7, 3], ScriptedPolicy(), ScriptedWorldModel())
    assert [len(result.foresight) for result in results] == [0, 1, 7, 3]
    assert results[2].foresight.steps[6].action == "act 6"
    assert results[2].foresight.steps[6].observation == "saw act 6"


def test_policy_and_world_model_alternate_and_each_step_starts_from_the_imagined_state() -> None:
    policy, world = ScriptedPolicy(), ScriptedWorldModel()
    foresight = run([STATES[0]], [3], policy, world)[0].foresight
    state = STATES[0]
    for number, step in enumerate(foresight.steps):
        assert policy.proposed[number] == state
        assert world.asked[number] == (state, step.action)
        state = state.extend(step.action, step.observation)


def test_k_0_costs_nothing_and_stays_empty() -> None:
    policy, world = ScriptedPolicy(), ScriptedWorldModel()
    for result in run(STATES, [0] * 4, policy, world):
        assert result == Imagination(result.foresight, Usage(), Usage())
        assert len(result.foresight) == 0
    assert policy.proposed == []
    assert world.asked == []


def test_tokens_are_charged_to_the_role_and_the_row_that_spent_them() -> None:
    results = run(STATES, [0, 1, 2, 5], ScriptedPolicy(), ScriptedWorldModel())
    for horizon, result in zip([0, 1, 2, 5], results, strict=True):
        assert result.policy_usage.tokens == 12 * horizon
        assert result.world_model_usage.tokens == 25 * horizon
        assert result.world_model_usage.calls == horizon


def test_real_states_are_left_as_they_were() -> None:
    states = some_states()
    copies = [State(s.task, s.first_observation, tuple(s.history)) for s in states]
    run(states, [2] * len(states), ScriptedPolicy(), ScriptedWorldModel())
    assert states == copies


def test_imagination_never_touches_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    states = some_states()

    def touched(*args: object, **kwargs: object) -> None:
        raise AssertionError("imagination reached into the real environment")

    for name in ("reset", "step", "admissible_commands"):
        monkeypatch.setattr(FastGame, name, touched)
    monkeypatch.setattr(TextEnv, "step", touched)
    results = imagine(states, [2] * len(states), make_policy(), make_world_model())
    assert all(len(result.foresight) == 2 for result in results)


@pytest.mark.parametrize("renderer", list(RENDERERS))
def test_an_imagined_step_enters_the_state_text_as_the_real_one_would(renderer: str) -> None:
    """The memory after imagining what really happened is the memory after it happened."""
    for trajectory in episodes()[:3]:
        states, steps = trajectory.states(), trajectory.steps
        policy = ScriptedPolicy(lambda state, steps=steps: steps[len(state.history)].decision.action)
        world = ScriptedWorldModel(lambda state, action, steps=steps: steps[len(state.history)].observation)
        run([states[2]], [4], policy, world)
        for number in range(4):
            imagined_text = get_renderer(renderer).render(policy.proposed[number])
            assert imagined_text == get_renderer(renderer).render(states[2 + number])


@pytest.mark.parametrize("renderer", list(RENDERERS))
def test_results_do_not_depend_on_the_batch(renderer: str) -> None:
    policy, world = make_policy(renderer), make_world_model(renderer)
    states, horizons = some_states(4), [2, 0, 3, 1]
    together = [i.foresight for i in imagine(states, horizons, policy, world)]
    alone = [imagine([s], [k], policy, world)[0].foresight for s, k in zip(states, horizons, strict=True)]
    assert together == alone


def test_the_text_world_model_continues_the_one_prompt_and_counts_its_tokens() -> None:
    world, state = make_world_model(), some_states()[1]
    prompt = PromptBuilder(get_renderer("history-v1")).state(state) + f"{CTRL}{ACT}look{END}{OBS}"
    prediction = world.predict([state], ["look"])[0]
    completion = world.lm.generate([prompt], world.sampling)[0]
    assert prediction.observation == completion.text
    assert prediction.usage.prompt_tokens == world.lm.count_tokens(prompt)
    assert prediction.usage.completion_tokens == completion.completion_tokens
    assert prediction.logprob == pytest.approx(completion.logprob / completion.completion_tokens)


def test_an_imagined_observation_keeps_to_the_limit_in_the_checkpoint(tmp_path: Path) -> None:
    folder = save_world_model(tmp_path / "model", max_observation_tokens=3)
    prediction = TextWorldModel.load(folder).predict([State("put a mug in desk.", "You see a desk 1.")], ["look"])[0]
    assert prediction.usage.completion_tokens <= 3
