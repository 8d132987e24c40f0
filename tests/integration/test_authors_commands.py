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
from itp.errors import ConfigError, DataError
from itp.planners.simple import ExpertPlanner
from itp.policy.model import Policy
from itp.rollout.lockstep import run_episodes
from itp.run_folder import read_config
from itp.trace.store import TraceStore
from itp.training import a2c, pseudo_label, warmup
from itp.training.labels import read_labels
from itp.training.train_adaptive_k import label, rl_k, sft
from itp.training.train_adaptive_k.__main__ import main
from itp.training.train_adaptive_k.alfworld_config import environment
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


def captured(monkeypatch: pytest.MonkeyPatch, module: Any) -> list[Any]:
    """The configs that a stage of ours is run with."""
    configs: list[Any] = []
    monkeypatch.setattr(module, "run", configs.append)
    return configs


LABEL_FLAGS = {
    "--kmax 3": ("k_max", 3),
    "--k_candidates 0,2": ("k_candidates", (0, 2)),
    "--lambda_k 0.4": ("lambda_k", 0.4),
    "--wm_max_new_tokens 20": ("max_observation_tokens", 20),
    "--max_seq_len 1536": ("max_state_tokens", 1536 - 5 * (12 + 192 + 4) - 16 - 4),
    "--logprob_norm mean": ("logprob_norm", "mean"),
    "--wm_batch_size 3": ("batch_size", 3),
    "--foresight teacher-forced": ("foresight", "teacher-forced"),
    "--wm_device cpu": ("wm_device", "cpu"),
    "--seed 5": ("seed", 5),
}
SFT_FLAGS = {
    "--kmax 3": ("k_max", 3),
    "--epochs 2": ("optim.epochs", 2),
    "--batch_size 3": ("optim.batch_size", 48),
    "--grad_accum 4": ("optim.accumulation", 4),
    "--lr 1e-3": ("optim.lr", 1e-3),
    "--wd 0.1": ("optim.weight_decay", 0.1),
    "--beta_k 0.7": ("eta", 0.7),
    "--warmup_ratio 0.1": ("optim.warmup_ratio", 0.1),
    "--lr_scheduler_type linear": ("optim.lr_scheduler_type", "linear"),
    "--max_seq_len 1200": ("max_state_tokens", 1200 - 5 * 208 - 20),
    "--fp16": ("optim.bf16", True),
    "--bf16": ("optim.bf16", True),
    "--gradient_checkpointing": ("optim.gradient_checkpointing", True),
    "--save_every_steps 7": ("optim.save_steps", 7),
}
RL_FLAGS = {
    "--env_split valid_seen": ("split", "valid_seen"),
    "--policy_device cpu": ("policy_device", "cpu"),
    "--wm_device cuda:7": ("wm_device", "cpu"),
    "--episodes_per_epoch 8 --epochs 2 --max_steps 40": ("updates", 40),
    "--max_steps 40": ("max_steps", 40),
    "--gamma 0.9": ("gamma", 0.9),
    "--lr 1e-4": ("head_lr", 1e-4),
    "--wd 0.1": ("weight_decay", 0.1),
    "--lambda_k 0.1": ("lambda_k", 0.1),
    "--step_cost 0.5": ("lambda_step", 0.5),
    "--success_bonus 0.5": ("success_bonus", 0.5),
    "--invalid_action_penalty -0.5": ("invalid_penalty", 0.5),
    "--entropy_coef 0.5": ("beta", 0.5),
    "--value_coef 0.5": ("alpha", 0.5),
    "--max_grad_norm 0.5": ("grad_clip", 0.5),
    "--action_max_new_tokens 9": ("action_tokens", 9),
    "--action_do_sample 1": ("action", "generate"),
    "--action_temperature 0.5": ("temperature", 0.5),
    "--action_top_p 0.5": ("top_p", 0.5),
    "--imagine_action_max_new_tokens 9": ("imagined_action_tokens", 9),
    "--wm_max_new_tokens 9": ("max_observation_tokens", 9),
    "--max_seq_len 1500": ("max_state_tokens", 1500 - 2 * 208 - 20),
    "--history_keep_steps 6": ("history_steps", 6),
    "--update_every 4": ("rollout", 4),
    "--envs 3": ("envs", 3),
    "--bf16": ("wm_dtype", "bfloat16"),
    "--fp16": ("bf16", True),
}
ALL_FLAGS = [("label", *item) for item in LABEL_FLAGS.items()]
ALL_FLAGS += [("sft", *item) for item in SFT_FLAGS.items()] + [("rl_k", *item) for item in RL_FLAGS.items()]


def required(stage: str, files: Files) -> list[str]:
    paths = ["--policy_model_path", str(files.warm if stage == "rl_k" else files.policy)]
    world_model = ["--wm_model_path", files.world_model]
    if stage == "sft":
        return [*paths, "--train_jsonl", str(files.labels), "--out_dir", "out"]
    if stage == "rl_k":
        return [*paths, *world_model, "--out_dir", "out", "--kmax", str(K_MAX)]
    return [*paths, *world_model, "--expert_jsonl", str(files.expert), "--out_labeled_jsonl", "out.jsonl"]


@pytest.mark.skipif(authors.has_cuda(), reason="the expected devices and precisions are those of a CPU")
@pytest.mark.parametrize(("stage", "words", "expected"), ALL_FLAGS, ids=[f"{s} {w}" for s, w, _ in ALL_FLAGS])
def test_every_flag_reaches_its_setting(
    stage: str,
    words: str,
    expected: tuple[str, Any],
    files: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    module = {"label": pseudo_label, "sft": warmup, "rl_k": a2c}[stage]
    configs = captured(monkeypatch, module)
    if stage == "label":
        monkeypatch.setattr(label.shutil, "copyfile", lambda source, target: Path(target).touch())
    assert main([stage, *required(stage, files), *words.split()]) == 0
    name, value = expected
    found: Any = configs[0]
    for part in name.split("."):
        found = getattr(found, part)
    assert found == value


AUTHORS_FLAGS = {
    label: """expert_jsonl policy_model_path wm_model_path out_labeled_jsonl kmax k_candidates lambda_k
        wm_max_new_tokens max_seq_len padding_side logprob_norm""",
    sft: """train_jsonl out_dir epochs batch_size grad_accum lr wd beta_k warmup_ratio lr_scheduler_type fp16 bf16
        gradient_checkpointing device_map save_every_steps""",
    rl_k: """alfworld_config env_data_path env_split policy_device wm_device episodes_per_epoch max_steps gamma
        step_cost success_bonus invalid_action_penalty entropy_coef value_coef max_grad_norm action_max_new_tokens
        action_do_sample action_temperature action_top_p imagine_action_max_new_tokens history_keep_steps
        update_every""",
    runner: """method split env_data_root policy_model wm_model wm_backend output_path max_steps max_k fixed_k
        use_history decision_tokens act_tokens foresight_tokens""",
    runner_sciworld: """split jar_path policy_model wm_model output_path wm_backend policy_device wm_device
        policy_dtype wm_dtype max_k fixed_k""",
}


@pytest.mark.parametrize("module", list(AUTHORS_FLAGS), ids=lambda module: module.__name__)
def test_every_flag_of_the_authors_is_known(module: Any) -> None:
    known = {field.name for field in dataclasses.fields(module.Config)}
    assert set(AUTHORS_FLAGS[module].split()) <= known


@pytest.mark.skipif(authors.has_cuda(), reason="here the devices exist")
def test_what_this_machine_lacks_is_said_in_one_line_each(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    captured(monkeypatch, a2c)
    words = ["--policy_device", "cuda:0", "--wm_device", "cuda:1", "--fp16", "--padding_side", "left"]
    more = ["--logprob_norm", "mean", "--train_only_heads"]
    assert main(["rl_k", *required("rl_k", files), *words, *more]) == 0
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == "warning: there is no CUDA device: --policy_device cuda:0, --wm_device cuda:1 -> cpu"
    assert second == "warning: --fp16 needs a GPU: bf16 on this CPU"
    for flag in ("--padding_side left (", "--logprob_norm mean (", "--train_only_heads ("):
        assert flag in third


WRONG = [
    ("label --expert_jsonl none.jsonl", "--expert_jsonl none.jsonl does not exist"),
    ("label --k_candidates 0,x", "--k_candidates 0,x is no list of numbers"),
    ("label --k_candidates 0,9", "--k_candidates 0 9: give each once, from 0 to --kmax 5"),
    ("label --out_labeled_jsonl .", "--out_labeled_jsonl . is a folder: name a file"),
    ("label --max_seq_len 800", "--max_seq_len 800 leaves 0 tokens for the state beside 5 imagined steps"),
    ("label --logprob_norm max", "--logprob_norm max is unknown"),
    ("label --padding_side up", "--padding_side up is unknown"),
    ("label --policy_model_path ./none", "--policy_model_path ./none does not exist"),
    ("label --wm_model_path {policy}", "is a policy checkpoint: --wm_model_path needs a world model"),
    ("sft --train_jsonl none.jsonl", "--train_jsonl none.jsonl does not exist"),
    ("sft --lr_scheduler_type step", "--lr_scheduler_type step is unknown: choose one of cosine"),
    ("sft --fp16 --bf16", "--fp16 and --bf16 exclude each other"),
    ("sft --kmax 1", "--kmax 1"),
    ("sft --grad_accum 0", "--grad_accum 0 is too small"),
    ("rl_k --env_split valid_seen", "--env_split valid_seen is for evaluation"),
    ("rl_k --action_do_sample 0", "--action_do_sample 0 plays greedily"),
    ("rl_k --invalid_action_penalty 0.1", "would reward invalid actions"),
    ("rl_k --alfworld_config none.yaml", "--alfworld_config none.yaml does not exist"),
    ("rl_k --env_data_path none", "--env_data_path none does not exist"),
    ("rl_k --policy_device gpu", "--policy_device gpu is no device"),
    ("rl_k --kmax 5", "--kmax 5 is not the K-head's"),
    ("rl_k --action_temperature 0", "--action_temperature 0.0 is too small"),
    ("eval --method rap", "--method rap comes with a later release"),
    ("eval --wm_backend deepseek_api", "--wm_backend deepseek_api comes with a later release"),
    ("eval --split test", "--split test is unknown: choose one of seen, unseen"),
    ("eval --fixed_k -2", "--fixed_k -2 is too small"),
    ("eval --fixed_k 3 --max_k 2", "--fixed_k 3 exceeds --max_k 2"),
    ("eval --max_k 4", "--max_k 4 is not the K-head's"),
    ("eval --policy_model {policy}", "has no K-head: train one with the stages label and sft, or give --fixed_k K"),
    ("eval --act_tokens 0", "--act_tokens 0 is too small"),
    ("eval --env_data_root none", "--env_data_root none does not exist"),
    ("sciworld --jar_path none.jar", "--jar_path none.jar does not exist"),
    ("sciworld --policy_dtype int8", "--policy_dtype int8 is unknown"),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[words for words, _ in WRONG])
def test_wrong_flags_are_refused_in_one_line(
    words: str,
    message: str,
    files: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    command, *given = words.format(policy=files.policy).split()
    if command in ("eval", "sciworld"):
        entry = runner.main if command == "eval" else runner_sciworld.main
        models = ["--policy_model", str(files.warm), "--wm_model", files.world_model, "--output_path", "out"]
        code = entry([*models, *given])
    else:
        code = main([command, *required(command, files), *given])
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning:")]
    assert code == 2
    assert len(errors) == 1
    assert message in errors[0]


def test_alfworlds_own_settings_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    games = tmp_path / "games"
    (games / "json_2.1.1" / "train").mkdir(parents=True)
    monkeypatch.setenv("GAMES", str(games))
    file = tmp_path / "base_config.yaml"
    file.write_text("dataset: {data_path: $GAMES/json_2.1.1/train}\nenv: {goal_desc_human_anns_prob: 1.0}\n")
    assert environment(file, None) == (games, True)
    assert environment(file, tmp_path) == (tmp_path, True)
    assert capsys.readouterr().err == ""
    file.write_text("env: {goal_desc_human_anns_prob: 0.5, task_types: [1, 2]}\n")
    assert environment(file, None) == (None, False)
    assert capsys.readouterr().err.count("warning:") == 2
    file.write_text("dataset: {data_path: /nowhere/json_2.1.1/train}\n")
    with pytest.raises(DataError, match="data_path /nowhere does not exist: give --env_data_path"):
        environment(file, None)
    file.write_text("[]")
    with pytest.raises(ConfigError, match="holds no settings"):
        environment(file, None)


def test_an_unknown_stage_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rl"]) == 2
    assert "choose one of label, sft, rl_k" in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert "usage: python -m itp.training.train_adaptive_k" in capsys.readouterr().out


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
