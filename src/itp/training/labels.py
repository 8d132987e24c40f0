"""Pseudo-labels as a file: one JSON line per state with its foresight, the score at every k, and the K chosen."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itp.errors import DataError
from itp.types import ImaginedStep, ImaginedTrajectory, State

LABEL_FILE = "labels.jsonl"
HISTOGRAM_FILE = "histogram.json"
FLOOR = round(math.log(1e-6), 5)
"""Score, in nats, of an expert action that the agent would not take at all."""


@dataclass(frozen=True, slots=True)
class LabelledState:
    """One state with its foresight, the score of the expert's action at every candidate k, and the chosen k.

    `candidates` are the horizons that `scores` belong to; empty stands for 0, 1, 2 ...
    """

    state: State
    action: str
    foresight: ImaginedTrajectory
    scores: tuple[float, ...]
    horizon: int
    candidates: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.candidates:
            object.__setattr__(self, "candidates", tuple(range(len(self.scores))))

    @property
    def barred(self) -> bool:
        """Whether the shortest look already has the agent pass over the expert's own action (`itp label --avoid`).

        Often that action leads back to where the episode has been. Eq. 5 then says "do not look", whatever the policy
        would do instead: walk in a circle, or lose the game for good. Only that floor itself says so: a long action
        scored behind a foresight can be less likely than that.
        """
        score_of = dict(zip(self.candidates, self.scores, strict=True))
        shortest = min((k for k in score_of if k > 0), default=0)
        return round(score_of.get(shortest, 0.0), 5) == FLOOR < score_of.get(0, FLOOR)


def best_horizon(
    scores: Sequence[float],
    lambda_k: float,
    candidates: Sequence[int] | None = None,
    allowed: AbstractSet[int] | None = None,
) -> int:
    """argmax over k of log π_0(a* | s, τ̂^(k)) − λ_K · k; the shortest horizon wins ties (Liu et al. 2026, eq. 5).

    Args:
        scores: log π_0(a* | s, τ̂^(k)).
        lambda_k: price of one imagined step.
        candidates: the k of each score; default 0, 1, 2 ...
        allowed: choose among these only.
    """
    pairs = zip(candidates if candidates is not None else range(len(scores)), scores, strict=True)
    return -max((score - lambda_k * k, -k) for k, score in pairs if allowed is None or k in allowed)[1]


def append_labels(file: Path, labels: Iterable[LabelledState]) -> None:
    """Add labels to a file."""
    with file.open("a") as stream:
        for label in labels:
            stream.write(json.dumps(_to_dict(label)) + "\n")


def read_labels(path: Path) -> list[LabelledState]:
    """Read labels from a run folder or a file; a torn last line is dropped."""
    file = path / LABEL_FILE if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"{path} holds no {LABEL_FILE}: give a folder written by `itp label`")
    content = file.read_text()
    complete, _, torn = content.rpartition("\n")
    if torn:
        file.write_text(complete + "\n" if complete else "")
    return [_from_dict(json.loads(line)) for line in complete.splitlines()]


def report(path: Path) -> None:
    """Print and write the histogram of the labels and the mean score at each k."""
    labels = read_labels(path)
    counts = Counter(label.horizon for label in labels)
    rows = []
    for k in sorted({k for label in labels for k in label.candidates}):
        scores = [s for label in labels for c, s in zip(label.candidates, label.scores, strict=True) if c == k]
        mean = sum(scores) / len(scores)
        rows.append({"k": k, "labels": counts[k], "share": counts[k] / len(labels), "mean_score": mean})
        print(f"K={k}  {counts[k]:6d} labels ({counts[k] / len(labels):5.1%})  mean log π(a*) {mean:8.3f}", flush=True)
    barred = sum(label.barred for label in labels)
    if barred:
        share = barred / len(labels)
        print(f"looking bars a* itself in {barred} states ({share:.1%}): `itp train warmup --drop-barred`", flush=True)
    (path / HISTOGRAM_FILE).write_text(
        json.dumps({"labels": len(labels), "barred": barred, "by_k": rows}, indent=2) + "\n"
    )


def _to_dict(label: LabelledState) -> dict[str, Any]:
    return {
        "task": label.state.task,
        "first_observation": label.state.first_observation,
        "history": label.state.history,
        "action": label.action,
        "foresight": [[step.action, step.observation] for step in label.foresight.steps],
        "candidates": label.candidates,
        "scores": [round(score, 5) for score in label.scores],
        "horizon": label.horizon,
    }


def _from_dict(data: dict[str, Any]) -> LabelledState:
    history = tuple((action, observation) for action, observation in data["history"])
    return LabelledState(
        State(data["task"], data["first_observation"], history),
        data["action"],
        ImaginedTrajectory(tuple(ImaginedStep(action, observation) for action, observation in data["foresight"])),
        tuple(data["scores"]),
        data["horizon"],
        tuple(data.get("candidates", ())),
    )
