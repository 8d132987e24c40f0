"""Supervised fine-tuning of a causal LM on ready rows, through TRL's SFTTrainer: shared by world model and policy."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itp.data.rows import Row
from itp.errors import CheckpointError, ConfigError
from itp.training.progress import progress_callback, quiet_libraries

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass
class Optimisation:
    """Optimiser settings of the supervised stages."""

    epochs: float = 3.0
    """Passes over the rows."""
    batch_size: int = 32
    """Rows per optimiser step (split by --accumulation)."""
    accumulation: int = 1
    """Forward passes that one optimiser step is split into."""
    lr: float = 1e-3
    """Peak learning rate: 1e-3 suits models from scratch, 2e-5 is the paper's for an LLM."""
    warmup_ratio: float = 0.03
    """Share of the steps with rising learning rate, cosine decay after it."""
    weight_decay: float = 0.01
    """AdamW weight decay."""
    grad_clip: float = 1.0
    """Gradient norm limit."""
    bf16: bool = True
    """Autocast matrix products to bfloat16 over fp32 weights (2-3x faster on recent CPUs too)."""
    save_steps: int = 200
    """Optimiser steps between resumable checkpoints."""
    log_steps: int = 20
    """Optimiser steps between log lines."""
    seed: int = 0
    """Of initialisation and shuffling."""


def split_by_episode(items: Sequence[Any], held_out: float, seed: int) -> tuple[list[Any], list[Any]]:
    """Split episodes (never their rows) into training and held-out ones.

    Args:
        items: episodes.
        held_out: share held out, 0 to 0.5.
        seed: of the shuffle.
    """
    if not 0 <= held_out <= 0.5:
        raise ConfigError(f"--held-out {held_out} is not allowed: give a share from 0 to 0.5")
    order = list(range(len(items)))
    random.Random(seed).shuffle(order)
    cut = round(len(items) * held_out)
    return [items[i] for i in order[cut:]], [items[i] for i in order[:cut]]


def fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    eval_rows: Sequence[Row],
    *,
    out: Path,
    settings: Optimisation,
    title: str,
) -> dict[str, float]:
    """Train in place and return the last metrics. Resumes from the newest checkpoint under `out`/checkpoints.

    Raises:
        ConfigError: there is nothing to train on.
        CheckpointError: a row is longer than the model's positions.
    """
    from datasets import Dataset
    from transformers import PrinterCallback
    from transformers.trainer_utils import get_last_checkpoint
    from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage]

    if not rows:
        raise ConfigError("no training rows: the trajectories hold no labelled step; collect more with `itp collect`")
    longest = max(len(row.input_ids) for row in rows)
    limit = getattr(model.config, "max_position_embeddings", longest)
    if longest > limit:
        raise CheckpointError(
            f"the longest row has {longest} tokens, the model takes {limit}: lower --max-state-tokens"
        )
    quiet_libraries()

    def dataset(items: Sequence[Row]) -> Dataset:
        return Dataset.from_dict({"input_ids": [r.input_ids for r in items], "labels": [r.labels for r in items]})

    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**trainer_options(out, settings), gradient_checkpointing=False, max_length=longest),
        train_dataset=dataset(rows),
        eval_dataset=dataset(eval_rows) if eval_rows else None,
        processing_class=tokenizer,
        callbacks=[progress_callback(title)],
    )
    trainer.remove_callback(PrinterCallback)
    checkpoints = out / "checkpoints"
    last = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
    result = trainer.train(resume_from_checkpoint=last)
    metrics = {"train_loss": result.training_loss, "train_seconds": result.metrics.get("train_runtime", 0.0)}
    if eval_rows:
        metrics["eval_loss"] = trainer.evaluate()["eval_loss"]
    return metrics


def trainer_options(out: Path, settings: Optimisation) -> dict[str, Any]:
    """Keyword arguments that every Trainer of this project shares."""
    import torch

    cpu = not torch.cuda.is_available()
    if settings.accumulation < 1 or settings.batch_size % settings.accumulation:
        raise ConfigError(
            f"--batch-size {settings.batch_size} is no multiple of --accumulation {settings.accumulation}: change one"
        )
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(out / "tensorboard")
    return {
        "output_dir": str(out / "checkpoints"),
        "num_train_epochs": settings.epochs,
        "per_device_train_batch_size": settings.batch_size // settings.accumulation,
        "gradient_accumulation_steps": settings.accumulation,
        "per_device_eval_batch_size": settings.batch_size,
        "learning_rate": settings.lr,
        "lr_scheduler_type": "cosine",
        "warmup_steps": settings.warmup_ratio,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.grad_clip,
        "bf16": settings.bf16,
        "use_cpu": cpu,
        "train_sampling_strategy": "group_by_length",
        "save_steps": settings.save_steps,
        "save_total_limit": 1,
        "logging_steps": settings.log_steps,
        "report_to": ["tensorboard"],
        "disable_tqdm": True,
        "dataloader_pin_memory": not cpu,
        "seed": settings.seed,
    }
