"""What the tests of training share: episodes on disk, a foreign base model, the curve that a run logged."""

from __future__ import annotations

import json
from pathlib import Path

from itp.trace.store import TraceStore
from models import episodes, foreign_lm


def write_episodes(path: Path, count: int = 6) -> Path:
    """The first household episodes as a folder that `itp collect` could have written."""
    store = TraceStore(path / "expert-0.jsonl")
    for trajectory in episodes()[:count]:
        store.append(trajectory)
    return path


def foreign_base(path: Path, *, tied: bool = False) -> str:
    """A saved model of another family: none of our special tokens in its vocabulary."""
    foreign = foreign_lm()
    if tied:
        foreign.model.config.tie_word_embeddings = True
        foreign.model.tie_weights()
    foreign.model.save_pretrained(path)
    foreign.tokenizer.save_pretrained(path)
    return str(path)


def curve(out: Path, key: str = "loss") -> list[dict[str, float]]:
    """The lines of a run's metrics.jsonl that hold a key: loss for training steps, eval_loss for evaluations."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if key in line]
