"""The same command on two processes, killed on the way and launched again: the curve of one uninterrupted process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from itp.cli.main import main
from training_data import curve, write_episodes

PRESETS = Path(__file__).parents[2] / "configs" / "accelerate"
SETTINGS = [
    *("--base", "scratch:tiny", "--vocab-size", "700", "--renderer", "memory", "--held-out", "0.3", "--no-bf16"),
    *("--epochs", "6", "--batch-size", "4", "--log-steps", "1", "--save-steps", "4", "--eval-steps", "12"),
    *("--eval-episodes", "2", "--eval-horizon", "2", "--max-observation-tokens", "4"),
]


def launch(data: Path, out: Path) -> subprocess.Popen[bytes]:
    """`accelerate launch` with the CPU preset."""
    words = ["-m", "itp.cli", "train", "world-model", "--data", str(data), *SETTINGS, "--out", str(out)]
    preset = ["--config_file", str(PRESETS / "cpu_2_processes.yaml"), "--main_process_port", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (out.parent / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "accelerate.commands.launch", *preset, *words],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        )


def kill_when(process: subprocess.Popen[bytes], out: Path, step: int) -> None:
    """kill -9 the launcher and the processes it started, as soon as a step has been logged."""
    deadline = time.monotonic() + 120
    while not (out / "metrics.jsonl").exists() or not any(line["step"] >= step for line in curve(out)):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    launcher = psutil.Process(process.pid)
    for victim in [launcher, *launcher.children(recursive=True)]:  # workers have sessions of their own
        victim.kill()
    process.wait()


@pytest.mark.slow
def test_two_processes_killed_and_resumed_follow_the_curve_of_one(tmp_path: Path) -> None:
    data = write_episodes(tmp_path / "data", 3)
    assert main(["train", "world-model", "--data", str(data), *SETTINGS, "--out", str(tmp_path / "one")]) == 0
    kill_when(launch(data, tmp_path / "two"), tmp_path / "two", 10)
    assert not (tmp_path / "two" / "training.json").exists(), "it was done already"
    process = launch(data, tmp_path / "two")
    log = tmp_path / "log"
    assert process.wait(timeout=120) == 0, log.read_text()
    assert log.read_text().count("parameters learn") == 2, "both processes spoke"
    for key in ("loss", "eval_loss"):
        one, two = (curve(tmp_path / name, key) for name in ("one", "two"))
        assert [line["step"] for line in one] == [line["step"] for line in two]
        assert [line[key] for line in two] == pytest.approx([line[key] for line in one], rel=1e-4)
    steps = [line["step"] for line in curve(tmp_path / "one")]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) > 20, "there is nothing after the second epoch"
    one, two = (curve(tmp_path / name, "eval_loss")[-1] for name in ("one", "two"))
    assert {name for name in one if name.startswith("eval_")} == {name for name in two if name.startswith("eval_")}
