"""The Trainer of the warm-up: eq. 6 of Liu et al. 2026, the same however a step is split over passes and processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional
from transformers import Trainer

from itp.data.rows import IGNORE
from itp.policy.heads import PolicyHeads
from itp.training.order import EpochSampler
from itp.training.warmup import NO_LABEL


class WarmupTrainer(Trainer):
    """Adds the K-head's loss at the `<CTRL>` token to the language-model loss.

    Args:
        heads: K-head and value head, in fp32; they belong to the model as its module `itp_heads`.
        eta: weight of the K-head's loss.
        class_weights: weight of each K in that loss.
        global_batch: rows of one optimiser step over all processes and accumulated passes.
        labelled_share: share of all rows that have a K label; the others have a return.
        value_weight: weight of the value head's squared error on rows with a return.
    """

    def __init__(
        self,
        *args: Any,
        heads: PolicyHeads,
        eta: float,
        class_weights: Sequence[float],
        global_batch: int,
        labelled_share: float,
        value_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.heads, self.eta, self.global_batch = heads, eta, global_batch
        self.labelled = max(global_batch * labelled_share, 1e-9)
        self.valued = max(global_batch * (1 - labelled_share), 1e-9)
        self.value_weight = value_weight
        self.value_errors: list[float] = []
        self.class_weights_K = torch.tensor(class_weights, device=self.args.device)
        self.counts: Counter[str] = Counter()
        self.sampler: EpochSampler | None = None
        self.model_accepts_loss_kwargs = True

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        lengths = [len(ids) for ids in self.train_dataset["input_ids"]]  # pyright: ignore
        parts = self.global_batch // self.args.per_device_train_batch_size
        self.sampler = EpochSampler(lengths, self.global_batch, self.args.seed, parts=parts)
        return self.sampler

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Sums over this pass, divided by what the whole step holds."""
        control, horizon, labels_BT = inputs.pop("control"), inputs.pop("horizon"), inputs.pop("labels")
        return_B = inputs.pop("value")
        output = model(**inputs, output_hidden_states=True, use_cache=False)
        target_BT = labels_BT[:, 1:]
        learnt_BT = target_BT != IGNORE
        action_loss = functional.cross_entropy(
            output.logits[:, :-1][learnt_BT].float(), target_BT[learnt_BT], reduction="sum"
        )
        hidden_BD = output.hidden_states[-1][torch.arange(len(control), device=control.device), control]
        logits_BK, values_B = self.heads(hidden_BD)
        k_loss = functional.cross_entropy(
            logits_BK, horizon, self.class_weights_K, reduction="none", ignore_index=NO_LABEL
        ).sum()
        labelled = horizon != NO_LABEL
        self.counts.update(rows=int(labelled.sum()), correct=int((logits_BK.argmax(-1) == horizon).sum()))
        tokens = torch.as_tensor(num_items_in_batch if num_items_in_batch is not None else learnt_BT.sum())
        known_B = ~return_B.isnan()
        value_loss = (values_B - return_B)[known_B].square().sum()
        self.value_errors.append(float(value_loss.detach()) / max(int(known_B.sum()), 1))
        # Gradients are averaged over processes: undo it. A weight of zero still gives every parameter a gradient, as
        # several processes require.
        processes = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
        k_part, value_part = self.eta * k_loss / self.labelled, self.value_weight * value_loss / self.valued
        loss = (action_loss / tokens.clamp(min=1) + k_part + value_part + 0.0 * values_B.sum()) * processes
        return (loss, output) if return_outputs else loss

    def value_loss(self) -> float:
        """Mean squared error of the value head over the last tenth of the passes."""
        latest = self.value_errors[-max(1, len(self.value_errors) // 10) :]
        return sum(latest) / len(latest)


def collate(batch: Sequence[dict[str, Any]], pad_id: int) -> dict[str, Any]:
    """Right-pad token rows; positions of `<CTRL>` stay valid."""
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
        "value": torch.tensor([float(row["value"]) for row in batch]),
    }
