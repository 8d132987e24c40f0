"""`itp data convert`: the authors' formats and ETO conversations as the trajectories that every stage reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from itp.cli.main import main
from itp.data.rows import IGNORE, policy_rows, world_model_rows
from itp.data.state_texts import StateText, read_action, read_state
from itp.state_text.prompts import PromptBuilder
from itp.state_text.renderers import get_renderer
from itp.trace.store import TraceStore
from itp.types import State, Trajectory
from models import decode, episodes, lm

ROOM = "You are in the middle of a room. Looking quickly around you, you see a desk 1."
TASK = "put a mug in desk."
SEEN = "On the desk 1, you see a mug 1."
EXPERT = [
    {"episode_id": "e1", "step": 0, "state": f"{ROOM}\n\nYour task is to: {TASK}", "action": "go to desk 1",
     "next_state": SEEN},
    {"episode_id": "e1", "step": 1, "state": SEEN, "action": "take mug 1 from desk 1", "next_state": "You pick it up."},
]  # fmt: skip
TALK = [
    {"from": "human", "value": "Interact with a household to solve a task."},
    {"from": "gpt", "value": "OK"},
    {"from": "human", "value": f"{ROOM}\n\nYour task is to: {TASK}"},
    {"from": "gpt", "value": "Thought: The desk first.\nAction: go to desk 1"},
    {"from": "human", "value": f"Observation: {SEEN}"},
    {"from": "gpt", "value": "Thought: There it is.\nAction: take mug 1 from desk 1"},
]


def lines(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def convert(file: Path, *words: str) -> list[Trajectory]:
    out = file.parent / "out"
    assert main(["data", "convert", "--input", str(file), *words, "--out", str(out)]) == 0
    return TraceStore(out / f"{file.stem}.jsonl").read()


def test_the_rows_of_an_expert_episode_become_one_trajectory_in_the_order_of_their_steps(tmp_path: Path) -> None:
    [episode] = convert(lines(tmp_path / "expert.jsonl", EXPERT[::-1]))
    assert episode.task.task_id == "expert/e1"
    assert (episode.task.goal, episode.first_observation) == (TASK, ROOM)
    assert [step.decision.action for step in episode.steps] == ["go to desk 1", "take mug 1 from desk 1"]
    assert [step.expert_action for step in episode.steps] == ["go to desk 1", "take mug 1 from desk 1"]
    assert [step.observation for step in episode.steps] == [SEEN, "You pick it up."]
    assert episode.won


def test_our_own_episodes_survive_the_authors_format(tmp_path: Path) -> None:
    rows, originals = [], episodes(3, 0.0, 5)
    for original in originals:
        state = f"{original.first_observation}\n\nYour task is to: {original.task.goal}"
        for number, step in enumerate(original.steps):
            rows.append(
                {"episode_id": original.task.task_id, "step": number, "state": state,
                 "action": step.decision.action, "next_state": step.observation}
            )  # fmt: skip
            state = step.observation
    converted = convert(lines(tmp_path / "expert.jsonl", rows))
    assert [list(t.states()) for t in converted] == [list(t.states()) for t in originals]


def test_a_state_that_does_not_follow_from_the_row_before_begins_another_trajectory(tmp_path: Path) -> None:
    other = {**EXPERT[1], "step": 2, "state": "You are elsewhere.", "action": "look"}
    first, second = convert(lines(tmp_path / "expert.jsonl", [*EXPERT, other]))
    assert (len(first.steps), first.won) == (2, False)
    assert (second.first_observation, second.task.goal) == ("You are elsewhere.", TASK)
    assert second.task.task_id == "expert/e1#2"


def test_world_model_rows_become_single_steps_without_an_expert(tmp_path: Path) -> None:
    rows = [{key: row[key] for key in ("state", "action", "next_state")} for row in EXPERT]
    both = convert(lines(tmp_path / "wm.jsonl", rows))
    assert [(len(t.steps), t.steps[0].expert_action) for t in both] == [(1, ""), (1, "")]
    assert both[1].states()[0] == State("", SEEN)
    assert both[1].steps[0].observation == "You pick it up."


def test_a_conversation_keeps_thoughts_and_leaves_the_talk_before_the_game_out(tmp_path: Path) -> None:
    file = tmp_path / "sft.json"
    file.write_text(json.dumps([{"id": "a", "conversations": TALK}, {"id": "a", "conversations": TALK}], indent=1))
    episode, again = convert(file)
    assert (episode.task.goal, episode.first_observation) == (TASK, ROOM)
    first, last = episode.steps
    assert (first.decision.action, first.decision.thought, first.observation) == (
        "go to desk 1", "The desk first.", SEEN
    )  # fmt: skip
    assert (last.expert_action, last.observation) == ("take mug 1 from desk 1", "")
    assert episode.task.task_id != again.task.task_id


def test_turns_may_be_called_role_and_content_and_stand_alone_on_a_line(tmp_path: Path) -> None:
    roles = {"human": "user", "gpt": "assistant"}
    turns = [{"role": roles[turn["from"]], "content": turn["value"]} for turn in TALK]
    [episode] = convert(lines(tmp_path / "sft.jsonl", [turns]))
    assert [step.decision.action for step in episode.steps] == ["go to desk 1", "take mug 1 from desk 1"]


@pytest.mark.parametrize("renderer", ["history", "memory"])
def test_the_last_action_of_a_conversation_is_learnt_but_no_empty_observation(tmp_path: Path, renderer: str) -> None:
    converted = convert(lines(tmp_path / "sft.jsonl", [{"conversations": TALK}]))
    model, prompts = lm(), PromptBuilder(get_renderer(renderer))

    def learnt(rows: Any) -> str:
        return "".join(decode([token for token in row.labels if token != IGNORE]) for row in rows)

    assert "take mug 1 from desk 1" in learnt(policy_rows(converted, model.encode, prompts))
    assert learnt(world_model_rows(converted, model.encode, prompts)) == f"{SEEN}<END>"


def test_trajectories_pass_unchanged(tmp_path: Path) -> None:
    store = TraceStore(tmp_path / "ours.jsonl")
    for trajectory in episodes()[:2]:
        store.append(trajectory)
    assert convert(store.path) == list(episodes()[:2])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (f"{ROOM}\n\nYour task is to: {TASK}", StateText(TASK, ROOM)),
        (
            "Your task is to boil water.\nFocus on it first.",
            StateText("Your task is to boil water. Focus on it first."),
        ),
        ("Observation: The door is open.", StateText("", "The door is open.")),
        (
            "Mission: boil water\nObservation: a kitchen\nInventory: a pot\nHistory: open door",
            StateText("boil water", "a kitchen\nInventory: a pot", "open door"),
        ),
        (f"Task: {TASK}\nHistory:\n1. look\nObservation: {SEEN}", StateText(TASK, SEEN, "1. look")),
        ("no label at all: nothing", StateText("", "no label at all: nothing")),
        ("", StateText()),
    ],
)
def test_state_texts_are_taken_apart_without_loss(text: str, parts: StateText) -> None:
    assert read_state(text) == parts


def test_the_history_of_a_lone_state_stays_in_its_text(tmp_path: Path) -> None:
    row = {"state": "Task: t\nObservation: now\nHistory: before", "action": "a", "next_state": "Observation: then"}
    [episode] = convert(lines(tmp_path / "wm.jsonl", [row]))
    assert episode.first_observation == "History: before\nnow"
    assert episode.steps[0].observation == "then"


def test_the_last_action_line_counts() -> None:
    assert read_action("Thought: Action: is hard\nAction: open  fridge 1 ") == ("open  fridge 1", "Action: is hard")
    assert read_action("OK") == ("", "")


BAD = [
    (['{"episode_id": 1, "step": 0, "state": "s", "action": "a"}'], "bad.jsonl:1: key 'next_state' is missing"),
    (['{"episode_id": 1, "state": "s", "action": "a", "next_state": "n"}'], "bad.jsonl:1: key 'step' is missing"),
    ([json.dumps(EXPERT[0]), json.dumps(EXPERT[0])], "bad.jsonl:2: step 0 of this episode is given before"),
    ([json.dumps({**EXPERT[0], "step": "x"})], "bad.jsonl:1: step is 'x', expected a whole number"),
    ([json.dumps({**EXPERT[0], "action": 3})], "bad.jsonl:1: action is int, expected text"),
    ([json.dumps(EXPERT[0]), "{"], "bad.jsonl:2: no JSON"),
    ([json.dumps(EXPERT[0]), "[1]"], "bad.jsonl:2: a list, expected an object with keys"),
    (['{"question": 1}'], "bad.jsonl:1 follows no known format (keys question); known are expert: episode_id"),
    (['{"conversations": [{"from": "human", "value": "hi"}]}'], "bad.jsonl:1: no gpt turn has an 'Action: ...' line"),
    (['{"conversations": [{"from": "robot", "value": "hi"}]}'], "bad.jsonl:1, turn 1: from is 'robot'"),
    (['{"conversations": [{"from": "gpt"}]}'], "bad.jsonl:1, turn 1: key 'value' is missing"),
    (['{"schema_version": 1, "task": {}, "steps": []}'], "bad.jsonl:1 is no trajectory"),
    ([], "bad.jsonl is empty"),
]


@pytest.mark.parametrize(("content", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_a_bad_line_is_named_with_what_is_missing(
    tmp_path: Path, content: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.jsonl").write_text("\n".join(content))
    out = tmp_path / "out"
    assert main(["data", "convert", "--input", str(tmp_path / "bad.jsonl"), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(out.glob("*.jsonl*"))


def test_missing_files_and_unknown_formats_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = lines(tmp_path / "expert.jsonl", EXPERT)
    for words, message in (
        (["--input", str(tmp_path / "none.jsonl")], "is no file"),
        (["--input", str(file), "--format", "csv"], "--format csv is unknown"),
        (["--input", str(file), "--format", "eto"], "expert.jsonl:1: key 'conversations' is missing"),
    ):
        assert main(["data", "convert", *words, "--out", str(tmp_path / "out" / message[:3])]) == 2
        assert message in capsys.readouterr().err


def test_a_file_that_is_no_text_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.jsonl").write_bytes(b"\xff\xfe\x00")
    assert main(["data", "convert", "--input", str(tmp_path / "x.jsonl"), "--out", str(tmp_path / "out")]) == 2
    assert "x.jsonl is no UTF-8 text" in capsys.readouterr().err


def test_files_of_the_same_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    files = [lines(tmp_path / "x.jsonl", EXPERT), lines(tmp_path / "b" / "x.jsonl", EXPERT[:1])]
    assert main(["data", "convert", "--input", *map(str, files), "--out", str(tmp_path / "out")]) == 0
    found = [TraceStore(tmp_path / "out" / name).read() for name in ("x.jsonl", "x-2.jsonl")]
    assert [len(episode.steps) for [episode] in found] == [2, 1]
