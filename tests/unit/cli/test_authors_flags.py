"""The authors' commands flag by flag: each reaches its setting or is named, and wrong ones are refused."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from foresight_eval import runner, runner_sciworld
from itp.cli import authors
from itp.errors import ConfigError, DataError
from itp.trace.store import TraceStore
from itp.training import a2c, pseudo_label, warmup
from itp.training.labels import LabelledState, append_labels
from itp.training.train_adaptive_k import label, rl_k, sft
from itp.training.train_adaptive_k.__main__ import main
from itp.training.train_adaptive_k.alfworld_config import environment
from models import episodes, imagined, save_policy, save_world_model, some_states

K_MAX = 2
GAMES = Path(os.environ.get("ALFWORLD_DATA") or "nowhere") / "json_2.1.1"  # importing alfworld sets a folder of its own


@dataclass(frozen=True)
class Files:
    """Random checkpoints and a little data."""

    policy: str
    warm: str
    world_model: str
    expert: Path
    labels: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    root = tmp_path_factory.mktemp("flags")
    TraceStore(root / "expert.jsonl").append(episodes()[0])
    foresight = imagined(("look", "a desk"), ("look", "a desk"))
    state = some_states(1)[0]
    append_labels(root / "labels.jsonl", [LabelledState(state, "look", foresight, (-3.0, -2.0, -1.0), 2)])
    return Files(
        save_policy(root / "policy", renderer="history-v1"),
        save_policy(root / "warm", renderer="history-v1", k_max=K_MAX),
        save_world_model(root / "wm"),
        root / "expert.jsonl",
        root / "labels.jsonl",
    )


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
    ("eval --method mcts", "--method mcts is unknown: choose one of foresight, rap"),
    ("eval --wm_backend openai", "--wm_backend openai is unknown: choose one of local, deepseek_api"),
    pytest.param(
        "eval --wm_backend deepseek_api",
        "the environment variable DEEPSEEK_API_KEY holds no key",
        marks=pytest.mark.skipif(not GAMES.is_dir(), reason="ALFWORLD_DATA names no folder with json_2.1.1"),
    ),
    ("eval --split test", "--split test is unknown: choose one of seen, unseen"),
    ("eval --fixed_k -2", "--fixed_k -2 is too small"),
    ("eval --fixed_k 3 --max_k 2", "--fixed_k 3 exceeds --max_k 2"),
    ("eval --max_k 4", "--max_k 4 is not the K-head's"),
    ("eval --act_tokens 0", "--act_tokens 0 is too small"),
    ("eval --env_data_root none", "--env_data_root none does not exist"),
    ("sciworld --jar_path none.jar", "--jar_path none.jar does not exist"),
    ("sciworld --policy_dtype int8", "--policy_dtype int8 is unknown"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
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
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("itp: error:")]
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
