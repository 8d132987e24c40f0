"""`itp train warmup`: the policy learns to read foresight and the K-head learns when it helps (Liu et al. 2026, eq. 6).

    itp train warmup --labels out/labels --policy out/policy/model --data out/data --out out/warmup

    L = L_π(a* | s, τ̂^(K̃)) + η · CE(p(K | s), K̃)

A few thousand labelled states are few beside the policy's own training data, and a small policy forgets what it does
not see: `--replay` mixes plain imitation rows (no foresight, no K label) from `--data` in.
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
from itp.training.tracking import check_logger

if TYPE_CHECKING:
    from itp.data.rows import Row
    from itp.policy.model import Policy
    from itp.training.labels import LabelledState
    from itp.types import Trajectory

FORESIGHTS = ("label", "mixed", "uniform")
NO_LABEL = -100
"""The K label of a replayed row; see `itp.training.warmup_trainer`."""
NO_VALUE = float("nan")
"""The return of a row that has none."""


@dataclass
class Config:
    """Warm up policy and heads on pseudo-labels."""

    out: Path
    """Run folder; the checkpoint with heads is OUT/model."""
    labels: tuple[Path, ...]
    """Folders written by `itp label`; all of their states are learnt from."""
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
    data: tuple[Path, ...] = ()
    """With --replay: folders or files written by `itp collect`."""
    replay: float = 0.0
    """Plain imitation rows from --data for each labelled row."""
    max_state_tokens: int | None = None
    """Cut the state part of the policy's prompts to this many tokens where its checkpoint takes more."""
    value_weight: float = 0.0
    """Weight of (V − return)² on replayed rows: what is read at <CTRL> then tells good states from bad ones, which the
    value head of A2C needs and imitation alone does not teach."""
    gamma: float = 0.99
    """Discount of these returns."""
    lambda_step: float = 0.01
    """Cost of a step in them."""
    drop_barred: bool = False
    """Teach the K-head nothing in states whose expert action a looking agent would pass over itself (`itp label
    --avoid`): eq. 5 says K = 0 there, whatever the policy would do instead."""
    balance: bool = False
    """Weight the K-head's loss by the inverse frequency of each K (at most 10 to 1)."""
    optim: Optimisation = field(default_factory=lambda: Optimisation(lr=3e-4, epochs=2, batch_size=64))
    """Optimiser settings."""


def run(config: Config) -> None:
    """Train; a second run in the same folder resumes or reports what is there."""
    import torch

    from itp.policy.model import Policy
    from itp.run_folder import open_run
    from itp.training.distributed import is_main, say, wait_for_all
    from itp.training.labels import read_labels
    from itp.training.stage import finish

    _check(config)
    with open_run(config.out, config, command="train warmup") as folder:
        if finish(folder):
            return
        torch.manual_seed(config.optim.seed)
        labels = [label for path in config.labels for label in read_labels(path)]
        policy = Policy.load(config.policy).with_state_limit(config.max_state_tokens)
        if policy.heads is None or policy.heads.k_max != config.k_max:
            policy = policy.with_heads(config.k_max)
        rows = warmup_rows(labels, policy, config)
        counts = Counter(row["horizon"] for row in rows if row["horizon"] != NO_LABEL)
        say(f"warm-up: {len(rows)} rows, {sum(counts.values())} with a K label. {imbalance(counts)}")
        metrics = _train(policy, rows, config, _class_weights(counts, config))
        if is_main():
            policy.save(config.out / "model", stage="warmup", parent=config.policy)
        wait_for_all()
        finish(folder, metrics)


def _check(config: Config) -> None:
    check_logger(config.optim.log)
    if config.foresight not in FORESIGHTS:
        raise ConfigError(f"--foresight {config.foresight} is unknown: choose one of {', '.join(FORESIGHTS)}")
    if config.replay < 0:
        raise ConfigError(f"--replay {config.replay:g} is too small: give 0 or more rows per labelled row")
    if config.value_weight and not config.replay:
        raise ConfigError(f"--value-weight {config.value_weight:g} needs --replay: only these rows have a return")
    if config.replay and not config.data:
        raise ConfigError(f"--replay {config.replay:g} needs --data: folders written by `itp collect`")


def imbalance(counts: Counter[int]) -> str:
    """One line on how unequal the K labels are, with the accuracy that always naming the commonest would have."""
    total = sum(counts.values())
    shares = "  ".join(f"K={k} {counts[k] / total:.1%}" for k in sorted(counts))
    common, most = counts.most_common(1)[0]
    return f"{shares}; always K={common} would be right in {most / total:.1%}"


def _class_weights(counts: Counter[int], config: Config) -> list[float]:
    """Weight of each K's loss, mean 1 over the labels; all 1 without --balance."""
    if not config.balance:
        return [1.0] * (config.k_max + 1)
    most = max(counts.values())
    raw = [min(10.0, most / counts[k]) if counts[k] else 0.0 for k in range(config.k_max + 1)]
    mean = sum(raw[k] * n for k, n in counts.items()) / sum(counts.values())
    return [weight / mean for weight in raw]


def warmup_rows(labels: Sequence[LabelledState], policy: Policy, config: Config) -> list[dict[str, Any]]:
    """Token rows with the `<CTRL>` position and the K label. Raises ConfigError when a label exceeds K_max."""
    from itp.data.rows import foresight_row
    from itp.training.labels import best_horizon

    draw = random.Random(config.optim.seed)
    allowed = set(range(config.k_max + 1))
    rows = []
    for _ in range(config.draws):
        for label in labels:
            horizon = label.horizon
            if config.lambda_k is not None:
                horizon = best_horizon(label.scores, config.lambda_k, label.candidates, allowed)
            if horizon > config.k_max:
                raise ConfigError(f"a label has K={horizon}, beyond --k-max {config.k_max}: raise it, or label again")
            known = NO_LABEL if config.drop_barred and label.barred else horizon
            uniform = config.foresight == "uniform" or (config.foresight == "mixed" and draw.random() < 0.5)
            length = draw.randint(0, min(config.k_max, len(label.foresight))) if uniform else horizon
            row, control = foresight_row(
                policy.lm.encode, policy.prompts, label.state, label.foresight.prefix(length), label.action
            )
            rows.append(_row(row, control, known))
    return rows + _replayed(round(config.replay * len(rows)), policy, config, draw)


def _replayed(count: int, policy: Policy, config: Config, draw: random.Random) -> list[dict[str, Any]]:
    """Plain imitation rows, drawn evenly from the data."""
    from itp.data.rows import foresight_row
    from itp.training.stage import read_trajectories
    from itp.types import ImaginedTrajectory

    if not count:
        return []
    steps = [
        (trajectory, index)
        for trajectory in read_trajectories(config.data)
        for index, step in enumerate(trajectory.steps)
        if step.expert_action
    ]
    rows = []
    for trajectory, index in draw.choices(steps, k=count) if count > len(steps) else draw.sample(steps, count):
        row, control = foresight_row(
            policy.lm.encode,
            policy.prompts,
            trajectory.states()[index],
            ImaginedTrajectory(),
            trajectory.steps[index].expert_action,
        )
        rows.append(_row(row, control, NO_LABEL, return_of(trajectory, index, config.gamma, config.lambda_step)))
    return rows


def _row(row: Row, control: int, horizon: int, value: float = NO_VALUE) -> dict[str, Any]:
    return {
        "input_ids": row.input_ids,
        "labels": row.labels,
        "control": control,
        "horizon": horizon,
        "value": value,
    }


def return_of(trajectory: Trajectory, index: int, gamma: float, lambda_step: float) -> float:
    """Discounted return from a step to the end of its episode: 1 for a win, less the cost of every step."""
    left = len(trajectory.steps) - index
    costs = lambda_step * sum(gamma**n for n in range(left))
    return (gamma ** (left - 1) if trajectory.won else 0.0) - costs


def _train(
    policy: Policy, rows: list[dict[str, Any]], config: Config, weights: Sequence[float] | None = None
) -> dict[str, float]:
    from datasets import Dataset
    from transformers import PrinterCallback, TrainingArguments

    from itp.training.progress import progress_callback, quiet_libraries
    from itp.training.sft import newest_checkpoint, trainer_options
    from itp.training.warmup_trainer import WarmupTrainer, collate

    quiet_libraries()
    heads = policy.heads
    assert heads is not None
    options = trainer_options(config.out, config.optim)
    del options["train_sampling_strategy"]  # the trainer has a sampler of its own
    # The heads ride on the language model while it trains, so that optimiser and checkpoints hold them too.
    policy.lm.model.add_module("itp_heads", heads)
    try:
        trainer = WarmupTrainer(
            model=policy.lm.model.train(),
            args=TrainingArguments(**options, remove_unused_columns=False, ddp_find_unused_parameters=False),
            train_dataset=Dataset.from_list(rows),
            data_collator=lambda batch: collate(batch, policy.lm.pad_id),
            heads=heads,
            eta=config.eta,
            class_weights=weights or [1.0] * (heads.k_max + 1),
            global_batch=config.optim.batch_size,
            labelled_share=sum(row["horizon"] != NO_LABEL for row in rows) / len(rows),
            value_weight=config.value_weight,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(progress_callback("warm-up", trainer=trainer, metrics=config.out / "metrics.jsonl"))
        result = trainer.train(resume_from_checkpoint=newest_checkpoint(config.out / "checkpoints"))
    finally:
        del policy.lm.model.itp_heads
        policy.lm.model.eval()
    accuracy = trainer.counts["correct"] / max(trainer.counts["rows"], 1)
    metrics = {"train_loss": result.training_loss, "k_accuracy": accuracy, "rows": len(rows)}
    return metrics | ({"value_loss": trainer.value_loss()} if config.value_weight else {})
