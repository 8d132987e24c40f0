"""The world knowledge model at play: the mixture, what the agent is told, what is counted, and the command line."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from itp.cli.main import main
from itp.data.knowledge import knowledge_base
from itp.errors import ConfigError
from itp.lm.tokens import ACT, CTRL, END, TASK, strip_special
from itp.planners.wkm import WkmPlanner, mix
from itp.policy.checkpoint import read_itp_config
from itp.state_text.prompts import PromptBuilder
from itp.state_text.renderers import get_renderer
from itp.trace.store import TraceStore
from itp.types import DecisionContext
from itp.world_model.knowledge import BASE_FILE, Entry, KnowledgeBase, KnowledgeModel, Patterns
from models import episodes, imagined, lm, make_policy, save_policy, some_states
from training_data import write_episodes

COMMANDS = ("go to drawer 1", "look", "take mug 1 from drawer 1", "inventory")


@cache
def base() -> KnowledgeBase:
    patterns = Patterns.learn(step.decision.action for t in episodes() for step in t.steps)
    return knowledge_base(episodes(), patterns)


def planner(gamma: float = 0.4, renderer: str = "memory-v1") -> WkmPlanner:
    model = KnowledgeModel(lm(3), PromptBuilder(get_renderer(renderer), lm(3).count_tokens))
    return WkmPlanner(make_policy(renderer), model, base(), gamma)


def contexts(admissible: tuple[str, ...] | None = COMMANDS) -> list[DecisionContext]:
    states = [*some_states(4), *(trajectory.states()[1] for trajectory in episodes()[:2])]
    return [DecisionContext(state, admissible, seed=n) for n, state in enumerate(states)]


@pytest.mark.parametrize("gamma", [0.0, 0.25, 0.4, 1.0])
def test_the_mixture_is_the_formula(gamma: float) -> None:
    logprobs, voted = [-3.0, -1.5, -700.0], [0.25, 0.0, 0.75]
    total = sum(math.exp(value) for value in logprobs)
    wanted = [gamma * math.exp(a) / total + (1 - gamma) * p for a, p in zip(logprobs, voted, strict=True)]
    assert mix(logprobs, voted, gamma) == pytest.approx(wanted, abs=1e-12)
    assert sum(mix(logprobs, voted, gamma)) == pytest.approx(1)


def test_very_small_probabilities_do_not_vanish_and_without_votes_the_agent_decides_alone() -> None:
    assert mix([-2000.0, -2001.0], None, 0.4) == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.e)])
    assert mix([-2000.0, -2001.0], None, 0.0) == mix([-2000.0, -2001.0], None, 1.0)


@pytest.mark.parametrize("gamma", [0.0, 0.4, 1.0])
def test_decisions_are_those_of_a_plain_computation(gamma: float) -> None:
    made = planner(gamma)
    for context, decision in zip(contexts(), made.decide(contexts()), strict=True):
        task = made.model.task_knowledge([context.state])[0].text
        told = replace(context.state, knowledge=task)
        text = made.model.state_knowledge([context.state])[0].text
        [scores] = made.policy.score_actions([told], [imagined()], [COMMANDS])
        voted = base().probabilities(text, context.state, COMMANDS)
        mixture = mix(scores.logprobs, voted, gamma)
        assert decision.action == COMMANDS[mixture.index(max(mixture))]
        assert (decision.reflection, decision.thought, decision.parse) == (task, text, "scored")


def test_gamma_zero_follows_the_base_and_gamma_one_the_agent() -> None:
    entry = Entry("x", "start", {"inventory": 5})
    model = KnowledgeModel(lm(3), PromptBuilder(get_renderer("memory"), lm(3).count_tokens))
    start = [DecisionContext(episodes()[0].states()[0], COMMANDS)]
    for gamma in (0.0, 1.0):
        made = WkmPlanner(make_policy(), model, KnowledgeBase([entry], base().patterns), gamma)
        told = replace(start[0].state, knowledge=model.task_knowledge([start[0].state])[0].text)
        [scores] = made.policy.score_actions([told], [imagined()], [COMMANDS])
        alone = COMMANDS[scores.logprobs.index(max(scores.logprobs))]
        assert made.decide(start)[0].action == (alone if gamma else "inventory")


@pytest.mark.parametrize("renderer", ["memory-v1", "history-v1"])
def test_decisions_do_not_depend_on_the_batch(renderer: str) -> None:
    def essence(decisions: list[Any]) -> list[Any]:
        return [
            (d.action, d.reflection, d.thought, d.policy_usage.tokens, d.world_model_usage.tokens) for d in decisions
        ]

    together = essence(planner(renderer=renderer).decide(contexts()))
    assert essence(planner(renderer=renderer).decide(contexts()[::-1]))[::-1] == together
    alone = planner(renderer=renderer)
    assert [essence(alone.decide([context]))[0] for context in contexts()] == together
    assert planner().decide([]) == []


def test_task_knowledge_is_in_the_agents_prompt_and_nothing_of_it_or_the_cue_is_truncated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = planner(renderer="history-v1")
    made.policy.prompts = replace(made.policy.prompts, max_state_tokens=20)
    seen: list[str] = []
    score = made.policy.lm.score
    monkeypatch.setattr(
        made.policy.lm, "score", lambda prompts, *rest: [seen.extend(prompts), score(prompts, *rest)][1]
    )
    decisions = made.decide(contexts())
    for prompt, context, decision in zip(seen, contexts(), decisions, strict=True):
        assert prompt.startswith(f"{TASK}{strip_special(decision.reflection)}{END}{TASK}{context.state.task}")
        assert prompt.endswith(CTRL + ACT)


def test_the_same_task_is_told_the_same_at_every_step_and_its_tokens_count_once() -> None:
    made, states = planner(), episodes()[0].states()
    first, later = made.decide([DecisionContext(states[0], COMMANDS), DecisionContext(states[3], COMMANDS)])
    assert first.reflection == later.reflection
    [task] = made.model.task_knowledge(states[:1])
    texts = made.model.state_knowledge([states[0], states[3]])
    assert first.world_model_usage.tokens == task.usage.tokens + texts[0].usage.tokens
    assert later.world_model_usage.tokens == texts[1].usage.tokens
    assert (first.world_model_usage.calls, later.world_model_usage.calls) == (2, 1)
    assert first.policy_usage.calls == later.policy_usage.calls == 1


def test_where_nothing_is_listed_the_agents_own_text_is_sent() -> None:
    mixed = [replace(context, admissible=None) if n % 2 else context for n, context in enumerate(contexts())]
    made = planner()
    for context, decision in zip(mixed, made.decide(mixed), strict=True):
        assert decision.reflection
        assert (decision.parse == "scored") == (context.admissible is not None)
        assert bool(decision.thought) == (context.admissible is not None)


@pytest.mark.parametrize("gamma", [-0.1, 1.5, float("nan")])
def test_a_share_beyond_its_bounds_is_refused(gamma: float) -> None:
    with pytest.raises(ConfigError, match="is not allowed: give the agent's share, from 0 to 1"):
        planner(gamma)


SMALL = ("--base", "scratch:tiny", "--vocab-size", "300", "--epochs", "1", "--batch-size", "8")


@pytest.mark.parametrize("renderer", ["memory", "history"])
def test_from_episodes_to_an_evaluation(tmp_path: Path, renderer: str, capsys: pytest.CaptureFixture[str]) -> None:
    data, knowledge, agent = write_episodes(tmp_path / "data", 4), tmp_path / "knowledge", tmp_path / "agent"
    words = [*SMALL, "--renderer", renderer, "--data", str(data), "--held-out", "0.25"]
    assert main(["train", "wkm", *words, "--out", str(knowledge)]) == 0
    config = read_itp_config(str(knowledge / "model"))
    assert (config.kind, config.stage) == ("knowledge", "wkm")
    assert (knowledge / BASE_FILE).is_file()
    assert main(["train", "policy", *words, "--knowledge", str(knowledge), "--out", str(agent)]) == 0
    assert read_itp_config(str(agent / "model")).stage == "wkm"
    run = tmp_path / "run"
    play = ["eval", "--env", "household", "--episodes", "2", "--max-steps", "2", "--planner", "wkm"]
    told = ["--knowledge", str(knowledge), "--policy", str(agent / "model")]
    assert main([*play, *told, "--out", str(run)]) == 0
    decisions = [step.decision for t in TraceStore(run / "traces.jsonl") for step in t.steps]
    assert all(decision.thought or decision.world_model_usage.calls for decision in decisions)
    capsys.readouterr()
    other = ["--knowledge", str(knowledge), "--policy", save_policy(tmp_path / "plain")]
    assert main([*play, *other, "--out", str(tmp_path / "other")]) == 2
    assert "was trained without task knowledge: run `itp train policy --knowledge" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--planner", "wkm"], "--planner wkm needs --policy PATH"),
        (["--planner", "wkm", "--policy", "p"], "and --knowledge PATH (a folder written by `itp train wkm`)"),
        (["--planner", "wkm", "--policy", "p", "--knowledge", "k", "--gamma", "2"], "--gamma 2 is not allowed"),
        (["--planner", "wkm", "--policy", "p", "--knowledge", "k", "--action", "generate"], "--action generate is not"),
        (["--planner", "wkm", "--policy", "p", "--knowledge", "k"], "cannot be read; run `itp train wkm` again"),
        (["--planner", "act", "--policy", "p", "--knowledge", "k"], "--knowledge does nothing with --planner act"),
    ],
)
def test_wrong_flags_are_refused_in_one_line_and_leave_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["eval", "--env", "household", *words, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
