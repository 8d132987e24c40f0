"""The supervised stages: loss where the rows say, held-out tasks, resuming, and settings that cannot work."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from itp.cli.main import main
from itp.data.rows import IGNORE, Row
from itp.errors import CheckpointError, ConfigError, DataError
from itp.lm.tokens import END, SPECIAL_TOKENS
from itp.policy.checkpoint import read_itp_config
from itp.policy.model import Policy
from itp.training.sft import Optimisation, Schedule, fit, split_by_episode
from itp.training.stage import read_trajectories, split_tasks
from models import episodes, foreign_lm, lm, random_model, save_policy, tokenizer
from training_data import curve, foreign_base, write_episodes

FAST = Optimisation(epochs=1, batch_size=2, bf16=False)


def rows(count: int = 6) -> list[Row]:
    """Rows of different length: a number as prompt, its double as answer."""
    made = []
    for n in range(count):
        row = Row()
        row.add(lm().encode("go to " + "the " * n + f"{n}"), learn=False)
        row.add(lm().encode(f" drawer {2 * n}<END>"), learn=True)
        made.append(row)
    return made


def batches(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Every batch that a loss is computed on, as the trainer sees it."""
    from itp.training.trainer import Trainer

    seen: list[dict[str, Any]] = []
    compute_loss = Trainer.compute_loss

    def record(self: Any, model: Any, inputs: dict[str, Any], *rest: Any, **named: Any) -> Any:
        seen.append(dict(inputs))
        return compute_loss(self, model, inputs, *rest, **named)

    monkeypatch.setattr(Trainer, "compute_loss", record)
    return seen


def pieces(seen: list[dict[str, Any]]) -> list[tuple[list[int], list[int]]]:
    """Tokens and labels of every row in packed batches, cut at the borders that the collator gave."""
    found = []
    for batch in seen:
        lengths = batch["cu_seq_lens_q"].diff().tolist()
        cut = [batch[name][0].split(lengths) for name in ("input_ids", "labels")]
        found += [(tokens.tolist(), labels.tolist()) for tokens, labels in zip(*cut, strict=True)]
    return found


@pytest.mark.parametrize("packing", [0, 60])
def test_every_row_is_read_once_with_its_own_tokens_and_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packing: int
) -> None:
    seen = batches(monkeypatch)
    schedule = Schedule(packing=packing)
    settings = replace(FAST, batch_size=1) if packing else FAST
    fit(random_copy(), tokenizer(), rows(), [], out=tmp_path, settings=settings, title="test", schedule=schedule)
    assert sorted(pieces(seen)) == sorted((row.input_ids, row.labels) for row in rows())
    if packing:
        assert len(seen) < 6, "nothing was packed"
        assert all(batch["input_ids"].shape[1] <= packing for batch in seen)


def test_loss_and_gradients_are_those_of_the_rows_one_by_one(tmp_path: Path) -> None:
    """Packed rows see nothing of each other, and each labelled token weighs the same."""
    model, total = random_copy(), 0
    for row in rows():
        logits_TV = model(torch.tensor([row.input_ids])).logits[0, :-1]
        labels = torch.tensor(row.labels[1:])
        total = total + torch.nn.functional.cross_entropy(logits_TV, labels, ignore_index=IGNORE, reduction="sum")
    count = sum(label != IGNORE for row in rows() for label in row.labels)
    loss: Any = total / count
    loss.backward()
    norm = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm()
    settings = replace(FAST, batch_size=6, log_steps=1, lr=0.0)
    fit(random_copy(), tokenizer(), rows(), [], out=tmp_path, settings=settings, title="test")
    [logged] = curve(tmp_path)
    assert logged["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert logged["grad_norm"] == pytest.approx(float(norm), rel=1e-4)


def random_copy() -> Any:
    return copy.deepcopy(random_model())


def test_an_architecture_that_cannot_be_packed_trains_on_padded_rows(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer()), n_embd=32, n_layer=1, n_head=2, n_positions=128))
    before = fit(model, tokenizer(), rows(), rows(), out=tmp_path / "a", settings=replace(FAST, lr=0.0), title="test")
    settings = replace(FAST, epochs=20, lr=1e-2)
    after = fit(model, tokenizer(), rows(), rows(), out=tmp_path / "b", settings=settings, title="test")
    assert after["eval_loss"] < before["eval_loss"] / 2
    with pytest.raises(ConfigError, match="--packing cannot keep rows apart in a gpt2 model: give --packing 0"):
        fit(model, tokenizer(), rows(), [], out=tmp_path, settings=FAST, title="test", schedule=Schedule(packing=60))


def test_training_lowers_the_loss_on_a_toy_set(tmp_path: Path) -> None:
    settings = replace(FAST, epochs=30, lr=2e-3)
    model = random_copy()
    before = fit(model, tokenizer(), rows(), rows(), out=tmp_path / "a", settings=replace(FAST, lr=0.0), title="test")
    after = fit(model, tokenizer(), rows(), rows(), out=tmp_path / "b", settings=settings, title="test")
    assert after["eval_loss"] < before["eval_loss"] / 4


def test_accumulation_changes_neither_loss_nor_result_by_much(tmp_path: Path) -> None:
    same = [rows()[3]] * 4
    results = []
    for accumulation in (1, 4):
        model = random_copy()
        settings = replace(FAST, batch_size=4, accumulation=accumulation)
        metrics = fit(model, tokenizer(), same, [], out=tmp_path / str(accumulation), settings=settings, title="test")
        results.append((metrics["train_loss"], torch.cat([p.flatten() for p in model.parameters()])))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-3)
    torch.testing.assert_close(results[0][1], results[1][1], atol=1e-4, rtol=1e-3)


def test_nothing_to_train_on_and_rows_beyond_the_models_positions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no training rows"):
        fit(random_model(), tokenizer(), [], [], out=tmp_path, settings=FAST, title="test")
    long = Row(list(range(8)) * 1000, [IGNORE] * 8000)
    with pytest.raises(CheckpointError, match=r"8000 tokens, the model takes 4096: lower --max-state-tokens"):
        fit(random_model(), tokenizer(), [long], [], out=tmp_path, settings=FAST, title="test")


@pytest.mark.parametrize("accumulation", [0, 3, 4])
def test_an_accumulation_that_does_not_split_the_batch_is_refused(tmp_path: Path, accumulation: int) -> None:
    settings = replace(FAST, accumulation=accumulation)
    with pytest.raises(ConfigError, match=f"--batch-size 2 is no multiple of --accumulation {accumulation}"):
        fit(random_model(), tokenizer(), rows(), [], out=tmp_path, settings=settings, title="test")


@pytest.mark.parametrize("held_out", [0.0, 0.2, 0.5])
def test_no_task_is_on_both_sides_of_the_split_however_often_it_was_played(held_out: float) -> None:
    played = [*episodes(), *episodes(4, 0.5), *episodes()]
    train, test = split_tasks(played, held_out, seed=1)
    assert len(train) + len(test) == len(played)
    train_ids, test_ids = ({t.task.task_id for t in side} for side in (train, test))
    assert not train_ids & test_ids
    assert len(test_ids) == round(held_out * len(train_ids | test_ids))
    assert split_tasks(played[::-1], held_out, seed=1)[1] != [] or held_out == 0
    assert {t.task.task_id for t in split_tasks(played[::-1], held_out, seed=1)[1]} == test_ids


def test_a_share_that_cannot_be_held_out_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--held-out 0.9 is not allowed: give a share from 0 to 0.5"):
        split_by_episode([1, 2, 3], 0.9, 0)


def test_missing_data_is_refused_with_the_flag_to_change(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(DataError, match=r"--data .* holds no trajectories: give a folder written by `itp collect`"):
            read_trajectories([path])
    data = write_episodes(tmp_path / "data", 4)
    assert len(read_trajectories([data])) == len(read_trajectories([data / "expert-0.jsonl"])) == 4


def train(data: Path, out: Path, *words: str, stage: str = "policy") -> int:
    settings = ["--base", "scratch:tiny", "--vocab-size", "300", "--epochs", "2", "--batch-size", "8"]
    return main(["train", stage, "--data", str(data), *settings, *words, "--out", str(out)])


def weights(out: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(out / "model" / "model.safetensors")


def test_a_finished_stage_is_reported_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_episodes(tmp_path / "data", 4)
    assert train(data, tmp_path / "out", stage="world-model") == 0
    monkeypatch.setattr("itp.training.stage.train_stage", lambda *_, **__: pytest.fail("trained again"))
    capsys.readouterr()
    assert train(data, tmp_path / "out", stage="world-model") == 0
    assert "done." in capsys.readouterr().out
    assert train(data, tmp_path / "out", "--lr", "0.5", stage="world-model") == 2
    assert "lr" in capsys.readouterr().err
    config = read_itp_config(str(tmp_path / "out" / "model"))
    assert (config.kind, config.renderer, config.stage) == ("world_model", "history-v1", "world-model")
    metrics = json.loads((tmp_path / "out" / "training.json").read_text())["metrics"]
    assert metrics["rows"] > 0


def test_steps_with_a_text_are_shown_as_often_as_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_episodes(tmp_path / "data", 4)
    first = read_trajectories([data])[0].steps[0].observation

    def rows(*words: str) -> int:
        words = ("--renderer", "memory-v1", "--epochs", "1", "--held-out", "0", "--eval-episodes", "0", *words)
        out = tmp_path / f"out-{len(words)}"
        assert train(data, out, *words, stage="world-model") == 0
        return json.loads((out / "training.json").read_text())["metrics"]["rows"]

    shown = sum(first in step.observation for trajectory in read_trajectories([data]) for step in trajectory.steps)
    assert rows("--copies", "4", "--copies-of", first) - rows() == shown * 3
    for words, message in (
        (("--copies", "0"), "--copies 0 is too small: give 1 or more"),
        (("--copies", "2"), "--copies N (2 or more) and --copies-of TEXT belong together: give both, or neither"),
        (("--copies-of", "gone"), "--copies N (2 or more) and --copies-of TEXT belong together: give both, or neither"),
    ):
        assert train(data, tmp_path / "none", *words, stage="world-model") == 2
        assert message in capsys.readouterr().err


def test_a_checkpoint_can_be_the_base_of_the_next(tmp_path: Path) -> None:
    data, base = write_episodes(tmp_path / "data", 4), save_policy(tmp_path / "base")
    assert train(data, tmp_path / "out", "--base", base, "--epochs", "1") == 0
    assert read_itp_config(str(tmp_path / "out" / "model")).parent == base
    assert len(weights(tmp_path / "out")) > 0


def test_a_foreign_base_learns_our_special_tokens_and_where_to_end(tmp_path: Path) -> None:
    foreign = foreign_lm()
    data, base = write_episodes(tmp_path / "data", 4), foreign_base(tmp_path / "foreign")
    assert train(data, tmp_path / "out", "--base", base, "--epochs", "1") == 0
    policy = Policy.load(str(tmp_path / "out" / "model"))
    assert all(len(policy.lm.encode(token)) == 1 for token in SPECIAL_TOKENS)
    assert policy.lm.end_id == policy.lm.encode(END)[0] != foreign.end_id


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--base", "scratch:huge"], "--base scratch:huge is unknown: choose scratch:tiny|small|base"),
        (["--renderer", "prose"], "renderer prose is unknown: choose one of history-v1, memory-v1"),
        (["--held-out", "0.9"], "--held-out 0.9 is not allowed"),
        (["--data", "nowhere"], "--data is given twice"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert train(write_episodes(tmp_path / "data", 4), tmp_path / "out", *words) == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_trajectories_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path / "nowhere", tmp_path / "out") == 2
    assert f"--data {tmp_path / 'nowhere'} holds no trajectories" in capsys.readouterr().err
