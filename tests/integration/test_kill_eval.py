"""kill -9 at random moments: `scripts/kill_eval.py`, three kills; the full proof is twenty."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/kill_eval.py"


@pytest.mark.parametrize("what", [[], ["--sweep"]])
def test_an_evaluation_that_is_killed_ends_like_an_undisturbed_one(what: list[str]) -> None:
    words = ["--kills", "3", "--episodes", "8", "--pause", "0.004", *what]
    result = subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, timeout=200, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "equal to the undisturbed" in result.stdout
