"""Where mistakes are final and the world model is exact, imagining three steps pays: 30 points, the policy the same."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "lookahead_wins.py"


def test_three_imagined_steps_win_thirty_points_over_acting_at_once() -> None:
    command = [sys.executable, str(SCRIPT), "--episodes", "120", "--horizons", "0", "3"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    rows = {
        int(k): (float(rate), int(lost))
        for k, rate, lost in re.findall(r"\| (\d) \| 120 \| ([\d.]+) .* (\d+) \|", printed)
    }
    act, itp = rows[0], rows[3]
    assert itp[0] >= act[0] + 30
    assert itp[1] < act[1] / 4
