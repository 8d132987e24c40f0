"""`itp collect` stopped by Ctrl-C and by kill -9, with and without workers: the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from itp.trace.store import TraceStore

WORDS = ("--env", "workers_toys:told", "--epsilon", "0.3", "--batch-size", "3")
OPTIONS = ("expert=true", "commands=true", "count=24")
Record = dict[str, list[tuple[str, str]]]


def collect(out: Path, *words: str, sleep: float = 0.0) -> subprocess.Popen[str]:
    """Start the command as a shell would: in a process group of its own."""
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    options = ("--env-option", *OPTIONS, f"sleep={sleep}")
    return subprocess.Popen(
        [sys.executable, "-m", "itp.cli", "collect", *WORDS, *options, "--out", str(out), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        start_new_session=True,
    )


def played(out: Path) -> Record:
    trajectories = TraceStore(out / "expert-0.3.jsonl").read()
    record = {t.task.task_id: [(s.decision.action, s.expert_action) for s in t.steps] for t in trajectories}
    assert len(record) == len(trajectories)
    return record


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Record:
    out = tmp_path_factory.mktemp("whole") / "out"
    process = collect(out, sleep=0.03)
    assert process.wait(60) == 0, process.communicate()
    record = played(out)
    assert len(record) == 24
    return record


@pytest.mark.parametrize(("stop", "workers"), [(signal.SIGINT, "2"), (signal.SIGKILL, "0")])
def test_a_stopped_collection_goes_on_with_the_same_command(
    tmp_path: Path, whole: Record, stop: signal.Signals, workers: str
) -> None:
    out, file = tmp_path / "out", tmp_path / "out" / "expert-0.3.jsonl"
    process = collect(out, "--workers", workers, sleep=0.03)
    while process.poll() is None and (not file.exists() or file.read_bytes().count(b"\n") < 5):
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    if stop is signal.SIGINT:
        os.killpg(process.pid, stop)  # a terminal sends it to the whole group
    else:
        process.kill()
    _, error = process.communicate(timeout=30)
    assert not psutil.wait_procs(children, timeout=10)[1]
    before = played(out)
    assert 5 <= len(before) < 24
    if stop is signal.SIGINT:
        assert process.returncode == 130
        assert error.startswith("itp: interrupted; to resume, run again: itp collect")
        assert error.count("\n") == 1
    else:
        with file.open("ab") as stream:  # what a kill in the middle of a line leaves
            stream.write(b'{"schema_version":1,"task":{"task_id":"t3')
    again = collect(out, sleep=0.03)  # the number of workers is free to change
    assert again.wait(60) == 0, again.communicate()
    after = played(out)
    assert after == whole
    assert list(after)[: len(before)] == list(before)
