"""Horizons beyond the paper: imagination ends where the model is unsure, and a budget is kept and well spent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from itp import make_env
from itp.cli.compare import fill_budgets
from itp.cli.main import main
from itp.errors import ConfigError
from itp.evaluation.metrics import summarize
from itp.evaluation.table import HEADERS, rows
from itp.planners.adaptive import BudgetHorizon, ConfidenceHorizon, demand
from itp.planners.factory import PlannerSpec, build_planner
from itp.planners.horizon import (
    FixedHorizon,
    HorizonChoice,
    HorizonSelector,
    RandomHorizon,
)
from itp.planners.horizon_flag import check_horizon, parse_horizon
from itp.planners.itp import ItpPlanner
from itp.planners.prompt_factory import PromptFlags
from itp.rollout.lockstep import run_episodes
from itp.types import DecisionContext, State, Usage
from itp.world_model.base import Prediction
from models import ScriptedPolicy, ScriptedWorldModel, make_policy, make_world_model, save_policy

STEP = 12 + 25
"""Tokens of one imagined step of the scripted models."""


class FadingWorldModel(ScriptedWorldModel):
    """Less sure with every step."""

    def predict(self, states: Sequence[State], actions: Sequence[str]) -> list[Prediction]:
        sure = [-0.1 * len(state.history) for state in states]
        return [replace(p, logprob=s) for p, s in zip(super().predict(states, actions), sure, strict=True)]


class Demanding:
    """Asks for the K, with the probabilities, that it was given."""

    name = "learned"

    def __init__(self, *choices: HorizonChoice) -> None:
        self.choices = choices

    def select(self, contexts: Sequence[DecisionContext]) -> list[HorizonChoice]:
        return list(self.choices)


def context(steps: int = 0, tokens: int = 0, imagined: int = 0) -> DecisionContext:
    state = State("task", "room", (("look", "a room"),) * steps)
    return DecisionContext(state, ("look", "go"), imagined_tokens=tokens, imagined_steps=imagined)


def planner(horizon: HorizonSelector, world: Any = None) -> ItpPlanner:
    return ItpPlanner(cast("Any", ScriptedPolicy()), world or ScriptedWorldModel(), horizon, name="test")


# ---- confidence ----------------------------------------------------------------------------------------------------


def test_confidence_stops_at_the_first_unsure_step_and_pays_for_it() -> None:
    world = FadingWorldModel()
    decision = planner(ConfidenceHorizon(5, -0.25), world).decide([context()])[0]
    assert decision.horizon == len(decision.foresight) == 3  # 0, -0.1, -0.2; the one at -0.3 is dropped
    assert decision.imagination_usage.tokens == 4 * STEP
    assert decision.world_model_usage.tokens == 4 * 25
    assert len(world.asked) == 4


def test_a_model_that_is_never_sure_is_not_believed_at_all() -> None:
    decision = planner(ConfidenceHorizon(5, -0.4)).decide([context()])[0]
    assert (decision.horizon, len(decision.foresight)) == (0, 0)
    assert decision.imagination_usage.tokens == STEP


@pytest.mark.parametrize("threshold", [None, -0.5])
def test_a_model_that_is_sure_enough_is_followed_to_k_max(threshold: float | None) -> None:
    decision = planner(ConfidenceHorizon(4, threshold)).decide([context()])[0]
    assert decision.horizon == len(decision.foresight) == 4


def test_a_model_without_log_probabilities_counts_as_certain() -> None:
    class Silent(ScriptedWorldModel):
        def predict(self, states: Sequence[State], actions: Sequence[str]) -> list[Prediction]:
            return [replace(p, logprob=None) for p in super().predict(states, actions)]

    assert planner(ConfidenceHorizon(3, -0.01), Silent()).decide([context()])[0].horizon == 3


def test_confidence_reads_the_threshold_beside_the_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text(json.dumps({"schema_version": 1, "threshold": -0.125}))
    selector = parse_horizon("confidence", policy=None, k_max=5, world_model=str(tmp_path))
    assert isinstance(selector, ConfidenceHorizon)
    assert selector.threshold == -0.125
    explicit = parse_horizon("confidence:-0.5", policy=None, k_max=5, world_model=str(tmp_path))
    assert isinstance(explicit, ConfidenceHorizon)
    assert explicit.threshold == -0.5


def test_confidence_without_calibration_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"run `itp world-model calibrate --world-model {tmp_path} --data HELD_OUT`"):
        parse_horizon("confidence", policy=None, k_max=5, world_model=str(tmp_path))
    (tmp_path / "calibration.json").write_text('{"schema_version": 0}')
    with pytest.raises(ConfigError, match="was not written by this version"):
        parse_horizon("confidence", policy=None, k_max=5, world_model=str(tmp_path))
    for certain in ("rules", "exact"):
        selector = parse_horizon("confidence", policy=None, k_max=5, world_model=certain)
        assert isinstance(selector, ConfidenceHorizon)
        assert selector.threshold is None


# ---- budget --------------------------------------------------------------------------------------------------------


def test_demand_is_the_expected_k_where_a_head_tells_it() -> None:
    assert demand(HorizonChoice(2, (0.25, 0.25, 0.5))) == pytest.approx(1.25)
    assert demand(HorizonChoice(3)) == 3


def test_nothing_is_dear_while_the_pro_rata_share_is_left() -> None:
    budget = BudgetHorizon(FixedHorizon(3), 1000, k_max=4, max_steps=20)
    assert budget.price(context()) == 0
    assert budget.price(context(steps=10, tokens=500)) == 0
    assert budget.price(context(steps=10, tokens=200)) == 0
    assert budget.price(context(steps=10, tokens=750)) == pytest.approx(2)
    assert budget.price(context(steps=0, tokens=500)) == pytest.approx(2)
    assert budget.price(context(steps=10, tokens=1000)) == 4
    assert budget.price(context(steps=25, tokens=900)) == 0  # past the assumed limit: as on the last step


def test_where_tokens_are_scarce_only_the_greatest_demand_is_met() -> None:
    low, high = HorizonChoice(1, (0.1, 0.8, 0.1, 0.0)), HorizonChoice(3, (0.0, 0.0, 0.2, 0.8))
    budget = BudgetHorizon(Demanding(low, high), 1000, k_max=3, max_steps=20)
    plenty, scarce = context(), context(steps=2, tokens=600, imagined=6)
    assert [c.horizon for c in budget.select([plenty, plenty])] == [1, 3]
    assert [c.horizon for c in budget.select([scarce, scarce])] == [0, 3]


def test_k_is_never_raised_and_is_cut_to_what_the_rest_can_pay() -> None:
    budget = BudgetHorizon(FixedHorizon(3), 1000, k_max=3, max_steps=20)
    late = {"steps": 19, "imagined": 8}
    assert budget.select([context(tokens=800, **late)])[0].horizon == 2  # 100 a step, 200 left
    assert budget.select([context(tokens=950, **late)])[0].horizon == 0
    assert budget.select([context(tokens=1200, **late)])[0].horizon == 0
    assert BudgetHorizon(FixedHorizon(0), 1000, 3, 20).select([context()])[0].horizon == 0


def test_the_first_imagination_stops_when_the_budget_is_spent() -> None:
    decision = planner(BudgetHorizon(FixedHorizon(5), STEP + 1, k_max=5, max_steps=20)).decide([context()])[0]
    assert decision.horizon == len(decision.foresight) == 2
    assert decision.imagination_usage.tokens == 2 * STEP


def test_confidence_goes_on_working_inside_a_budget() -> None:
    inner = ConfidenceHorizon(5, -0.15)
    decision = planner(BudgetHorizon(inner, 10_000, 5, 20), FadingWorldModel()).decide([context()])[0]
    assert decision.horizon == 2


@pytest.mark.parametrize("tokens", [1, 400, 2000, 100_000])
@pytest.mark.parametrize("inner", [FixedHorizon(3), RandomHorizon(3)])
def test_an_episode_never_overspends_by_more_than_one_step(tokens: int, inner: HorizonSelector) -> None:
    policy, world = make_policy(), make_world_model()
    agent = ItpPlanner(policy, world, BudgetHorizon(inner, tokens, k_max=3, max_steps=8))
    factory = partial(make_env, "household", split="valid", episodes=4, max_steps=8)
    played = run_episodes(factory, agent, factory().task_ids, batch_size=4, max_steps=8, seed=0)
    longest = max(policy.lm.count_tokens(policy.prompts.act(s)) for t in played for s in t.states())
    for trajectory in played:
        spent = sum(step.decision.imagination_usage.tokens for step in trajectory.steps)
        assert 0 < spent < tokens + 4 * longest + 200
        assert any(step.decision.horizon for step in trajectory.steps)
        if tokens == 1:
            assert sum(step.decision.horizon for step in trajectory.steps) == 1
        for step in trajectory.steps:
            part, whole = step.decision.imagination_usage, step.decision.policy_usage + step.decision.world_model_usage
            assert part.tokens <= whole.tokens


def test_contexts_say_what_their_own_episode_has_imagined() -> None:
    seen: list[DecisionContext] = []

    class Watching(FixedHorizon):
        def select(self, contexts: Sequence[DecisionContext]) -> list[HorizonChoice]:
            seen.extend(contexts)
            return super().select(contexts)

    factory = partial(make_env, "household", split="valid", episodes=2, max_steps=4)
    run_episodes(factory, planner(Watching(2)), factory().task_ids, batch_size=2, max_steps=4, seed=0)
    assert {(len(c.state.history), c.imagined_steps, c.imagined_tokens) for c in seen} == {
        (n, 2 * n, 2 * n * STEP) for n in range(4)
    }


# ---- flags ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [
    "fixed:0", "random", "learned", "confidence", "confidence:-0.5", "confidence:0", "budget:500", "budget:500:fixed:2",
    "budget:500:confidence:-1", "quantile:0.8", "budget:500:quantile:0.5", "share:0.45", "share:.5", "unsure:0.3",
    "budget:500:share:0.2",
])  # fmt: skip
def test_allowed_horizons(spec: str) -> None:
    check_horizon(spec, 5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("deep", "is unknown: choose fixed:K"),
        ("learned:3", "is unknown: choose fixed:K"),
        ("fixed:9", "exceeds K_max=5"),
        ("confidence:", "nothing is no mean log-probability"),
        ("confidence:0.9", "0.9 is no mean log-probability: give 0 or less"),
        ("confidence:nan", "nan is no mean log-probability"),
        ("confidence:-inf", "-inf is no mean log-probability"),
        ("quantile", "give a number between 0 and 1 behind the colon, such as quantile:0.8"),
        ("quantile:0", "give a number between 0 and 1"),
        ("quantile:1", "give a number between 0 and 1"),
        ("quantile:half", "give a number between 0 and 1"),
        ("quantile:nan", "give a number between 0 and 1"),
        ("share", "give a share of the looks in hundredths behind the colon, such as share:0.45"),
        ("share:0", "give a share of the looks in hundredths"),
        ("share:1", "give a share of the looks in hundredths"),
        ("share:0.455", "give a share of the looks in hundredths"),
        ("unsure:nan", "give a share of the looks in hundredths behind the colon, such as unsure:0.45"),
        ("budget", "names no tokens per episode"),
        ("budget:0", "names no tokens per episode"),
        ("budget:-5", "names no tokens per episode"),
        ("budget:500:", "behind the tokens stands another horizon"),
        ("budget:500:budget:5", "behind the tokens stands another horizon"),
        ("budget:500:fixed:9", "fixed:9 exceeds K_max=5"),
        ("budget:500:deep", "deep is unknown"),
    ],
)
def test_horizons_that_cannot_be_are_refused(spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_horizon(spec, 5)


@pytest.mark.parametrize("spec", ["learned", "sampled", "quantile:0.9", "share:0.4", "budget:500:quantile:0.9"])
def test_a_prompted_model_has_no_k_head_to_read(spec: str) -> None:
    with pytest.raises(ConfigError, match=f"--horizon {spec} needs a K-head: use --planner itp, or --horizon prompted"):
        build_planner(PlannerSpec("itp-i", spec, policy="scripted:x"))


def test_a_budget_needs_someone_who_asks_for_k(tmp_path: Path) -> None:
    spec = PlannerSpec("itp", "budget:500", policy=save_policy(tmp_path / "policy"), world_model="rules", k_max=3)
    with pytest.raises(ConfigError, match=r"--policy has none: .* such as budget:500:fixed:3"):
        build_planner(spec)
    assert build_planner(replace(spec, horizon="budget:500:fixed:3")).name == "itp budget:500:fixed:3"
    headed = replace(spec, policy=save_policy(tmp_path / "headed", k_max=3), max_steps=30)
    built = build_planner(headed)
    assert built.name == "itp budget:500"
    assert isinstance(built, ItpPlanner)
    assert isinstance(built.horizon, BudgetHorizon)
    assert built.horizon.max_steps == 30


def test_a_prompted_k_is_what_a_budget_spends_on_where_a_model_is_asked() -> None:
    asked = FixedHorizon(2)
    assert parse_horizon("prompted", policy=None, k_max=3, prompted=asked) is asked
    budget = parse_horizon("budget:500", policy=None, k_max=3, prompted=asked)
    assert isinstance(budget, BudgetHorizon)
    assert budget.inner is asked
    with pytest.raises(ConfigError, match="needs a model that is asked for K: use --planner itp-i"):
        parse_horizon("prompted", policy=None, k_max=3)


def test_one_shot_imagination_cannot_stop_where_it_is_unsure() -> None:
    spec = PlannerSpec("itp-i", "confidence:-1", policy="scripted:x", prompting=PromptFlags(imagination="one-shot"))
    with pytest.raises(ConfigError, match="one-shot writes them all at once: use rollout"):
        build_planner(spec)


def test_every_horizon_is_reported_on_the_same_axes(tmp_path: Path) -> None:
    policy = save_policy(tmp_path / "policy", k_max=2)
    words = [
        "eval",
        "--env",
        "household",
        "--split",
        "valid",
        "--episodes",
        "2",
        "--max-steps",
        "3",
        "--policy",
        policy,
    ]
    results = []
    for n, horizon in enumerate(
        ["act", "fixed:2", "random", "learned", "confidence", "budget:900", "budget:900:random"]
    ):
        how = ["--planner", "act"] if horizon == "act" else ["--planner", "itp", "--horizon", horizon]
        model = [] if horizon == "act" else ["--world-model", "exact"]
        out = tmp_path / f"run{n}"
        assert main([*words, *how, *model, "--out", str(out)]) == 0
        results.append(json.loads((out / "results.json").read_text()))
    table = [dict(zip(HEADERS, row, strict=True)) for row in rows(fill_budgets(results))]
    assert [row["planner"] for row in table][3:] == [
        "itp learned", "itp confidence", "itp budget:900", "itp budget:900:random",
    ]  # fmt: skip
    assert [row["NB"] for row in table][:2] == ["0.00", "1.00"]
    for row in table:
        assert "–" not in (row["mean K"], row["tokens/decision"], row["NB"])
    assert main(["compare", *(str(tmp_path / f"run{n}") for n in range(len(results)))]) == 0


def test_results_count_imagined_steps_not_asked_ones() -> None:
    factory = partial(make_env, "household", split="valid", episodes=1, max_steps=3)
    played = run_episodes(
        factory, planner(ConfidenceHorizon(5, -10), FadingWorldModel()), factory().task_ids, batch_size=1, max_steps=3,
        seed=0,
    )  # fmt: skip
    assert summarize(played, env="household", split="valid", planner="itp")["mean_k"] == 5
    assert played[0].steps[0].decision.imagination_usage != Usage()
