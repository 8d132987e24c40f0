"""Curves go where they are asked to, a resumed run goes on in the same place, a missing package is said in one line."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from itp.cli.main import main
from itp.errors import ConfigError
from itp.run_folder import open_run
from itp.training.tracking import check_logger, curves, trainer_logging


class Service:
    """What W&B and trackio have in common."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.__spec__ = SimpleNamespace(name="fake")

    def init(self, **options: Any) -> None:
        self.calls.append(("init", options))

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self.calls.append(("log", (figures, step)))

    def finish(self) -> None:
        self.calls.append(("finish", None))


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_service_gets_every_figure_and_is_closed_whatever_happens(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service()
    monkeypatch.setitem(sys.modules, name, service)  # pyright: ignore[reportArgumentType]
    monkeypatch.setenv(f"{name.upper()}_PROJECT", "mine")

    def train() -> None:
        with curves(name, tmp_path / "a2c-0", tmp_path) as log:
            log({"a2c/loss": 0.5}, 3)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train()
    (_, options), logged, (last, _) = service.calls
    assert (options["project"], options["resume"]) == ("mine", "allow")
    assert options["name"].endswith("a2c-0")
    assert logged == ("log", ({"a2c/loss": 0.5}, 3))
    assert last == "finish"
    with curves(name, tmp_path / "a2c-0", tmp_path):
        pass
    assert service.calls[3][1].get("id") == options.get("id"), "a resumed run is the same run"


def test_tensorboard_writes_files_and_none_writes_nothing(tmp_path: Path) -> None:
    for name in ("tensorboard", "none"):
        with curves(name, tmp_path, tmp_path / name) as log:
            log({"x": 1.0}, 1)
    assert list((tmp_path / "tensorboard").iterdir())
    assert not (tmp_path / "none").exists()


def test_the_trainer_is_told_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "")
    assert trainer_logging("tensorboard", tmp_path / "x")["report_to"] == ["tensorboard"]
    assert trainer_logging("none", tmp_path / "x")["report_to"] == []


def test_unknown_and_missing_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="--log mlflow is unknown: choose one of tensorboard, wandb, trackio, none"):
        check_logger("mlflow")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="--log wandb needs the package wandb: pip install wandb"):
        check_logger("wandb")


@pytest.mark.parametrize("command", [["train", "a2c", "--policy", "p", "--world-model", "rules"], ["train", "warmup"]])
def test_commands_refuse_a_typo_before_anything_is_loaded(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--labels", "l", "--policy", "p"] if "warmup" in command else []
    assert main([*command, *words, "--log", "tensorbord", "--out", str(tmp_path / "out")]) == 2
    assert "--log tensorbord is unknown" in capsys.readouterr().err


def test_a_resumed_run_may_log_elsewhere(tmp_path: Path) -> None:
    for log in ("tensorboard", "none"):
        with open_run(tmp_path, {"seed": 1, "optim": {"lr": 0.1, "log": log}}, command="train policy"):
            pass
