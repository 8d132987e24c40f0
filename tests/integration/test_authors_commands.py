"""The authors' commands end to end on small data: every flag has its effect or is named, and wrong ones are refused."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from foresight_eval import runner, runner_sciworld
from itp.cli import authors
from itp.cli import eval as itp_eval
from itp.cli.main import main as itp_main
from itp.planners.simple import ExpertPlanner
from itp.policy.model import Policy
from itp.rollout.lockstep import run_episodes
from itp.run_folder import read_config
from itp.trace.store import TraceStore
from itp.training.labels import read_labels
from itp.training.train_adaptive_k.__main__ import main
from itp.types import Trajectory
from models import episodes, save_policy, save_world_model

ROOT = Path(__file__).parents[2]
K_MAX = 2


@dataclasses.dataclass(frozen=True)
class Files:
    """Models and data that the tests share, and what the first two stages made of them."""

    root: Path
    policy: str
    world_model: str
    expert: Path
    labels: Path
    warm: Path


def expert_rows(played: tuple[Trajectory, ...] | list[Trajectory]) -> list[dict[str, Any]]:
    """Episodes as the authors write them: the task stands in the first state alone."""
    rows = []
    for trajectory in played:
        state = f"{trajectory.first_observation}\n\nYour task is to: {trajectory.task.goal}"
        for number, step in enumerate(trajectory.steps):
            rows.append(
                {
                    "episode_id": trajectory.task.task_id,
                    "step": number,
                    "state": state,
                    "action": step.decision.action,
                    "next_state": step.observation,
                }
            )
            state = step.observation
    return rows


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def label_words(policy: str, world_model: str, expert: Path, out: Path) -> list[str]:
    paths = ["--expert_jsonl", str(expert), "--policy_model_path", policy, "--wm_model_path", world_model]
    settings = ["--kmax", str(K_MAX), "--k_candidates", "0,1,2", "--lambda_k", "0.2", "--wm_max_new_tokens", "6"]
    shape = ["--max_seq_len", "1200", "--padding_side", "left", "--logprob_norm", "sum"]
    return ["label", *paths, "--out_labeled_jsonl", str(out), *settings, *shape]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    root = tmp_path_factory.mktemp("authors")
    policy = save_policy(root / "policy", renderer="history-v1")
    world_model = save_world_model(root / "wm_run" / "merged_full", max_observation_tokens=8)
    expert = write_lines(root / "expert.jsonl", expert_rows(episodes(2, 0.0, 4)))
    labels, warm = root / "itp_r" / "labeled.jsonl", root / "itp_r" / "policy_sft_khead"
    assert main(label_words(policy, str(root / "wm_run"), expert, labels)) == 0
    words = ["--train_jsonl", str(labels), "--policy_model_path", policy, "--out_dir", str(warm), "--kmax", str(K_MAX)]
    optim = [
        "--epochs",
        "1",
        "--batch_size",
        "2",
        "--grad_accum",
        "2",
        "--lr",
        "2e-4",
        "--wd",
        "0.0",
        "--beta_k",
        "0.5",
    ]
    shape = ["--warmup_ratio", "0.03", "--lr_scheduler_type", "cosine", "--bf16", "--gradient_checkpointing"]
    assert main(["sft", *words, *optim, *shape, "--save_every_steps", "1"]) == 0
    return Files(root, policy, world_model, expert, labels, warm)


def test_label_writes_what_itp_label_writes(files: Files, tmp_path: Path) -> None:
    labels = read_labels(files.labels)
    assert len(labels) == len(files.expert.read_text().splitlines())
    assert {label.candidates for label in labels} == {(0, 1, 2)}
    [data] = files.labels.with_suffix(".data").iterdir()
    words = ["--data", str(data), "--policy", files.policy, "--world-model", files.world_model, "--states", "0"]
    more = ["--k-max", "2", "--lambda-k", "0.2", "--max-observation-tokens", "6", "--seed", "42"]
    assert itp_main(["label", *words, *more, "--out", str(tmp_path / "ours")]) == 0
    assert read_labels(tmp_path / "ours") == labels


def test_label_again_resumes_and_refuses_changed_rows(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    words = label_words(files.policy, files.world_model, files.expert, files.labels)
    before = files.labels.read_bytes()
    assert main(words) == 0
    assert files.labels.read_bytes() == before
    rows = files.expert.read_text()
    try:
        files.expert.write_text("".join(line + "\n" for line in rows.splitlines()[:2]))
        assert main(words) == 2
    finally:
        files.expert.write_text(rows)
    error = capsys.readouterr().err
    assert "--out_labeled_jsonl" in error
    assert "holds a run with other settings (data:" in error


def test_the_warm_up_has_a_k_head_and_the_next_stage_finds_it_in_the_run_folder(files: Files) -> None:
    path = authors.checkpoint("--policy_model_path", str(files.warm))
    assert path == str(files.warm / "model")
    config = Policy.load(path).config
    assert (config.k_max, config.stage) == (K_MAX, "warmup")


@pytest.mark.realdata
def test_a2c_on_real_games_and_its_policy_evaluated(alfworld_data: Path, files: Files, tmp_path: Path) -> None:
    out = tmp_path / "policy_rlk"
    few = ["--episodes_per_epoch", "2", "--max_steps", "3", "--envs", "2", "--kmax", str(K_MAX)]
    short = ["--action_max_new_tokens", "6", "--imagine_action_max_new_tokens", "6", "--wm_max_new_tokens", "6"]
    paths = ["--alfworld_config", str(alfworld_data / "base_config.yaml"), "--env_data_path", str(alfworld_data)]
    models = ["--policy_model_path", str(files.warm), "--wm_model_path", str(files.root / "wm_run")]
    assert main(["rl_k", *models, "--out_dir", str(out), *paths, *few, *short, "--bf16"]) == 0
    assert Policy.load(str(out / "model")).config.stage == "a2c"
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 3

    summary = tmp_path / "seen.json"
    play = ["--method", "foresight", "--split", "seen", "--env_data_root", str(alfworld_data), "--max_steps", "3"]
    pair = ["--policy_model", str(out), "--wm_model", str(files.root / "wm_run"), "--foresight_tokens", "256"]
    adaptive = ["--max_k", str(K_MAX), "--fixed_k", "-1", "--use_history", "0", "--episodes", "2"]
    assert runner.main([*play, *pair, *adaptive, "--output_path", str(summary)]) == 0
    content = json.loads(summary.read_text())
    assert content["summary"]["planner"] == "itp learned"
    assert [len(episode["k"]) for episode in content["episodes"]] == [3, 3]
    settings = read_config(tmp_path / "seen.run")["config"]
    assert (settings["split"], settings["history_steps"], settings["max_observation_tokens"]) == ("valid_seen", 1, 8)


@pytest.mark.realdata
@pytest.mark.parametrize("fixed_k", [0, 1, 7])
def test_a_fixed_k_is_never_changed(alfworld_data: Path, files: Files, tmp_path: Path, fixed_k: int) -> None:
    out = tmp_path / "unseen"
    models = ["--policy_model", files.policy] + (["--wm_model", files.world_model] if fixed_k else [])
    # a train split, since the unseen games are not everywhere
    words = ["--split", "train", "--episodes", "1", "--max_steps", "2", "--foresight_tokens", "4"]
    play = ["--env_data_root", str(alfworld_data), "--fixed_k", str(fixed_k), "--force_admissible_action", "0"]
    assert runner.main([*models, *words, *play, "--act_tokens", "4", "--output_path", str(out)]) == 0
    [trajectory] = TraceStore(out / itp_eval.TRACES_NAME)
    assert [len(step.decision.foresight) for step in trajectory.steps] == [fixed_k, fixed_k]
    assert all(step.decision.policy_usage.completion_tokens >= 1 for step in trajectory.steps)


@pytest.mark.realdata
@pytest.mark.realdata
@pytest.mark.parametrize(("words", "planner"), [(["--method", "rap"], "rap"), (["--fixed_k", "-1"], "itp-i prompted")])
def test_what_needs_prompts_is_asked_by_prompts(
    alfworld_data: Path,
    files: Files,
    tmp_path: Path,
    words: list[str],
    planner: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    models = ["--policy_model", str(files.policy), "--wm_model", str(files.world_model)]
    play = ["--env_data_root", str(alfworld_data), "--episodes", "1", "--max_steps", "1", "--max_k", "1"]
    assert runner.main([*models, *play, *words, "--foresight_tokens", "4", "--output_path", str(out)]) == 0
    assert json.loads((out / "results.json").read_text())["planner"] == planner
    assert "is asked by prompts" in capsys.readouterr().err


def test_real_expert_rows_are_told_as_the_environment_tells_them(alfworld_data: Path, tmp_path: Path) -> None:
    from itp import make_env
    from itp.data.formats import read_trajectories

    def env() -> Any:
        return make_env("alfworld", split="train", data=alfworld_data)

    tasks = list(env().task_ids)[:2]
    played = run_episodes(env, ExpertPlanner(), tasks, batch_size=2, max_steps=50, seed=0)
    rows = write_lines(tmp_path / "expert.jsonl", expert_rows(played))
    converted = list(read_trajectories(rows))
    assert [list(t.states()) for t in converted] == [list(t.states()) for t in played]


@pytest.mark.skipif(shutil.which("java") is None, reason="ScienceWorld needs Java")
def test_scienceworld_is_played(files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scienceworld = pytest.importorskip("scienceworld", reason="scienceworld is not installed")
    pytest.importorskip("py4j", reason="py4j is not installed")
    out, jar = tmp_path / "episodes.jsonl", Path(scienceworld.__file__).parent / "scienceworld.jar"
    models = ["--policy_model", str(files.warm), "--wm_model", files.world_model, "--wm_backend", "local"]
    places = ["--policy_device", "cuda:0", "--wm_device", "cuda:1", "--policy_dtype", "fp16", "--wm_dtype", "fp16"]
    short = ["--episodes", "1", "--max_steps", "2", "--act_tokens", "4", "--foresight_tokens", "4"]
    words = [*models, *places, *short, "--split", "test", "--jar_path", str(jar), "--max_k", "3", "--fixed_k", "1"]
    assert runner_sciworld.main([*words, "--output_path", str(out)]) == 0
    [episode] = map(json.loads, out.read_text().splitlines())
    assert episode["k"] == [1, 1]
    assert read_config(tmp_path / "episodes.run")["config"]["split"] == "test_unseen"
    if not authors.has_cuda():
        assert capsys.readouterr().err.count("warning:") == 2


def run_script(out: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    script = ROOT / "world_model" / "base_tuning" / "run_worldmodel_tuning.sh"
    environment = {**os.environ, "PYTHON": sys.executable, "OUTPUT_DIR": str(out), "EPOCHS": "1", **variables}
    words = ["bash", str(script), "--eval-episodes", "0"]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_world_model_script_leaves_a_merged_model(files: Files, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in files.expert.read_text().splitlines()]
    data = write_lines(tmp_path / "wm.jsonl", [{k: r[k] for k in ("state", "action", "next_state")} for r in rows])
    deepspeed, out = tmp_path / "deepspeed.json", tmp_path / "wm_run"
    deepspeed.write_text("{}")
    done = run_script(out, MODEL_PATH=files.world_model, DATA_PATH=str(data), DS_CONFIG=str(deepspeed))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("note: deepspeed is not installed") == 1
    settings = read_config(out)["config"]
    assert (settings["lora"]["lora_r"], settings["optim"]["epochs"], settings["optim"]["batch_size"]) == (8, 1, 16)
    assert authors.checkpoint("--wm_model", str(out)).startswith(str(out))
    from itp.world_model.text import TextWorldModel

    assert TextWorldModel.load(str(out / "merged_full")).sampling.max_new_tokens == 192


def test_the_world_model_script_names_what_is_missing(tmp_path: Path) -> None:
    for variables, message in (
        ({"MODEL_PATH": "", "DATA_PATH": "x"}, "MODEL_PATH is not set"),
        ({"MODEL_PATH": "m", "DATA_PATH": ""}, "DATA_PATH is not set"),
        ({"MODEL_PATH": "m", "DATA_PATH": "x", "DS_CONFIG": "none.json"}, "DS_CONFIG none.json does not exist"),
        ({"MODEL_PATH": "m", "DATA_PATH": "none.jsonl"}, "--input none.jsonl is no file"),
    ):
        done = run_script(tmp_path / "out", **variables)
        assert done.returncode == 2
        assert message in done.stderr
