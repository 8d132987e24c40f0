"""What `runs/common.sh` does for every recipe, with programs that only say how they were called."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NPROC = '#!/bin/sh\necho "${OMP_NUM_THREADS:-$CORES}"\n'  # as GNU nproc does
SAY = '#!/bin/sh\necho "$(basename "$0") $*"\n'


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("nproc", NPROC), ("itp", SAY), ("accelerate", SAY)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def recipe(tools: Path, words: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    script = tools.parent / "some.sh"
    script.write_text(
        f'sizes="cpu gpu"\nsource "{ROOT}/runs/common.sh"\ntrain policy --seed "$seed" --out "$out/policy"\n'
    )
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "ITP": str(tools / "itp"), "CORES": "2"}
    environment.pop("OMP_NUM_THREADS", None)
    return subprocess.run(
        ["bash", str(script), *words], env=environment | variables, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("variables", [{}, {"OMP_NUM_THREADS": "1"}])
def test_two_cores_train_in_two_processes_whatever_threads_they_use(tools: Path, variables: dict[str, str]) -> None:
    said = recipe(tools, ["cpu", "3"], **variables).stdout
    assert said.startswith("accelerate launch --config_file ")
    assert said.rstrip().endswith("cpu_2_processes.yaml -m itp.cli train policy --seed 3 --out out/some-cpu-3/policy")


@pytest.mark.parametrize(("size", "cores"), [("cpu", "1"), ("gpu", "2")])
def test_one_core_or_a_gpu_trains_in_one_process(tools: Path, size: str, cores: str) -> None:
    said = recipe(tools, [size], CORES=cores).stdout
    assert said == f"itp train policy --seed 0 --out out/some-{size}-0/policy\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["huge"], "size huge is unknown: give one of cpu gpu"),
        (["cpu", "first"], "seed first is no number"),
    ],
)
def test_a_wrong_size_or_seed_is_one_line(tools: Path, words: list[str], message: str) -> None:
    refused = recipe(tools, words)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1
