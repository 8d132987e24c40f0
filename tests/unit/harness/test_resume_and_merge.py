"""Resume and merge: whatever was torn or split, the results are those of the undisturbed run."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itp import make_env
from itp.errors import ConfigError, DataError
from itp.evaluation.metrics import summarize
from itp.harness.play import ExecutorFlags, Play, play_episodes
from itp.harness.retry import drop_errors
from itp.harness.shards import Shard, merge_episodes, missing_shards
from itp.planners.simple import RandomPlanner
from itp.trace.store import TraceStore
from itp.types import StopReason, Task, Trajectory
from traces import without_times

PLAY = Play(lambda: make_env("household", split="valid"), RandomPlanner, batch_size=3, max_steps=3, seed=7)


@cache
def tasks() -> tuple[str, ...]:
    return tuple(make_env("household", split="valid").task_ids[:8])


@cache
def undisturbed() -> tuple[bytes, tuple[Trajectory, ...]]:
    """The trace file of a run that nothing disturbed, and its episodes in the order of the tasks."""
    with tempfile.TemporaryDirectory() as folder:
        store = TraceStore(Path(folder) / "traces.jsonl")
        play_episodes(PLAY, tasks(), store.append, ExecutorFlags())
        found = {episode.task.task_id: episode for episode in store}
        return store.path.read_bytes(), tuple(found[task] for task in tasks())


def figures(episodes: list[Trajectory]) -> object:
    return summarize([without_times(e) for e in episodes], env="household", split="valid", planner="random")


def resume(store: TraceStore, todo: list[str]) -> list[Trajectory]:
    """What `itp eval` does with a trace file: play what is owed, read the rest."""
    found = {episode.task.task_id: episode for episode in store}
    play_episodes(PLAY, [task for task in todo if task not in found], store.append, ExecutorFlags())
    episodes = store.read()
    assert sorted(e.task.task_id for e in episodes) == sorted(todo), "an episode is lost or doubled"
    return sorted(episodes, key=lambda episode: todo.index(episode.task.task_id))


@settings(deadline=None, max_examples=40)
@given(cuts=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6)), min_size=1, max_size=3))
def test_any_torn_trace_file_is_resumed_to_the_same_results(cuts: list[tuple[float, bytes]]) -> None:
    whole, expected = undisturbed()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traces.jsonl"
        path.write_bytes(whole)
        episodes: list[Trajectory] = []
        for share, rubbish in cuts:  # killed at any byte, several times; rubbish is what a power failure leaves
            before = path.read_bytes()
            path.write_bytes(before[: int(share * len(before))] + rubbish.replace(b"\n", b""))
            episodes = resume(TraceStore(path), list(tasks()))
        assert [without_times(e) for e in episodes] == [without_times(e) for e in expected]
        assert figures(episodes) == figures(list(expected))


@settings(deadline=None, max_examples=40)
@given(count=st.integers(1, 8), order=st.randoms(use_true_random=False))
def test_any_split_into_shards_merges_to_the_same_results(count: int, order: object) -> None:
    _, expected = undisturbed()
    by_task = {episode.task.task_id: episode for episode in expected}
    parts = {}
    for index in range(1, count + 1):
        own = [by_task[task] for task in Shard(index, count).take(tasks())]
        order.shuffle(own)  # pyright: ignore[reportAttributeAccessIssue]
        parts[f"shard{index}"] = own
    assert merge_episodes(parts, tasks()) == list(expected)
    assert figures(merge_episodes(parts, tasks())) == figures(list(expected))


def test_a_shard_plays_what_the_whole_run_plays() -> None:
    _, expected = undisturbed()
    mine = Shard.parse("2/3").take(tasks())
    with tempfile.TemporaryDirectory() as folder:
        episodes = resume(TraceStore(Path(folder) / "traces.jsonl"), mine)
    assert [without_times(e) for e in episodes] == [without_times(e) for e in expected if e.task.task_id in mine]


def episode(task: str, stop: StopReason = StopReason.LOST) -> Trajectory:
    return Trajectory(Task(task, "g"), "o", (), stop, error="boom" if stop is StopReason.ERROR else "")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"a": ["t1", "t2"], "b": ["t2", "t3"]}, r"1 episode \(t2\) played more than once, in a, b"),
        ({"a": ["t1"], "b": ["t2"]}, r"1 episode \(t3\) of 3 in none of a, b"),
        ({"a": ["t1", "t2"], "b": ["t3", "t9"]}, r"1 episode \(t9\) in the shards but not in the split"),
    ],
)
def test_parts_that_make_no_whole_are_refused_by_name(parts: dict[str, list[str]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        merge_episodes({name: [episode(t) for t in ids] for name, ids in parts.items()}, ["t1", "t2", "t3"])


def test_shards_are_read_and_counted() -> None:
    for text in ("0/2", "3/2", "1", "a/b", "1/0"):
        with pytest.raises(ConfigError, match="1 <= i <= n"):
            Shard.parse(text)
    assert missing_shards([Shard(1, 3), Shard(3, 3)]) == ["2/3"]
    with pytest.raises(ConfigError, match="of 2 and of 3"):
        missing_shards([Shard(1, 2), Shard(1, 3)])
    with pytest.raises(ConfigError, match="given twice"):
        missing_shards([Shard(1, 2), Shard(1, 2)])


def test_only_errors_are_dropped(tmp_path: Path) -> None:
    store = TraceStore(tmp_path / "traces.jsonl")
    for task, stop in (("a", StopReason.WON), ("b", StopReason.ERROR), ("c", StopReason.LOST)):
        store.append(episode(task, stop))
    assert drop_errors(store.path) == 1
    assert [e.task.task_id for e in store] == ["a", "c"]
    before = store.path.read_bytes()
    assert drop_errors(store.path) == 0
    assert store.path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["traces.jsonl"]
    assert drop_errors(tmp_path / "absent.jsonl") == 0
