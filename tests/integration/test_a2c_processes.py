"""A2C as a real process: killed without warning it follows the curve of an undisturbed run; two processes share one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from itp.policy.model import Policy
from models import save_policy

PRESET = Path(__file__).parents[2] / "configs" / "accelerate" / "cpu_2_processes.yaml"


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    policy = save_policy(tmp_path_factory.mktemp("a2c") / "policy", k_max=2)
    sizes = ["--envs", "4", "--rollout", "3", "--updates", "8", "--save-every", "3", "--value-warmup", "2"]
    judged = ["--eval-every", "4", "--eval-episodes", "3", "--max-steps", "6", "--lr", "1e-3"]
    return ["train", "a2c", "--policy", policy, "--world-model", "rules", *sizes, *judged]


def start(words: list[str], out: Path, *launcher: str) -> subprocess.Popen[bytes]:
    with (out.parent / f"{out.name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, *launcher, "-m", "itp.cli", *words, "--out", str(out)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def finish(process: subprocess.Popen[bytes], out: Path) -> list[dict[str, float]]:
    assert process.wait(timeout=180) == 0, (out.parent / f"{out.name}.log").read_text()
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_kill_9_at_any_time_resumes_to_the_same_curve(tmp_path: Path, words: list[str]) -> None:
    whole = finish(start(words, tmp_path / "whole"), tmp_path / "whole")
    out, kills = tmp_path / "killed", 0
    for wanted in (4, 7):  # in the middle of what the newest checkpoint does not hold
        process, deadline = start(words, out), time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            log = out / "metrics.jsonl"
            if log.is_file() and f'"update": {wanted},' in log.read_text():
                process.kill()
                kills += 1
            time.sleep(0.005)
        process.wait()
    killed = finish(start(words, out), out)
    assert kills, "it was never caught running"
    assert [r["update"] for r in killed] == [r["update"] for r in whole] == list(range(9))
    for one, two in zip(whole, killed, strict=True):
        assert one == pytest.approx(two, rel=1e-3, abs=1e-4)


@pytest.mark.slow
def test_two_processes_share_the_environments_and_write_one_run(tmp_path: Path, words: list[str]) -> None:
    out = tmp_path / "two"
    launcher = ["-m", "accelerate.commands.launch", "--config_file", str(PRESET), "--main_process_port", "0"]
    curve = finish(start(words, out, *launcher), out)
    assert [record["update"] for record in curve] == list(range(9))
    shares = [value for name, value in curve[3].items() if name.startswith("k_") and name != "k_entropy"]
    assert sum(shares) == pytest.approx(1.0), "figures are means over both processes"
    saved = {file.name for file in (out / "checkpoints" / "update-8").iterdir()}
    assert saved == {"model", "optimizer.pt", "process-0.pt", "process-1.pt"}
    assert Policy.load(str(out / "model")).config.stage == "a2c"
    assert (out.parent / "two.log").read_text().count("done. ") == 1, "one process speaks"
