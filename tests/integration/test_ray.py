"""`--executor ray` on a cluster of two nodes on this machine: the same episodes, also when a node dies half-way.

Ray is an optional extra: without it these tests are skipped. `python -m pip install 'imagine-then-plan[ray]'`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from itp.cli.main import main
from itp.errors import ConfigError
from itp.harness.play import ExecutorFlags, Play, play_episodes
from itp.trace.store import TraceStore
from itp.types import StopReason, Trajectory
from traces import without_times

ray: Any = pytest.importorskip("ray", reason="ray is not installed: pip install 'imagine-then-plan[ray]'")
pytestmark = pytest.mark.slow

EVAL = (
    "eval",
    "--planner",
    "random",
    "--split",
    "valid",
    "--episodes",
    "100",
    "--max-steps",
    "20",
    "--batch-size",
    "4",
)


@pytest.fixture
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


def played(out: Path) -> dict[str, Trajectory]:
    episodes = TraceStore(out / "traces.jsonl").read()
    found = {episode.task.task_id: without_times(episode) for episode in episodes}
    assert len(found) == len(episodes)
    return found


def kill_when_half_done(cluster: Any, node: Any, traces: Path) -> None:
    while not traces.is_file() or traces.read_bytes().count(b"\n") < 50:
        time.sleep(0.01)
    cluster.remove_node(node, allow_graceful=False)


def test_a_node_that_dies_half_way_costs_no_episode(cluster: Any, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=1)
    slow = ("--env", "ray_toys:slow_household", "--executor", "ray", "--ray-address", cluster.address)
    killer = threading.Thread(target=kill_when_half_done, args=(cluster, node, tmp_path / "ray/traces.jsonl"))
    killer.start()
    assert main([*EVAL, *slow, "--out", str(tmp_path / "ray")]) == 0
    killer.join(timeout=5)
    assert not killer.is_alive(), "the run was over before the node died"
    assert main([*EVAL, "--env", "ray_toys:slow_household", "--out", str(tmp_path / "local")]) == 0
    assert len(played(tmp_path / "local")) == 100
    assert played(tmp_path / "ray") == played(tmp_path / "local")

    words = ("collect", "--episodes", "8", "--epsilon", "0.3")
    assert main([*words, "--out", str(tmp_path / "a"), "--executor", "ray", "--ray-chunk", "2"]) == 0
    assert main([*words, "--out", str(tmp_path / "b")]) == 0
    ours, theirs = (TraceStore(tmp_path / name / "expert-0.3.jsonl").read() for name in ("a", "b"))
    by_task = [{e.task.task_id: without_times(e) for e in episodes} for episodes in (ours, theirs)]
    assert by_task[0] == by_task[1]
    assert len(by_task[0]) == 8


def test_an_episode_that_kills_its_process_is_an_error_and_no_other_is(cluster: Any) -> None:
    import ray_toys

    play = Play(ray_toys.deadly_household, ray_toys.random_planner, batch_size=4, max_steps=3, seed=0)
    tasks = list(ray_toys.deadly_household().task_ids[:8])
    flags = ExecutorFlags(executor="ray", ray_address=cluster.address, ray_retries=2)
    episodes: list[Trajectory] = []
    play_episodes(play, tasks, episodes.append, flags)
    assert sorted(episode.task.task_id for episode in episodes) == sorted(tasks)
    (failed,) = [episode for episode in episodes if episode.stop is StopReason.ERROR]
    assert failed.task.task_id == tasks[ray_toys.DEADLY]
    assert "lost 3 times" in failed.error

    refusing = Play(ray_toys.deadly_household, partial(ray_toys.refuse, "no such model"), 4, 3, 0)
    with pytest.raises(ConfigError, match="no such model"):
        play_episodes(refusing, tasks, episodes.append, flags)


def test_an_address_where_nothing_listens_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--planner", "random", "--executor", "ray", "--ray-address", "127.0.0.1:1", "--out", str(tmp_path / "o"))
    began = time.monotonic()
    assert main(["eval", *words]) == 2
    assert time.monotonic() - began < 20
    assert "--ray-address 127.0.0.1:1: nothing answers there" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
