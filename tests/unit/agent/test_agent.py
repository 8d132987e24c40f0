"""`itp.Agent`: what may be given, what is decided, and what is said of mistakes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import itp
from itp.errors import CheckpointError, ConfigError, EnvError, Overloaded, ScoringUnsupported
from itp.lm.base import Sampling
from itp.lm.function import FunctionLM
from itp.lm.scripted import ScriptedLM
from itp.planners.factory import PlannerSpec, build_planner
from itp.planners.prompt_factory import PROMPTED, Parts
from itp.policy.prompted import PromptedPolicy
from itp.types import Decision, DecisionContext, HorizonChosen, ImaginedStep, State
from itp.world_model.base import Prediction
from itp.world_model.rules import RuleWorldModel
from models import make_policy, save_policy, some_states

COMMANDS = ["go to desk 1", "go to shelf 1", "look"]
PLACE: dict[str, Any] = {
    "task": "find a cup",
    "first_observation": "You are in a room.",
    "admissible_commands": COMMANDS,
}
IMAGINING = ("itp-i", "rap", "mcts")


def answer(messages: list[dict[str, str]]) -> str:
    """A model that always looks two steps ahead and walks to the shelf."""
    asked = messages[-1]["content"]
    if "0 to 10" in asked:
        return "5"
    if "integer" in asked:
        return "2"
    return "Thought: shelves hold cups\nAction: go to shelf 1"


def simulate(state: State, action: str) -> str:
    return f"{len(state.history) + 1}: after {action}"


def test_a_function_and_a_simulator_are_enough_for_lookahead() -> None:
    decision = itp.Agent(answer, simulate, max_k=3).decide(**PLACE, history=[("look", "a dusty room")])
    assert decision.action == "go to shelf 1"
    assert (decision.parse, decision.horizon, decision.thought) == ("exact", 2, "shelves hold cups")
    assert [step.observation for step in decision.foresight.steps] == [
        "2: after go to shelf 1",
        "3: after go to shelf 1",
    ]
    assert decision.policy_usage.calls == 4
    assert decision.world_model_usage.calls == 2


@pytest.mark.parametrize("planner", PROMPTED)
@pytest.mark.parametrize("commands", [COMMANDS, None])
def test_every_prompted_planner_decides_with_commands_and_without(planner: str, commands: list[str] | None) -> None:
    world: dict[str, Any] = {"world_model": simulate} if planner in IMAGINING else {}
    decision = itp.Agent(answer, planner=planner, max_k=2, **world).decide(**{**PLACE, "admissible_commands": commands})
    assert decision.action == "go to shelf 1" or (commands is None and planner in ("rap", "mcts", "tot"))
    assert decision.parse in ("exact", "tag")


def test_the_model_may_come_in_every_form() -> None:
    lm = FunctionLM(answer)
    for policy in (answer, lm, PromptedPolicy(lm)):
        assert itp.Agent(policy, planner="act").decide(**PLACE).action == "go to shelf 1"
    for world_model, told in (
        (RuleWorldModel(), None),
        ("rules", None),
        (ScriptedLM([("", "a shelf")]), "a shelf"),
        (PromptedPolicy(ScriptedLM([("", "a shelf")])), "a shelf"),
        (lambda state, action: ("over", True), "over"),
        (lambda state, action: Prediction("a shelf", -0.5), "a shelf"),
    ):
        decision = itp.Agent(lm, world_model, horizon="fixed:1").decide(**PLACE)
        assert len(decision.foresight) == 1
        assert told is None or decision.foresight.steps[0].observation == told


def test_an_episode_that_ends_in_imagination_goes_no_further() -> None:
    agent = itp.Agent(answer, lambda state, action: ("it breaks", True), horizon="fixed:4")
    assert agent.decide(**PLACE).horizon == 1


def test_without_a_world_model_the_policys_own_model_is_asked() -> None:
    decision = itp.Agent(answer, horizon="fixed:1").decide(**PLACE)
    assert decision.world_model_usage.calls == 1


@pytest.mark.parametrize("planner", ["act", "itp"])
def test_a_trained_policy_decides_as_its_planner_does(planner: str) -> None:
    policy = make_policy(k_max=2)
    world: dict[str, Any] = {"world_model": "rules"} if planner == "itp" else {}
    agent = itp.Agent(policy, planner=planner, **world)
    spec = PlannerSpec(planner, policy="given", world_model="rules")
    same = build_planner(spec, parts=Parts(trained=policy))
    for state in some_states(3):
        [expected] = same.decide([DecisionContext(state, tuple(COMMANDS))])
        got = agent.decide(
            task=state.task,
            first_observation=state.first_observation,
            history=state.history,
            admissible_commands=COMMANDS,
        )
        assert (got.action, got.horizon, got.foresight) == (expected.action, expected.horizon, expected.foresight)
    assert agent.decide(task="x", first_observation="y").parse == "exact"  # generated, where none are listed


def test_trained_policies_by_their_folder_and_what_does_not_fit_them(tmp_path: Path) -> None:
    folder = save_policy(tmp_path / "policy", k_max=2)
    agent = itp.Agent(folder, "rules", planner="itp")
    assert agent.decide(**PLACE).action in COMMANDS
    with pytest.raises(ConfigError, match="planner itp needs world_model="):
        itp.Agent(Path(folder), planner="itp")
    with pytest.raises(ConfigError, match="differs from the policy's K-head, 2"):
        itp.Agent(make_policy(k_max=2), "rules", planner="itp", max_k=5)
    with pytest.raises(ConfigError, match="asks a language model by prompts"):
        itp.Agent(make_policy(k_max=2), "rules", planner="itp-i")


def test_a_trained_policy_passes_over_what_its_foresight_warns_of() -> None:
    policy = make_policy(k_max=2)

    def fatal(*actions: str) -> Any:
        return lambda state, action: "It breaks for good." if action in actions else "Nothing."

    def agent(*actions: str, **options: Any) -> itp.Agent:
        return itp.Agent(policy, fatal(*actions), planner="itp", horizon="fixed:1", **options)

    first = agent(avoid=["for good"]).decide(**PLACE)
    assert (first.action in COMMANDS, first.passed_over) == (True, ())
    second = agent(first.action, avoid=["for good"]).decide(**PLACE)
    assert second.action != first.action
    assert [(step.action, step.observation) for step in second.passed_over[0].steps] == [
        (first.action, "It breaks for good.")
    ]
    assert agent(first.action, avoid="for good").decide(**PLACE).action == second.action  # one text, not its letters
    assert agent(first.action, avoid=["nothing like it"]).decide(**PLACE).action == first.action
    returns = agent(avoid="x", avoid_returns=False).planner
    assert returns.avoid_returns is False  # pyright: ignore[reportAttributeAccessIssue]


def test_many_at_once_are_decided_as_one_by_one() -> None:
    agent = itp.Agent(answer, simulate)
    places: list[itp.Situation | dict[str, Any]] = [itp.Situation(**PLACE), {**PLACE, "history": [("look", "dust")]}]
    together = agent.decide_batch(places)
    apart = [agent.decide_at(itp.Situation.of(place)) for place in places]
    assert [d.foresight for d in together] == [d.foresight for d in apart]
    assert agent.statistics == {"batches": 3, "decisions": 4, "waiting": 0}
    assert agent.decide_batch([]) == []


def test_what_is_drawn_depends_on_seed_and_situation_only() -> None:
    def draws(seed: int) -> list[str]:
        agent = itp.Agent(planner="random", seed=seed)
        return [agent.decide(**PLACE, history=[("look", "dust")] * n).action for n in range(8)]

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)


class Echo:
    """A planner of the user's own."""

    name = "echo"

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        return [Decision(context.state.observation) for context in contexts]


def test_a_planner_of_the_users_own() -> None:
    agent = itp.Agent(planner=Echo())
    assert agent.decide(task="x", first_observation="hello").action == "hello"
    with pytest.raises(ConfigError, match="policy is given beside a planner object"):
        itp.Agent(answer, planner=Echo())


@pytest.mark.parametrize(("planner", "told"), [("itp-i", 3), ("rap", 3), ("act", 1)])
def test_imagination_can_be_watched(planner: str, told: int) -> None:
    world: dict[str, Any] = {"world_model": simulate} if planner != "act" else {}
    seen: list[Any] = []
    decision = itp.Agent(answer, planner=planner, max_k=2, **world).decide(**PLACE, watch=seen.append)
    assert len(seen) == told
    assert seen == [HorizonChosen(decision.horizon), *decision.foresight.steps]


def test_steps_are_told_as_they_are_made() -> None:
    order: list[str] = []

    def slow(state: State, action: str) -> str:
        order.append("asked")
        return "dust"

    itp.Agent(answer, slow, horizon="fixed:2").decide(**PLACE, watch=lambda event: order.append(type(event).__name__))
    assert order == ["HorizonChosen", "asked", "ImaginedStep", "asked", "ImaginedStep"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "planner itp-i needs a policy"),
        ({"policy": 3}, "policy is int"),
        ({"policy": answer, "world_model": 3}, "world_model is int"),
        ({"policy": answer, "planner": "foo"}, "'foo' is unknown: choose one of act, itp, "),
        ({"policy": answer, "planner": "itp"}, "plays a trained policy"),
        ({"policy": answer, "planner": "act", "world_model": "rules"}, "imagines no outcomes"),
        ({"policy": answer, "colour": "red"}, "no argument 'colour'"),
        ({"policy": answer, "max_k": 0}, "max_k=0 is too small"),
        ({"policy": answer, "horizon": "fixed:9"}, "horizon=fixed:9 exceeds K_max=5: lower it, or raise max_k"),
        ({"policy": answer, "avoid": ["x"]}, "avoid takes texts, and works with planner itp only"),
        ({"policy": "x", "world_model": "rules", "planner": "itp", "avoid": [""]}, "avoid takes texts"),
        ({"policy": answer, "avoid_returns": False}, "avoid_returns=False does nothing without avoid: leave it out"),
        ({"policy": answer, "horizon": "learned"}, "horizon learned needs a K-head"),
        ({"policy": answer, "world_model": "exact"}, "world_model exact is the environment's own engine"),
        ({"policy": "nonesuch"}, "nonesuch"),
        ({"policy": answer, "planner": "multi-attempt", "temperature": 0}, "temperature=0 makes all attempts"),
        ({"policy": answer, "parallel": -1}, "parallel=-1"),
        ({"policy": answer, "max_batch": 0}, "max_batch 0"),
        ({"policy": answer, "batch_window": -1}, "batch_window -1"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises((ConfigError, CheckpointError)) as error:
        itp.Agent(**arguments)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert "--" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": ""}, "task is empty"),
        ({"task": 3}, "task is int"),
        ({"first_observation": None}, "first_observation is NoneType"),
        ({"history": "look"}, "history is str"),
        ({"history": ["look"]}, r"history\[0\] is 'look'"),
        ({"history": [("look", "dust"), ("look",)]}, r"history\[1\]"),
        ({"history": [("look", None)]}, "must be text"),
        ({"admissible_commands": []}, "admissible_commands is empty"),
        ({"admissible_commands": "look"}, "admissible_commands is str"),
        ({"admissible_commands": ["look", 3]}, r"admissible_commands\[1\] is 3"),
        ({"imagined_tokens": -1}, "imagined_tokens is -1"),
        ({"observations": []}, "no field 'observations': allowed are task, first_observation"),
    ],
)
def test_a_situation_that_is_none_is_refused(change: dict[str, Any], said: str) -> None:
    agent = itp.Agent(answer, simulate)
    with pytest.raises(ConfigError, match=said):
        agent.decide(**{**PLACE, **change})


def test_functions_that_return_something_else_are_named() -> None:
    with pytest.raises(ConfigError, match="policy function <lambda> returned int"):
        itp.Agent(lambda messages: 3, planner="act").decide(**PLACE)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="world model function <lambda> returned NoneType"):
        itp.Agent(answer, lambda state, action: None, horizon="fixed:1").decide(**PLACE)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ZeroDivisionError):
        itp.Agent(answer, lambda state, action: str(1 / 0), horizon="fixed:1").decide(**PLACE)


def test_planners_that_need_commands_say_so() -> None:
    with pytest.raises(EnvError, match="needs admissible commands"):
        itp.Agent(planner="random").decide(task="x", first_observation="y")


def test_a_closed_agent_decides_no_more() -> None:
    with itp.Agent(answer, simulate) as agent:
        agent.decide(**PLACE)
    with pytest.raises(Overloaded, match="closed"):
        agent.decide(**PLACE)


def test_a_function_as_a_language_model() -> None:
    seen: list[int] = []

    def thinks(messages: list[dict[str, str]]) -> str:
        seen.append(len(messages))
        return "<think>which?</think>left STOP right"

    lm = FunctionLM(thinks, max_concurrency=4)
    first, second = lm.generate(["one", "two"], Sampling(stop=(" STOP",)))
    assert (first.text, first.thought, second.text) == ("left", "which?", "left")
    assert seen == [1, 1]
    assert first.completion_tokens > 0
    with pytest.raises(ScoringUnsupported):
        lm.score(["one"], [["a"]])
    with pytest.raises(ConfigError, match="max_concurrency is 0"):
        FunctionLM(thinks, max_concurrency=0)


def test_the_package_offers_the_agent_without_loading_it() -> None:
    code = "import sys, itp; print('itp.agent.agent' in sys.modules, itp.Agent.__name__, hasattr(itp, 'Nobody'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False Agent False\n"


def test_an_agent_for_a_server_needs_no_torch() -> None:
    code = (
        "import sys, itp; a = itp.Agent(lambda m: 'Action: look', lambda s, a: 'dust', horizon='fixed:1'); "
        "a.decide(task='x', admissible_commands=['look']); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"


def test_imagined_steps_are_shared_out_to_their_own_watchers() -> None:
    agent = itp.Agent(answer, simulate, horizon="fixed:1")
    told: dict[str, list[Any]] = {"a": [], "b": []}
    contexts = [itp.Situation(task=name).context(0, told[name].append) for name in told]
    agent.planner.decide(contexts)
    assert all(isinstance(events[1], ImaginedStep) and len(events) == 2 for events in told.values())
