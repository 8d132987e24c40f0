"""What the supervised stages share: reading trajectories and finding (or making) the model to start from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from itp.errors import ConfigError, DataError
from itp.training.distributed import say
from itp.training.sft import Optimisation

if TYPE_CHECKING:
    from itp.data.rows import Row
    from itp.policy.checkpoint import ItpConfig
    from itp.run_folder import RunFolder
    from itp.types import Trajectory

RESULT_FILE = "training.json"


@dataclass
class SftConfig:
    """Options common to the supervised stages."""

    out: Path
    """Run folder; the trained checkpoint is OUT/model."""
    data: tuple[Path, ...]
    """Folders or JSONL files written by `itp collect`."""
    base: str = "scratch:small"
    """Model to start from: a folder or Hugging Face id, or scratch:tiny|small|base for a new one."""
    vocab_size: int = 2048
    """Tokenizer size of a new model."""
    max_state_tokens: int = 1024
    """Limit of the state part of a prompt; the oldest history is dropped beyond it."""
    held_out: float = 0.05
    """Share of the tasks held out for evaluation."""
    optim: Optimisation = field(default_factory=Optimisation)
    """Optimiser settings."""


def read_trajectories(paths: Sequence[Path]) -> list[Trajectory]:
    """Read every trajectory under the given folders or files. Raises DataError when there is none."""
    from itp.trace.store import TraceStore

    files: list[Path] = []
    for path in paths:
        found = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        if not found or not all(file.is_file() for file in found):
            raise DataError(f"--data {path} holds no trajectories: give a folder written by `itp collect`")
        files += found
    return [trajectory for file in files for trajectory in TraceStore(file).read()]


def split_tasks(
    trajectories: Sequence[Trajectory], held_out: float, seed: int
) -> tuple[list[Trajectory], list[Trajectory]]:
    """Split by task, so that no task is on both sides even when it was played several times."""
    from itp.training.sft import split_by_episode

    tasks = sorted({trajectory.task.task_id for trajectory in trajectories})
    train, _ = split_by_episode(tasks, held_out, seed)
    kept = set(train)
    return (
        [t for t in trajectories if t.task.task_id in kept],
        [t for t in trajectories if t.task.task_id not in kept],
    )


def train_stage(
    config: SftConfig,
    itp_config: ItpConfig,
    make_rows: Callable[..., Iterable[Row]],
    *,
    title: str,
) -> dict[str, float]:
    """Train one checkpoint on rows made from trajectories, and write it to OUT/model."""
    import torch

    from itp.data.rows import unique
    from itp.lm.transformers import encode
    from itp.policy.checkpoint import save_checkpoint
    from itp.state_text.prompts import PromptBuilder
    from itp.state_text.renderers import get_renderer
    from itp.training.sft import fit

    torch.manual_seed(config.optim.seed)
    train, held_out = split_tasks(read_trajectories(config.data), config.held_out, config.optim.seed)
    plain = PromptBuilder(get_renderer(itp_config.renderer))
    model, tokenizer = _base_model(config, lambda: _texts(train, plain, make_rows))

    to_ids = partial(encode, tokenizer)
    prompts = PromptBuilder(plain.renderer, lambda text: len(to_ids(text)), config.max_state_tokens)
    rows, eval_rows = unique(make_rows(train, to_ids, prompts)), unique(make_rows(held_out, to_ids, prompts))
    tokens = sum(len(row.input_ids) for row in rows)
    labels = sum(label >= 0 for row in rows for label in row.labels)
    say(f"{title}: {len(rows)} rows, {tokens:,} tokens, {labels:,} with loss; {model.num_parameters():,} parameters")
    metrics = fit(model, tokenizer, rows, eval_rows, out=config.out, settings=config.optim, title=title)
    metrics |= {"rows": len(rows), "tokens": tokens, "parameters": model.num_parameters()}
    card = "\n".join(f"- {key}: {value:.6g}" for key, value in metrics.items())
    save_checkpoint(config.out / "model", model, tokenizer, itp_config, card=card)
    return metrics


def _base_model(config: SftConfig, texts: Callable[[], Iterable[str]]) -> tuple:
    from itp.lm.transformers import add_special_tokens, load_pretrained
    from itp.training.scratch import SIZES, fresh_model, train_tokenizer

    kind, _, size = config.base.partition(":")
    if kind != "scratch":
        model, tokenizer = load_pretrained(config.base)
        add_special_tokens(model, tokenizer)
        return model, tokenizer
    if size not in SIZES:
        raise ConfigError(f"--base {config.base} is unknown: choose scratch:{'|'.join(SIZES)}, a folder or a model id")
    tokenizer = train_tokenizer(texts(), vocab_size=config.vocab_size)
    return fresh_model(tokenizer, size), tokenizer


def _texts(trajectories: Sequence[Trajectory], prompts: object, make_rows: Callable[..., Iterable]) -> Iterable[str]:
    """The very texts the model will read: rows built with an encoder that keeps characters."""
    for row in make_rows(trajectories, lambda text: [text], prompts):
        yield "".join(row.input_ids)


def finish(folder: RunFolder, metrics: dict[str, float] | None = None) -> bool:
    """Close a stage by writing its metrics, or (without metrics) tell whether it was closed before."""
    file = folder / RESULT_FILE
    if metrics is not None:
        folder.write_json(RESULT_FILE, {"metrics": metrics, "versions": folder.versions})
    elif not file.is_file():
        return False
    else:
        metrics = json.loads(file.read_text())["metrics"]
    shown = "  ".join(f"{key} {value:.4g}" for key, value in (metrics or {}).items())
    say(f"{folder.path}: done. {shown}")
    return True
