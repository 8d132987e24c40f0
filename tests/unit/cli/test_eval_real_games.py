"""`itp eval` on the real ALFWorld games."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from itp.cli.main import main


@pytest.mark.realdata
def test_every_seen_game_is_played_and_counted_by_family(alfworld_data: Path, tmp_path: Path) -> None:
    words = ["--env", "alfworld", "--split", "valid_seen", "--data", str(alfworld_data), "--planner", "random"]
    assert main(["eval", *words, "--max-steps", "2", "--out", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["errors"] == 0
    assert {name.split("_")[1]: group["n"] for name, group in results["by_task_type"].items()} == {
        "at": 13,
        "and": 35,
        "clean": 27,
        "cool": 25,
        "heat": 16,
        "two": 24,
    }
