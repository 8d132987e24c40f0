"""Tokens per second of world-model training beside what the machine's matrix products reach, in one run.

    OMP_NUM_THREADS=1 python benchmarks/training_throughput.py --steps 12

A Llama of 5.9M parameters (the shape `scratch:base`, vocabulary 3,072) learns household episodes in bf16, three ways:
TRL's SFTTrainer as it comes (padded batches), `itp train world-model` (rows without padding, logits where labels are)
and the same with packed sequences. Training costs about 6 N operations a token, N being the parameters; their rate is
printed as a share of the best bf16 product of this very run (a square one of 1,024, tried around each way). Both count
the processor's time that the process really got: the time on the clock, when the machine is idle. Its load is printed
too; neighbours still cost cache and memory bandwidth.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, Trainer
from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage]

from itp.data.collect import Config as Collect
from itp.data.collect import run as collect
from itp.data.rows import Row, unique, world_model_rows
from itp.lm.loading import encode
from itp.state_text.prompts import PromptBuilder
from itp.state_text.renderers import get_renderer
from itp.training.progress import quiet_libraries
from itp.training.scratch import SIZES, train_tokenizer
from itp.training.sft import Optimisation, Schedule, fit, trainer_options
from itp.training.stage import read_trajectories

VOCABULARY = 3072


def make_rows(data: Path | None, count: int) -> tuple[list[Row], Any]:
    """At least `count` rows of one episode each, and the tokenizer trained on them."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        if data is None:
            data = Path(folder) / "data"
            collect(Collect(out=data, env="household", epsilon=(0.3,), episodes=count, max_steps=12))
        played = read_trajectories([data])[:count]
    renderer = get_renderer("history")
    texts = ("".join(row.input_ids) for row in world_model_rows(played, lambda text: [text], PromptBuilder(renderer)))  # pyright: ignore
    tokenizer = train_tokenizer(texts, vocab_size=VOCABULARY)
    to_ids = partial(encode, tokenizer)
    prompts = PromptBuilder(renderer, lambda text: len(to_ids(text)), 1024)
    return unique(world_model_rows(played, to_ids, prompts))[:count], tokenizer


def make_model() -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=4096, tie_word_embeddings=True, **SIZES["base"])
    )


def matrix_rate(size: int = 1024, tries: int = 20) -> float:
    """Best rate of a square bf16 product, in operations per second of the processor's time."""
    left, right = (torch.randn(size, size).bfloat16() for _ in range(2))
    best = 0.0
    for _ in range(tries):
        start = time.process_time()
        torch.mm(left, right)
        best = max(best, 2 * size**3 / (time.process_time() - start) * torch.get_num_threads())
    return best


@contextlib.contextmanager
def stopwatch() -> Iterator[dict[str, float]]:
    """Seconds on the clock and of the processor that `Trainer.train` takes inside the block, all of its threads."""
    spent: dict[str, float] = {}
    train = Trainer.train

    def timed(self: Any, *args: Any, **options: Any) -> Any:
        clock, processor = time.perf_counter(), time.process_time()
        try:
            return train(self, *args, **options)
        finally:
            spent["seconds"] = time.perf_counter() - clock
            spent["cpu_seconds"] = (time.process_time() - processor) / torch.get_num_threads()

    Trainer.train = timed
    try:
        yield spent
    finally:
        Trainer.train = train


def plain_trl(rows: list[Row], tokenizer: Any, settings: Optimisation, out: Path) -> float:
    """TRL's trainer with padded batches of rows of like length; returns the mean loss."""
    columns = {"input_ids": [row.input_ids for row in rows], "labels": [row.labels for row in rows]}
    trainer = SFTTrainer(
        model=make_model(),
        args=SFTConfig(**trainer_options(out, settings), max_length=None),
        train_dataset=Dataset.from_dict(columns),
        processing_class=tokenizer,
    )
    return trainer.train().training_loss


def ours(rows: list[Row], tokenizer: Any, settings: Optimisation, out: Path, *, packing: int = 0) -> float:
    """The supervised stages of `itp`; returns the mean loss."""
    schedule = Schedule(packing=packing)
    metrics = fit(make_model(), tokenizer, rows, [], out=out, settings=settings, title="", schedule=schedule)
    return metrics["train_loss"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, help="folder written by `itp collect`; default: household games, made here"
    )
    parser.add_argument("--steps", type=int, default=12, help="optimiser steps of each way")
    parser.add_argument("--batch-size", type=int, default=16, help="rows per step")
    parser.add_argument("--packing", type=int, default=2048, help="tokens per packed sequence, in the third way")
    args = parser.parse_args()

    quiet_libraries()
    rows, tokenizer = make_rows(args.data, args.steps * args.batch_size)
    tokens = sum(len(row.input_ids) for row in rows)
    labels = sum(label >= 0 for row in rows for label in row.labels)
    parameters = make_model().num_parameters()
    print(f"{len(rows)} rows of {tokens / len(rows):.0f} tokens ({labels / tokens:.0%} labelled), N = {parameters:,}")
    print(f"threads {torch.get_num_threads()}, cores {os.cpu_count()}, load {os.getloadavg()[0]:.1f}")
    settings = Optimisation(epochs=1, batch_size=args.batch_size, save_steps=10**6, log_steps=10**6)
    # As many packed sequences in a step as hold the tokens of a batch of rows: the number of steps stays alike.
    packs = max(1, round(args.batch_size * tokens / len(rows) / args.packing))
    ways: list[tuple[str, Any, Optimisation]] = [
        ("TRL, padded", plain_trl, settings),
        ("itp", ours, settings),
        (
            f"itp, --packing {args.packing}",
            partial(ours, packing=args.packing),
            Optimisation(**{**vars(settings), "batch_size": packs}),
        ),
    ]
    print(
        f"{'':<22} {'tokens/s':>9} {'seconds':>8} {'CPU s':>7} {'GEMM GF/s':>10} {'share of it':>12} {'mean loss':>10}"
    )
    for name, way, how in ways:
        before = matrix_rate()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()), stopwatch() as spent:
            loss = way(rows, tokenizer, how, Path(folder))
        peak, seconds, cpu = max(before, matrix_rate()), spent["seconds"], spent["cpu_seconds"]
        share = 6 * parameters * tokens / cpu / peak
        print(
            f"{name:<22} {tokens / seconds:9,.0f} {seconds:8.1f} {cpu:7.1f} {peak / 1e9:10.0f} {share:12.1%}"
            f" {loss:10.4f}",
            flush=True,
        )
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
