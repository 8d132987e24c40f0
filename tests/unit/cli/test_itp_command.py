"""The `itp` command: what it prints, what it imports, how it fails."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from itp import __version__
from itp.cli.main import COMMANDS, main
from itp.errors import CheckpointError, DataError


@dataclass
class FakeConfig:
    """A command made for tests."""

    steps: int = 1
    """Steps."""


@pytest.fixture
def fake_label(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[FakeConfig], None]], None]:
    """Replace the module of `itp label` by one whose `run` is given."""

    def install(run: Callable[[FakeConfig], None]) -> None:
        module: Any = types.ModuleType("itp.training.pseudo_label")
        module.Config, module.run = FakeConfig, run
        monkeypatch.setitem(sys.modules, module.__name__, module)

    return install


def itp(*words: str, code: str = "") -> subprocess.CompletedProcess[str]:
    program = f"import sys; from itp.cli.main import main; code = main({list(words)!r}); {code}; sys.exit(code)"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_help_lists_every_command_without_heavy_imports() -> None:
    heavy = ("torch", "transformers", "gymnasium", "scipy", "textworld", "tyro")
    result = itp("--help", code=f"print([name for name in {heavy!r} if name in sys.modules])")
    assert result.returncode == 0
    assert result.stderr == ""
    for command in COMMANDS:
        assert f"  {command.name} " in result.stdout
        assert command.help in result.stdout
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_of_every_command_is_light(command: Any) -> None:
    heavy = ("torch", "transformers", "gymnasium", "scipy", "textworld")
    result = itp(*command.words, "--help", code=f"print([name for name in {heavy!r} if name in sys.modules])")
    assert result.returncode == 0, result.stderr
    assert f"usage: itp {command.name}" in result.stdout
    assert result.stdout.splitlines()[-1] == "[]"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"itp {__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evl"], "unknown command evl: did you mean `itp eval`?"),
        (["traim", "a2c"], "unknown command traim a2c: did you mean `itp train a2c`?"),
        (["train", "wm"], "unknown command train wm: did you mean `itp train wkm`?"),
        (["train", "zzz"], "unknown command train zzz"),
        (["qqqq"], "unknown command qqqq: see `itp --help`"),
        (["--hlp"], "unknown flag --hlp: did you mean `itp --help`?"),
        (["eval", "--plannr", "act"], "unknown flag --plannr: did you mean --planner?"),
    ],
)
def test_mistakes(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    output = capsys.readouterr()
    assert output.err.startswith(f"itp: error: {message}")
    assert output.err.count("\n") == 1
    assert output.out == ""


def test_a_group_lists_its_stages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    assert "train a2c" in text
    assert "  eval" not in text
    assert main(["train"]) == 2
    assert main([]) == 2
    assert "train a2c" in capsys.readouterr().err


@pytest.mark.parametrize("error", [CheckpointError("no\n  heads: use --k-max 3"), DataError("no heads: use --k-max 3")])
def test_user_errors_are_one_line(error: Exception, fake_label: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def run(config: FakeConfig) -> None:
        raise error

    fake_label(run)
    assert main(["label"]) == 2
    assert capsys.readouterr().err == "itp: error: no heads: use --k-max 3\n"


def test_bugs_keep_their_traceback(fake_label: Any) -> None:
    def run(config: FakeConfig) -> None:
        raise KeyError("bug")

    fake_label(run)
    with pytest.raises(KeyError, match="bug"):
        main(["label"])


def test_interruption_says_how_to_resume(fake_label: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def run(config: FakeConfig) -> None:
        raise KeyboardInterrupt

    fake_label(run)
    assert main(["label", "--steps", "3"]) == 130
    assert capsys.readouterr().err == "itp: interrupted; to resume, run again: itp label --steps 3\n"


def test_a_missing_library_names_the_extra(fake_label: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def run(config: FakeConfig) -> None:
        raise ModuleNotFoundError("No module named 'textworld.gym'", name="textworld.gym")

    fake_label(run)
    assert main(["label"]) == 2
    assert "pip install 'imagine-then-plan[alfworld]'" in capsys.readouterr().err


def test_a_missing_module_of_ours_is_a_bug(fake_label: Any) -> None:
    def run(config: FakeConfig) -> None:
        raise ModuleNotFoundError("No module named 'itp.nowhere'", name="itp.nowhere")

    fake_label(run)
    with pytest.raises(ModuleNotFoundError):
        main(["label"])


def test_flags_reach_the_command(fake_label: Any) -> None:
    seen: list[FakeConfig] = []
    fake_label(seen.append)
    assert main(["label", "--steps", "4"]) == 0
    assert seen == [FakeConfig(4)]


def test_a_closed_pipe_is_no_traceback() -> None:
    program = """
import sys, types
from dataclasses import dataclass
from itp.cli.main import main

@dataclass
class Config:
    pass

def run(config):
    for _ in range(100_000):
        print("a line of output that soon fills the pipe")

module = types.ModuleType("itp.training.pseudo_label")
module.Config, module.run = Config, run
sys.modules[module.__name__] = module
sys.exit(main(["label"]))
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
