"""The household generator's own measures, on a handful of games: the scripts run, and say what is true."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from itp.envs.household.statistics import kinds_report, report

ROOT = Path(__file__).parents[3]


def script(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem + "_script", ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def test_statistics_tell_sizes_and_kinds():
    assert re.search(r"\| all \| 12 \| [\d.]+ \| 100.0% \|", report("small", "train", 12))
    kinds = kinds_report("small", "train", 60)
    fridge = next(line for line in kinds.splitlines() if line.startswith("| fridge"))
    heads = next(line for line in kinds.splitlines() if line.startswith("| receptacle"))
    by_room = dict(zip(heads.split("|"), fridge.split("|"), strict=True))
    assert {room.split()[0]: n.strip() for room, n in by_room.items() if "(" in room} == {
        "bathroom": "",
        "bedroom": "",
        "kitchen": "1.00",
        "livingroom": "",
    }


@pytest.mark.parametrize("family", ["standard", "irreversible"])
def test_the_census_counts_and_succeeds(family, capsys):
    census = script("scripts/household_distinct.py")
    assert census.main(["--games", "24", "--others", "8", "--sample", "4", "--family", family]) == 0
    out = capsys.readouterr().out
    assert "train: 24 generated, 24 distinct, 0 unproved" in out
    assert "games shared by two splits: 0" in out
    assert "expert: 4 of 4" in out


def test_the_census_fails_when_games_repeat_or_are_unproved(monkeypatch, capsys):
    census = script("scripts/household_distinct.py")
    monkeypatch.setattr(census, "wins", lambda *_: False)
    assert census.main(["--games", "2", "--others", "1", "--sample", "1"]) == 1
    monkeypatch.undo()
    monkeypatch.setattr(census, "SEEDS_PER_SPLIT", 3)
    assert census.main(["--games", "4", "--others", "1", "--sample", "1"]) == 1
    assert "3 distinct" in capsys.readouterr().out


def test_a_row_of_the_difficulty_table_tells_both_players():
    row = script("scripts/household_difficulty.py").row({"hazards": "swallow"}, 8)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0] == "hazards=swallow"
    assert cells[1].startswith("100.0% (")
    assert cells[3].startswith("0.0% (")
    assert len(cells) == 7


def test_the_benchmark_measures_four_rates():
    from itp.envs.household import make_household_env

    rates = script("benchmarks/household.py").rates(make_household_env(episodes=4, hazards="mixed"), 300)
    assert len(rates) == 4
    assert all(rate > 0 for rate in rates)
