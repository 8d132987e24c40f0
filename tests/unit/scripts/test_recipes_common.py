"""What `runs/common.sh` does for every recipe, with programs that only say how they were called."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NPROC = '#!/bin/sh\necho "${OMP_NUM_THREADS:-$CORES}"\n'  # as GNU nproc does
SAY = '#!/bin/sh\necho "$(basename "$0") $*"\ncase "$*" in *broken*) exit 3 ;; esac\n'
TRAIN = 'train policy --seed "$seed" --out "$out/policy"'


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("nproc", NPROC), ("itp", SAY), ("accelerate", SAY)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def recipe(tools: Path, words: list[str], body: str = TRAIN, **variables: str) -> subprocess.CompletedProcess[str]:
    script = tools.parent / "some.sh"
    script.write_text(f'sizes="cpu gpu"\nsource "{ROOT}/runs/common.sh"\n{body}\n')
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


def test_a_stage_beside_others_writes_its_log_and_is_waited_for(tools: Path, tmp_path: Path) -> None:
    body = 'beside world_model "$itp" train world-model\n"$itp" label\nawait world_model\nhalves play --episodes 4'
    done = recipe(tools, ["cpu", "0", str(tmp_path / "out")], body)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "itp label",
        f"world_model: waiting, see {tmp_path}/out/world_model.log",
        f"itp collect --episodes 4 --shard 1/2 --out {tmp_path}/out/play-1",
        f"play-2: waiting, see {tmp_path}/out/play-2.log",
    ]
    assert (tmp_path / "out" / "world_model.log").read_text() == "itp train world-model\n"
    assert "--shard 2/2" in (tmp_path / "out" / "play-2.log").read_text()


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('beside world_model "$itp" broken\nawait world_model', "world_model"),
        ("row fine\nrow act --planner broken\nrow more\nfinish_table", "eval/act"),
    ],
)
def test_what_fails_beside_others_stops_the_recipe_and_names_its_log(
    tools: Path, tmp_path: Path, body: str, name: str
) -> None:
    failed = recipe(tools, ["cpu", "0", str(tmp_path / "out")], body)
    assert failed.returncode == 2
    assert failed.stderr == f"runs/some.sh: {name} failed: see {tmp_path}/out/{name}.log\n"
    assert "compare" not in failed.stdout
