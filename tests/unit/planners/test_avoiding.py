"""`--avoid`: a command is passed over for what it would lead to, and for nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from itp import make_env
from itp.cli.main import main
from itp.errors import EnvError
from itp.lm.base import Sampling
from itp.planners.adaptive import BudgetHorizon
from itp.planners.avoiding import AvoidingPlanner
from itp.planners.factory import PlannerSpec, build_planner
from itp.planners.horizon import FixedHorizon, HorizonSelector
from itp.planners.itp import ItpPlanner
from itp.planners.no_repeat import NoRepeatPlanner
from itp.planners.proposals import propose
from itp.rollout.lockstep import run_episodes
from itp.state_text.prompts import PromptBuilder
from itp.state_text.renderers import get_renderer
from itp.types import Decision, DecisionContext, ImaginedTrajectory, State, Usage
from itp.world_model.exact import ExactWorldModel
from models import ScriptedPolicy, ScriptedWorldModel, make_policy, save_policy

COMMANDS = ("cross", "wait", "turn back", "sing")
RANK = {"cross": 0.0, "wait": -1.0, "turn back": -2.0, "sing": -3.0}


class PlaceRenderer:
    """Tells the last observation alone."""

    name, droppable = "place", False

    def render(self, state: State, drop: int = 0) -> str:
        return state.observation

    def situation(self, state: State) -> str:
        return state.observation


def context() -> DecisionContext:
    return DecisionContext(State("task", "a bridge"), COMMANDS)


def decide(observe: Callable[[State, str], str], horizon: HorizonSelector | None = None, **options: Any) -> Decision:
    """One decision of a policy that ranks as `RANK` says and always crosses in its imagination."""
    policy = ScriptedPolicy(lambda state: "cross", lambda state, foresight, action: RANK[action])
    policy.prompts = PromptBuilder(get_renderer("history"))  # pyright: ignore[reportAttributeAccessIssue]
    world = ScriptedWorldModel(observe)
    avoid = ["falls for good"]
    return AvoidingPlanner(cast("Any", policy), world, horizon or FixedHorizon(2), avoid, **options).decide(
        [context()]
    )[0]


def rotten(state: State, action: str) -> str:
    """Crossing is fatal unless the player has turned back before."""
    turned = any(done == "turn back" for done, _ in state.history)
    return "The bridge falls for good." if action == "cross" and not turned else "Nothing."


def test_the_best_ranked_command_without_a_warning_is_taken() -> None:
    decision = decide(rotten)
    assert decision.action == "turn back"  # "wait" leads to crossing, one step later
    assert [step.action for step in decision.foresight.steps] == ["turn back", "cross"]
    assert [tried.steps[0].action for tried in decision.passed_over] == ["cross", "wait"]
    assert decision.passed_over[0].steps[0].observation == "The bridge falls for good."
    assert decision.horizon == 2


def test_a_shorter_look_sees_less() -> None:
    assert decide(rotten, FixedHorizon(1)).action == "wait"
    assert decide(rotten, FixedHorizon(0)).action == "cross"


def test_who_reads_the_last_step_alone_is_not_warned_of_what_comes_before_it() -> None:
    def once(state: State, action: str) -> str:
        """Only the first crossing is told of as fatal."""
        return "The bridge falls for good." if action == "cross" and not state.history else "Nothing."

    assert decide(once).action == "wait"
    assert decide(once, last_only=True).action == "cross"
    assert decide(rotten, FixedHorizon(1), last_only=True).action == "wait"


def test_without_a_warning_it_is_the_policys_own_choice_at_the_cost_of_one_foresight() -> None:
    decision = decide(lambda state, action: "Nothing.")
    assert decision.action == "cross"
    assert decision.passed_over == ()
    assert decision.imagination_usage.tokens == 12 + 2 * 25  # the first action is given, the second proposed


def test_all_that_was_tried_is_counted() -> None:
    decision = decide(rotten)
    # cross: one step is enough to know, but two are imagined; wait and turn back: two each
    assert decision.world_model_usage.calls == 6
    assert decision.policy_usage.tokens == 15 + 3 * 12
    assert decision.imagination_usage.tokens == 3 * 12 + 6 * 25


def test_where_all_warn_the_latest_warning_is_taken() -> None:
    def doomed(state: State, action: str) -> str:
        return "It falls for good." if state.history or action in ("cross", "sing") else "Nothing."

    assert decide(doomed).action == "wait"
    assert decide(lambda state, action: "All falls for good.").action == "cross"


def test_no_more_commands_are_tried_than_allowed() -> None:
    assert decide(rotten, candidates=2).action == "wait"
    assert decide(rotten, candidates=2).world_model_usage.calls == 4


def test_a_budget_ends_the_trying() -> None:
    decision = decide(rotten, BudgetHorizon(FixedHorizon(2), 1, k_max=2, max_steps=10))
    assert decision.horizon == 1


def test_with_k_0_it_is_act() -> None:
    policy = make_policy()
    contexts = [replace(context(), admissible=("look", "go to drawer 1", "inventory"))]
    own = AvoidingPlanner(policy, ScriptedWorldModel(), FixedHorizon(0), ["x"]).decide(contexts)
    act = ItpPlanner(policy, None, FixedHorizon(0)).decide(contexts)
    assert [(d.action, d.policy_usage.tokens) for d in own] == [(d.action, d.policy_usage.tokens) for d in act]
    assert own[0].imagination_usage == Usage()


def test_it_does_not_walk_in_circles() -> None:
    """With a text that tells the place alone, going back to where the player was is passed over, if anything is new."""
    places = {"cross": "east", "wait": "west", "turn back": "south", "sing": "north"}
    policy = ScriptedPolicy(lambda state: "sing", lambda state, foresight, action: RANK[action])
    policy.prompts = PromptBuilder(cast("Any", PlaceRenderer()))  # pyright: ignore[reportAttributeAccessIssue]
    world = ScriptedWorldModel(lambda state, action: places[action])
    planner = AvoidingPlanner(cast("Any", policy), world, FixedHorizon(1), ["falls"])
    state, taken = State("task", "start"), []
    for _ in range(6):
        taken.append(planner.decide([DecisionContext(state, COMMANDS)])[0].action)
        state = state.extend(taken[-1], places[taken[-1]])
    assert taken == ["cross", "wait", "turn back", "sing", "cross", "wait"]


def test_the_exact_model_keeps_a_random_policy_from_losses_that_one_step_shows() -> None:
    games = partial(make_env, "household", split="valid", family="irreversible", announce=False, max_steps=12)
    tasks = games().task_ids[:12]
    avoid = ("is gone for good", "breaks for good", "locks for good")
    careful = AvoidingPlanner(make_policy(), ExactWorldModel(games), FixedHorizon(1), avoid, candidates=99)
    played = run_episodes(games, careful, tasks, batch_size=12, max_steps=12, seed=0)
    told = [step for trajectory in played for step in trajectory.steps if any(t in step.observation for t in avoid)]
    for step in told:  # only where every command would have cost something
        assert any(text in step.decision.foresight.steps[0].observation for text in avoid)


def writer() -> ScriptedPolicy:
    """Writes `cross` if asked for one command, and among samples `sing` rather than `wait`, and `cross` again."""
    policy = ScriptedPolicy(lambda state: "cross")
    policy.samples = [("wait", -3.0), ("cross", -1.0), ("sing", -2.0)]
    policy.prompts = PromptBuilder(get_renderer("history"))  # pyright: ignore[reportAttributeAccessIssue]
    return policy


def test_where_no_commands_are_listed_it_chooses_among_a_few_that_the_policy_writes() -> None:
    world = ScriptedWorldModel(lambda state, action: "You fall for good." if action == "cross" else "Fine.")
    open_space = replace(context(), admissible=None)
    planner = AvoidingPlanner(cast("Any", writer()), world, FixedHorizon(1), ["for good"])
    decision = planner.decide([open_space])[0]
    assert decision.action == "sing", "the likelier of the two samples that do not warn"
    assert [action for _, action in world.asked] == ["cross", "sing"]
    assert decision.policy_usage.completion_tokens == 2 * 5, "repeats cost what they cost"
    unasked = AvoidingPlanner(cast("Any", writer()), world, FixedHorizon(0), ["for good"])
    alone = unasked.decide([open_space])[0]
    assert (alone.action, alone.policy_usage.completion_tokens) == ("cross", 2), "without imagination it writes one"


def test_a_policy_may_write_where_commands_are_listed_too() -> None:
    planner = AvoidingPlanner(cast("Any", writer()), ScriptedWorldModel(), FixedHorizon(0), ["x"], writes=True)
    assert planner.decide([replace(context(), admissible=("wait",))])[0].action == "cross"


def test_proposals_are_repeatable_and_depend_on_the_seed_alone() -> None:
    policy, states = make_policy(), [State("task", "a bridge"), State("task", "a ford")]
    sampling = Sampling(max_new_tokens=4)
    both = propose(policy, states, [4, 4], [1, 2], sampling)
    assert both[1].commands == propose(policy, states[1:], [4], [2], sampling)[0].commands
    assert both[0].commands[0] == policy.generate_actions(states[:1], [ImaginedTrajectory()], sampling)[0].text
    assert propose(policy, states[:1], [4], [7], sampling)[0] != both[0]
    assert all(list(p.logprobs[1:]) == sorted(p.logprobs[1:], reverse=True) for p in both)


def test_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = save_policy(tmp_path / "policy")
    spec = PlannerSpec("itp", "fixed:2", policy=policy, world_model="rules", avoid=("breaks",))
    assert isinstance(build_planner(spec), AvoidingPlanner)
    assert build_planner(spec).name == "itp fixed:2 avoid"
    assert isinstance(build_planner(replace(spec, horizon="fixed:0")), ItpPlanner)
    writing = build_planner(replace(spec, action="generate", avoid_returns=False))
    assert isinstance(writing, AvoidingPlanner)
    assert (writing.writes, writing.avoid_returns) == (True, False)
    lone = ["--planner", "itp", "--world-model", "rules", "--no-avoid-returns"]
    assert main(["eval", *lone, "--policy", policy, "--out", str(tmp_path / "x")]) == 2
    assert "--no-avoid-returns does nothing without --avoid" in capsys.readouterr().err
    for flags, message in (
        (["--planner", "act", "--foresight", "last"], "--foresight last works with --planner itp"),
        (["--planner", "itp", "--world-model", "rules", "--foresight", "none"], "choose one of full, last"),
    ):
        assert main(["eval", *flags, "--policy", policy, "--out", str(tmp_path / "x")]) == 2
        assert message in capsys.readouterr().err
    for flags in (["--planner", "act"], ["--planner", "itp-i"]):
        assert main(["eval", *flags, "--policy", policy, "--avoid", "breaks", "--out", str(tmp_path / "x")]) == 2
        assert "works with --planner itp only" in capsys.readouterr().err


def no_repeat(*history: tuple[str, str]) -> str:
    policy = ScriptedPolicy(lambda state: "cross", lambda state, foresight, action: RANK[action])
    policy.prompts = PromptBuilder(PlaceRenderer())  # pyright: ignore[reportAttributeAccessIssue]
    state = State("task", "a bridge", history)
    return NoRepeatPlanner(cast("Any", policy)).decide([DecisionContext(state, COMMANDS)])[0].action


def test_the_control_takes_nothing_twice_in_the_same_situation() -> None:
    assert no_repeat() == "cross"
    assert no_repeat(("cross", "a bridge")) == "wait", "it led back here"
    assert no_repeat(("cross", "a bank"), ("turn back", "a bridge")) == "wait", "taken here, later"
    assert no_repeat(("sing", "a bank"), ("cross", "a bridge")) == "cross", "crossing was tried elsewhere"
    everything = tuple((command, "a bridge") for command in (*COMMANDS, "cross"))
    assert no_repeat(*everything) == "wait", "all were tried, crossing twice"
    with pytest.raises(EnvError, match="lists none"):
        NoRepeatPlanner(cast("Any", None)).decide([DecisionContext(State("task", "a bridge"), None)])
