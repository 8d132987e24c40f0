"""What the user sees while a model trains: one short line now and then, and a bar on a terminal."""

from __future__ import annotations

import logging
import os
import time
import warnings
from typing import TYPE_CHECKING, Any

from itp.training.distributed import is_main

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


def progress_callback(title: str) -> TrainerCallback:
    """A Trainer callback that prints step, loss and time left."""
    from transformers import TrainerCallback

    class Progress(TrainerCallback):
        def __init__(self) -> None:
            self.ticker = Ticker(title)
            self.note = ""
            self.base = 0

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.base = state.global_step

        def on_log(
            self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any
        ) -> None:
            logs = logs or {}
            parts = [f"{key} {logs[name]:.3f}" for key, name in _SHOWN.items() if name in logs]
            self.note = "  ".join(parts) or self.note

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.ticker.tick(state.global_step, state.max_steps, self.note, base=self.base)

    return Progress()


_SHOWN = {"loss": "loss", "token accuracy": "mean_token_accuracy", "held-out loss": "eval_loss"}
