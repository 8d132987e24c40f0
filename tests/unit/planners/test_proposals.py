"""`--proposals`: of a few commands that a policy writes, the likeliest as a whole is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from itp.cli.main import main
from itp.lm.base import Sampling
from itp.lm.constraint import OneOf
from itp.planners.avoiding import AvoidingPlanner
from itp.planners.horizon import FixedHorizon
from itp.planners.itp import ItpPlanner
from itp.planners.proposals import propose
from itp.types import Decision, DecisionContext, State
from models import ScriptedPolicy, ScriptedWorldModel, make_policy, save_policy, some_states


def writer(*samples: tuple[str, float]) -> ScriptedPolicy:
    """Writes "cross" (log-probability -1) where it is greedy, else one of the samples."""
    policy = ScriptedPolicy(lambda state: "cross")
    policy.samples = list(samples)
    return policy


def act(policy: ScriptedPolicy, proposals: int, horizon: int = 0) -> Decision:
    world = ScriptedWorldModel() if horizon else None
    planner = ItpPlanner(cast("Any", policy), world, FixedHorizon(horizon), action_mode="generate", proposals=proposals)
    return planner.decide([DecisionContext(State("task", "a bridge"))])[0]


def test_the_likeliest_of_what_is_written_is_sent_and_all_of_it_is_counted() -> None:
    decision = act(writer(("wait", -0.5), ("sing", -3.0)), 3)
    assert (decision.action, decision.raw_text) == ("wait", "wait")
    assert (decision.policy_usage.completion_tokens, decision.policy_usage.calls) == (6, 3)
    alone = act(writer(("wait", -0.5)), 1)
    assert (alone.action, alone.policy_usage.completion_tokens) == ("cross", 2), "by default it is the greedy one"


def test_of_equals_the_greedy_one_is_sent() -> None:
    assert act(writer(("wait", -1.0)), 2).action == "cross"


def test_every_command_is_written_with_the_foresight_in_view() -> None:
    policy = writer(("wait", -0.5))
    assert act(policy, 3, horizon=1).action == "wait"
    shown = [foresight for _, foresight in policy.acted]
    assert len(shown) == 3
    assert all(len(foresight) == 1 for foresight in shown)


@pytest.mark.parametrize(("proposals", "sent"), [(1, "cross"), (3, "wait")])
def test_who_avoids_does_the_same_where_it_looks_no_step_ahead(proposals: int, sent: str) -> None:
    policy = writer(("wait", -0.5), ("sing", -3.0))
    planner = AvoidingPlanner(
        cast("Any", policy), ScriptedWorldModel(), FixedHorizon(0), ["x"], writes=True, proposals=proposals
    )
    assert planner.decide([DecisionContext(State("task", "a bridge"))])[0].action == sent


def test_what_is_held_to_a_list_can_be_unlikely_and_then_another_is_sent() -> None:
    """Greedy decoding takes the likeliest beginning that may stand, whatever it leads to."""
    policy, held = make_policy(seed=3), OneOf(["go to drawer 1", "open the fridge", "look", "take mug 1"])
    states = some_states(4)
    written = propose(policy, states, [16] * 4, [1, 2, 3, 4], Sampling(max_new_tokens=24), [held] * 4)
    for proposals in written:
        assert all(map(held.whole, proposals.commands))
        place = proposals.commands.index(proposals.likeliest)
        assert proposals.logprobs[place] == max(proposals.logprobs)
    assert any(proposals.likeliest != proposals.commands[0] for proposals in written)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--action", "generate", "--proposals", "0"), "--proposals 0 is too small: give at least 1"),
        (("--proposals", "2"), "--proposals 2 works with --planner act or itp"),
        (("--action", "score", "--proposals", "2"), "--proposals 2 works with --planner act or itp"),
    ],
)
def test_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], told: str) -> None:
    given = ("--planner", "act", "--policy", save_policy(tmp_path / "policy"))
    assert main(["eval", *given, *flags, "--out", str(tmp_path / "out")]) == 2
    assert told in capsys.readouterr().err
    behaviour = ("--behaviour", "policy", "--policy", str(tmp_path / "policy"))
    assert main(["collect", *behaviour, *flags, "--out", str(tmp_path / "out")]) == 2
    assert told in capsys.readouterr().err


def test_an_expert_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collect", "--proposals", "2", "--out", str(tmp_path / "out")]) == 2
    assert "--proposals 2 works with" in capsys.readouterr().err
