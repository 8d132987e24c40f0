"""Training curves: one small chart for each metric that the training runs of one command share."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Any

from itp.report.charts import run_colour
from itp.report.sources import RunSource

CLOCKS = ("update", "step")
"""What a line of metrics.jsonl counts time by, the first that it has."""
_HIDDEN = {*CLOCKS, "epoch"}
_FIRST = ("eval_success", "eval_loss", "success_rate", "loss", "eval_mean_k", "mean_k", "eval_irreversible")
MOST_POINTS = 1000


def training_charts(runs: Sequence[tuple[int, RunSource]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield (command, charts) for the runs, given with their numbers in the report, that have a metrics.jsonl."""
    by_command: dict[str, list[tuple[int, str, list[dict[str, Any]]]]] = {}
    for number, run in runs:
        lines = run.metrics()
        if lines:
            by_command.setdefault(run.command or "metrics.jsonl", []).append((number, run.name, lines))
    for command, members in by_command.items():
        charts = [chart for name in _metrics(members) if (chart := _chart(name, members)) is not None]
        if charts:
            yield command, charts


def _metrics(members: Sequence[tuple[int, str, list[dict[str, Any]]]]) -> list[str]:
    found = dict.fromkeys(name for _, _, lines in members for line in lines for name in line)
    names = [name for name in found if name not in _HIDDEN]
    return sorted(names, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), names.index(name)))


def _chart(name: str, members: Sequence[tuple[int, str, list[dict[str, Any]]]]) -> dict[str, Any] | None:
    data, clock = [], ""
    for number, run, lines in members:
        points = [
            (line[own], line[name])
            for line in lines
            for own in CLOCKS
            if _is_number(line.get(own)) and _is_number(line.get(name)) and not (own == "step" and "update" in line)
        ]
        if not points:
            continue
        clock = clock or ("update" if "update" in lines[-1] else "step")
        kept = points[:: -(-len(points) // MOST_POINTS)]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if len(kept) <= 30 else "lines",
                "name": html.escape(run, quote=False),
                "x": [x for x, _ in kept],
                "y": [float(f"{y:.5g}") for _, y in kept],
                "line": {"color": run_colour(number), "width": 1.8},
                "marker": {"size": 4},
                "hovertemplate": f"{clock} %{{x}}: %{{y:.4g}}",
            }
        )
    if not data:
        return None
    layout = {
        "height": 240,
        "xaxis": {"title": {"text": clock}, "automargin": True},
        "yaxis": {"title": {"text": ""}, "automargin": True},
    }
    return {"title": name, "note": "", "small": True, "figure": {"data": data, "layout": layout}}


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) != float("inf")
    )
