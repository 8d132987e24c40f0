"""Traces: what is written comes back equal, and damage is met as promised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itp.errors import RunFolderError
from itp.trace.schema import TraceFormatError, trajectory_from_dict, trajectory_to_dict
from itp.trace.store import TraceStore
from itp.types import Decision, ImaginedStep, ImaginedTrajectory, Step, StopReason, Task, Trajectory, Usage


def episode(task_id: str = "a", **changes: Any) -> Trajectory:
    decision = Decision(
        action="open fridge 1",
        horizon=2,
        foresight=ImaginedTrajectory(
            (ImaginedStep("go to fridge 1", "closed"), ImaginedStep("open fridge 1", "an egg"))
        ),
        horizon_probs=(0.1, 0.2, 0.7),
        reflection="ünsure",
        thought="line one\nline two",
        raw_text="Action: open fridge 1",
        parse="exact",
        policy_usage=Usage(10, 3, 2, 0.5),
        world_model_usage=Usage(20, 30, 2, 1.5),
    )
    steps = (Step(decision, "it is open", 0.5, ("look", "open fridge 1")), Step(Decision("look"), "nothing"))
    fields: dict[str, Any] = {"score": 1.0, "seconds": 2.5, **changes}
    return Trajectory(Task(task_id, "cool an egg", "cool"), "a kitchen", steps, StopReason.WON, **fields)


texts = st.text(max_size=20)
usages = st.builds(Usage, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.floats(0, 9))
foresights = st.builds(ImaginedTrajectory, st.lists(st.builds(ImaginedStep, texts, texts), max_size=3).map(tuple))
decisions = st.builds(
    Decision, texts, st.integers(0, 8), foresights, st.lists(st.floats(0, 1), max_size=3).map(tuple),
    texts, texts, texts, texts, texts, usages, usages, usages, texts, st.lists(foresights, max_size=2).map(tuple),
)  # fmt: skip
steps = st.builds(Step, decisions, texts, st.floats(-1, 1), st.none() | st.lists(texts, max_size=3).map(tuple), texts)
trajectories = st.builds(
    Trajectory, st.builds(Task, texts, texts, texts), texts, st.lists(steps, max_size=3).map(tuple),
    st.sampled_from(StopReason), st.floats(-100, 100), texts, st.floats(0, 9),
)  # fmt: skip


def test_a_trace_of_before_imagination_was_counted_apart_still_loads() -> None:
    record = trajectory_to_dict(episode())
    for step in record["steps"]:
        del step["decision"]["imagination_usage"], step["decision"]["horizon_parse"], step["decision"]["passed_over"]
        for role in ("policy_usage", "world_model_usage"):
            del step["decision"][role]["cached_tokens"]
    assert trajectory_from_dict(record) == episode()


@given(trajectories)
def test_every_trajectory_survives_json(trajectory: Trajectory) -> None:
    assert trajectory_from_dict(json.loads(json.dumps(trajectory_to_dict(trajectory)))) == trajectory


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "schema version 99"),
        ({"stop": "tired"}, "tired"),
        ({"colour": "red"}, "colour"),
        ({"task": None}, "mapping"),
    ],
)
def test_records_of_another_shape_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(TraceFormatError, match=message):
        trajectory_from_dict({**trajectory_to_dict(episode()), **change})


def test_a_missing_key_is_named() -> None:
    record = trajectory_to_dict(episode())
    del record["steps"][0]["decision"]["policy_usage"]
    with pytest.raises(TraceFormatError, match="'policy_usage' is missing"):
        trajectory_from_dict(record)


def test_store_reads_back_what_was_appended(tmp_path: Path) -> None:
    store = TraceStore(tmp_path / "new" / "traces.jsonl")
    assert store.read() == []
    episodes = [episode("a"), episode("b", error="late\u2028line", score=-100.0)]
    for trajectory in episodes:
        store.append(trajectory)
        assert TraceStore(store.path).read()[-1] == trajectory  # on disk at once
    assert TraceStore(store.path).completed_ids() == {"a", "b"}
    assert store.path.read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("keep", [1, 20, -1], ids=["one byte", "some", "all but the newline"])
def test_a_torn_last_line_is_dropped_and_redone(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "traces.jsonl"
    for name in "ab":
        TraceStore(path).append(episode(name))
    whole = path.read_bytes()
    second = whole.index(b"\n") + 1
    torn = whole[:second] + whole[second:][:keep]
    path.write_bytes(torn)

    store = TraceStore(path)
    assert store.completed_ids() == {"a"}
    assert path.read_bytes() == torn  # reading changes nothing
    store.append(episode("b"))
    assert path.read_bytes() == whole


def test_a_last_line_of_zeros_counts_as_torn(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    TraceStore(path).append(episode("a"))
    with path.open("ab") as stream:
        stream.write(b"\0" * 50 + b"\n")
    store = TraceStore(path)
    assert store.completed_ids() == {"a"}
    store.append(episode("b"))
    assert [trajectory.task.task_id for trajectory in TraceStore(path)] == ["a", "b"]


@pytest.mark.parametrize(
    "damage", [b'{"schema_version": 1, "ta\n', b"[1, 2]\n", b"\xff\xfe\n", b'{"schema_version":1}\n']
)
def test_damage_in_the_middle_names_the_line(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "traces.jsonl"
    for name in "abc":
        TraceStore(path).append(episode(name))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = damage
    path.write_bytes(b"".join(lines))
    with pytest.raises(RunFolderError, match="line 2 is no episode"):
        TraceStore(path).read()


def test_a_whole_last_line_of_another_schema_is_an_error_not_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text('{"schema_version": 2}\n')
    with pytest.raises(RunFolderError, match=r"line 1 is no episode \(schema version 2"):
        TraceStore(path).read()
