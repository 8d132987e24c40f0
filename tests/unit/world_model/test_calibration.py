"""Calibration: the threshold does what it promises on steps it was not chosen on, or is refused."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from itp.cli.main import main
from itp.errors import ConfigError, DataError
from itp.policy.checkpoint import CERTAINTY
from itp.world_model.calibration import (
    Judged,
    choose_threshold,
    halves,
    measure,
    reliability,
    stored_threshold,
)
from models import episodes, save_world_model


def world(n: int, seed: int) -> list[Judged]:
    """Predictions that are right with the probability of their certainty, in 20 levels."""
    draw = random.Random(seed)
    levels = [draw.randrange(20) for _ in range(n)]
    return [Judged(-0.1 * level, float(draw.random() < 1 - 0.05 * level)) for level in levels]


def test_the_threshold_is_the_lowest_that_reaches_the_precision() -> None:
    judged = world(2000, 0)
    threshold = choose_threshold(judged, 0.9)
    for other in {item.logprob for item in judged}:
        kept = [item.right for item in judged if item.logprob >= other]
        if other >= threshold:
            continue
        assert sum(kept) / len(kept) < 0.9
    kept = [item.right for item in judged if item.logprob >= threshold]
    assert sum(kept) / len(kept) >= 0.9


def test_the_promise_holds_on_other_steps() -> None:
    threshold = choose_threshold(world(4000, 0), 0.9)
    figures = measure(world(4000, 1), threshold, "exact", 10)
    low, high = figures["precision_ci95"]
    assert low <= 0.9 <= high
    assert figures["kept_share"] == figures["kept"] / figures["n"]
    assert figures["precision"] > figures["precision_of_all"] + 0.2


def test_predictions_of_one_certainty_are_kept_or_dropped_together() -> None:
    judged = [Judged(-0.1, 1.0)] * 50 + [Judged(-0.2, 1.0)] * 50 + [Judged(-0.2, 0.0)] * 50
    assert choose_threshold(judged, 0.9) == -0.1


def test_a_perfect_model_is_kept_whole_and_a_poor_one_refused() -> None:
    assert choose_threshold([Judged(-n / 100, 1.0) for n in range(100)], 0.9) == -0.99
    with pytest.raises(ConfigError, match=r"--precision 0.9 is out of reach: the surest predictions reach 0.500"):
        choose_threshold([Judged(-n / 100, float(n % 2)) for n in range(100)], 0.9)
    with pytest.raises(DataError, match="holds 29 steps to choose on, too few"):
        choose_threshold([Judged(0.0, 1.0)] * 29, 0.9)


def test_the_reliability_table_holds_every_prediction_once_and_rises() -> None:
    table = reliability(world(2003, 2), 8)
    assert sum(row["n"] for row in table) == 2003
    assert [row["logprob_low"] for row in table] == sorted(row["logprob_low"] for row in table)
    assert table[-1]["right"] > table[0]["right"] + 0.5


def test_f1_is_averaged_with_a_bootstrap_interval() -> None:
    figures = measure([Judged(-0.1, n / 100) for n in range(100)], -0.2, "f1", 5)
    assert figures["precision"] == pytest.approx(0.495)
    assert figures["precision_ci95"][0] < 0.495 < figures["precision_ci95"][1]


def test_the_halves_share_no_task() -> None:
    first, second = halves(episodes(), 0, 0)
    assert first
    assert second
    assert not {t.state.task + t.state.first_observation for t in first} & {
        t.state.task + t.state.first_observation for t in second
    }
    assert len(halves(episodes(), 20, 0)[0]) == 10


def test_the_command_writes_beside_the_checkpoint_what_confidence_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, data = save_world_model(tmp_path / "model", max_observation_tokens=4), tmp_path / "data"
    collected = ["collect", "--split", "valid", "--episodes", "10", "--epsilon", "0.3", "--max-steps", "10"]
    assert main([*collected, "--out", str(data)]) == 0
    words = ["world-model", "calibrate", "--world-model", model, "--data", str(data), "--transitions", "80"]
    assert main(words) == 2  # a random model is never right
    assert "--precision 0.9 is out of reach" in capsys.readouterr().err
    assert main([*words, "--measure", "f1", "--precision", "1e-9"]) == 2 or stored_threshold(model) is not None
    Path(model, CERTAINTY).write_text(json.dumps({"schema_version": 1, "threshold": -0.25}))
    assert stored_threshold(model) == -0.25


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--world-model", "rules"], "rules gives no log-probabilities"),
        (["--world-model", "hub/id"], "is no folder to write calibration.json into: give --out"),
        (["--world-model", ".", "--precision", "1.5"], "--precision 1.5 is not allowed"),
        (["--world-model", ".", "--measure", "bleu"], "--measure bleu is unknown: choose one of exact, f1"),
        (["--world-model", ".", "--bins", "0"], "--bins 0 is too small"),
    ],
)
def test_flags_that_cannot_work(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["world-model", "calibrate", "--data", "nowhere", *flags]) == 2
    assert message in capsys.readouterr().err
