"""What a user sees while episodes run: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from itp.training.progress import Ticker

if TYPE_CHECKING:
    from rich.progress import Progress

    from itp.types import Trajectory


class EpisodeProgress:
    """Counts episodes as they end: done, success rate, mean K, time left. Use it in a `with` block.

    Args:
        title: what is being played.
        total: episodes of the run, earlier ones included.
    """

    def __init__(self, title: str, total: int) -> None:
        self.total = total
        self._base = self._done = self._won = self._decisions = self._horizons = self._errors = 0
        self._ticker = Ticker(title)
        self._bar = _make_bar() if sys.stderr.isatty() else None
        self._row = self._bar.add_task(title, total=total, note="") if self._bar else None

    def resume(self, trajectories: list[Trajectory]) -> None:
        """Count the episodes that an earlier process played."""
        for trajectory in trajectories:
            self._count(trajectory)
        self._base = self._done
        if self._bar and self._row is not None:
            self._bar.update(self._row, completed=self._done, note=self._note())

    def episode(self, trajectory: Trajectory) -> None:
        """Count one episode and show it."""
        self._count(trajectory)
        if self._bar and self._row is not None:
            self._bar.update(self._row, completed=self._done, note=self._note())
        else:
            self._ticker.tick(self._done, self.total, self._note(), base=self._base)

    def _count(self, trajectory: Trajectory) -> None:
        self._done += 1
        self._won += trajectory.won
        self._errors += bool(trajectory.error)
        self._decisions += len(trajectory.steps)
        self._horizons += sum(step.decision.horizon for step in trajectory.steps)

    def _note(self) -> str:
        rate = 100 * self._won / max(self._done, 1)
        mean_k = self._horizons / max(self._decisions, 1)
        errors = f"  errors {self._errors}" if self._errors else ""
        return f"won {rate:.1f}%  K {mean_k:.2f}{errors}"

    def __enter__(self) -> EpisodeProgress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()


def _make_bar() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
