"""The report's first page as JSON: the summary table, the charts, and what the runs are called.

`RunState` is one run as read so far; `overview` turns all of them into what the page shows. `itp report` calls it once,
`itp view` whenever something was added.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from itp.evaluation.metrics import normalized_budget
from itp.evaluation.stats import wilson_interval
from itp.report.charts import Series, fidelity, run_charts, run_colour
from itp.report.curves import training_charts
from itp.report.sources import FIDELITY, RESULTS, RunSource, TraceTail
from itp.report.tally import Tally
from itp.types import Trajectory


@dataclass
class RunState:
    """One run and the figures of its episodes so far."""

    number: int
    source: RunSource
    tally: Tally = field(default_factory=Tally)
    tail: TraceTail | None = None

    def __post_init__(self) -> None:
        if self.tail is None and self.source.traces is not None:
            self.tail = TraceTail(self.source.traces)

    def poll(self) -> Iterator[tuple[Trajectory, int, int]]:
        """Take new episodes in; yields (episode, its number from 1, byte offset)."""
        if self.tail is not None:
            for trajectory, offset in self.tail.poll():
                self.tally.add(trajectory)
                yield trajectory, self.tail.lines, offset

    @property
    def place(self) -> str:
        """Environment and split."""
        config = self.source.config
        return f"{config.get('env', '?')} / {config.get('split', '?')}"

    @property
    def planner(self) -> str:
        """The planner's name in tables, as `itp eval` prints it."""
        config = self.source.config
        planner = str(config.get("planner") or "")
        if planner not in ("itp", "itp-i"):
            return planner or "–"
        horizon = config.get("horizon") or ("prompted" if planner == "itp-i" else "learned")
        return f"{planner} {horizon}{' avoid' if config.get('avoid') else ''}"

    @property
    def fixed_k(self) -> int | None:
        """K of a run that always imagines K steps (0 for `act`), None for any other."""
        planner, _, horizon = self.planner.partition(" ")
        if planner == "act":
            return 0
        kind, _, number = horizon.removesuffix(" avoid").partition(":")
        return int(number) if planner in ("itp", "itp-i") and kind == "fixed" and number.isdecimal() else None


def overview(runs: Sequence[RunState]) -> dict[str, Any]:
    """`runs` (name, colour, ...), `table` and `groups` of charts."""
    evaluated = [run for run in runs if run.tail is not None]
    budgets = normalized_budgets(evaluated)
    return {
        "runs": [_run(run) for run in runs],
        "table": table(evaluated, budgets),
        "groups": list(_groups(runs, evaluated, budgets)),
    }


def normalized_budgets(runs: Sequence[RunState]) -> dict[int, float | None]:
    """Run number -> NB, where the runs of its environment and split include K = 0 and a fixed K_max."""
    budgets: dict[int, float | None] = {}
    for run in runs:
        peers = [peer for peer in runs if peer.place == run.place and peer.tally.n]
        fixed = {k: _tokens(peer) for peer in peers if (k := peer.fixed_k) is not None}
        known = run.tally.n and len(fixed) > 1 and 0 in fixed and fixed[max(fixed)] != fixed[0]
        budgets[run.number] = normalized_budget(_tokens(run), fixed[0], fixed[max(fixed)]) if known else None
    return budgets


def table(runs: Sequence[RunState], budgets: dict[int, float | None]) -> dict[str, Any]:
    """The summary table: `columns` (title, what it means) and `rows` of cells; cells that no run has are left out."""
    rows = [_cells(run, budgets[run.number]) for run in runs]
    used = [name for name in COLUMNS if any(row["cells"].get(name, "–") != "–" for row in rows) or name == "n"]
    return {
        "columns": [{"title": name, "help": COLUMNS[name]} for name in used],
        "rows": [{**row, "cells": [row["cells"].get(name, "–") for name in used]} for row in rows],
    }


COLUMNS = {
    "planner": "Who plays, and how far it imagines",
    "env / split": "Environment and split",
    "n": "Episodes",
    "score": "Mean score, in the environment's own unit",
    "NB": "Normalised budget: 0 costs as much as never imagining, 1 as always K_max steps",
    "tokens / episode": "Policy and world model together",
    "steps": "Mean steps per episode",
    "mean K": "Mean imagined steps per decision",
    "plan changed": "Share of the decisions with imagination whose action is not the one first imagined",
    "irreversible": "Episodes in which a mistake had made the goal impossible",
    "unparsed": "Share of the answers that were no command",
    "s / episode": "Wall-clock seconds per episode",
    "errors": "Episodes that ended in an error; they count as lost",
    "USD": "By the price table given to itp eval",
}


def _cells(run: RunState, budget: float | None) -> dict[str, Any]:
    tally, n = run.tally, run.tally.n
    low, high = wilson_interval(tally.won, n)
    cost = run.source.json(RESULTS).get("cost_usd")
    cells = {
        "planner": run.planner,
        "env / split": run.place,
        "n": f"{n:,}",
        "score": _number(tally.score, n, 2) if tally.graded else "–",
        "NB": "–" if budget is None else f"{budget:.2f}",
        "tokens / episode": _number(tally.tokens.total, n, 0) if tally.tokens.total else "–",
        "steps": _number(tally.steps, n, 1),
        "mean K": _number(sum(k * count for k, count in tally.k_counts.items()), tally.steps, 2),
        "plan changed": _percent(tally.changed, tally.imagined),
        "irreversible": str(tally.irreversible) if n else "–",
        "unparsed": _percent(tally.unparsed, tally.answers),
        "s / episode": _number(tally.seconds, n, 2),
        "errors": str(tally.errors) if n else "–",
        "USD": f"{cost['policy'] + cost['world_model']:.4f}" if isinstance(cost, dict) and len(cost) > 1 else "–",
    }
    success = {"rate": 100 * tally.won / n, "low": 100 * low, "high": 100 * high} if n else None
    return {"run": run.number, "success": success, "cells": cells}


def _groups(
    runs: Sequence[RunState], evaluated: Sequence[RunState], budgets: dict[int, float | None]
) -> Iterator[dict[str, Any]]:
    places = list(dict.fromkeys(run.place for run in evaluated))
    for place in places:
        series = [Series(run.number, run.source.name, run.tally) for run in evaluated if run.place == place]
        charts = list(run_charts(series, budgets))
        if charts:
            yield {"title": place, "charts": charts}
    models = [fidelity(run.source.name, run.source.json(FIDELITY)) for run in runs]
    if any(models):
        yield {"title": "World model", "charts": [chart for chart in models if chart is not None]}
    for command, charts in training_charts([(run.number, run.source) for run in runs]):
        yield {"title": f"itp {command}" if command.startswith("train") else command, "charts": charts}


def _run(run: RunState) -> dict[str, Any]:
    return {
        "name": run.source.name,
        "planner": run.planner,
        "place": run.place,
        "colour": run_colour(run.number)[1:],
        "episodes": run.tally.n,
        "expected": _expected(run),
    }


def _expected(run: RunState) -> int | None:
    """Episodes that the run will have: what --episodes says (0 plays a whole split, whose size is not written)."""
    asked = run.source.config.get("episodes")
    return asked if isinstance(asked, int) and asked > 0 else None


def _tokens(run: RunState) -> float:
    return run.tally.tokens.total / run.tally.n


def _number(total: float, n: int, digits: int) -> str:
    return f"{total / n:,.{digits}f}" if n else "–"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "–"
