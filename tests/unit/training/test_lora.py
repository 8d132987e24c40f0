"""LoRA: only adapters and new tokens learn, and the merged checkpoint is the model that was trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from itp.cli.main import main
from itp.lm.loading import load_pretrained
from itp.lm.tokens import SPECIAL_TOKENS
from itp.training.sft import split_by_episode
from itp.world_model.text import TextWorldModel
from models import episodes
from training_data import foreign_base, write_episodes

ADAPTED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def train(data: Path, base: str, out: Path, *words: str) -> int:
    settings = ["--lora-r", "4", "--epochs", "1", "--batch-size", "8", "--eval-steps", "2", "--lr", "3e-3", "--no-bf16"]
    state = ["--renderer", "memory", "--max-state-tokens", "4096", "--held-out", "0.3", "--eval-episodes", "0"]
    return main(
        ["train", "world-model", "--data", str(data), "--base", base, *settings, *state, *words, "--out", str(out)]
    )


@pytest.mark.parametrize("tied", [False, True])
def test_the_merged_checkpoint_is_the_model_that_was_judged(tmp_path: Path, tied: bool) -> None:
    base, data = foreign_base(tmp_path / "base", tied=tied), write_episodes(tmp_path / "data")
    out = tmp_path / "out"
    assert train(data, base, out) == 0
    metrics = json.loads((out / "training.json").read_text())["metrics"]
    assert metrics["trained_parameters"] < metrics["parameters"] / 5
    assert (out / "model").readlink() == Path("merged_full")
    assert not list((out / "adapter").glob("*.bin")), "pickled settings were published"

    model, tokenizer = load_pretrained(str(out / "model"))
    assert _loss(out / "model") == pytest.approx(metrics["eval_loss"], rel=1e-4)
    from_adapter, own_tokenizer = load_pretrained(str(out / "adapter"))
    assert own_tokenizer.get_vocab() == tokenizer.get_vocab()
    for name, weight in model.named_parameters():
        torch.testing.assert_close(from_adapter.get_parameter(name), weight, msg=name)
    before, vocabulary = load_pretrained(base)[0], tokenizer.get_vocab()
    new = [vocabulary[token] for token in SPECIAL_TOKENS]
    old = len(before.get_input_embeddings().weight)  # pyright: ignore[reportArgumentType]
    assert sorted(new) == list(range(old, old + len(new))), "they were there before"
    for name, weight in before.named_parameters():
        merged = model.get_parameter(name)
        adapted = name.split(".")[-2] in ADAPTED
        assert torch.equal(merged[: len(weight)], weight) != adapted, name
    fresh = load_file(out / "adapter" / "adapter_model.safetensors")
    assert any("lora_A" in name for name in fresh)


def _loss(path: Path) -> float:
    """Mean loss over the labelled tokens of the held-out episodes, row by row, from the checkpoint alone."""
    from itp.data.rows import IGNORE, unique, world_model_rows

    world_model = TextWorldModel.load(str(path))
    tasks = sorted({trajectory.task.task_id for trajectory in episodes()})
    held_out = split_by_episode(tasks, 0.3, 0)[1]
    played = [trajectory for trajectory in episodes() if trajectory.task.task_id in held_out]
    lm, total, count = world_model.lm, 0.0, 0
    for row in unique(world_model_rows(played, lm.encode, world_model.prompts)):  # pyright: ignore
        with torch.no_grad():
            logits_TV = lm.model(torch.tensor([row.input_ids])).logits[0, :-1]  # pyright: ignore
        labels = torch.tensor(row.labels[1:])
        total += float(torch.nn.functional.cross_entropy(logits_TV, labels, ignore_index=IGNORE, reduction="sum"))
        count += int((labels != IGNORE).sum())
    return total / count


def test_new_tokens_learn_beside_the_adapters(tmp_path: Path) -> None:
    base, data = foreign_base(tmp_path / "base"), write_episodes(tmp_path / "data")
    rows = []
    for rate in ("0", "3e-3"):
        assert train(data, base, tmp_path / rate, "--lr", rate) == 0
        model, tokenizer = load_pretrained(str(tmp_path / rate / "model"))
        new = [tokenizer.get_vocab()[token] for token in SPECIAL_TOKENS if token != "<PAD>"]
        layers = (model.get_input_embeddings(), model.get_output_embeddings())
        rows.append([layer.weight[new] for layer in layers])  # pyright: ignore
    for still, learnt in zip(*rows, strict=True):
        moved = (still - learnt).abs().amax(-1) > 0
        assert moved.sum() >= len(moved) - 1  # <IMAGINE> is in no world-model prompt


def test_a_base_stored_in_bfloat16_is_merged_into_bfloat16(tmp_path: Path) -> None:
    base, data = foreign_base(tmp_path / "base"), write_episodes(tmp_path / "data", 3)
    load_pretrained(base, dtype="bfloat16")[0].save_pretrained(base)
    assert train(data, base, tmp_path / "out", "--epochs", "0.2") == 0
    weights = load_file(tmp_path / "out" / "merged_full" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lora-r", "-1"], "--lora-r -1 is not allowed: give a rank of 1 or more, or 0 for full training"),
        (["--lora-dropout", "1"], "--lora-dropout 1.0 is not allowed: give a share from 0 to below 1"),
        (["--lora-targets", "q_porj"], "--lora-targets q_porj: no such layer in the model; it has "),
        (["--base", "scratch:tiny"], "--lora-r adapts trained weights, and --base scratch:tiny has none"),
        (["--packing", "20"], "--packing 20 is too short: the longest row has "),
        (["--eval-steps", "0", "--patience", "2"], "--patience 2 needs evaluations: give --eval-steps 1 or more"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    base, data = foreign_base(tmp_path / "base"), write_episodes(tmp_path / "data")
    assert train(data, base, tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
