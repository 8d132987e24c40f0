"""`itp check-env`: problems, one line each, and an exit code that scripts can use."""

from __future__ import annotations

import sys
import types
from typing import Any

import gymnasium
import pytest

from itp.cli.main import main
from itp.envs.registry import make_env


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Factories of faulty environments, in a module `faulty`."""
    module: Any = types.ModuleType("faulty")

    def forgetful(max_steps: int = 9) -> gymnasium.Env[str, str]:
        env = make_env("household", episodes=2, max_steps=max_steps)
        inner = env.step
        env.step = lambda action: (*inner(action)[:4], {"won": False})  # pyright: ignore
        return env

    def never(**given: Any) -> None:
        raise OSError("the simulator is not there")

    module.forgetful, module.never = forgetful, never
    monkeypatch.setitem(sys.modules, "faulty", module)


def check(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["check-env", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_right_environment_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--env", "household", "--env-option", "size=full", "episodes=3", "--steps", "12")
    said = "household: nothing wrong found in 12 random steps in each of two tasks\n"
    assert check(capsys, *words) == (0, said, "")


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "forgetful",
            [
                "info: expected the keys task, task_id, task_type, admissible_commands, won, score, "
                "found no task, task_id, task_type, admissible_commands, score"
            ],
        ),
        ("never", ["factory(): expected an environment, found OSError: the simulator is not there"]),
    ],
)
def test_problems_are_printed_and_exit_with_1(name: str, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = check(capsys, "--env", f"faulty:{name}")
    assert (code, out.splitlines(), err) == (1, lines, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--env", "househld"), "environment 'househld' is unknown; did you mean household? allowed are"),
        (("--env", "household", "--split", "dev"), "household split 'dev' is unknown"),
        (("--env", "household", "--steps", "0"), "--steps 0 is too small: give at least 1"),
        (("--env", "household", "--env-option", "size"), "--env-option size is no KEY=VALUE"),
        (("--env", "household", "--env-option", "sizes=1"), "sizes"),
        (("--en", "household"), "unknown flag --en: did you mean --env?"),
    ],
)
def test_wrong_flags_exit_with_2(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = check(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("itp: error: ")
    assert message in err
    assert err.count("\n") == 1
