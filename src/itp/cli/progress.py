"""What a user sees while episodes run: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from itp.training.progress import Ticker

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from itp.types import Trajectory

HEADERS = ("done", "success %", "95% interval", "mean K", "tokens/s", "errors", "elapsed", "left")


class EpisodeProgress:
    """Counts episodes as they end, and shows how the run stands. Use it in a `with` block.

    Tokens per second are those of this process's episodes, policy and world model together, over its wall-clock time.

    Args:
        title: what is being played.
        total: episodes of the run, earlier ones included.
    """

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total = title, total
        self._base = self._done = self._won = self._decisions = self._horizons = self._errors = 0
        self._tokens = self._base_tokens = 0
        self._start = time.monotonic()
        self._ticker = Ticker(title)
        self._live = self._make_live() if sys.stderr.isatty() else None

    def resume(self, trajectories: list[Trajectory]) -> None:
        """Count the episodes that an earlier process played."""
        for trajectory in trajectories:
            self._count(trajectory)
        self._base, self._base_tokens = self._done, self._tokens

    def episode(self, trajectory: Trajectory) -> None:
        """Count one episode and show it."""
        self._count(trajectory)
        if self._live is None:
            self._ticker.tick(self._done, self.total, self._note(), base=self._base)

    def table(self) -> Table:
        """The run as it stands: a bar, and the figures so far."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table("run", "", *HEADERS, box=None, padding=(0, 1))
        bar = ProgressBar(total=self.total, completed=self._done, width=16)
        table.add_row(self.title, bar, *self.figures())
        return table

    def figures(self) -> tuple[str, ...]:
        """The cells below `HEADERS`."""
        from itp.evaluation.stats import wilson_interval
        from itp.evaluation.table import interval, percent

        rate = self._won / self._done if self._done else None
        return (
            f"{self._done}/{self.total}",
            percent(rate),
            interval(wilson_interval(self._won, self._done)),
            f"{self._horizons / max(self._decisions, 1):.2f}",
            self._speed(),
            str(self._errors),
            _clock(self._elapsed()),
            _clock(self._left()),
        )

    def _count(self, trajectory: Trajectory) -> None:
        self._done += 1
        self._won += trajectory.won
        self._errors += bool(trajectory.error)
        self._decisions += len(trajectory.steps)
        for step in trajectory.steps:
            self._horizons += step.decision.horizon
            self._tokens += step.decision.policy_usage.tokens + step.decision.world_model_usage.tokens

    def _note(self) -> str:
        _, rate, bounds, mean_k, speed, *_ = self.figures()
        errors = f"  errors {self._errors}" if self._errors else ""
        tokens = f"  {speed} tokens/s" if self._tokens else ""
        return f"won {rate}% ({bounds})  K {mean_k}{tokens}{errors}"

    def _speed(self) -> str:
        return f"{(self._tokens - self._base_tokens) / max(self._elapsed(), 1e-9):,.0f}"

    def _elapsed(self) -> float:
        return time.monotonic() - self._start

    def _left(self) -> float | None:
        played = self._done - self._base
        return self._elapsed() / played * (self.total - self._done) if played else None

    def _make_live(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        return Live(get_renderable=self.table, console=Console(stderr=True), refresh_per_second=4)

    def __enter__(self) -> EpisodeProgress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()


def _clock(seconds: float | None) -> str:
    """Seconds as h:mm:ss; a dash for None."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
