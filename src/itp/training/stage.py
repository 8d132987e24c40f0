"""What the supervised stages share: reading trajectories and finding (or making) the model to start from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from itp.errors import ConfigError, DataError
from itp.training.distributed import is_main, say
from itp.training.lora import Lora
from itp.training.sft import Optimisation, Schedule

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from itp.data.rows import Row
    from itp.policy.checkpoint import ItpConfig
    from itp.run_folder import RunFolder
    from itp.state_text.prompts import PromptBuilder
    from itp.training.trainer import Weigh
    from itp.types import Trajectory

    ProbeMaker = Callable[
        [list[Trajectory], PreTrainedTokenizerBase, PromptBuilder], Callable[[PreTrainedModel], dict[str, float]] | None
    ]

RESULT_FILE = "training.json"


@dataclass
class SftConfig:
    """Options common to the supervised stages."""

    out: Path
    """Run folder; the checkpoint with the lowest held-out loss is OUT/model, that of the last step OUT/last."""
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
    rename: Path | None = None
    """JSON file of names that may stand for each other (docs/training.md); episodes are told under others too."""
    renamed: int = 3
    """With --rename, copies of each episode under other names."""
    optim: Optimisation = field(default_factory=Optimisation)
    """Optimiser settings."""
    schedule: Schedule = field(default_factory=Schedule)
    """Packing, evaluation and early stop."""
    lora: Lora = field(default_factory=Lora)
    """Adapters instead of full fine-tuning."""


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


def _under_other_names(config: SftConfig, trajectories: list[Trajectory]) -> list[Trajectory]:
    from itp.data.renaming import Names, renamed

    if config.rename is None:
        return trajectories
    if config.renamed < 1:
        raise ConfigError(f"--renamed {config.renamed} is too small: give 1 or more, or leave out --rename")
    return list(renamed(trajectories, Names.load(config.rename), config.renamed, config.optim.seed))


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
    select: Callable[[list[Trajectory]], list[Trajectory]] | None = None,
    probe: ProbeMaker | None = None,
    make_eval_rows: Callable[..., Iterable[Row]] | None = None,
    weigh: Callable[[PreTrainedTokenizerBase], Weigh] | None = None,
) -> dict[str, float]:
    """Train one checkpoint on rows made from trajectories.

    Writes OUT/model (lowest held-out loss) and OUT/last (last step; a link to model where that is the same). A LoRA
    run keeps its adapter in OUT/adapter and the merged weights in OUT/merged_full, which OUT/model links to.

    Args:
        config: the stage's settings.
        itp_config: what the checkpoint remembers.
        make_rows: (trajectories, encode, prompts) to rows.
        title: shown in progress lines.
        select: chooses among the training trajectories; held-out ones stay as they are.
        probe: makes a further judge of the model from held-out trajectories, tokenizer and prompt builder.
        make_eval_rows: rows of the held-out trajectories, where they differ from those to learn from.
        weigh: makes the weights of the token losses from the tokenizer.
    """
    import torch

    from itp.data.rows import unique
    from itp.lm.loading import encode
    from itp.state_text.prompts import PromptBuilder
    from itp.state_text.renderers import get_renderer
    from itp.training.sft import fit, rows_at_once
    from itp.training.tracking import check_logger

    check_logger(config.optim.log)
    rows_at_once(config.optim)
    config.schedule.check()
    config.lora.check(config.base)
    torch.manual_seed(config.optim.seed)
    train, held_out = split_tasks(read_trajectories(config.data), config.held_out, config.optim.seed)
    train = _under_other_names(config, select(train) if select else train)
    plain = PromptBuilder(get_renderer(itp_config.renderer))
    model, tokenizer = _base_model(config, lambda: _texts(train, plain, make_rows))

    to_ids = partial(encode, tokenizer)
    prompts = PromptBuilder(plain.renderer, lambda text: len(to_ids(text)), config.max_state_tokens)
    rows = unique(make_rows(train, to_ids, prompts))
    eval_rows = unique((make_eval_rows or make_rows)(held_out, to_ids, prompts))
    rows = [row for row in rows for _ in range(row.copies)]
    counts = {
        "rows": len(rows),
        "tokens": sum(len(row.input_ids) for row in rows),
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
    labels = sum(label >= 0 for row in rows for label in row.labels)
    say(
        f"{title}: {len(rows)} rows, {counts['tokens']:,} tokens, {labels:,} with loss; "
        f"{counts['trained_parameters']:,} of {counts['parameters']:,} parameters learn"
    )
    metrics = fit(
        model,
        tokenizer,
        rows,
        eval_rows,
        out=config.out,
        settings=config.optim,
        title=title,
        schedule=config.schedule,
        probe=probe(held_out, tokenizer, prompts) if probe else None,
        weigh=weigh(tokenizer) if weigh else None,
    )
    metrics |= counts
    if is_main():
        card = "\n".join(f"- {key}: {value:.6g}" for key, value in metrics.items())
        publish(config, tokenizer, itp_config, card)
    return metrics


def _base_model(config: SftConfig, texts: Callable[[], Iterable[str]]) -> tuple:
    """Model (with adapters, for LoRA) and tokenizer to start from."""
    import torch

    from itp.lm.loading import add_special_tokens, load_pretrained
    from itp.lm.tokens import SPECIAL_TOKENS
    from itp.training.lora import add_adapters
    from itp.training.scratch import SIZES, fresh_model, train_tokenizer

    kind, _, size = config.base.partition(":")
    if kind != "scratch":
        # Frozen weights need no fp32 copy; on a GPU that halves them.
        frozen = config.lora.lora_r and config.optim.bf16 and torch.cuda.is_available()
        model, tokenizer = load_pretrained(config.base, dtype="bfloat16" if frozen else "float32")
        new = [token for token in SPECIAL_TOKENS if token not in tokenizer.get_vocab()]
        add_special_tokens(model, tokenizer)
        if config.lora.lora_r:
            new_ids = [tokenizer.convert_tokens_to_ids(token) for token in new]
            model = add_adapters(model, config.lora, new_ids)  # pyright: ignore[reportArgumentType]
        return model, tokenizer
    if size not in SIZES:
        raise ConfigError(f"--base {config.base} is unknown: choose scratch:{'|'.join(SIZES)}, a folder or a model id")
    tokenizer = train_tokenizer(texts(), vocab_size=config.vocab_size)
    return fresh_model(tokenizer, size), tokenizer


def publish(config: SftConfig, tokenizer: PreTrainedTokenizerBase, itp_config: ItpConfig, card: str) -> None:
    """Turn what `fit` left in OUT/checkpoints into the folders that later stages load; see `train_stage`."""
    from itp.policy.checkpoint import complete_checkpoint
    from itp.training.lora import merge
    from itp.training.trainer import BEST, LAST

    checkpoints = config.out / "checkpoints"
    if config.lora.lora_r:
        _move(checkpoints / LAST, config.out / "last", "adapter")
        _move(checkpoints / BEST, config.out / "adapter", "")
        model, tokenizer = merge(config.base, config.out / "adapter")
        model.save_pretrained(config.out / "merged_full")
        complete_checkpoint(config.out / "merged_full", tokenizer, itp_config, card=card)
        _link(config.out / "model", "merged_full")
        return
    _move(checkpoints / LAST, config.out / "last", "model")
    _move(checkpoints / BEST, config.out / "model", "")
    for name in ("model", "last"):
        if not (config.out / name).is_symlink():
            complete_checkpoint(config.out / name, tokenizer, itp_config, card=card)


def _move(source: Path, target: Path, best: str) -> None:
    """Rename a folder over another; a link (the last weights are the best ones) becomes a link to `best`."""
    if source.is_symlink():
        source.unlink()
        _link(target, best)
    elif source.is_dir():
        _clear(target)
        source.rename(target)


def _link(path: Path, target: str) -> None:
    _clear(path)
    path.symlink_to(target)


def _clear(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


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
