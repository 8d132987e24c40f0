"""Prompted planners: what each asks, in which order, and what their decisions record. The model is a script."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from itp.errors import ConfigError
from itp.lm.base import Sampling
from itp.lm.scripted import ScriptedLM
from itp.planners.compute_matched import KCandidatesPlanner, MultiAttemptPlanner, SelfRefinePlanner
from itp.planners.horizon import FixedHorizon
from itp.planners.itp_i import ItpIPlanner, PromptedHorizon
from itp.planners.prompting import PromptingPlanner, question
from itp.planners.search import PLANNED, Node, Searcher
from itp.planners.tree_planners import MctsPlanner, TotPlanner, back_up, back_up_rewards, select, upper_confidence
from itp.policy.prompted import PromptedPolicy
from itp.types import DecisionContext, State
from itp.world_model.prompted import PromptedWorldModel
from itp.world_model.rules import RuleWorldModel

SHORT, LONG = Sampling(24), Sampling(64)
COMMANDS = ("go to shelf 1", "take egg 1 from shelf 1", "look")
CUES = {
    "horizon": "How many steps ahead",
    "propose": "Which command comes next?",
    "predict": "Answer with the observation that follows",
    "imagine": "Foresee the next",
    "reflect": "Reflect on the forecast",
    "critique": "What is wrong with it",
    "refine": "Feedback on it:",
    "candidates": "most promising commands",
    "choose": "that are worth considering",
    "value": "How close is the task to being done?",
    "react": "Go on with one thought",
    "cot": "Think step by step",
}


def kind_of(prompt: str) -> str:
    return next((name for name, cue in CUES.items() if cue in prompt), "act")


def model(**answers: str | Callable[[str], str]) -> ScriptedLM:
    """Answers by template; what is not named is answered with "Action: look"."""

    def script(prompt: str) -> str:
        answer = answers.get(kind_of(prompt), "Action: look")
        return answer if isinstance(answer, str) else answer(prompt)

    return ScriptedLM(script)


def asked(lm: ScriptedLM) -> list[str]:
    return [kind_of(prompt) for prompt in lm.asked]


def context(*history: tuple[str, str], thoughts: tuple[str, ...] = (), seed: int = 1) -> DecisionContext:
    state = State("put an egg on the shelf.", "You see a shelf 1.", history)
    return DecisionContext(state, COMMANDS, seed, thoughts=thoughts)


def itp_i(lm: ScriptedLM, horizon: object, **options: str) -> ItpIPlanner:
    policy = PromptedPolicy(lm)
    return ItpIPlanner(
        policy,
        PromptedWorldModel(policy),
        horizon,  # pyright: ignore[reportArgumentType]
        reflected=LONG,
        direct=SHORT,
        **options,
    )


def test_act_asks_once_and_counts_what_it_cost() -> None:
    lm = model(act="Action: GO TO SHELF 1")
    decision = PromptingPlanner(PromptedPolicy(lm), "act", SHORT).decide([context()])[0]
    assert (decision.action, decision.parse, decision.horizon) == ("go to shelf 1", "case", 0)
    assert decision.raw_text == "Action: GO TO SHELF 1"
    assert decision.policy_usage.calls == 1
    assert decision.policy_usage.prompt_tokens > 20
    assert decision.world_model_usage.tokens == decision.imagination_usage.tokens == 0


def test_an_answer_that_is_no_command_is_sent_as_it_stands_and_says_so() -> None:
    lm = model(act="I would rather dance")
    decision = PromptingPlanner(PromptedPolicy(lm), "act", SHORT).decide([context()])[0]
    assert (decision.action, decision.parse) == ("I would rather dance", "unparsed")


def test_react_goes_on_from_its_own_thoughts_and_cot_does_not() -> None:
    for name, seen in (("react", True), ("cot", False)):
        lm = model(**{name: "Thought: now look\nAction: look"})
        planner = PromptingPlanner(PromptedPolicy(lm), name, LONG)
        decision = planner.decide([context(("look", "A shelf."), thoughts=("first of all",))])[0]
        assert (decision.thought, decision.action) == ("now look", "look")
        assert ("Thought: first of all" in lm.asked[0]) is seen


def test_itp_i_names_k_imagines_by_turns_reflects_and_acts() -> None:
    lm = model(
        horizon="2",
        propose=lambda prompt: "Action: take egg 1 from shelf 1" if "> go to" in prompt else "Action: go to shelf 1",
        predict=lambda prompt: "You take it." if "command: take" in prompt else "On the shelf 1, you see an egg 1.",
        reflect="Reflection: that works\nThought: start\nAction: go to shelf 1",
    )
    planner = itp_i(lm, PromptedHorizon(PromptedPolicy(lm), 5))
    decision = planner.decide([context()])[0]
    assert asked(lm) == ["horizon", "propose", "predict", "propose", "predict", "reflect"]
    assert [(s.action, s.observation) for s in decision.foresight.steps] == [
        ("go to shelf 1", "On the shelf 1, you see an egg 1."),
        ("take egg 1 from shelf 1", "You take it."),
    ]
    assert (decision.horizon, decision.horizon_parse) == (2, "exact")
    assert (decision.action, decision.reflection, decision.thought) == ("go to shelf 1", "that works", "start")
    assert (decision.policy_usage.calls, decision.world_model_usage.calls) == (4, 2)
    assert "> take egg 1 from shelf 1\nYou take it." in lm.asked[-1]


def test_imagination_knows_the_wording_of_commands_but_not_what_is_possible_later() -> None:
    lm = model(propose="Action: go to shelf 1", predict="You are there.")
    itp_i(lm, FixedHorizon(2)).decide([context(), context(("look", "Nothing."))])
    proposals = [prompt for prompt in lm.asked if kind_of(prompt) == "propose"]
    assert len(proposals) == 4
    assert all("Commands look like these:\n" + "\n".join(COMMANDS) in prompt for prompt in proposals)
    assert not any("possible now" in prompt for prompt in proposals)


@pytest.mark.parametrize(("answer", "k", "parse"), [("0", 0, "exact"), ("9", 0, "unparsed"), ("many", 0, "unparsed")])
def test_without_imagination_itp_i_acts_at_once(answer: str, k: int, parse: str) -> None:
    lm = model(horizon=answer)
    decision = itp_i(lm, PromptedHorizon(PromptedPolicy(lm), 5)).decide([context()])[0]
    assert asked(lm) == ["horizon", "act"]
    assert (decision.horizon, decision.horizon_parse, decision.action) == (k, parse, "look")
    assert decision.policy_usage.calls == 2


def test_one_shot_lets_the_world_model_write_the_whole_future() -> None:
    future = "Action: go to shelf 1\nObservation: An egg 1.\nAction: look\nObservation: The same."
    lm = model(imagine=future, reflect="Action: go to shelf 1")
    decision = itp_i(lm, FixedHorizon(3), imagination="one-shot").decide([context()])[0]
    assert asked(lm) == ["imagine", "reflect"]
    assert [step.observation for step in decision.foresight.steps] == ["An egg 1.", "The same."]
    assert (decision.horizon, decision.world_model_usage.calls, decision.policy_usage.calls) == (2, 1, 1)


def test_one_shot_needs_a_world_model_that_writes() -> None:
    lm = model()
    with pytest.raises(ConfigError, match="one-shot lets a prompted world model"):
        ItpIPlanner(
            PromptedPolicy(lm),
            RuleWorldModel(),
            FixedHorizon(1),
            imagination="one-shot",
            reflected=LONG,
            direct=SHORT,
        )


def test_a_batch_with_different_horizons_keeps_its_order() -> None:
    lm = model(
        horizon=lambda prompt: "1" if "SECOND" in prompt else "0",
        act="Action: look",
        propose="Action: look",
        predict="Seen.",
        reflect="Action: go to shelf 1",
    )
    contexts = [context(), context(("look", "SECOND")), context()]
    decisions = itp_i(lm, PromptedHorizon(PromptedPolicy(lm), 5)).decide(contexts)
    assert [d.action for d in decisions] == ["look", "go to shelf 1", "look"]
    assert [d.horizon for d in decisions] == [0, 1, 0]


def test_self_refine_revises_until_the_feedback_is_content() -> None:
    lm = model(
        act="Action: look",
        critique=lambda prompt: "Feedback: none" if "command: go to shelf 1" in prompt else "Feedback: it is pointless",
        refine="Action: go to shelf 1",
    )
    decision = SelfRefinePlanner(PromptedPolicy(lm), rounds=3, short=SHORT, long=LONG).decide([context()])[0]
    assert asked(lm) == ["act", "critique", "refine", "critique"]
    assert (decision.action, decision.policy_usage.calls) == ("go to shelf 1", 4)


def test_multi_attempt_takes_the_commonest_readable_command() -> None:
    answers = iter(["Action: look", "Action: go to shelf 1", "nonsense", "Action: go to shelf 1", "nonsense"])
    lm = model(cot=lambda _: next(answers))
    planner = MultiAttemptPlanner(PromptedPolicy(lm), attempts=5, sampling=Sampling(64, temperature=0.7))
    decision = planner.decide([context()])[0]
    assert (decision.action, decision.policy_usage.calls) == ("go to shelf 1", 5)


def test_k_candidates_chooses_among_what_it_named() -> None:
    lm = model(candidates="look\ndance\ngo to shelf 1", choose="Thought: forward\nAction: go to shelf 1")
    decision = KCandidatesPlanner(PromptedPolicy(lm), count=3, short=SHORT, long=LONG).decide([context()])[0]
    assert (decision.action, decision.thought, decision.policy_usage.calls) == ("go to shelf 1", "forward", 2)
    assert "worth considering:\nlook\ngo to shelf 1\n" in lm.asked[-1]


def searcher(lm: ScriptedLM, *, imagines: bool = True, width: int = 2) -> Searcher:
    policy = PromptedPolicy(lm)
    return Searcher(policy, PromptedWorldModel(policy) if imagines else None, width=width, short=SHORT)


def egg_lm() -> ScriptedLM:
    """Going to the shelf leads to the egg and to a high value; looking leads nowhere."""
    return model(
        candidates="look\ngo to shelf 1",
        propose="Action: take egg 1 from shelf 1",
        predict=lambda prompt: "You see the egg." if "command: go to shelf 1" in prompt else "Nothing new.",
        value=lambda prompt: "8" if "see the egg" in prompt else "2",
    )


@pytest.mark.parametrize("judged", [True, False])
def test_tree_search_finds_the_command_whose_imagined_future_is_worth_more(judged: bool) -> None:
    lm = egg_lm()
    planner = MctsPlanner(searcher(lm), simulations=6, depth=2, judged=judged)
    decisions = planner.decide([context(), context(("look", "A shelf."))])
    for decision in decisions:
        assert decision.action == "go to shelf 1"
        assert decision.foresight.steps[0].observation == "You see the egg."
        assert decision.horizon == len(decision.foresight) >= 1
        assert decision.parse == "tag"
        assert decision.world_model_usage.calls > 0
        assert decision.imagination_usage.tokens == decision.policy_usage.tokens + decision.world_model_usage.tokens
    assert all(COMMANDS[1] not in d.action for d in decisions)


def test_tree_of_thoughts_asks_no_world_model() -> None:
    lm = model(candidates="look\ngo to shelf 1", value=lambda p: "9" if "> go to shelf 1" in p else "1")
    decision = TotPlanner(searcher(lm, imagines=False), depth=2, beam=2).decide([context()])[0]
    assert decision.action == "go to shelf 1"
    assert {step.observation for step in decision.foresight.steps} == {PLANNED}
    assert "predict" not in asked(lm)
    assert decision.world_model_usage.tokens == 0


def test_a_search_without_a_readable_candidate_asks_for_a_command() -> None:
    for planner_of in (
        lambda lm: MctsPlanner(searcher(lm), simulations=2, depth=2, judged=True),
        lambda lm: MctsPlanner(searcher(lm), simulations=2, depth=2, judged=False),
        lambda lm: TotPlanner(searcher(lm, imagines=False), depth=2, beam=2),
    ):
        lm = model(candidates="no idea", act="Action: look", propose="Action: look", predict="x", value="5")
        decision = planner_of(lm).decide([context()])[0]
        assert (decision.action, decision.parse) == ("look", "exact")


def test_searches_expand_all_episodes_in_one_call() -> None:
    batches: list[int] = []
    lm = egg_lm()
    generate = lm.generate
    lm.generate = lambda prompts, *rest: (batches.append(len(prompts)), generate(prompts, *rest))[1]  # pyright: ignore
    MctsPlanner(searcher(lm), simulations=2, depth=1, judged=True).decide([context(seed=n) for n in range(4)])
    assert min(batches) >= 4


def test_uct_tries_everything_once_and_then_weighs_value_against_doubt() -> None:
    root = Node(context().state)
    root.children = [Node(None, None, root) for _ in range(3)]
    good, poor, untried = root.children
    for _ in range(4):
        back_up(good, 0.9)
    back_up(poor, 0.1)
    assert select(root) is untried
    back_up(untried, 0.1)
    assert root.visits == 6
    assert good.mean == pytest.approx(0.9)
    assert upper_confidence(poor) == pytest.approx(0.1 + (1.791759469 / 1) ** 0.5)
    for _ in range(40):
        back_up(select(root), 0.9 if select(root) is good else 0.1)
    assert good.visits > poor.visits + untried.visits


def test_rap_backs_up_the_mean_reward_from_each_node_on() -> None:
    root = Node(context().state)
    first = Node(None, None, root, reward=0.2)
    second = Node(None, None, first, reward=0.6)
    back_up_rewards(second)
    assert (root.visits, first.visits, second.visits) == (1, 1, 1)
    assert (first.mean, second.mean) == (pytest.approx(0.4), pytest.approx(0.6))


def test_prompts_are_kept_where_asked_and_hold_what_the_model_read() -> None:
    for keep in (True, False):
        policy = PromptedPolicy(model(act="Action: look"), keep_prompts=keep)
        (decision,) = PromptingPlanner(policy, "act", SHORT).decide([context()])
        asked = policy.chat(question("act", context())).plain()
        assert decision.prompt == (asked if keep else "")
        assert context().state.task in asked
