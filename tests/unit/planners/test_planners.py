"""Planners: how an action is chosen, how far is imagined, and that nothing is silently replaced or clamped."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from itp.errors import CheckpointError, ConfigError, EnvError
from itp.planners.factory import PlannerSpec, build_planner
from itp.planners.horizon import FixedHorizon, HorizonSelector, LearnedHorizon, RandomHorizon
from itp.planners.horizon_flag import parse_horizon
from itp.planners.itp import ItpPlanner
from itp.planners.simple import ExpertPlanner, RandomPlanner
from itp.state_text.prompts import PromptBuilder
from itp.types import Decision, DecisionContext, ImaginedTrajectory, State, Usage
from models import (
    ScriptedPolicy,
    ScriptedWorldModel,
    imagined,
    make_policy,
    make_world_model,
    save_policy,
    save_world_model,
    some_states,
)

COMMANDS = ("go to drawer 1", "look", "take mug 1 from drawer 1")


def contexts(count: int = 4, admissible: tuple[str, ...] | None = COMMANDS) -> list[DecisionContext]:
    return [DecisionContext(state, admissible, seed=100 + n) for n, state in enumerate(some_states(count))]


def scripted(
    policy: ScriptedPolicy,
    horizon: HorizonSelector | None = None,
    mode: Literal["score", "generate"] = "score",
    world: ScriptedWorldModel | None = None,
) -> ItpPlanner:
    return ItpPlanner(
        cast("Any", policy), world or ScriptedWorldModel(), horizon or FixedHorizon(0), action_mode=mode, name="test"
    )


def without_time(decision: Decision) -> Decision:
    return replace(
        decision,
        policy_usage=replace(decision.policy_usage, seconds=0.0),
        world_model_usage=replace(decision.world_model_usage, seconds=0.0),
    )


def test_scored_mode_takes_the_admissible_command_with_the_highest_score() -> None:
    policy = ScriptedPolicy(score=lambda state, foresight, action: {"look": 0.0}.get(action, -1.0))
    for decision in scripted(policy).decide(contexts()):
        assert decision.action == "look"
        assert decision.parse == "scored"


def test_scored_mode_agrees_with_the_models_own_scores() -> None:
    policy = make_policy()
    for context, decision in zip(contexts(), ItpPlanner(policy, None, FixedHorizon(0)).decide(contexts()), strict=True):
        scores = policy.score_actions([context.state], [imagined()], [COMMANDS])[0].logprobs
        assert decision.action == COMMANDS[scores.index(max(scores))]


def test_generated_text_that_is_admissible_is_exact() -> None:
    decision = scripted(ScriptedPolicy(lambda state: "look"), mode="generate").decide(contexts(1))[0]
    assert (decision.action, decision.raw_text, decision.parse) == ("look", "look", "exact")


def test_generated_text_that_is_not_admissible_is_sent_as_it_stands_and_marked() -> None:
    decision = scripted(ScriptedPolicy(lambda state: "fly to the moon"), mode="generate").decide(contexts(1))[0]
    assert (decision.action, decision.raw_text, decision.parse) == ("fly to the moon", "fly to the moon", "unparsed")
    assert decision.action not in COMMANDS


def test_without_admissible_commands_scored_mode_generates() -> None:
    decision = scripted(ScriptedPolicy(lambda state: "anything")).decide(contexts(1, None))[0]
    assert (decision.action, decision.parse) == ("anything", "exact")


def test_contexts_with_and_without_commands_may_share_a_batch() -> None:
    mixed = [contexts(2)[0], contexts(2, None)[1], contexts(3)[2]]
    decisions = scripted(ScriptedPolicy(lambda state: "free text")).decide(mixed)
    assert [d.parse for d in decisions] == ["scored", "exact", "scored"]


def test_the_action_is_chosen_with_the_whole_foresight_in_view() -> None:
    policy, world = ScriptedPolicy(), ScriptedWorldModel()
    decisions = scripted(policy, FixedHorizon(3), world=world).decide(contexts(2))
    for (state, seen), decision, context in zip(policy.acted, decisions, contexts(2), strict=True):
        assert state == context.state
        assert seen == decision.foresight
        assert len(seen) == decision.horizon == 3
        assert decision.world_model_usage.calls == 3


@pytest.mark.parametrize("action", ["score", "generate"])
def test_fixed_0_is_act(action: str, tmp_path: Path) -> None:
    policy = save_policy(tmp_path / "policy")
    act = build_planner(PlannerSpec("act", policy=policy, action=action))
    none = build_planner(PlannerSpec("itp", "fixed:0", policy=policy, action=action))
    world = save_world_model(tmp_path / "world_model")
    never = build_planner(PlannerSpec("itp", "fixed:0", policy=policy, world_model=world, action=action))
    expected = [without_time(decision) for decision in act.decide(contexts())]
    assert [without_time(decision) for decision in none.decide(contexts())] == expected
    assert [without_time(decision) for decision in never.decide(contexts())] == expected
    for decision in expected:
        assert decision.horizon == 0
        assert len(decision.foresight) == 0
        assert decision.world_model_usage == Usage()


@pytest.mark.parametrize("horizon", [1, 5, 7])
def test_a_fixed_horizon_is_imagined_in_full(horizon: int) -> None:
    for decision in scripted(ScriptedPolicy(), FixedHorizon(horizon)).decide(contexts()):
        assert decision.horizon == len(decision.foresight) == horizon


def test_random_horizons_stay_in_range_and_reach_both_ends() -> None:
    chosen = Counter(
        choice.horizon
        for choice in RandomHorizon(3).select([DecisionContext(State("", ""), seed=n) for n in range(400)])
    )
    assert set(chosen) == {0, 1, 2, 3}
    assert min(chosen.values()) > 60


def test_random_horizons_depend_on_the_seed_alone_not_on_the_batch() -> None:
    batch = contexts()
    together = RandomHorizon(5).select(batch)
    assert RandomHorizon(5).select(batch[::-1]) == together[::-1]
    assert [RandomHorizon(5).select([context])[0] for context in batch] == together


def test_the_learned_horizon_is_the_k_heads_most_likely_k() -> None:
    policy = make_policy(k_max=3)
    choices = LearnedHorizon(policy).select(contexts())
    logits = policy.control([context.state for context in contexts()]).horizon_logits_BK
    assert [choice.horizon for choice in choices] == logits.argmax(-1).tolist()
    for choice in choices:
        assert sum(choice.probs) == pytest.approx(1, abs=1e-3)
        assert choice.probs[choice.horizon] == max(choice.probs)
        assert choice.usage.prompt_tokens > 0
    decisions = ItpPlanner(policy, make_world_model(), LearnedHorizon(policy)).decide(contexts())
    assert [d.horizon for d in decisions] == [c.horizon for c in choices]
    assert [len(d.foresight) for d in decisions] == [c.horizon for c in choices]


def test_a_sampled_horizon_is_drawn_from_the_k_head_by_the_contexts_own_seed() -> None:
    policy, state = make_policy(k_max=2), contexts()[0].state
    batch = [DecisionContext(state, COMMANDS, seed=n) for n in range(600)]
    sampled = LearnedHorizon(policy, sampled=True)
    choices = sampled.select(batch)
    counts, probs = Counter(choice.horizon for choice in choices), choices[0].probs
    for k, p in enumerate(probs):
        assert counts[k] / 600 == pytest.approx(p, abs=0.08)
    assert sampled.select(batch[:3][::-1]) == choices[:3][::-1]
    assert sampled.name == "sampled"


def test_a_quantile_horizon_is_the_least_k_that_the_k_head_holds_likely_enough() -> None:
    policy, batch = make_policy(k_max=3), contexts()
    for q in (0.01, 0.3, 0.6, 0.99):
        spread = parse_horizon(f"quantile:{q}", policy=policy, k_max=3)
        assert spread.name == f"quantile:{q}"
        for choice in spread.select(batch):
            assert sum(choice.probs[: choice.horizon + 1]) >= q - 1e-3
            assert sum(choice.probs[: choice.horizon]) < q + 1e-3
    lowest, highest = ({c.horizon for c in parse_horizon(f"quantile:{q}", policy=policy, k_max=3).select(batch)}
                       for q in (1e-9, 1 - 1e-9))  # fmt: skip
    assert (lowest, highest) == ({0}, {3})


@pytest.mark.parametrize("mode", ["score", "generate"])
def test_an_ablated_policy_is_shown_the_last_imagined_step_alone(
    mode: Literal["score", "generate"], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []
    see = PromptBuilder.act

    def spy(self: PromptBuilder, state: State, foresight: ImaginedTrajectory | None = None) -> str:
        shown.append(len(foresight or ()))
        return see(self, state, foresight)

    monkeypatch.setattr(PromptBuilder, "act", spy)
    policy, world, horizon = make_policy(), make_world_model(), FixedHorizon(3)
    (whole,) = ItpPlanner(policy, world, horizon, action_mode=mode).decide(contexts(1))
    assert shown[-1] == 3
    (ablated,) = ItpPlanner(policy, world, horizon, action_mode=mode, last_only=True).decide(contexts(1))
    assert shown[-1] == 1
    assert ablated.foresight == whole.foresight


@pytest.mark.parametrize("horizon", [FixedHorizon(2), RandomHorizon(3)])
def test_decisions_do_not_depend_on_the_order_of_the_batch(horizon: HorizonSelector) -> None:
    planner = ItpPlanner(make_policy(), make_world_model(), horizon)
    forwards = planner.decide(contexts())
    backwards = planner.decide(contexts()[::-1])[::-1]
    assert [(d.action, d.horizon, d.foresight) for d in forwards] == [
        (d.action, d.horizon, d.foresight) for d in backwards
    ]


def test_the_random_planner_draws_from_the_context_and_needs_commands() -> None:
    batch = contexts()
    decisions = RandomPlanner().decide(batch)
    assert all(decision.action in COMMANDS for decision in decisions)
    assert RandomPlanner().decide(batch[::-1]) == decisions[::-1]
    with pytest.raises(EnvError, match="needs admissible commands"):
        RandomPlanner().decide(contexts(1, None))


def test_the_expert_planner_names_a_command_of_the_game() -> None:
    assert all(decision.action for decision in ExpertPlanner().decide(contexts()))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (PlannerSpec("alphago"), r"--planner alphago is unknown: choose one of act, itp, no-repeat, wkm, itp-i, cot"),
        (PlannerSpec("act", action="guess", policy="x"), r"--action guess is unknown: choose one of score, generate"),
        (PlannerSpec("act"), r"--planner act needs --policy PATH"),
        (PlannerSpec("itp", "learned", policy="x"), r"--planner itp needs --world-model PATH"),
        (
            PlannerSpec("itp", "fixed:x", policy="x", world_model="rules"),
            r"--horizon fixed:x is unknown: choose fixed:K .*, random, learned",
        ),
        (PlannerSpec("itp", "fixed:²", policy="x", world_model="rules"), r"--horizon fixed:² is unknown"),
        (PlannerSpec("itp", "fixed:-1", policy="x", world_model="rules"), r"--horizon fixed:-1 is unknown"),
        (PlannerSpec("itp", "deep", policy="x", world_model="rules"), r"--horizon deep is unknown: choose fixed:K"),
        (
            PlannerSpec("itp", "fixed:7", policy="x", world_model="rules", k_max=5),
            r"--horizon fixed:7 exceeds K_max=5: lower it, or raise --k-max",
        ),
    ],
)
def test_what_cannot_be_planned_is_refused_before_a_model_is_loaded(spec: PlannerSpec, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_planner(spec)


def test_a_horizon_beyond_the_k_head_is_refused_not_clamped(tmp_path: Path) -> None:
    policy = save_policy(tmp_path / "policy", k_max=3)
    with pytest.raises(ConfigError, match=r"fixed:7 exceeds K_max=3"):
        build_planner(PlannerSpec("itp", "fixed:7", policy=policy, world_model="rules"))
    with pytest.raises(CheckpointError, match=r"K_max=3, but K_max=7 is asked for"):
        build_planner(PlannerSpec("itp", "learned", policy=policy, world_model="rules", k_max=7))


def test_a_learned_horizon_needs_a_k_head(tmp_path: Path) -> None:
    spec = PlannerSpec("itp", "learned", policy=save_policy(tmp_path / "policy"), world_model="rules")
    with pytest.raises(ConfigError, match=r"--horizon learned needs a --policy with a K-head"):
        build_planner(spec)
    with pytest.raises(ConfigError, match=r"--horizon learned needs a --policy with a K-head"):
        parse_horizon("learned", policy=None, k_max=5)


def test_planners_are_named_after_what_they_do(tmp_path: Path) -> None:
    policy = save_policy(tmp_path / "policy", k_max=3)
    names = [
        build_planner(PlannerSpec("itp", horizon, policy=policy, world_model="rules")).name
        for horizon in ("fixed:2", "random", "learned")
    ]
    assert names == ["itp fixed:2", "itp random", "itp learned"]


def test_a_planner_without_a_world_model_refuses_to_imagine() -> None:
    with pytest.raises(ValueError, match="without a world model"):
        ItpPlanner(make_policy(), None, FixedHorizon(1)).decide(contexts(1))


def test_an_expert_whose_plan_was_too_short_says_its_last_command_again_where_none_is_listed() -> None:
    """Some of ScienceWorld's gold paths end before the task does; one such game must not end a whole run."""
    state = State("boil water", "a room", (("wait", "Time passes."),))
    planner = ExpertPlanner()
    assert planner.decide([DecisionContext(state, None, 0)])[0].action == "wait"
    assert planner.decide([DecisionContext(state, ("look",), 0)])[0].action == "look"
    with pytest.raises(EnvError, match="tells no plan"):
        planner.decide([DecisionContext(State("boil water", "a room"), None, 0)])
