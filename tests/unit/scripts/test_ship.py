"""`scripts/ship.py` makes sets that `itp demo` plays; whatever set lies in the repository's checkpoints/ is whole."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from itp.cli.demo_sets import choose_sets
from itp.cli.main import main
from itp.policy.calibration import stored_cut
from itp.policy.model import Policy
from itp.run_folder import write_text
from itp.world_model.text import TextWorldModel
from models import save_policy, save_world_model, some_states

ROOT = Path(__file__).parents[3]
PLAY = {
    "about": "random weights",
    "env": "household",
    "split": "valid",
    "episodes": 2,
    "max_steps": 2,
    "rows": [{"title": "act", "planner": "act"}, {"title": "itp", "horizon": "fixed:1"}],
}


@cache
def script() -> Any:
    """scripts/ship.py as a module."""
    sys.path.insert(0, str(ROOT / "scripts"))
    return importlib.import_module("ship")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folders of a policy, trained from the data of another run, and of a world model; play.yaml and cards."""
    folder = tmp_path_factory.mktemp("runs")
    made = {
        "data": ("collect", {"env": "household", "epsilon": [0.2], "seed": 3}),
        "policy": ("train policy", {"data": [str(folder / "data")], "base": "scratch:tiny", "optim": {"lr": 0.002}}),
        "wm": ("train world-model", {"data": [str(folder / "data/expert.jsonl")], "base": "scratch:tiny"}),
    }
    for name, (command, config) in made.items():
        (folder / name).mkdir()
        content = {"schema_version": 1, "command": command, "config": config, "created": "2026-01-02T03:04:05+00:00"}
        write_text(
            folder / name / "config.yaml", yaml.safe_dump(content | {"versions": {"torch": "2.9"}, "git": "abc"})
        )
    (folder / "data" / "expert.jsonl").write_text("")
    (folder / "wm" / "training.json").write_text(json.dumps({"metrics": {"eval_exact_h1": 0.5, "updates": 7}}))
    save_policy(folder / "policy" / "model", k_max=1)
    cuts = {"schema_version": 1, "share": {"0.45": 0.9}, "unsure": None, "config": {"data": [str(folder / "valid")]}}
    (folder / "policy" / "model" / "horizon_calibration.json").write_text(json.dumps(cuts))
    save_world_model(folder / "wm" / "model", max_observation_tokens=4, parent=str(folder / "wm" / "start"))
    (folder / "play.yaml").write_text(yaml.safe_dump(PLAY))
    (folder / "policy.md").write_text("It **acts**.\n\n## Limits\n\nToys only.\n")
    (folder / "wm.md").write_text("It foresees.\n")
    return folder


def ship(runs: Path, out: Path, *words: str, **changes: Any) -> tuple[int, str, str]:
    """Exit code, and what was printed to stdout and to stderr."""
    flags = {
        "name": "toy", "policy": runs / "policy/model", "world-model": runs / "wm/model", "play": runs / "play.yaml",
        "card-policy": runs / "policy.md", "card-world-model": runs / "wm.md", "out": out,
    } | {key.replace("_", "-"): value for key, value in changes.items()}  # fmt: skip
    given = [word for key, value in flags.items() if value is not None for word in (f"--{key}", str(value))]
    with redirect_stdout(StringIO()) as out_text, redirect_stderr(StringIO()) as error_text:
        code = script().main([*given, *words])
    return code, out_text.getvalue(), error_text.getvalue()


@pytest.fixture(scope="module")
def shipped(runs: Path) -> Path:
    code, printed, error = ship(runs, runs / "checkpoints")
    assert code == 0, error
    assert "of 40 MB" in printed
    return runs / "checkpoints"


def test_what_ships_is_small_and_gives_the_rounded_weights_scores(runs: Path, shipped: Path) -> None:
    half = load_file(shipped / "toy" / "policy" / "model.safetensors")
    whole = load_file(runs / "policy" / "model" / "model.safetensors")
    assert all(torch.equal(half[name], whole[name].half()) for name in whole)
    heads = load_file(shipped / "toy" / "policy" / "itp_heads.safetensors")
    assert {tensor.dtype for tensor in heads.values()} == {torch.float32}
    one, two = (Policy.load(str(path)) for path in (runs / "policy/model", shipped / "toy/policy"))
    for parameter in one.lm.model.parameters():
        parameter.data = parameter.data.half().float()
    states = some_states(2)
    assert torch.equal(one.control(states).horizon_logits_BK, two.control(states).horizon_logits_BK)
    assert stored_cut(str(shipped / "toy" / "policy"), "share:0.45") == 0.9
    assert TextWorldModel.load(str(shipped / "toy" / "world_model")).sampling.max_new_tokens == 4
    assert not [file for file in (shipped / "toy").rglob("*") if file.suffix in (".pt", ".bin", ".lock")]


def test_cards_tell_recipe_and_limits_and_no_path_of_this_machine(runs: Path, shipped: Path) -> None:
    card, world = ((shipped / "toy" / part / "README.md").read_text() for part in ("policy", "world_model"))
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "mit"
    assert front["library_name"] == "transformers"
    assert "It **acts**." in card
    assert "itp collect --epsilon 0.2 --seed 3 --out data\n" in card
    assert "itp train policy --base scratch:tiny --data data --lr 0.002 --out policy\n" in card
    assert "torch 2.9" in card
    assert card.rstrip().endswith("Toys only.")
    assert "exact_h1 0.500" in world
    assert "itp train world-model --base scratch:tiny --data data/expert.jsonl --updates 7 --out wm\n" in world
    parent = json.loads((shipped / "toy" / "world_model" / "itp_config.json").read_text())["parent"]
    assert parent == "wm/start"
    assert str(runs) not in card + world


def test_figures_in_a_card_are_those_of_the_shipped_files(runs: Path, shipped: Path, tmp_path: Path) -> None:
    assert main(["demo", "--checkpoints", str(shipped), "--out", str(tmp_path / "out")]) == 0
    figures = [str(tmp_path / "out" / "toy" / row) for row in ("act", "itp-fixed-1")]
    code, _, error = ship(runs, shipped, "--results", *figures)
    assert code == 0, error
    card = (shipped / "toy" / "policy" / "README.md").read_text()
    assert re.search(r"\| act \| household/valid \| 2 \| [\d.]+ \|", card)
    assert "itp fixed:1 (its world model)" in card
    save_policy(tmp_path / "run" / "model", k_max=1, seed=9)
    code, _, error = ship(runs, shipped, "--results", *figures, policy=tmp_path / "run" / "model")
    assert code == 2
    assert "is not what ships now" in error
    played = ["eval", "--planner", "act", "--policy", str(runs / "policy" / "model"), "--max-steps", "1"]
    assert main([*played, "--split", "valid", "--episodes", "1", "--out", str(tmp_path / "own")]) == 0
    assert "not the shipped" in ship(runs, shipped, "--results", str(tmp_path / "own"))[2]
    assert (shipped / "toy" / "policy" / "README.md").read_text() == card


def test_a_row_of_a_card_tells_how_its_commands_were_written() -> None:
    writing = importlib.import_module(script().card.__module__).writing
    assert writing({"action": "score", "proposals": 1}) == ""
    assert writing({"action": "generate", "proposals": 3}) == ", commands written freely, likeliest of 3"
    assert writing({"action": "constrained", "proposals": 5}) == ", likeliest of 5"
    assert writing({"action": "constrained"}) == "", "results of before"


def test_what_must_not_ship_is_refused_in_one_line_and_leaves_what_was_there(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "checkpoints"
    (tmp_path / "path.md").write_text("See /tmp/secret/place.")
    (out / "large").mkdir(parents=True)
    with (out / "large" / "weights").open("wb") as file:
        os.truncate(file.fileno(), 39_000_000)
    for changes, message in (
        ({}, "would hold 4"),
        ({"card_policy": tmp_path / "path.md"}, "would hold the path /tmp/secret"),
        ({"world_model": None, "card_world_model": None}, "give --world-model with `learned` only"),
        ({"card_world_model": None}, "go together"),
        ({"policy": runs / "wm/model"}, "is a world_model checkpoint, not a policy"),
        ({"policy": tmp_path}, "is no checkpoint"),
        ({"name": "../toy"}, "must be small letters"),
    ):
        code, printed, error = ship(runs, out, **changes)
        assert (code, printed) == (2, "")
        assert message in error
        assert error.count("\n") == 1
    assert [path.name for path in out.iterdir()] == ["large"]


def test_the_sets_of_this_repository_load_are_small_and_name_no_path_of_a_machine() -> None:
    """Holds for whichever sets are there, none included: what a clone would get."""
    folder = ROOT / "checkpoints"
    sets = choose_sets(folder) if folder.is_dir() else []
    for one in sets:
        policy = Policy.load(str(one.policy))
        assert all(torch.isfinite(parameter).all() for parameter in policy.lm.model.parameters())
        if any(row.horizon in ("learned", "sampled") for row in one.play.rows):
            assert policy.heads is not None
        if one.play.learned:
            TextWorldModel.load(str(one.path / "world_model"))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(file.stat().st_size for file in files) <= 40_000_000
    assert all(file.stat().st_size <= 16_000_000 for file in files)
    for file in files:
        if file.suffix != ".safetensors":
            found = re.search(r"(?<![\w.:/~-])/(?:tmp|work|home|root|mnt|var|data|Users)/\w", file.read_text())
            assert found is None, f"{file} names {found}"


def test_a_recipe_that_was_run_by_relative_paths_is_told_below_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = importlib.import_module(script().card.__module__)
    made = {"data": ("collect", {"env": "a/b"}), "policy": ("train policy", {"data": ["out/mine/data"], "base": "x/y"})}
    for name, (command, config) in made.items():
        (tmp_path / "out" / "mine" / name).mkdir(parents=True)
        content = yaml.safe_dump({"schema_version": 1, "command": command, "config": config})
        write_text(tmp_path / "out" / "mine" / name / "config.yaml", content)
    monkeypatch.chdir(tmp_path)
    runs = card.chain(Path("out/mine/policy/model"))
    assert [card.command_line(run, runs) for run in runs] == [
        "itp collect --env a/b --out data",
        "itp train policy --base x/y --data data --out policy",
    ]
