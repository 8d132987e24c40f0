"""TRL's SFTTrainer with what this project needs of it: exact order, exact held-out loss, speed on small models.

- Rows of a batch lie one after another without padding (`itp.training.attention`), and the head computes logits only
  where a label is: prompts, half of the tokens and more, then cost no vocabulary-sized products.
- The rows of a step depend on seed and epoch alone (`itp.training.order`), not on processes or restarts.
- The held-out loss is the mean over labelled tokens, however rows are batched or spread over processes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import DistributedType
from torch.nn import functional
from transformers import PreTrainedModel
from trl import SFTTrainer  # pyright: ignore[reportPrivateImportUsage]

from itp.data.rows import IGNORE, Row
from itp.training import distributed
from itp.training.attention import ordinary_attention
from itp.training.order import EpochSampler

BEST, LAST = "best", "last"
Probe = Callable[[PreTrainedModel], dict[str, float]]
"""Judges a model in evaluation mode: name -> figure, logged as eval_NAME."""
Weigh = Callable[[torch.Tensor], torch.Tensor]
"""Token ids [B, T] to the weights [B, T] of the loss on them; see `itp.training.iwm`."""


class Trainer(SFTTrainer):
    """See the module.

    Args:
        global_batch: rows of one optimiser step over all processes and accumulated passes.
        eval_rows: held-out rows; none switches evaluation off.
        probe: further judgement at each evaluation, made on the main process.
        weigh: weights of token losses in training; the held-out loss weighs all alike.
    """

    def __init__(
        self,
        *args: Any,
        global_batch: int,
        eval_rows: Sequence[Row],
        probe: Probe | None,
        weigh: Weigh | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.global_batch = global_batch
        self.eval_rows = sorted(eval_rows, key=lambda row: -len(row.input_ids))
        self.probe = probe
        self.weigh = weigh
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
        """Sum of (weighted) token losses over the labelled tokens of the whole step, all processes together."""
        if return_outputs or ("cu_seq_lens_q" not in inputs and self.weigh is None):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        loss, correct, count = _likelihood(model, inputs, self.weigh)
        share = self.accelerator.reduce(torch.stack([correct, count]))
        self._metrics["train"]["mean_token_accuracy"].append(float(share[0] / share[1].clamp(min=1)))  # pyright: ignore
        if num_items_in_batch is None:
            return loss / count.clamp(min=1)
        # Every process divides by the labels of all of them, and the gradients are then averaged: undo the average.
        processes = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
        return loss / torch.as_tensor(num_items_in_batch).clamp(min=1) * processes

    @torch.no_grad()
    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Held-out loss and token accuracy, then the probe; the best weights so far are kept in checkpoints/best."""
        model: Any = self.model_wrapped
        training = model.training
        model.eval()
        totals = torch.zeros(3, dtype=torch.float64, device=self.args.device)
        for batch, counts in self._eval_batches():
            with self.compute_loss_context_manager():
                totals += torch.stack(_likelihood(model, batch)).double() * counts
        loss, correct, count = self.accelerator.reduce(totals).tolist()  # pyright: ignore
        metrics = {"eval_loss": loss / max(count, 1), "eval_mean_token_accuracy": correct / max(count, 1)}
        metrics |= self._probed()
        past = [entry["eval_loss"] for entry in self.state.log_history if "eval_loss" in entry]
        self.log(metrics)
        model.train(training)
        if metrics["eval_loss"] < min(past, default=float("inf")):
            self.keep(BEST)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def keep(self, name: str) -> None:
        """Write the weights (of LoRA runs: the adapter) to checkpoints/`name`, in one piece."""
        target = Path(str(self.args.output_dir)) / name
        fresh = target.with_name(f".{name}")
        self.save_model(str(fresh))
        if distributed.is_main():
            (fresh / "training_args.bin").unlink(missing_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            fresh.rename(target)
        distributed.wait_for_all()

    def _eval_batches(self) -> Iterator[tuple[Any, int]]:
        """This process's share of the held-out rows; a process that has run out repeats a batch that does not count."""
        size = self.args.per_device_eval_batch_size
        batches = [self.eval_rows[at : at + size] for at in range(0, len(self.eval_rows), size)]
        processes, process = self.accelerator.num_processes, self.accelerator.process_index
        for start in range(0, len(batches), processes):
            number = start + process
            rows = batches[min(number, len(batches) - 1)]
            features = [{"input_ids": row.input_ids, "labels": row.labels} for row in rows]
            yield self._prepare_inputs(self.data_collator(features)), int(number < len(batches))  # pyright: ignore

    def _probed(self) -> dict[str, float]:
        """The probe's figures, the same on every process; sharded weights cannot be asked on one process alone."""
        if self.probe is None or self.accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED):
            return {}
        figures: dict[str, float] = {}
        if distributed.is_main():
            model: Any = self.accelerator.unwrap_model(self.model_wrapped)
            plain = model.get_base_model() if hasattr(model, "get_base_model") else model
            with ordinary_attention(plain), self.compute_loss_context_manager():
                figures = {f"eval_{name}": value for name, value in self.probe(plain).items()}
        return distributed.from_main(figures)


def _likelihood(
    model: Any, inputs: dict[str, Any], weigh: Weigh | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sum of losses, of right guesses and of labels in a batch: packed rows (batch dimension 1) or padded ones."""
    rest = {name: value for name, value in inputs.items() if name != "labels"}
    target_BT = inputs["labels"][:, 1:]
    labelled_BT = target_BT != IGNORE
    weight_N = weigh(inputs["input_ids"])[:, 1:][labelled_BT] if weigh else None
    if "cu_seq_lens_q" in inputs:
        logits_NV = model(**rest, use_cache=False, logits_to_keep=labelled_BT[0].nonzero()[:, 0]).logits[0]
    else:
        logits_NV = model(**rest, use_cache=False).logits[:, :-1][labelled_BT]
    target_N = target_BT[labelled_BT]
    loss_N = functional.cross_entropy(logits_NV.float(), target_N, reduction="none")
    loss = loss_N.sum() if weight_N is None else (loss_N * weight_N).sum()
    correct = (logits_NV.argmax(-1) == target_N).sum()
    return loss, correct, torch.tensor(len(target_N), device=loss.device)
