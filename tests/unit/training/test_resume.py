"""Training that was interrupted, at any point, logs what an uninterrupted run logs and ends with the same weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from itp.cli.main import main
from itp.training.order import EpochSampler, epoch_order
from itp.training.progress import Ticker
from itp.training.sft import newest_checkpoint
from training_data import curve, foreign_base, write_episodes

SETTINGS = ["--epochs", "3", "--batch-size", "4", "--log-steps", "3", "--save-steps", "4", "--eval-steps", "3"]
SCRATCH = ["--base", "scratch:tiny", "--vocab-size", "700"]
MODES = {
    "full": [*SCRATCH, "--no-bf16"],
    "packed in bf16": [*SCRATCH, "--packing", "300", "--batch-size", "1"],
    "lora, accumulated": ["--base", "FOREIGN", "--lora-r", "4", "--lora-dropout", "0.3", "--accumulation", "2"],
}


def train(data: Path, out: Path, mode: str) -> int:
    base = str(data.parent / "base")
    words = [base if word == "FOREIGN" else word for word in MODES[mode]]
    fixed = ["--renderer", "memory", "--held-out", "0.3", "--eval-episodes", "1", "--eval-horizon", "2"]
    small = ["--max-observation-tokens", "4", "--max-state-tokens", "4096"]
    return main(["train", "world-model", "--data", str(data), *SETTINGS, *fixed, *small, *words, "--out", str(out)])


@pytest.mark.parametrize("mode", list(MODES))
def test_a_resumed_run_logs_the_curve_of_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    data = write_episodes(tmp_path / "data", 3)
    foreign_base(tmp_path / "base")
    assert train(data, tmp_path / "straight", mode) == 0
    tick, ticks = Ticker.tick, []

    def stopped(self: Ticker, done: int, total: int, note: str = "", *, base: int = 0) -> None:
        ticks.append((base, done))
        if done == 10 and base == 0:
            raise KeyboardInterrupt
        tick(self, done, total, note, base=base)

    monkeypatch.setattr(Ticker, "tick", stopped)
    assert train(data, tmp_path / "resumed", mode) == 130
    assert curve(tmp_path / "resumed")[-1]["step"] == 9, "no line is later than the checkpoint: nothing is put to test"
    assert train(data, tmp_path / "resumed", mode) == 0
    assert (8, 9) in ticks, "it did not go on after the checkpoint of step 8"
    for key in ("loss", "eval_loss"):
        straight, resumed = (curve(tmp_path / name, key) for name in ("straight", "resumed"))
        assert straight == resumed, "the curves differ"
        assert len(straight) >= 4
    for folder in ("model", "last"):
        files = [next((tmp_path / run / folder).glob("*model.safetensors")) for run in ("straight", "resumed")]
        one, other = (load_file(file) for file in files)
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_that_stops_early_keeps_the_best_weights_and_the_last_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_episodes(tmp_path / "data", 3)
    words = [*SCRATCH, "--renderer", "memory", "--no-bf16", "--held-out", "0.3", "--eval-episodes", "0"]
    hasty = ["--lr", "0.01", "--epochs", "60", "--batch-size", "8", "--eval-steps", "2", "--patience", "2"]
    command = ["train", "world-model", "--data", str(data), *words, *hasty, "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert "stopped early: 2 evaluations without a better held-out loss than" in capsys.readouterr().out
    judged = curve(tmp_path / "out", "eval_loss")
    losses = [line["eval_loss"] for line in judged]
    assert losses.index(min(losses)) == len(losses) - 3, "patience was not used up exactly"
    best, last = (load_file(tmp_path / "out" / name / "model.safetensors") for name in ("model", "last"))
    assert any(not torch.equal(best[name], last[name]) for name in best)
    assert (tmp_path / "out" / "last" / "itp_config.json").is_file()


def test_a_checkpoint_whose_writing_was_interrupted_is_passed_over(tmp_path: Path) -> None:
    for step in (8, 10, 9):
        (tmp_path / f"checkpoint-{step}").mkdir()
    assert newest_checkpoint(tmp_path / "nothing") is None
    (tmp_path / "checkpoint-8" / "trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-9" / "trainer_state.json").write_text("{}")
    assert newest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-9")
    assert not (tmp_path / "checkpoint-10").exists()
    shutil.rmtree(tmp_path / "checkpoint-9")
    assert newest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-8")


@pytest.mark.parametrize("rows", [1, 7, 8, 100, 1001])
def test_an_epoch_reads_every_row_and_fills_its_last_batch(rows: int) -> None:
    lengths = [(7 * n) % 50 + 1 for n in range(rows)]
    order = epoch_order(lengths, 8, seed=1, epoch=0)
    assert set(order) == set(range(rows))
    assert len(order) == -(-rows // 8) * 8
    assert max(order.count(row) for row in set(order)) <= -(-8 // rows) + 1
    assert order == epoch_order(lengths, 8, seed=1, epoch=0)
    assert rows <= 8 or order != epoch_order(lengths, 8, seed=1, epoch=1)


def test_the_rows_of_a_step_do_not_depend_on_how_many_share_it() -> None:
    lengths = [(7 * n) % 50 + 1 for n in range(100)]
    whole, parted = (epoch_order(lengths, 8, seed=1, epoch=3, parts=parts) for parts in (1, 4))
    for start in range(0, len(whole), 8):
        assert sorted(whole[start : start + 8]) == sorted(parted[start : start + 8])
    sampler = EpochSampler(lengths, 8, 1, parts=4)
    sampler.epoch = 3
    assert list(sampler) == parted
    assert len(sampler) == len(parted)
    spread = [max(lengths[row] for row in whole[at : at + 8]) - lengths[whole[at]] for at in range(0, len(whole), 8)]
    assert max(spread) == 0, "a batch does not begin with its longest row"
