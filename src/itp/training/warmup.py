"""`itp train warmup`: the policy learns to read foresight and the K-head learns when it helps (Liu et al. 2026, eq. 6).

itp train warmup --labels out/labels --policy out/policy/model --out out/warmup

L = L_π(a* | s, τ̂^(K̃)) + η · CE(p(K | s), K̃)
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itp.errors import ConfigError
from itp.training.sft import Optimisation

if TYPE_CHECKING:
    from itp.policy.model import Policy
    from itp.training.pseudo_label import LabelledState

FORESIGHTS = ("label", "mixed", "uniform")


@dataclass
class Config:
    """Warm up policy and heads on pseudo-labels."""

    out: Path
    """Run folder; the checkpoint with heads is OUT/model."""
    labels: Path
    """Folder written by `itp label`."""
    policy: str
    """Policy checkpoint to start from."""
    k_max: int = 5
    """Largest horizon of the K-head; the labels must not exceed it."""
    eta: float = 0.5
    """Weight of the K-head's cross-entropy (upstream: --beta_k)."""
    lambda_k: float | None = None
    """Choose the labels again from the stored scores with this price per imagined step; default: as labelled."""
    foresight: str = "mixed"
    """Length of the foresight the action is learnt with: label (the paper: K̃), uniform (any k), or mixed (half each,
    so that every horizon can be played afterwards)."""
    draws: int = 1
    """Times each labelled state is used with a foresight of its own draw."""
    optim: Optimisation = field(default_factory=lambda: Optimisation(lr=3e-4, epochs=2, batch_size=64))
    """Optimiser settings."""


def run(config: Config) -> None:
    """Train; a second run in the same folder resumes or reports what is there."""
    import torch

    from itp.policy.model import Policy
    from itp.run_folder import open_run
    from itp.training.pseudo_label import read_labels
    from itp.training.stage import finish

    if config.foresight not in FORESIGHTS:
        raise ConfigError(f"--foresight {config.foresight} is unknown: choose one of {', '.join(FORESIGHTS)}")
    with open_run(config.out, config, command="train warmup") as folder:
        if finish(folder):
            return
        torch.manual_seed(config.optim.seed)
        labels = read_labels(config.labels)
        policy = Policy.load(config.policy)
        if policy.heads is None or policy.heads.k_max != config.k_max:
            policy = policy.with_heads(config.k_max)
        rows = warmup_rows(labels, policy, config)
        print(f"warm-up: {len(rows)} rows, K labels {dict(sorted(Counter(row['horizon'] for row in rows).items()))}")
        metrics = _train(policy, rows, config)
        policy.save(config.out / "model", stage="warmup", parent=config.policy)
        finish(folder, metrics)


def warmup_rows(labels: Sequence[LabelledState], policy: Policy, config: Config) -> list[dict[str, Any]]:
    """Token rows with the `<CTRL>` position and the K label. Raises ConfigError when a label exceeds K_max."""
    from itp.data.rows import foresight_row
    from itp.training.pseudo_label import best_horizon

    draw = random.Random(config.optim.seed)
    rows = []
    for _ in range(config.draws):
        for label in labels:
            scores = label.scores[: config.k_max + 1]
            horizon = label.horizon if config.lambda_k is None else best_horizon(scores, config.lambda_k)
            if horizon > config.k_max:
                raise ConfigError(f"a label has K={horizon}, beyond --k-max {config.k_max}: raise it, or label again")
            uniform = config.foresight == "uniform" or (config.foresight == "mixed" and draw.random() < 0.5)
            length = draw.randint(0, min(config.k_max, len(label.foresight))) if uniform else horizon
            row, control = foresight_row(
                policy.lm.encode, policy.prompts, label.state, label.foresight.prefix(length), label.action
            )
            rows.append({"input_ids": row.input_ids, "labels": row.labels, "control": control, "horizon": horizon})
    return rows


def _train(policy: Policy, rows: list[dict[str, Any]], config: Config) -> dict[str, float]:
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback, Trainer, TrainingArguments
    from transformers.trainer_utils import get_last_checkpoint

    from itp.training.progress import progress_callback, quiet_libraries

    quiet_libraries()
    heads = policy.heads
    assert heads is not None
    sums = Counter[str]()

    class WarmupTrainer(Trainer):
        """Adds the K-head's loss at the `<CTRL>` token to the language-model loss."""

        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            control, horizon = inputs.pop("control"), inputs.pop("horizon")
            output = model(**inputs, output_hidden_states=True, use_cache=False)
            hidden_BD = output.hidden_states[-1][torch.arange(len(control)), control]
            logits_BK, _ = heads(hidden_BD)
            horizon_loss = torch.nn.functional.cross_entropy(logits_BK, horizon)
            sums.update(rows=len(control), correct=int((logits_BK.argmax(-1) == horizon).sum()))
            loss = output.loss + config.eta * horizon_loss
            return (loss, output) if return_outputs else loss

    # The heads ride on the language model while it trains, so that optimiser and checkpoints hold them too.
    policy.lm.model.add_module("itp_heads", heads)
    try:
        trainer = WarmupTrainer(
            model=policy.lm.model.train(),
            args=_arguments(TrainingArguments, config),
            train_dataset=Dataset.from_list(rows),
            data_collator=lambda batch: _collate(batch, policy.lm.pad_id),
            callbacks=[progress_callback("warm-up")],
        )
        # compute_loss averages over its own micro-batch, so the Trainer has to divide by the accumulation steps.
        trainer.model_accepts_loss_kwargs = False
        trainer.remove_callback(PrinterCallback)
        checkpoints = config.out / "checkpoints"
        last = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
        result = trainer.train(resume_from_checkpoint=last)
    finally:
        del policy.lm.model.itp_heads
        policy.lm.model.eval()
    accuracy = sums["correct"] / max(sums["rows"], 1)
    return {"train_loss": result.training_loss, "k_accuracy": accuracy, "rows": len(rows)}


def _collate(batch: Sequence[dict[str, Any]], pad_id: int) -> dict[str, Any]:
    """Right-pad token rows; positions of `<CTRL>` stay valid."""
    import torch

    from itp.data.rows import IGNORE

    width = max(len(row["input_ids"]) for row in batch)

    def padded(name: str, fill: int) -> torch.Tensor:
        return torch.tensor([row[name] + [fill] * (width - len(row[name])) for row in batch])

    mask = [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in batch]
    return {
        "input_ids": padded("input_ids", pad_id),
        "labels": padded("labels", IGNORE),
        "attention_mask": torch.tensor(mask),
        "control": torch.tensor([row["control"] for row in batch]),
        "horizon": torch.tensor([row["horizon"] for row in batch]),
    }


def _arguments(kind: Any, config: Config) -> Any:
    from itp.training.sft import trainer_options

    return kind(**trainer_options(config.out, config.optim), remove_unused_columns=False)
