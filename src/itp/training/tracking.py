"""Where training curves go besides `metrics.jsonl`: TensorBoard, Weights & Biases or trackio, by name.

`metrics.jsonl` is always written and is what `itp report` reads. The supervised stages hand the name to the
transformers Trainer, which knows all three; A2C has its own loop and logs through `curves`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from itp.errors import ConfigError

LOGGERS = ("tensorboard", "wandb", "trackio", "none")
PROJECT = "itp"
"""Name of the project at W&B and trackio; WANDB_PROJECT and TRACKIO_PROJECT change it."""
Log = Callable[[Mapping[str, float], int], None]
"""(figures by name, step)."""


def check_logger(name: str) -> None:
    """Raise ConfigError for a name that is unknown, or whose package is not installed."""
    if name not in LOGGERS:
        raise ConfigError(f"--log {name} is unknown: choose one of {', '.join(LOGGERS)}")
    if name in ("wandb", "trackio") and importlib.util.find_spec(name) is None:
        raise ConfigError(f"--log {name} needs the package {name}: pip install {name}, or use --log tensorboard")


def trainer_logging(name: str, out: Path) -> dict[str, Any]:
    """Arguments of a transformers Trainer that log a run folder's curves there; a resumed run goes on where it was."""
    check_logger(name)
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(out / "tensorboard")
    if name == "wandb":
        os.environ.setdefault("WANDB_PROJECT", PROJECT)
        os.environ |= {"WANDB_RUN_ID": _identity(out), "WANDB_RESUME": "allow", "WANDB_DIR": str(out)}
    return {"report_to": [name] if name != "none" else [], "run_name": _run_name(out), "project": _project("TRACKIO")}


@contextmanager
def curves(name: str, out: Path, tensorboard: Path) -> Iterator[Log]:
    """Log figures for the time of a `with` block.

    Args:
        name: one of `LOGGERS`.
        out: run folder; names the run.
        tensorboard: folder of TensorBoard's files.
    """
    check_logger(name)
    if name == "none":
        yield lambda figures, step: None
    elif name == "tensorboard":
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(tensorboard)) as writer:

            def write(figures: Mapping[str, float], step: int) -> None:
                for key, value in figures.items():
                    writer.add_scalar(key, value, step)

            yield write
    else:
        tracker = importlib.import_module(name)
        options = {"id": _identity(out), "dir": str(out)} if name == "wandb" else {}
        tracker.init(project=_project(name.upper()), name=_run_name(out), resume="allow", **options)
        try:
            yield lambda figures, step: tracker.log(dict(figures), step=step)
        finally:
            tracker.finish()


def _run_name(out: Path) -> str:
    return "-".join(out.resolve().parts[-2:])


def _project(service: str) -> str:
    return os.environ.get(f"{service}_PROJECT", PROJECT)


def _identity(out: Path) -> str:
    """The same for the same folder, so that a resumed run is not a new one."""
    return hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:16]
