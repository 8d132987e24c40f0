"""`itp data alfworld`: what it says of good, broken and half-unpacked folders, and its exit codes."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from itp.cli.main import main
from itp.envs.alfworld import inventory

FAMILY = "pick_and_place_simple-Mug-None-Drawer"
GOALS = {"turk_annotations": {"anns": [{"task_desc": "Put a mug in the drawer."}, {"task_desc": "Stow the mug."}]}}
PROBLEM = """(define (problem tiny) (:objects)
    (:init (atLocation a loc_bar_0) (receptacleAtLocation Drawer_bar_1 loc_bar_0)
    (receptacleType Drawer_bar_1 DrawerType) (objectType Mug_bar_1 MugType) (inReceptacle Mug_bar_1 Drawer_bar_1))
    (:goal (and (exists (?r - receptacle) (exists (?o - object) (and (inReceptacle ?o ?r) (objectType ?o MugType)
    (receptacleType ?r DrawerType)))))))"""


def add_game(root: Path, split: str, number: int, name: str = FAMILY, trial: str = "trial_", **more: Any) -> Path:
    folder = root / "json_2.1.1" / split / f"{name}-{number}" / f"{trial}{number}"
    folder.mkdir(parents=True)
    game = {"pddl_domain": "", "grammar": '"Your task is to: tidy up."', "pddl_problem": PROBLEM, "solvable": True}
    (folder / "game.tw-pddl").write_text(json.dumps({**game, **more}))
    (folder / "traj_data.json").write_text(json.dumps(GOALS))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "games"
    for number in range(3):
        add_game(folder, "train", number)
    add_game(folder, "train", 4, name="pick_two_obj_and_place-Mug-None-Drawer")
    add_game(folder, "train", 5, name="look_at_obj_in_light-MugSliced-None-Lamp")
    add_game(folder, "train", 6, solvable=False)
    add_game(folder, "valid_seen", 7)
    return folder


def cells(output: str, split: str) -> list[str]:
    line = next(line for line in output.splitlines() if f"│ {split} " in line)
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_what_is_there_is_said_by_split_and_family(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "alfworld", "--data", str(root)]) == 0
    output = capsys.readouterr().out
    #        split    playable  pick  two  unsolvable  movable/Sliced  broken  human
    assert cells(output, "train") == ["train", "4", "3", "1", "1", "1", "0", "4"]
    assert cells(output, "valid_seen") == ["valid_seen", "1", "1", "0", "0", "0", "0", "1"]
    assert "7 game files" in output
    assert "human goals of train: 8 sentences for 4 games" in output
    assert "note: valid_unseen: not here; the public release has it (134 games)" in output
    assert "note: logic: alfred.pddl, alfred.twl2 not here" in output
    assert output.rstrip().endswith(f"export ALFWORLD_DATA={root}")


@pytest.mark.parametrize("given", ["games", "games/json_2.1.1", "."])
def test_the_folder_may_be_named_from_above_or_below(
    root: Path, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "alfworld", "--data", str(root.parent / given)]) == 0
    assert f"export ALFWORLD_DATA={root}\n" in capsys.readouterr().out


def test_the_variable_is_read(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ALFWORLD_DATA", str(root))
    assert main(["data", "alfworld"]) == 0
    assert str(root) in capsys.readouterr().out
    monkeypatch.setenv("ALFWORLD_DATA", str(root / "gone"))
    assert main(["data", "alfworld"]) == 2
    assert "alfworld-download" in capsys.readouterr().err


def test_a_truncated_game_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = add_game(root, "train", 8)
    content = (folder / "game.tw-pddl").read_bytes()
    (folder / "game.tw-pddl").write_bytes(content[: len(content) // 2])
    assert main(["data", "alfworld", "--data", str(root)]) == 2
    output = capsys.readouterr()
    assert cells(output.out, "train")[-2] == "1"
    assert "export" not in output.out
    assert str(folder / "game.tw-pddl") in output.err
    assert "get them again" in output.err
    assert output.err.count("\n") == 1


def test_only_a_deep_look_finds_what_does_not_parse(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_game(root, "train", 8, pddl_problem="(define (problem empty))")
    assert main(["data", "alfworld", "--data", str(root)]) == 0
    assert "sha256" not in capsys.readouterr().out
    assert main(["data", "alfworld", "--data", str(root), "--deep"]) == 2
    output = capsys.readouterr()
    assert "1 broken game files" in output.err
    assert output.out.count("sha256 of") == 2


def test_the_digest_depends_on_every_byte(root: Path) -> None:
    def digest() -> str:
        return inventory.take_stock(root, deep=True).splits[0].digest

    first = digest()
    assert first == digest()
    path = next((root / "json_2.1.1" / "train").rglob("game.tw-pddl"))
    path.write_text(path.read_text().replace("tidy up", "tidy it"))
    assert digest() != first


def test_games_without_human_goals_are_counted(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted((root / "json_2.1.1" / "train").glob(f"{FAMILY}-[0-3]/*/traj_data.json"))
    files[0].unlink()
    files[1].write_text("{}")
    assert main(["data", "alfworld", "--data", str(root)]) == 0
    output = capsys.readouterr().out
    assert cells(output, "train")[-1] == "2"
    assert f"note: train: 2 games have no human goals and play with goal=template only; the first: {files[0]}" in output


def test_a_folder_not_unpacked_to_the_end_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Games named as in the public release must be as many; fewer are accepted when --part says so."""
    monkeypatch.setattr(inventory, "SHIPPED", {"train": 5, "valid_seen": 2, "valid_unseen": 2})
    assert main(["data", "alfworld", "--data", str(root)]) == 0
    add_game(root, "valid_seen", 8, trial="trial_T2019")
    assert main(["data", "alfworld", "--data", str(root)]) == 0
    for folder in root.glob("json_2.1.1/train/*/*"):
        folder.rename(folder.with_name(f"trial_T2019{folder.name}"))
    capsys.readouterr()
    assert main(["data", "alfworld", "--data", str(root)]) == 2
    error = capsys.readouterr().err
    assert "train: 4 playable games, and the public release has 5: the folder was not unpacked to the end" in error
    assert "valid_seen" not in error
    assert main(["data", "alfworld", "--data", str(root), "--part"]) == 0


def test_folders_without_games_are_counted_or_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted(root.rglob("game.tw-pddl"))
    files[0].unlink()
    assert main(["data", "alfworld", "--data", str(root)]) == 0
    assert "1 trial folders hold no game.tw-pddl" in capsys.readouterr().out
    for file in files[1:]:
        file.unlink()
    assert main(["data", "alfworld", "--data", str(root)]) == 2
    assert "no playable game among 0 game files" in capsys.readouterr().err


def test_an_archive_is_unpacked_and_described(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tarfile.open(tmp_path / "games.tar.xz", "w:xz") as tar:
        tar.add(root, "alfworld")
    words = ["data", "alfworld", "--archive", str(tmp_path / "games.tar.xz"), "--out", str(tmp_path / "new")]
    assert main(words) == 0
    output = capsys.readouterr().out
    assert cells(output, "train")[1] == "4"
    assert output.rstrip().endswith(f"export ALFWORLD_DATA={tmp_path / 'new'}")
    assert main(words) == 2
    assert "not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "somewhere"], "add --archive FILE"),
        (["--archive", "a.zip", "--data", "b"], "exclude each other"),
        (["--archive", "gone.zip", "--out", "somewhere"], "is not a file"),
        (["--data", "/nowhere"], "ALFWorld games not found"),
    ],
)
def test_mistakes(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "alfworld", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
