"""What the user sees while a model trains: one short line now and then, and a bar on a terminal."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itp.run_folder import write_text
from itp.training.distributed import is_main, say

if TYPE_CHECKING:
    from transformers import TrainerCallback


def quiet_libraries() -> None:
    """Keep libraries' notices off the screen; errors still show."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", category=UserWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in ("accelerate", "trl", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)


class Ticker:
    """Prints a progress line at most every few seconds, with elapsed and remaining time, on the main process."""

    def __init__(self, title: str, *, every: float = 5.0) -> None:
        self.title = title
        self.every = every
        self.start = time.monotonic()
        self.shown = 0.0

    def tick(self, done: int, total: int, note: str = "", *, base: int = 0) -> None:
        """Report `done` of `total`; `base` is where a resumed run began."""
        now = time.monotonic()
        if not is_main():
            return
        if done < total and now - self.shown < self.every:
            return
        self.shown = now
        elapsed = now - self.start
        left = elapsed / max(done - base, 1) * (total - done)
        share = done / max(total, 1)
        text = f"{self.title:<14} {done:>6}/{total} {share:4.0%}  {elapsed:5.0f}s, {left:4.0f}s left  {note}"
        print(text, flush=True)


def progress_callback(title: str, *, trainer: Any = None, metrics: Path | None = None) -> TrainerCallback:
    """A Trainer callback that prints step, loss and time left.

    Args:
        title: what is being trained.
        trainer: an `itp.training.trainer.Trainer`, whose sampler is told the epoch.
        metrics: a file that gets every logged figure as a line of JSON. A resumed run cuts off what came after its
            checkpoint, and every checkpoint is logged, so that the file reads as if nothing had happened.
    """
    from transformers import TrainerCallback

    class Progress(TrainerCallback):
        def __init__(self) -> None:
            self.ticker = Ticker(title)
            self.note = ""
            self.base = 0

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.base = state.global_step
            if metrics is not None and is_main():
                _cut(metrics, state.global_step)

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if getattr(trainer, "sampler", None) is not None:
                trainer.sampler.epoch = int((state.epoch or 0) + 1e-6)

        def on_log(
            self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any
        ) -> None:
            logs = logs or {}
            if "loss" in logs:
                self.note = "  ".join(f"{key} {logs[name]:.3f}" for key, name in _SHOWN.items() if name in logs)
            if metrics is not None and is_main() and ("loss" in logs or "eval_loss" in logs):
                with metrics.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps({"step": state.global_step, **logs}) + "\n")

        def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            figures = kwargs.get("metrics") or {}
            shown = "  ".join(
                f"{name.removeprefix('eval_').removeprefix('mean_').replace('_', ' ')} {value:.3f}"
                for name, value in figures.items()
                if name.startswith("eval_")
            )
            say(f"{title:<14} step {state.global_step}, held out: {shown}")

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_log = control.should_log or control.should_save
            self.ticker.tick(state.global_step, state.max_steps, self.note, base=self.base)

    return Progress()


_SHOWN = {"loss": "loss", "token accuracy": "mean_token_accuracy"}


def _cut(file: Path, step: int) -> None:
    """Drop the lines of later steps, and a torn last line."""
    if not file.is_file():
        return
    kept = []
    for line in file.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
    write_text(file, "".join(kept))


def evaluation_callback(every: int, patience: int) -> TrainerCallback:
    """A Trainer callback that has the model judged, and stops when that no longer helps.

    It counts in the log that checkpoints carry, so that a resumed run stops where an uninterrupted one does.

    Args:
        every: optimiser steps between evaluations; 0 asks for none.
        patience: evaluations without a better held-out loss after which training stops; 0 never stops.
    """
    from transformers import TrainerCallback

    class Evaluation(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_evaluate = every > 0 and state.global_step % every == 0

        def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            losses = [entry["eval_loss"] for entry in state.log_history if "eval_loss" in entry]
            if patience and len(losses) - 1 - losses.index(min(losses)) >= patience:
                say(f"stopped early: {patience} evaluations without a better held-out loss than {min(losses):.4f}")
                control.should_training_stop = True

    return Evaluation()
