"""Supervised fine-tuning of a causal LM on ready rows, through TRL's SFTTrainer: shared by world model and policy."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itp.data.rows import Row
from itp.errors import CheckpointError, ConfigError
from itp.training.distributed import is_main, per_process, say, world_size
from itp.training.progress import evaluation_callback, progress_callback, quiet_libraries
from itp.training.tracking import trainer_logging

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from itp.training.trainer import Weigh

SCHEDULERS = ("cosine", "linear", "constant", "constant_with_warmup")


@dataclass
class Optimisation:
    """Optimiser settings of the supervised stages."""

    epochs: float = 3.0
    """Passes over the rows."""
    batch_size: int = 32
    """Rows per optimiser step, over all processes and accumulated passes."""
    accumulation: int = 1
    """Forward passes that one optimiser step is split into."""
    lr: float = 1e-3
    """Peak learning rate: 1e-3 suits models from scratch, 2e-5 is the paper's for an LLM."""
    warmup_ratio: float = 0.03
    """Share of the steps with rising learning rate."""
    lr_scheduler_type: str = "cosine"
    """How the learning rate goes on: cosine, linear, constant or constant_with_warmup."""
    weight_decay: float = 0.01
    """AdamW weight decay."""
    grad_clip: float = 1.0
    """Gradient norm limit."""
    bf16: bool = True
    """Matrix products in bfloat16 over fp32 weights (2-3x faster on recent CPUs too)."""
    fp16: bool = False
    """Matrix products in float16 over fp32 weights, with a loss scaler: for GPUs without bfloat16."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: a third more time for a fraction of the memory."""
    save_steps: int = 200
    """Optimiser steps between resumable checkpoints."""
    log_steps: int = 20
    """Optimiser steps between log lines."""
    log: str = "tensorboard"
    """Where curves go besides OUT/metrics.jsonl: tensorboard, wandb, trackio or none."""
    seed: int = 0
    """Of initialisation and shuffling."""


@dataclass
class Schedule:
    """How rows are laid out, and when the model is judged on the held-out tasks."""

    packing: int = 0
    """Tokens per packed sequence, several rows in each; --batch-size then counts sequences. 0: it counts rows."""
    eval_steps: int = 200
    """Optimiser steps between evaluations; 0 evaluates at the end only."""
    patience: int = 0
    """Stop after this many evaluations without a better held-out loss; 0 never stops early."""

    def check(self) -> None:
        """Raise ConfigError for values that cannot work."""
        for name in ("packing", "eval_steps", "patience"):
            if getattr(self, name) < 0:
                raise ConfigError(f"--{name.replace('_', '-')} {getattr(self, name)} is not allowed: give 0 or more")
        if self.patience and not self.eval_steps:
            raise ConfigError(f"--patience {self.patience} needs evaluations: give --eval-steps 1 or more")


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
    schedule: Schedule | None = None,
    probe: Callable[[PreTrainedModel], dict[str, float]] | None = None,
    weigh: Weigh | None = None,
) -> dict[str, float]:
    """Train in place and return the figures of the best weights; resumes from the newest checkpoint.

    The weights with the lowest held-out loss are left in `out`/checkpoints/best, those of the last step in
    `out`/checkpoints/last (the same folder twice where they are the same).

    Args:
        model: a causal LM, or a peft model around one.
        tokenizer: its tokenizer.
        rows: what to learn.
        eval_rows: held-out rows; without any, the last weights count as the best.
        out: run folder, for checkpoints, metrics.jsonl and TensorBoard files.
        settings: optimiser settings.
        title: shown in progress lines.
        schedule: packing, evaluation and early stop.
        probe: further judgement at each evaluation, name -> figure.
        weigh: weights of the token losses in training, default all 1.

    Raises:
        ConfigError: there is nothing to train on, or a row is longer than a packed sequence.
        CheckpointError: a row is longer than the model's positions.
    """
    from transformers import PrinterCallback

    schedule = schedule or Schedule()
    schedule.check()
    _check_rows(model, rows, schedule)
    quiet_libraries()
    trainer = _trainer(
        model, tokenizer, rows, eval_rows, out=out, settings=settings, schedule=schedule, probe=probe, weigh=weigh
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(progress_callback(title, trainer=trainer, metrics=out / "metrics.jsonl"))
    trainer.add_callback(evaluation_callback(schedule.eval_steps if eval_rows else 0, schedule.patience))
    with _attention(model):
        result = trainer.train(resume_from_checkpoint=newest_checkpoint(out / "checkpoints"))
        metrics = {"train_loss": result.training_loss, "train_seconds": result.metrics.get("train_runtime", 0.0)}
        evaluations = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
        if eval_rows and (not evaluations or evaluations[-1]["step"] != trainer.state.global_step):
            trainer.evaluate()
            evaluations = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    _keep_last(trainer, out, evaluations)
    metrics["steps"] = trainer.state.global_step
    if evaluations:
        best = min(evaluations, key=lambda entry: entry["eval_loss"])
        metrics |= {name: value for name, value in best.items() if name.startswith("eval_")}
        metrics["best_step"] = best["step"]
    return metrics


def _check_rows(model: PreTrainedModel, rows: Sequence[Row], schedule: Schedule) -> None:
    if not rows:
        raise ConfigError("no training rows: the trajectories hold no labelled step; collect more with `itp collect`")
    longest = max(len(row.input_ids) for row in rows)
    limit = getattr(model.config, "max_position_embeddings", longest)
    if longest > limit:
        raise CheckpointError(
            f"the longest row has {longest} tokens, the model takes {limit}: lower --max-state-tokens"
        )
    if 0 < schedule.packing < longest:
        raise ConfigError(
            f"--packing {schedule.packing} is too short: the longest row has {longest} tokens; give at least that many"
        )


def _trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    eval_rows: Sequence[Row],
    *,
    out: Path,
    settings: Optimisation,
    schedule: Schedule,
    probe: Any,
    weigh: Weigh | None,
) -> Any:
    from datasets import Dataset
    from trl import SFTConfig  # pyright: ignore[reportPrivateImportUsage]

    from itp.training.attention import supports
    from itp.training.trainer import Trainer

    options = trainer_options(out, settings)
    del options["train_sampling_strategy"]  # the trainer has a sampler of its own
    padding_free = supports(_plain(model))
    if schedule.packing and not padding_free:
        kind = model.config.model_type
        raise ConfigError(f"--packing cannot keep rows apart in a {kind} model: give --packing 0")
    return Trainer(
        model=model,
        args=SFTConfig(
            **options,
            packing=schedule.packing > 0,
            padding_free=padding_free,
            max_length=schedule.packing or None,
            ddp_find_unused_parameters=False,
        ),
        train_dataset=Dataset.from_dict({"input_ids": [r.input_ids for r in rows], "labels": [r.labels for r in rows]}),
        processing_class=tokenizer,
        global_batch=settings.batch_size,
        eval_rows=eval_rows,
        probe=probe,
        weigh=weigh,
    )


def _plain(model: Any) -> Any:
    """The causal LM itself, without the adapters around it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _attention(model: Any) -> contextlib.AbstractContextManager[None]:
    from itp.training.attention import packed_attention, supports

    return packed_attention(_plain(model)) if supports(_plain(model)) else contextlib.nullcontext()


def newest_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint under a folder. One whose writing was interrupted is passed over and removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for path in found:
        if (path / "trainer_state.json").is_file():  # written last
            return str(path)
        if is_main():
            shutil.rmtree(path)
    return None


def _keep_last(trainer: Any, out: Path, evaluations: Sequence[dict[str, float]]) -> None:
    from itp.training.trainer import BEST, LAST

    best = min(evaluations, key=lambda entry: entry["eval_loss"])["step"] if evaluations else None
    folder = out / "checkpoints"
    if best is None:
        trainer.keep(BEST)
    if best is not None and best != trainer.state.global_step:
        trainer.keep(LAST)
    elif is_main():
        target = folder / LAST
        shutil.rmtree(target, ignore_errors=True)
        target.unlink(missing_ok=True)
        target.symlink_to(BEST)


def rows_at_once(settings: Optimisation) -> int:
    """Rows of one forward pass on one process. Raises ConfigError when the global batch cannot be split so."""
    share = per_process(settings.batch_size, "--batch-size")
    if settings.accumulation < 1 or share % settings.accumulation:
        processes = f", on each of {world_size()} processes {share}," if world_size() > 1 else ""
        raise ConfigError(
            f"--batch-size {settings.batch_size}{processes} is no multiple of --accumulation {settings.accumulation}: "
            "change one"
        )
    return share // settings.accumulation


def trainer_options(out: Path, settings: Optimisation) -> dict[str, Any]:
    """Keyword arguments that every Trainer of this project shares."""
    import torch

    if settings.lr_scheduler_type not in SCHEDULERS:
        raise ConfigError(
            f"--lr-scheduler-type {settings.lr_scheduler_type} is unknown: choose one of {', '.join(SCHEDULERS)}"
        )
    cpu = not torch.cuda.is_available()
    bf16, fp16 = precision(settings)
    at_once = rows_at_once(settings)
    return {
        "output_dir": str(out / "checkpoints"),
        "num_train_epochs": settings.epochs,
        "per_device_train_batch_size": at_once,
        "gradient_accumulation_steps": settings.accumulation,
        "per_device_eval_batch_size": at_once,
        "learning_rate": settings.lr,
        "lr_scheduler_type": settings.lr_scheduler_type,
        "warmup_steps": settings.warmup_ratio,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.grad_clip,
        "bf16": bf16,
        "fp16": fp16,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "use_cpu": cpu,
        "train_sampling_strategy": "group_by_length",
        "save_steps": settings.save_steps,
        "save_total_limit": 1,
        "logging_steps": settings.log_steps,
        **trainer_logging(settings.log, out),
        "disable_tqdm": True,
        "dataloader_pin_memory": not cpu,
        "seed": settings.seed,
    }


def precision(settings: Optimisation) -> tuple[bool, bool]:
    """(bf16, fp16) as this machine can do them; says so in one line when that is not what was asked for."""
    import torch

    gpu = torch.cuda.is_available()
    if settings.fp16 and not gpu:
        say(f"--fp16 needs a GPU: training in {'bf16' if settings.bf16 else 'fp32'} on this CPU")
        return settings.bf16, False
    if settings.fp16:
        return False, True
    if settings.bf16 and gpu and not torch.cuda.is_bf16_supported():
        say("this GPU has no bfloat16: training in fp16 with a loss scaler")
        return False, True
    return settings.bf16, False
