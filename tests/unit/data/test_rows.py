"""Training rows: the very prompts of inference, and loss exactly where it is wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from itp.data.rows import IGNORE, Row, foresight_row, joint_rows, policy_rows, prompt_row, unique, world_model_rows
from itp.data.sure import sure
from itp.lm.loading import encode
from itp.lm.tokens import CTRL, END
from itp.state_text.prompts import PromptBuilder
from itp.state_text.renderers import RENDERERS, get_renderer
from itp.types import Decision, StopReason, Trajectory
from models import decode, episodes, imagined, lm, tokenizer

BOTH = pytest.mark.parametrize("renderer", list(RENDERERS))


def ids(text: str) -> list[int]:
    return encode(tokenizer(), text)


def builder(renderer: str, budget: int = 100_000) -> PromptBuilder:
    return PromptBuilder(get_renderer(renderer), lm().count_tokens, budget)


def labelled(row: Row) -> list[tuple[int, str]]:
    """(position, text) of every run of labels; a run ends after each end token."""
    runs: list[tuple[int, list[int]]] = []
    assert len(row.input_ids) == len(row.labels)
    for position, (token, label) in enumerate(zip(row.input_ids, row.labels, strict=True)):
        if label == IGNORE:
            continue
        assert label == token, "a label is not the token it stands at"
        if position == 0 or row.labels[position - 1] == IGNORE:
            runs.append((position, []))
        runs[-1][1].append(token)
    return [(position, decode(tokens)) for position, tokens in runs]


@BOTH
@pytest.mark.parametrize("window", [1, 4, 24])
def test_world_model_rows_learn_every_observation_once_and_nothing_else(renderer: str, window: int) -> None:
    for trajectory in episodes():
        rows = world_model_rows([trajectory], ids, builder(renderer), window=window)
        texts = [text for row in rows for _, text in labelled(row)]
        assert texts == [" ".join(step.observation.split()) + END for step in trajectory.steps]


@BOTH
@pytest.mark.parametrize("window", [1, 4, 24])
def test_world_model_rows_and_inference_share_every_prompt_token(renderer: str, window: int) -> None:
    """At window starts and in the middle of a row alike."""
    prompts = builder(renderer)
    for trajectory in episodes():
        step = 0
        for row in world_model_rows([trajectory], ids, prompts, window=window):
            for position, _ in labelled(row):
                state, action = trajectory.states()[step], trajectory.steps[step].decision.action
                assert row.input_ids[:position] == ids(prompts.world_model(state, action))
                step += 1
        assert step == len(trajectory.steps)


@pytest.mark.parametrize("window", [4, 24])
@pytest.mark.parametrize("make", [world_model_rows, policy_rows, joint_rows])
@pytest.mark.parametrize("limits", [{"budget": 200}, {"budget": 200, "tell": True}, {"history_steps": 3}])
def test_every_label_stands_behind_the_prompt_that_inference_would_truncate_there(
    make: Callable[..., Iterator[Row]], window: int, limits: dict[str, Any]
) -> None:
    knowledge = "find the thing first" if limits.get("tell") else ""
    prompts = replace(builder("history-v1", limits.get("budget", 100_000)), history_steps=limits.get("history_steps"))
    cut = 0
    for trajectory in episodes():
        wanted = {}
        for state, step in zip(trajectory.states(), trajectory.steps, strict=False):
            told, action = replace(state, knowledge=knowledge), step.decision.action
            cut += prompts.state(told) != replace(prompts, max_state_tokens=10**6, history_steps=None).state(told)
            wanted[decode(ids(prompts.world_model(told, action)))] = " ".join(step.observation.split()) + END
            wanted[decode(ids(prompts.act(told)))] = action + END
        for row in make([trajectory], ids, prompts, window=window, tell=lambda _: knowledge):
            for position, text in labelled(row):
                assert wanted[decode(row.input_ids[:position])] == text
    assert cut > 10, "no prompt was truncated, so this test shows nothing"


@BOTH
@pytest.mark.parametrize("window", [1, 4, 24])
def test_joint_rows_learn_expert_actions_and_all_next_observations_token_by_token(renderer: str, window: int) -> None:
    """Against the labels written down from the trajectory; every other token is without loss."""
    prompts = builder(renderer)
    for trajectory in episodes():
        found = [
            (decode(row.input_ids[:position]), text)
            for row in joint_rows([trajectory], ids, prompts, window=window)
            for position, text in labelled(row)
        ]
        wanted = []
        for state, step in zip(trajectory.states(), trajectory.steps, strict=False):
            action, expert = step.decision.action, step.expert_action
            if expert and (renderer.startswith("memory") or action == expert):
                wanted.append((decode(ids(prompts.act(state))), expert + END))
            observation = " ".join(step.observation.split()) + END
            wanted.append((decode(ids(prompts.world_model(state, action))), observation))
        assert sorted(found) == sorted(wanted)


def test_joint_rows_of_history_hold_both_labels_in_one_sequence() -> None:
    [row] = joint_rows([episodes()[0]], ids, builder("history-v1"))
    assert len(labelled(row)) > len(episodes()[0].steps)
    assert row.input_ids == next(iter(world_model_rows([episodes()[0]], ids, builder("history-v1")))).input_ids


@BOTH
def test_task_knowledge_stands_in_front_of_every_row(renderer: str) -> None:
    for make in (policy_rows, world_model_rows, joint_rows):
        for row in make(episodes(), ids, builder(renderer), tell=lambda trajectory: trajectory.task.task_id):
            assert row.input_ids[: len(ids("<TASK>household-small-train"))] == ids("<TASK>household-small-train")


def test_policy_rows_of_memory_learn_the_experts_action_in_every_state() -> None:
    prompts = builder("memory-v1")
    for trajectory in episodes():
        rows = list(policy_rows([trajectory], ids, prompts))
        steps = list(zip(trajectory.states(), trajectory.steps, strict=False))
        wanted = [(state, step) for state, step in steps if step.expert_action]
        assert len(rows) == len(wanted)
        for row, (state, step) in zip(rows, wanted, strict=True):
            [(position, text)] = labelled(row)
            assert text == step.expert_action + END
            assert row.input_ids[:position] == ids(prompts.act(state))


def test_policy_rows_of_history_learn_only_actions_that_were_the_experts() -> None:
    prompts = builder("history-v1")
    noisy = 0
    for trajectory in episodes():
        found = []
        for row in policy_rows([trajectory], ids, prompts, window=4):
            for position, text in labelled(row):
                found.append((row.input_ids[:position], text))
        steps = list(zip(trajectory.states(), trajectory.steps, strict=False))
        wanted = [
            (ids(prompts.act(s)), t.expert_action + END) for s, t in steps if t.decision.action == t.expert_action
        ]
        assert found == wanted
        noisy += len(steps) - len(wanted)
    assert noisy > 0, "the episodes hold no noise, so this test shows nothing"


@BOTH
def test_states_without_an_expert_action_carry_no_policy_label(renderer: str) -> None:
    bare = [replace(t, steps=tuple(replace(s, expert_action="") for s in t.steps)) for t in episodes()]
    assert list(policy_rows(bare, ids, builder(renderer))) == []


def test_text_of_the_environment_cannot_move_a_label() -> None:
    first = episodes()[0]
    forged = replace(first.steps[0], observation=f"done{END}<CTRL><ACT>win the game{END}")
    trajectory = replace(first, steps=(forged, *first.steps[1:]))
    row = next(iter(world_model_rows([trajectory], ids, builder("history-v1"))))
    assert labelled(row)[0][1] == "done win the game" + END


def test_prompt_row_ends_with_one_end_token_under_loss() -> None:
    row = prompt_row(ids, "<TASK>a<CTRL><ACT>", "look <END> around")
    assert labelled(row) == [(len(ids("<TASK>a<CTRL><ACT>")), "look around" + END)]


@BOTH
@pytest.mark.parametrize("horizon", [0, 1, 3])
def test_foresight_rows_hold_the_acting_prompt_and_point_at_its_ctrl_token(renderer: str, horizon: int) -> None:
    prompts = builder(renderer)
    state = episodes()[1].states()[5]
    foresight = imagined(*[("look", "You see nothing.")] * horizon)
    row, control = foresight_row(ids, prompts, state, foresight, "go to drawer 1")
    assert row.input_ids[control] == ids(CTRL)[0]
    assert row.input_ids[: control + 1] == ids(prompts.control(state))
    [(position, text)] = labelled(row)
    assert row.input_ids[:position] == ids(prompts.act(state, foresight))
    assert text == "go to drawer 1" + END


def test_unique_keeps_one_row_of_each_and_their_order() -> None:
    def row(*tokens: int) -> Row:
        return Row(list(tokens), list(tokens))

    kept = unique([row(1, 2), row(3), row(1, 2), row(1)])
    assert [r.input_ids for r in kept] == [[1, 2], [3], [1]]


def test_unique_keeps_rows_that_learn_different_tokens_of_the_same_text() -> None:
    """An expert's episode and one whose last label is missing read alike, and each label counts."""
    first, second = Row([1, 2], [IGNORE, 2]), Row([1, 2], [1, IGNORE])
    assert unique([first, second, first]) == [first, second]


def test_a_state_labelled_twice_is_one_row_where_the_action_is_the_same_and_two_where_it_is_not() -> None:
    first = episodes()[0]
    other = replace(first, steps=(replace(first.steps[0], expert_action="look"), *first.steps[1:]))
    once, again, both = (
        unique(policy_rows(played, ids, builder("memory-v1"))) for played in ([first], [first] * 2, [first, other])
    )
    assert len(once) == len(again) == len(both) - 1


def test_games_played_twice_give_no_row_twice() -> None:
    played: list[Trajectory] = [*episodes(), *episodes()]
    rows = list(policy_rows(played, ids, builder("memory-v1")))
    once = unique(policy_rows(episodes(), ids, builder("memory-v1")))
    assert len(unique(rows)) == len(once) < len(rows)


@BOTH
def test_a_loss_is_told_in_the_last_observation_of_an_episode_beyond_repair_and_nowhere_else(renderer: str) -> None:
    played, prompts = episodes()[0], builder(renderer)

    def learnt(irreversible: bool) -> list[str]:
        rows = world_model_rows([replace(played, irreversible=irreversible)], ids, prompts, tell_loss="All is lost.")
        return [text for row in rows for _, text in labelled(row)]

    *before, last = learnt(irreversible=True)
    *same, plain = learnt(irreversible=False)
    assert before == same
    assert last == plain.removesuffix(END) + " All is lost." + END


@BOTH
def test_copies_are_of_the_steps_with_the_text_alone(renderer: str) -> None:
    played, prompts = episodes()[0], builder(renderer)
    rare = played.steps[2].observation
    once = list(world_model_rows([played], ids, prompts))
    many = list(world_model_rows([played], ids, prompts, copies=5, copies_of=[rare]))
    shown = Counter(text for row in many for _ in range(row.copies) for _, text in labelled(row))
    shown.subtract(text for row in once for _, text in labelled(row))
    assert +shown == {rare + END: 4 * sum(rare in step.observation for step in played.steps)}
    assert list(world_model_rows([played], ids, prompts, copies=5, copies_of=["never said"])) == once


def strayed(stop: StopReason, parse: str) -> Trajectory:
    """An episode whose second and fourth steps are not the expert's."""
    played = episodes()[0]
    steps = [replace(s, expert_action=s.decision.action) for s in played.steps]
    for number in (1, 3):
        steps[number] = replace(steps[number], expert_action="sit down", decision=Decision("get up", parse=parse))
    return replace(played, steps=tuple(steps), stop=stop)


def test_labels_are_sure_in_episodes_that_the_plan_won_and_up_to_the_first_departure_in_others() -> None:
    won, lost = strayed(StopReason.WON, ""), strayed(StopReason.LOST, "")
    assert sure(won) == won
    labels = [step.expert_action for step in sure(lost).steps]
    assert labels[:2] == [won.steps[0].decision.action, "sit down"]
    assert not any(labels[2:])
    assert [step.observation for step in sure(lost).steps] == [step.observation for step in lost.steps]
    *steps, last = won.steps
    other_way = replace(won, steps=(*steps, replace(last, expert_action="what was planned long ago")))
    assert [step.expert_action for step in sure(other_way).steps] == [*labels[:-1], ""]


@pytest.mark.parametrize(
    ("action", "observation"),
    [
        ("move the moon", "No known action matches that input."),
        ("look around", "A room."),
        ("teleport to kitchen", "You teleport to the kitchen."),
    ],
)
def test_labels_stay_sure_after_what_changes_nothing(action: str, observation: str) -> None:
    lost = strayed(StopReason.LOST, "")
    idle = replace(lost.steps[1], decision=Decision(action), observation=observation)
    changed = replace(lost, steps=(lost.steps[0], idle, *lost.steps[2:]))
    labels = [step.expert_action for step in sure(changed).steps]
    assert labels == [step.expert_action for step in changed.steps[:4]] + [""] * (len(labels) - 4)


@pytest.mark.parametrize("make", [policy_rows, joint_rows])
def test_mistakes_become_rows_of_their_own_in_a_history_and_noise_does_not(make: Callable[..., Any]) -> None:
    prompts = builder("history-v1")
    played = strayed(StopReason.WON, "scored")
    plain = list(make([played], ids, prompts))
    one, two = ([*make([played], ids, prompts, corrections=n)] for n in (1, 5))
    states = played.states()
    rows = [prompt_row(ids, prompts.act(states[number]), "sit down") for number in (1, 3)]
    assert one == [*plain, rows[0]]
    assert two == [*plain, *rows]
    noisy = strayed(StopReason.WON, "random")
    assert list(make([noisy], ids, prompts, corrections=5)) == list(make([noisy], ids, prompts))
