"""`itp label --avoid`: what the expert's action is worth to an agent that passes over what its imagination warns of."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from itp.cli.main import main
from itp.errors import DataError
from itp.planners.avoiding import AvoidingPlanner
from itp.planners.horizon import FixedHorizon
from itp.state_text.prompts import PromptBuilder
from itp.state_text.renderers import get_renderer
from itp.training.label_avoid import FLOOR, avoiding_scores
from itp.training.labels import read_labels
from itp.types import DecisionContext, State
from models import ScriptedPolicy, ScriptedWorldModel, save_policy

COMMANDS = ("sing", "cross", "turn back", "wait")
RANK = {"cross": 0.0, "wait": -1.0, "turn back": -2.0, "sing": -3.0}
STATE = State("task", "a bridge")


def scripted() -> Any:
    policy = ScriptedPolicy(lambda state: "cross", lambda state, foresight, action: RANK[action])
    policy.prompts = PromptBuilder(get_renderer("memory"))  # pyright: ignore[reportAttributeAccessIssue]
    return policy


def scores(
    expert: str, observe: Callable[[State, str], str], state: State = STATE, **options: Any
) -> tuple[float, ...]:
    world = ScriptedWorldModel(observe)
    return avoiding_scores([STATE], [expert], [COMMANDS], scripted(), world, ["for good"], (0, 1, 2), **options)[0]


def rotten(state: State, action: str) -> str:
    """Crossing is fatal unless the player has turned back before."""
    turned = any(done == "turn back" for done, _ in state.history)
    return "The bridge falls for good." if action == "cross" and not turned else f"You {action}."


def share(*passed_over: str) -> float:
    """log π(turn back) among the commands that are left."""
    return RANK["turn back"] - math.log(sum(math.exp(r) for c, r in RANK.items() if c not in passed_over))


def test_each_step_of_foresight_takes_away_the_commands_that_it_warns_of() -> None:
    assert scores("turn back", rotten) == pytest.approx((share(), share("cross"), share("cross", "wait")))


def test_an_expert_action_that_warns_is_worth_a_floor() -> None:
    one, two, three = scores("cross", rotten)
    assert one > -1.0
    assert two == three == FLOOR


def test_only_what_the_policy_likes_better_is_tried() -> None:
    world = ScriptedWorldModel(rotten)
    avoiding_scores([STATE], ["wait"], [COMMANDS], scripted(), world, ["for good"], (0, 1))
    assert [action for _, action in world.asked] == ["cross", "wait"]


def test_beyond_the_commands_that_one_decision_tries_nothing_is_tried() -> None:
    assert scores("turn back", rotten, candidates=1) == pytest.approx((share(), share("cross"), share("cross")))


def test_leading_back_to_a_known_situation_warns_too() -> None:
    def arrive(state: State, action: str) -> str:
        return f"You arrive at loc 1. On the {action.removeprefix('go to ')}, you see nothing."

    state = State("put some mug on desk.", "You see a desk 1, a shelf 1, and a shelf 2.")
    for place in ("shelf 1", "desk 1", "shelf 1"):
        state = state.extend(f"go to {place}", arrive(state, f"go to {place}"))
    commands, liked = ("go to desk 1", "go to shelf 2"), {"go to desk 1": 0.0, "go to shelf 2": 0.0}
    policy = scripted()
    policy.score = lambda state, foresight, action: liked[action]
    [(alone, looking)] = avoiding_scores(
        [state], ["go to shelf 2"], [commands], policy, ScriptedWorldModel(arrive), ["for good"], (0, 1)
    )
    assert math.exp(alone) == pytest.approx(0.5)
    assert math.exp(looking) == pytest.approx(1.0)
    world, circles = ScriptedWorldModel(arrive), {"avoid_returns": False}
    [(_, unmoved)] = avoiding_scores(
        [state], ["go to shelf 2"], [commands], policy, world, ["for good"], (0, 1), **circles
    )
    assert math.exp(unmoved) == pytest.approx(0.5)


def test_an_agent_that_writes_its_commands_chooses_among_a_few_of_its_own_and_the_experts() -> None:
    policy = scripted()
    policy.samples = [("wait", -1.0), ("cross", -2.0)]
    world = ScriptedWorldModel(rotten)
    [row] = avoiding_scores([STATE], ["turn back"], [None], policy, world, ["for good"], (0, 1))
    written = {command: RANK[command] for command in ("cross", "wait", "turn back")}

    def share_of(left: tuple[str, ...]) -> float:
        return RANK["turn back"] - math.log(sum(math.exp(written[command]) for command in left))

    assert row == pytest.approx((share_of(("cross", "wait", "turn back")), share_of(("wait", "turn back"))))


def test_the_score_is_the_frequency_with_which_the_planner_takes_the_action() -> None:
    draw = random.Random(0)

    def drawn(logprobs: Any) -> list[int]:
        keys = [value - math.log(-math.log(draw.random())) for value in logprobs]  # Gumbel: without replacement
        return sorted(range(len(keys)), key=lambda i: -keys[i])

    planner = AvoidingPlanner(
        cast("Any", scripted()), ScriptedWorldModel(rotten), FixedHorizon(1), ["for good"], rank=drawn
    )
    decisions = planner.decide([DecisionContext(STATE, COMMANDS)] * 4000)
    frequency = sum(decision.action == "turn back" for decision in decisions) / 4000
    assert frequency == pytest.approx(math.exp(scores("turn back", rotten)[1]), abs=0.03)


def test_an_expert_action_that_is_no_command_is_refused_in_one_line() -> None:
    with pytest.raises(DataError, match="'fly' is not among the 4 commands"):
        scores("fly", rotten)


def test_labels_from_recorded_episodes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    games = ["--env", "household", "--env-option", "family=irreversible", "--episodes", "4", "--max-steps", "8"]
    for name, more in (("bare", []), ("kept", ["--keep-commands"])):
        assert main(["collect", *games, "--epsilon", "0.7", *more, "--out", str(tmp_path / name)]) == 0
    policy = save_policy(tmp_path / "policy")
    words = ["label", "--policy", policy, "--world-model", "rules", "--k-max", "1", "--avoid", "for good"]
    assert main([*words, "--data", str(tmp_path / "bare"), "--out", str(tmp_path / "no")]) == 2
    assert "--keep-commands" in capfd.readouterr().err
    assert main([*words, "--data", str(tmp_path / "kept"), "--action", "write", "--out", str(tmp_path / "no")]) == 2
    assert "give score or generate" in capfd.readouterr().err
    writes = [*words, "--action", "generate", "--states", "6"]
    assert main([*writes, "--data", str(tmp_path / "bare"), "--out", str(tmp_path / "written")]) == 0
    assert all(label.scores[0] <= 0 for label in read_labels(tmp_path / "written"))
    assert main([*words, "--data", str(tmp_path / "kept"), "--out", str(tmp_path / "labels")]) == 0
    labels = read_labels(tmp_path / "labels")
    assert labels
    assert all(label.candidates == (0, 1) and not label.foresight.steps for label in labels)
    assert all(label.scores[0] <= label.scores[1] or label.scores[1] == round(FLOOR, 5) for label in labels)
    assert main([*words, "--only-sure", "--data", str(tmp_path / "kept"), "--out", str(tmp_path / "sure")]) == 0
    assert {label.state for label in read_labels(tmp_path / "sure")} < {label.state for label in labels}
    reuse = [*words, "--data", str(tmp_path / "kept"), "--reuse", str(tmp_path / "labels")]
    assert main([*reuse, "--out", str(tmp_path / "again")]) == 2
    assert "leave out --reuse" in capfd.readouterr().err
