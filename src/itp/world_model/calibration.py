"""`itp world-model calibrate`: how sure a world model must be of its words before they deserve belief.

    itp world-model calibrate --world-model out/world_model/model --data out/valid

Predicts held-out steps and finds the lowest certainty (mean token log-probability of the predicted observation) above
which predictions are right as often as `--precision` asks. `--horizon confidence` stops imagining below it. Threshold
and figures go to calibration.json beside the checkpoint. The threshold is chosen on one half of the episodes; share
kept, precision and reliability table are measured on the other.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from itp.errors import ConfigError, DataError
from itp.policy.checkpoint import CERTAINTY
from itp.world_model.metrics import token_f1

if TYPE_CHECKING:
    from itp.types import Trajectory
    from itp.world_model.base import WorldModel
    from itp.world_model.fidelity import Transition

SCHEMA_VERSION = 1
MEASURES = ("exact", "f1")
ALWAYS_CERTAIN = ("rules", "exact")
"""World models without log-probabilities: nothing they say is doubted."""
MIN_KEPT = 30
"""Fewer predictions prove no precision."""


@dataclass
class Config:
    """Find the certainty below which `--horizon confidence` stops, on held-out steps."""

    world_model: str
    """World model checkpoint."""
    data: tuple[Path, ...]
    """Held-out episodes written by `itp collect`, never trained on."""
    out: Path | None = None
    """File to write (default: calibration.json in the checkpoint's folder, where --horizon confidence looks)."""
    precision: float = 0.9
    """Share of the kept predictions that must be right, 0 to 1."""
    measure: str = "exact"
    """What right means: exact (the very text; precision is their share) or f1 (precision is their mean token-F1)."""
    transitions: int = 4000
    """Steps to predict, drawn evenly; 0 takes all."""
    bins: int = 10
    """Rows of the reliability table, each of equally many predictions."""
    batch_size: int = 64
    """Steps predicted at once."""
    device: str = "cpu"
    """Torch device."""
    seed: int = 0
    """Of the draw and of the two halves."""


class Judged(NamedTuple):
    """One prediction: its certainty (mean token log-probability), and how right it was (0 or 1, or its token-F1)."""

    logprob: float
    right: float


def run(config: Config) -> None:
    """Calibrate, write the file and print the table."""
    from itp.planners.factory import load_world_model
    from itp.run_folder import plain, write_json
    from itp.training.stage import read_trajectories

    file = _check(config)
    choosing, measuring = halves(read_trajectories(config.data), config.transitions, config.seed)
    model = load_world_model(config.world_model, config.device, "float32")
    chosen = judge(model, choosing, config.measure, config.batch_size)
    threshold = choose_threshold(chosen, config.precision)
    judged = judge(model, measuring, config.measure, config.batch_size)
    figures = {"threshold": threshold, **measure(judged, threshold, config.measure, config.bins)}
    settings = {key: value for key, value in plain(config).items() if key not in ("out", "device", "batch_size")}
    write_json(file, {"schema_version": SCHEMA_VERSION, **figures, "n_chosen_on": len(chosen), "config": settings})
    print_report(figures, config.measure)
    print(f"calibration: {file}")


def _check(config: Config) -> Path:
    """Refuse flags that cannot work; returns the file to write."""
    from itp.run_folder import beside

    if config.world_model in ALWAYS_CERTAIN:
        raise ConfigError(
            f"--world-model {config.world_model} gives no log-probabilities: there is nothing to calibrate"
        )
    if config.measure not in MEASURES:
        raise ConfigError(f"--measure {config.measure} is unknown: choose one of {', '.join(MEASURES)}")
    if not 0 < config.precision < 1:
        raise ConfigError(f"--precision {config.precision:g} is not allowed: give a share between 0 and 1, such as 0.9")
    for flag, value, least in (("--transitions", config.transitions, 0), ("--bins", config.bins, 1)):
        if value < least:
            raise ConfigError(f"{flag} {value} is too small: give at least {least}")
    return beside("--world-model", config.world_model, CERTAINTY, config.out)


def halves(trajectories: Sequence[Trajectory], limit: int, seed: int) -> tuple[list[Transition], list[Transition]]:
    """Steps of two sets of tasks that share none, each cut to half of `limit` (0: uncut)."""
    from itp.world_model.fidelity import transitions

    draw = random.Random(seed)
    tasks = sorted({trajectory.task.task_id for trajectory in trajectories})
    draw.shuffle(tasks)
    first = set(tasks[: len(tasks) // 2])
    parts = []
    for inside in (True, False):
        items = transitions(t for t in trajectories if (t.task.task_id in first) == inside)
        draw.shuffle(items)
        parts.append(items[: max(limit // 2, 1)] if limit else items)
    return parts[0], parts[1]


def judge(model: WorldModel, items: Sequence[Transition], measure: str, batch_size: int) -> list[Judged]:
    """Predict every step from its real state. Raises ConfigError for a model without log-probabilities."""
    judged = []
    for start in range(0, len(items), batch_size):
        batch = items[start : start + batch_size]
        predictions = model.predict([item.state for item in batch], [item.action for item in batch])
        for item, prediction in zip(batch, predictions, strict=True):
            if prediction.logprob is None:
                raise ConfigError(f"world model {model.name} gives no log-probabilities: there is nothing to calibrate")
            text, real = prediction.observation, item.observation
            judged.append(Judged(prediction.logprob, token_f1(text, real) if measure == "f1" else float(text == real)))
    return judged


def choose_threshold(judged: Sequence[Judged], precision: float) -> float:
    """The lowest certainty such that the mean of `right` over all predictions at or above it is at least `precision`.

    Raises:
        ConfigError: no threshold with `MIN_KEPT` predictions above it is enough; says what the best one reaches.
    """
    if len(judged) < MIN_KEPT:
        raise DataError(f"--data holds {len(judged)} steps to choose on, too few: at least {MIN_KEPT} are needed")
    ordered = sorted(judged, reverse=True)
    found, total, best = None, 0.0, 0.0
    for number, (item, following) in enumerate(zip(ordered, [*ordered[1:], None], strict=True), start=1):
        total += item.right
        if number < MIN_KEPT or (following is not None and following.logprob == item.logprob):
            continue
        best = max(best, total / number)
        if total / number >= precision:
            found = item.logprob
    if found is None:
        raise ConfigError(
            f"--precision {precision:g} is out of reach: the surest predictions reach {best:.3f}; lower it, or train "
            "the world model further"
        )
    return found


def measure(judged: Sequence[Judged], threshold: float, kind: str, bins: int) -> dict[str, Any]:
    """Share kept at a threshold, precision of what is kept with its 95% interval, and a reliability table.

    The interval is Wilson's for `exact`, a bootstrap's for `f1`. Rows of the table hold equally many predictions:
    bounds of their certainty, their mean probability per token, and how right they were.
    """
    from itp.evaluation.stats import bootstrap_mean_interval, wilson_interval

    kept = [item.right for item in judged if item.logprob >= threshold]
    interval = wilson_interval(round(sum(kept)), len(kept)) if kind == "exact" else bootstrap_mean_interval(kept)
    return {
        "n": len(judged),
        "kept": len(kept),
        "kept_share": len(kept) / len(judged),
        "precision": mean(kept),
        "precision_ci95": None if interval is None else list(interval),
        "precision_of_all": mean([item.right for item in judged]),
        "reliability": reliability(judged, bins),
    }


def reliability(judged: Sequence[Judged], bins: int) -> list[dict[str, float]]:
    """See `measure`; the surest row comes last."""
    ordered = sorted(judged)
    edges = [round(len(ordered) * i / bins) for i in range(bins + 1)]
    rows = [ordered[low:high] for low, high in pairwise(edges) if low < high]
    return [
        {
            "n": len(row),
            "logprob_low": row[0].logprob,
            "logprob_high": row[-1].logprob,
            "token_probability": sum(exp(item.logprob) for item in row) / len(row),
            "right": sum(item.right for item in row) / len(row),
        }
        for row in rows
    ]


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return sum(values) / len(values) if values else None


def stored_threshold(world_model: str) -> float | None:
    """The threshold that was calibrated for a world model; None for one that is always certain.

    Raises:
        ConfigError: there is none, or it cannot be read; names the command that writes it.
    """
    if world_model in ALWAYS_CERTAIN:
        return None
    file = Path(world_model) / CERTAINTY
    command = f"itp world-model calibrate --world-model {world_model or 'PATH'} --data HELD_OUT"
    if not world_model or not file.is_file():
        raise ConfigError(f"--horizon confidence finds no {file}: run `{command}`, or write confidence:THRESHOLD")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["schema_version"] == SCHEMA_VERSION:
            return float(content["threshold"])
    except (ValueError, KeyError, TypeError):
        pass
    raise ConfigError(f"{file} was not written by this version of itp: run `{command}` again")


def print_report(figures: dict[str, Any], kind: str) -> None:
    """Show the threshold and the reliability table."""
    from rich.console import Console
    from rich.table import Table

    right = "exact match" if kind == "exact" else "token-F1"
    table = Table("certainty", "n", "token probability", right, title="reliability, predictions sorted by certainty")
    for row in figures["reliability"]:
        bounds = f"{row['logprob_low']:.4f} .. {row['logprob_high']:.4f}"
        table.add_row(bounds, str(row["n"]), f"{row['token_probability']:.3f}", f"{row['right']:.3f}")
    Console().print(table)
    if figures["kept"]:
        interval = figures["precision_ci95"]
        bounds = f" (95% {interval[0]:.3f}-{interval[1]:.3f})" if interval else ""
        kept = f"{right} {figures['precision']:.3f}{bounds} of the {figures['kept_share']:.1%} kept"
    else:
        kept = "nothing kept"
    print(f"threshold {figures['threshold']:.5f}: {kept}; {figures['precision_of_all']:.3f} of all {figures['n']}")
