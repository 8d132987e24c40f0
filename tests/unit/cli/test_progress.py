"""The live table of a running evaluation: what it says, on a terminal and elsewhere."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from itp.cli.progress import EpisodeProgress
from itp.types import Decision, Step, StopReason, Task, Trajectory, Usage


def episode(won: bool, horizon: int = 2) -> Trajectory:
    decision = Decision("look", horizon=horizon, policy_usage=Usage(90, 10), world_model_usage=Usage(40, 60))
    stop = StopReason.WON if won else StopReason.LOST
    return Trajectory(Task("t", "g"), "o", (Step(decision, "x"),), stop)


def test_the_table_shows_the_run_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, *[110.0] * 50])
    monkeypatch.setattr("itp.cli.progress.time.monotonic", lambda: next(clock))
    progress = EpisodeProgress("eval itp", 10)
    progress.resume([episode(True), episode(False, 0)])
    for won in (True, True, False):
        progress.episode(episode(won))
    # 3 of 5 won; K = (2 + 0 + 2 + 2 + 2) / 5; 600 tokens of this process in 10 s; 5 more at 3 in 10 s
    assert progress.figures() == ("5/10", "60.0", "23.1–88.2", "1.60", "60", "0", "0:00:10", "0:00:17")
    screen = io.StringIO()
    Console(file=screen, width=140).print(progress.table())
    assert "tokens/s" in screen.getvalue()
    assert "23.1–88.2" in screen.getvalue()


def test_nothing_is_claimed_before_the_first_episode() -> None:
    done, rate, bounds, *_, left = EpisodeProgress("eval", 3).figures()
    assert (done, rate, bounds, left) == ("0/3", "–", "0.0–100.0", "–")


def test_elsewhere_plain_lines_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with EpisodeProgress("eval act", 1) as progress:
        progress.episode(episode(True))
    said = capsys.readouterr()
    assert "eval act" in said.out
    assert "won 100.0% (20.7–100.0)  K 2.00" in said.out
    assert "\x1b" not in said.out + said.err


def test_a_terminal_gets_the_table_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = io.StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "140")
    with EpisodeProgress("eval act", 1) as progress:
        progress.episode(episode(True))
    assert "1/1" in screen.getvalue()
    assert not capsys.readouterr().out
