"""Run folders: resumed by the same command, refused to any other, written by one process at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from itp import __version__
from itp.errors import ConfigError, RunFolderError
from itp.run_folder import CONFIG_NAME, open_run, read_config, write_json


@dataclass
class Settings:
    out: Path
    lr: float = 0.1
    data: tuple[Path, ...] = (Path("a"), Path("b"))
    name: str | None = None


def test_a_new_folder_records_config_and_versions(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    with open_run(out, Settings(out), command="train x") as folder:
        assert not folder.resumed
        assert folder.path == out
        assert folder / "results.json" == out / "results.json"
    stored = yaml.safe_load((out / CONFIG_NAME).read_text())
    assert stored == read_config(out)
    assert stored["command"] == "train x"
    assert stored["config"] == {"lr": 0.1, "data": ["a", "b"], "name": None}
    assert stored["versions"]["itp"] == __version__
    assert stored["versions"]["python"] == sys.version.split()[0]
    assert stored["versions"]["numpy"]
    assert "git" in stored


def test_the_same_command_resumes_even_under_another_path(tmp_path: Path) -> None:
    open_run(tmp_path / "a", Settings(Path("a")), command="x").close()
    (tmp_path / "a").rename(tmp_path / "b")
    with open_run(tmp_path / "b", Settings(Path("b")), command="x") as folder:
        assert folder.resumed


def test_other_settings_are_refused_with_both_values(tmp_path: Path) -> None:
    open_run(tmp_path, {"lr": 0.1, "seed": 1, "gone": 5}, command="x").close()
    with pytest.raises(RunFolderError) as caught:
        open_run(tmp_path, {"lr": 0.2, "seed": 1, "new": None}, command="x")
    message = str(caught.value)
    assert "lr: 0.1 there, 0.2 now" in message
    assert "gone: 5 there, (not set) now" in message
    assert "new: (not set) there, None now" in message
    assert "seed" not in message
    assert "another --out" in message


@dataclass
class Group:
    lr: float = 0.1
    warm: bool = False


@dataclass
class Later(Settings):
    drop: bool = False
    extra: tuple[str, ...] = ()
    optim: Group = field(default_factory=lambda: Group(warm=True))


def test_a_setting_of_a_later_version_is_the_same_at_its_default(tmp_path: Path) -> None:
    open_run(tmp_path, {"lr": 0.1, "data": ["a", "b"], "name": None}, command="x").close()
    with open_run(tmp_path, Later(tmp_path), command="x") as folder:
        assert folder.resumed
    changed = {
        "drop": (Later(tmp_path, drop=True), "(drop: (not set) there, True now)"),
        "extra": (Later(tmp_path, extra=("z",)), "(extra: (not set) there, ['z'] now)"),
        "in a group": (Later(tmp_path, optim=Group()), "(warm: (not set) there, False now)"),
        "the old one": (Later(tmp_path, name="n"), "(name: None there, 'n' now)"),
    }
    for settings, shown in changed.values():
        with pytest.raises(RunFolderError) as caught:
            open_run(tmp_path, settings, command="x")
        assert shown in str(caught.value)


def test_a_setting_of_a_later_version_is_not_dropped_by_an_older_one(tmp_path: Path) -> None:
    open_run(tmp_path, Later(tmp_path), command="x").close()
    with pytest.raises(RunFolderError, match=r"drop: False there, \(not set\) now"):
        open_run(tmp_path, Settings(tmp_path), command="x")


def test_ignored_settings_may_differ(tmp_path: Path) -> None:
    open_run(tmp_path, {"device": "cpu", "seed": 1}, command="x", ignore=("device",)).close()
    with open_run(tmp_path, {"device": "cuda", "seed": 1}, command="x", ignore=("device",)) as folder:
        assert folder.resumed


def test_another_command_is_refused(tmp_path: Path) -> None:
    open_run(tmp_path, {}, command="train policy").close()
    with pytest.raises(RunFolderError, match="holds a run of `itp train policy`, not of `itp eval`"):
        open_run(tmp_path, {}, command="eval")


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunFolderError, match="is not empty and holds no run"):
        open_run(tmp_path, {}, command="eval")
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "content", ["a: [1", "just text", "config: {}\n", "command: x\nconfig: {}\nschema_version: 9\n"]
)
def test_a_foreign_config_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / CONFIG_NAME).write_text(content)
    with pytest.raises(RunFolderError, match=r"config\.yaml"):
        open_run(tmp_path, {}, command="eval")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be used as a folder"):
        open_run(tmp_path / "file", {}, command="eval")


def test_two_writers_are_refused_until_the_first_is_done(tmp_path: Path) -> None:
    first = open_run(tmp_path, {}, command="eval")
    with pytest.raises(RunFolderError, match=f"another process .pid {os.getpid()}."):
        open_run(tmp_path, {}, command="eval")
    first.close()
    open_run(tmp_path, {}, command="eval").close()


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    program = f"""
import os, signal
from itp.run_folder import open_run
folder = open_run({str(tmp_path)!r}, {{}}, command="eval")
print("locked", flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(RunFolderError, match=f"pid {process.pid}"):
            open_run(tmp_path, {}, command="eval")
        process.kill()
    with open_run(tmp_path, {}, command="eval") as folder:
        assert folder.resumed


def test_a_refused_run_does_not_keep_the_lock(tmp_path: Path) -> None:
    open_run(tmp_path, {"seed": 1}, command="eval").close()
    with pytest.raises(RunFolderError):
        open_run(tmp_path, {"seed": 2}, command="eval")
    open_run(tmp_path, {"seed": 1}, command="eval").close()


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = write_json(tmp_path / "r.json", {"path": Path("x"), "pair": (1, None)})
    assert json.loads(path.read_text()) == {"path": "x", "pair": [1, None]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"rate": float("nan")})
    assert json.loads(path.read_text())["path"] == "x"
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.json"]


def test_settings_of_a_group_are_named_one_by_one(tmp_path: Path) -> None:
    open_run(tmp_path, {"seed": 1, "optim": {"lr": 0.1, "epochs": 3}}, command="x").close()
    with pytest.raises(RunFolderError) as caught:
        open_run(tmp_path, {"seed": 1, "optim": {"lr": 0.2, "epochs": 3}}, command="x")
    assert "(lr: 0.1 there, 0.2 now)" in str(caught.value)


def test_a_run_refused_before_it_wrote_anything_does_not_stand_in_the_way_of_the_mended_command(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(ConfigError), open_run(out, {"lr": -1}, command="x"):
        raise ConfigError("lr is -1")
    assert not out.exists()
    with open_run(out, {"lr": 1}, command="x") as folder:
        folder.write_json("results.json", {})
    with pytest.raises(ConfigError), open_run(out, {"lr": 1}, command="x"):
        raise ConfigError("something later")
    with pytest.raises(RunFolderError, match="holds a run with other settings"):
        open_run(out, {"lr": 2}, command="x")
    assert (out / "results.json").exists()
    assert (out / CONFIG_NAME).exists()
