"""`scripts/k_head_order.py` counts what stands in the traces, and refuses runs that tell nothing."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from itp.cli.main import main
from models import save_policy

ROOT = Path(__file__).parents[3]
SPLIT = ["--env", "household", "--split", "valid", "--episodes", "4", "--max-steps", "8"]


def script() -> Any:
    """scripts/k_head_order.py as a module."""
    sys.path.insert(0, str(ROOT / "scripts"))
    return importlib.import_module("k_head_order")


def test_every_warned_choice_is_counted_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy, play = save_policy(tmp_path / "policy", k_max=1), tmp_path / "play"
    flags = ["--planner", "itp", "--policy", policy, "--world-model", "rules", "--horizon", "fixed:1"]
    assert main(["eval", *SPLIT, *flags, "--avoid", "Nothing happens", "--out", str(play)]) == 0
    capsys.readouterr()
    words = ["--policy", policy, "--run", str(play), "--avoid"]
    assert script().main([*words, "You", "Nothing happens", "On the", "The"]) == 0
    head, learned, doubt = capsys.readouterr().out.splitlines()
    decisions, warned = (int(word.replace(",", "")) for word in head.split() if word.replace(",", "").isdecimal())
    assert 0 < warned <= decisions <= 32
    for row, name in ((learned, "K-head"), (doubt, "policy's own doubt")):
        parts = [int(word.rstrip("%")) for word in row.split() if word.endswith("%")]
        assert row.strip().startswith(name)
        assert parts == sorted(parts)
        if warned == decisions:  # all are warned of: a share of the decisions holds the same share of them
            assert parts == pytest.approx([15, 25, 45, 60], abs=3)
    assert script().main([*words, "never told"]) == 2
    assert "holds no warned first choice" in capsys.readouterr().err


def test_what_tells_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = save_policy(tmp_path / "policy", k_max=3)
    assert script().main(["--policy", policy, "--run", str(tmp_path)]) == 2
    assert "has no K-head of K_max 1" in capsys.readouterr().err
    policy = save_policy(tmp_path / "one", k_max=1)
    assert script().main(["--policy", policy, "--run", str(tmp_path)]) == 2
    assert "holds no traces.jsonl" in capsys.readouterr().err
