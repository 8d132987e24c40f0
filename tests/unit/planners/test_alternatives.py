"""`--alternatives`: where all that a policy wrote is warned of, the same command with another name is tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from itp.cli.main import main
from itp.planners.alternatives import variations
from itp.planners.avoiding import AvoidingPlanner
from itp.planners.horizon import FixedHorizon
from itp.state_text.prompts import PromptBuilder
from itp.state_text.renderers import get_renderer
from itp.types import CommandGrammar, Decision, DecisionContext, State
from models import ScriptedPolicy, ScriptedWorldModel, save_policy

GRAMMAR = CommandGrammar(("wait", "focus on OBJ", "move OBJ to OBJ"), ("red box", "blue box", "lamp"))
RANK = {"move lamp to red box": 0.0, "move lamp to blue box": -2.0, "move blue box to red box": -5.0}


class Held(ScriptedPolicy):
    """Waits where it is held to what leaves out its own command."""

    def generate_actions(self, states: Any, foresights: Any, sampling: Any, seeds: Any = None, constraints: Any = None):
        written = super().generate_actions(states, foresights, sampling, seeds, constraints)
        held = constraints or [None] * len(written)
        return [
            c if h is None or h.whole(c.text) else replace(c, text="wait") for c, h in zip(written, held, strict=True)
        ]


def decide(
    observe: Callable[[str], str],
    *,
    alternatives: int = 6,
    horizon: int = 1,
    told: bool = True,
    listed: tuple[str, ...] | None = None,
) -> Decision:
    """A policy that writes "move lamp to red box" however often it is asked."""
    policy = Held(lambda state: "move lamp to red box", lambda state, foresight, a: RANK.get(a, -9.0))
    policy.samples = [("move lamp to red box", -0.1)]
    policy.prompts = PromptBuilder(get_renderer("history"))  # pyright: ignore[reportAttributeAccessIssue]
    world = ScriptedWorldModel(lambda state, action: observe(action))
    planner = AvoidingPlanner(
        cast("Any", policy), world, FixedHorizon(horizon), ["All is lost"], writes=True, alternatives=alternatives
    )
    context = DecisionContext(State("task", "a workshop"), listed, grammar=GRAMMAR if told else None)
    return planner.decide([context])[0]


def fatal(*commands: str) -> Callable[[str], str]:
    return lambda action: "All is lost." if action in commands else "Done."


def test_the_likeliest_command_with_another_name_is_taken() -> None:
    decision = decide(fatal("move lamp to red box"))
    assert decision.action == "move lamp to blue box"
    assert [tried.steps[0].action for tried in decision.passed_over] == ["move lamp to red box"]


def test_it_goes_on_down_the_policys_ranking_and_no_further_than_allowed() -> None:
    observe = fatal("move lamp to red box", "move lamp to blue box")
    assert decide(observe).action == "move blue box to red box"
    assert decide(observe, alternatives=1).action == "wait"


def test_at_last_it_begins_otherwise() -> None:
    decision = decide(lambda action: "All is lost." if action != "wait" else "Done.", alternatives=2)
    assert decision.action == "wait"
    assert len(decision.passed_over) == 3


def test_where_all_warn_it_is_the_policys_own() -> None:
    assert decide(lambda action: "All is lost.").action == "move lamp to red box"


@pytest.mark.parametrize("options", [{"alternatives": 0}, {"horizon": 0}, {"told": False}])
def test_without_a_look_a_grammar_or_the_flag_nothing_else_is_tried(options: dict[str, Any]) -> None:
    decision = decide(fatal("move lamp to red box"), **options)
    assert decision.action == "move lamp to red box"
    assert not decision.passed_over


def test_where_commands_are_listed_the_likeliest_of_the_list_is_tried() -> None:
    listed = ("sing", "move lamp to red box", "move lamp to blue box", "wait")
    decision = decide(fatal("move lamp to red box"), told=False, listed=listed)
    assert decision.action == "move lamp to blue box"


def test_as_many_are_tried_as_were_asked_for() -> None:
    listed = tuple(f"sing {n}" for n in range(20))
    decision = decide(lambda action: "All is lost.", told=False, listed=listed, alternatives=15)
    assert len(decision.passed_over) == 15


def test_without_a_warning_nothing_else_is_scored() -> None:
    plain, open_to_others = (decide(fatal(), alternatives=n) for n in (0, 6))
    assert open_to_others.action == plain.action == "move lamp to red box"
    assert open_to_others.policy_usage.tokens == plain.policy_usage.tokens


def test_what_it_costs_is_counted_as_imagination() -> None:
    plain, more = (decide(fatal("move lamp to red box"), alternatives=n) for n in (0, 1))
    assert more.world_model_usage.calls == plain.world_model_usage.calls + 1
    assert more.policy_usage.tokens > plain.policy_usage.tokens
    assert more.imagination_usage.tokens - plain.imagination_usage.tokens == (
        more.policy_usage.tokens + more.world_model_usage.tokens
    ) - (plain.policy_usage.tokens + plain.world_model_usage.tokens)


@pytest.mark.parametrize(
    ("command", "varied"),
    [
        ("wait", set()),
        ("look up", set()),  # of no template
        ("focus on moon", set()),  # no name
        ("focus on lamp", {"focus on red box", "focus on blue box"}),
        ("focus on lamp in red box", {"focus on red box", "focus on blue box", "focus on lamp"}),
        (
            "move lamp on red box to blue box",
            {
                *(f"move {name} to blue box" for name in GRAMMAR.names),
                *(f"move lamp on red box to {name}" for name in ("red box", "lamp")),
            },
        ),
    ],
)
def test_one_name_is_exchanged_for_every_other(command: str, varied: set[str]) -> None:
    assert set(variations(GRAMMAR, command)) == varied


def test_a_word_that_joins_names_and_is_the_templates_too_is_read_both_ways() -> None:
    grammar = CommandGrammar(("use OBJ on OBJ",), ("jug", "cup", "table"))
    found = set(variations(grammar, "use jug on cup on table"))
    assert {"use cup on table", "use jug on cup on cup", "use table on cup on table", "use jug on cup"} <= found


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--alternatives", "-1"], "--alternatives -1 is too small"),
        (["--alternatives", "2"], "works with --avoid and --action constrained only"),
        (
            ["--alternatives", "2", "--avoid", "x", "--action", "generate"],
            "works with --avoid and --action constrained",
        ),
    ],
)
def test_flags_that_do_not_fit_are_refused_in_one_line(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["eval", "--env", "household", "--planner", "itp", "--horizon", "fixed:1", "--world-model", "rules"]
    policy = save_policy(tmp_path / "policy")
    assert main([*words, "--policy", policy, *flags, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
