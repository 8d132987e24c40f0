"""`train_adaptive_k sft`: the authors' flags for `itp train warmup` (Liu et al. 2026, eq. 6)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from itp.errors import ConfigError, DataError

OURS = {
    "--out": "--out_dir",
    "--labels": "--train_jsonl",
    "--policy": "--policy_model_path",
    "--k-max": "--kmax",
    "--eta": "--beta_k",
    "--batch-size": "--batch_size x --grad_accum",
    "--accumulation": "--grad_accum",
    "--lr-scheduler-type": "--lr_scheduler_type",
    "--max-state-tokens": "--max_seq_len",
}
NEVER = 1_000_000_000
"""Optimiser steps between checkpoints that never come."""


@dataclass
class Config:
    """Warm up policy and K-head on labels; the authors' flags, the paper's defaults."""

    train_jsonl: Path
    """Labels written by the stage `label` or by `itp label`: a file, or a run folder."""
    policy_model_path: str
    """Policy to start from: a checkpoint folder, or a run folder of ours."""
    out_dir: Path
    """Run folder; the checkpoint is OUT_DIR/model, and the next stage finds it there."""
    kmax: int = 5
    """Largest horizon of the K-head."""
    epochs: float = 3
    """Passes over the labels."""
    batch_size: int = 1
    """Rows per forward pass."""
    grad_accum: int = 16
    """Forward passes per optimiser step."""
    lr: float = 2e-5
    """Peak learning rate."""
    wd: float = 0.0
    """AdamW weight decay."""
    beta_k: float = 0.5
    """Weight of the K-head's cross-entropy: η of eq. 6."""
    warmup_ratio: float = 0.03
    """Share of the steps with rising learning rate."""
    lr_scheduler_type: str = "cosine"
    """cosine, linear, constant or constant_with_warmup."""
    max_seq_len: int = 2048
    """Tokens of a whole prompt; the state gets what kmax imagined steps and the action leave."""
    fp16: bool = False
    """Matrix products in float16, with a loss scaler; needs a GPU."""
    bf16: bool = False
    """Matrix products in bfloat16."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass, to save memory."""
    device_map: str = ""
    """Without effect: `accelerate launch` spreads a model over GPUs."""
    train_only_heads: bool = False
    """Without effect: policy and heads learn together, as in the paper."""
    save_every_steps: int = 0
    """Optimiser steps between resumable checkpoints; 0 keeps none."""
    padding_side: str = ""
    """left or right; positions and masks make it the same."""
    seed: int = 42
    """Ours: of shuffling and of the heads' first weights."""


def run(config: Config) -> None:
    """Train; the same command again resumes."""
    from itp.cli import authors
    from itp.training import warmup
    from itp.training.sft import Optimisation

    authors.check_choice("--padding_side", config.padding_side, ("", "left", "right"))
    if not config.train_jsonl.exists():
        raise DataError(f"--train_jsonl {config.train_jsonl} does not exist: name what the stage label wrote")
    for flag, value, least in (
        ("--batch_size", config.batch_size, 1),
        ("--grad_accum", config.grad_accum, 1),
        ("--kmax", config.kmax, 1),
        ("--save_every_steps", config.save_every_steps, 0),
    ):
        if value < least:
            raise ConfigError(f"{flag} {value} is too small: give {least} or more")
    limit = authors.state_limit(config.max_seq_len, config.kmax)
    policy = authors.checkpoint("--policy_model_path", config.policy_model_path)
    dtype = authors.half_precision(config.fp16, config.bf16)
    idle: dict[str, str] = {}
    if config.padding_side:
        idle[f"--padding_side {config.padding_side}"] = "the loss is the same on either side"
    if config.device_map:
        idle[f"--device_map {config.device_map}"] = "start the command with accelerate launch to use several GPUs"
    if config.train_only_heads:
        idle["--train_only_heads"] = "policy and heads learn together, as in the paper"
    authors.without_effect(idle)
    with authors.flags_named(OURS):
        warmup.run(
            warmup.Config(
                out=config.out_dir,
                labels=(config.train_jsonl,),
                policy=policy,
                k_max=config.kmax,
                eta=config.beta_k,
                foresight="label",
                max_state_tokens=limit,
                optim=Optimisation(
                    epochs=config.epochs,
                    batch_size=config.batch_size * config.grad_accum,
                    accumulation=config.grad_accum,
                    lr=config.lr,
                    warmup_ratio=config.warmup_ratio,
                    lr_scheduler_type=config.lr_scheduler_type,
                    weight_decay=config.wd,
                    bf16=dtype == "bfloat16",
                    fp16=dtype == "float16",
                    gradient_checkpointing=config.gradient_checkpointing,
                    save_steps=config.save_every_steps or NEVER,
                    seed=config.seed,
                ),
            )
        )
