"""The report's charts as plotly figures (plain JSON), from the tallies of the runs.

Colours are names ("@run0", "@k2", "@good"): the page puts in those of its light or dark theme. Text that comes from a
run is escaped, since plotly reads some HTML in it.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from itp.evaluation.imagination import PHASES
from itp.evaluation.stats import wilson_interval
from itp.report.tally import Tally

RUN_COLOURS = 8
K_COLOURS = 9
_DASHES = ("solid", "dash", "dot", "dashdot")
ENDINGS = {
    "won": "@good",
    "irreversible mistake": "@bad",
    "loop": "@warn",
    "target never seen": "@run4",
    "wrong object": "@run5",
    "other": "@muted",
    "error": "@strong",
}


@dataclass(frozen=True)
class Series:
    """One run in a chart: its number in the report (for its colour), its name and its figures."""

    number: int
    name: str
    tally: Tally

    @property
    def colour(self) -> str:
        """The run's colour, the same in every chart."""
        return run_colour(self.number)


def run_charts(series: Sequence[Series], budgets: Mapping[int, float | None]) -> Iterator[dict[str, Any]]:
    """The charts of the runs of one environment and split. `budgets`: run number -> NB, where it is known."""
    played = [one for one in series if one.tally.n]
    if not played:
        return
    yield pareto(played, budgets)
    if {*played[0].tally.families} != {"unknown"} or len(played) > 1:
        yield families(played)
    yield endings(played)
    imagining = [one for one in played if one.tally.imagined]
    if imagining:
        yield k_by_step(imagining)
        yield k_by_phase(imagining)
    deep = [one for one in played if one.tally.depths]
    if deep:
        yield imagination_accuracy(deep)
    if any(one.tally.tokens.total for one in played):
        yield spent(played, "tokens", "Tokens per episode", "What the tokens of an episode went into.")
    if any(one.tally.time.total for one in played):
        yield spent(played, "time", "Model seconds per episode", "Wall-clock shares of policy and world model.")


def pareto(series: Sequence[Series], budgets: Mapping[int, float | None]) -> dict[str, Any]:
    """Success over tokens per episode, with 95% Wilson intervals, and the line of the runs that none beats in both."""
    points = sorted((one.tally.tokens.total / one.tally.n, 100 * one.tally.won / one.tally.n) for one in series)
    front: list[tuple[float, float]] = []
    for x, y in points:
        if not front or y > front[-1][1]:
            front.append((x, y))
    data: list[dict[str, Any]] = []
    if len(series) > 1:
        data.append(
            {
                "type": "scatter", "mode": "lines", "name": "Pareto front", "hoverinfo": "skip",
                "x": [x for x, _ in front] + [points[-1][0]], "y": [y for _, y in front] + [front[-1][1]],
                "line": {"shape": "hv", "dash": "dot", "width": 1.5, "color": "@muted"},
            }
        )  # fmt: skip
    for one in series:
        rate, up, down = _rate(one.tally.won, one.tally.n)
        budget = budgets.get(one.number)
        note = "" if budget is None else f"<br>NB {budget:.2f}"
        data.append(
            {
                "type": "scatter", "mode": "markers", "name": _text(one.name),
                "x": [one.tally.tokens.total / one.tally.n], "y": [rate],
                "error_y": {"array": [up], "arrayminus": [down], "symmetric": False, "width": 5, "color": one.colour},
                "marker": {"size": 13, "color": one.colour, "line": {"width": 2, "color": "@surface"}},
                "hovertemplate": f"%{{y:.1f}}% (n = {one.tally.n})<br>%{{x:,.0f}} tokens{note}",
            }
        )  # fmt: skip
    layout = {"xaxis": _axis("tokens per episode", rangemode="tozero"), "yaxis": _axis("success %", rangemode="tozero")}
    note = "Up and to the left is better. Bars: 95% Wilson intervals."
    return _chart("Success and budget", note, data, layout)


def families(series: Sequence[Series]) -> dict[str, Any]:
    """Success by family of tasks."""
    names = sorted({name for one in series for name in one.tally.families})
    data = []
    for one in series:
        groups = [one.tally.families.get(name, [0, 0]) for name in names]
        rates = [_rate(won, n) if n else (None, None, None) for n, won in groups]
        data.append(
            {
                "type": "bar", "orientation": "h", "name": _text(one.name), "marker": {"color": one.colour},
                "y": [_text(name) for name in names], "x": [rate for rate, _, _ in rates],
                "error_x": {
                    "array": [up for _, up, _ in rates], "arrayminus": [down for _, _, down in rates],
                    "symmetric": False, "width": 2, "thickness": 1, "color": "@muted",
                },
                "customdata": [n for n, _ in groups], "hovertemplate": "%{x:.1f}% (n = %{customdata})",
            }
        )  # fmt: skip
    layout = {
        "barmode": "group", "height": 130 + len(names) * max(34, 15 * len(series)),
        "xaxis": _axis("success %", range=[0, 100]), "yaxis": _axis("", autorange="reversed"),
    }  # fmt: skip
    return _chart("Success by family", "Bars: 95% Wilson intervals.", data, layout)


def endings(series: Sequence[Series]) -> dict[str, Any]:
    """How the episodes ended, as shares."""
    names = [_text(one.name) for one in series]
    data = []
    for ending, colour in ENDINGS.items():
        counts = [one.tally.endings[ending] for one in series]
        if any(counts):
            shares = [100 * count / one.tally.n for count, one in zip(counts, series, strict=True)]
            data.append(_stacked(ending, colour, shares, names, [f"{count}" for count in counts]))
    note = "The first reason that holds: an irreversible mistake, an error, going in circles, the wrong object."
    return _chart("How episodes end", note, data, _stack_layout("% of episodes", len(series), share=True))


def k_by_step(series: Sequence[Series]) -> dict[str, Any]:
    """Mean K at each step of the episode, over the episodes that still run."""
    data = []
    for one in series:
        steps = one.tally.k_by_step
        data.append(
            _line(one, list(range(1, len(steps) + 1)), [k / n for k, n in steps])
            | {"customdata": [n for _, n in steps], "hovertemplate": "step %{x}: K %{y:.2f} (n = %{customdata})"}
        )
    note = "Mean over the episodes that still run at that step: fewer and harder ones to the right."
    layout = {"xaxis": _axis("step of the episode"), "yaxis": _axis("mean K", rangemode="tozero")}
    return _chart("K by step", note, data, layout)


def k_by_phase(series: Sequence[Series]) -> dict[str, Any]:
    """Histogram of K in each third of the episode."""
    largest = max(max(one.tally.k_counts) for one in series)
    rows = [[_text(one.name) for one in series for _ in PHASES], [phase for _ in series for phase in PHASES]]
    phases = [phase for one in series for phase in one.tally.k_by_phase]
    data = []
    for k in range(largest + 1):
        counts = [phase[k] for phase in phases]
        shares = [100 * n / max(phase.total(), 1) for n, phase in zip(counts, phases, strict=True)]
        y = rows if len(series) > 1 else rows[1]
        data.append(_stacked(f"K = {k}", f"@k{min(k, K_COLOURS - 1)}", shares, y, [f"{n:,}" for n in counts]))
    layout = _stack_layout("% of decisions", len(phases), share=True)
    return _chart("K by phase of the episode", "Each episode's steps in thirds.", data, layout)


def imagination_accuracy(series: Sequence[Series]) -> dict[str, Any]:
    """Imagined against real observations, by depth."""
    data = []
    for one in series:
        depths = one.tally.depths
        x, custom = list(range(1, len(depths) + 1)), [depth.n for depth in depths]
        exact, f1 = [100 * d.exact / d.n for d in depths], [100 * d.f1 / d.n for d in depths]
        for what, y, dash in (("token-F1", f1, "dot"), ("exact", exact, "solid")):
            hover = f"{what} %{{y:.1f}}% at depth %{{x}} (n = %{{customdata}})"
            line = _line(one, x, y) | {"name": f"{_text(one.name)}, {what}", "customdata": custom}
            line["line"] = line["line"] | {"dash": dash}
            data.append(line | {"mode": "lines+markers", "hovertemplate": hover})
    note = "Imagined against real next observation, as long as the agent really did what it had imagined."
    layout = {
        "xaxis": _axis("imagined steps ahead", dtick=1),
        "yaxis": _axis("%", range=[0, 103]),
    }
    return _chart("Imagination came true", note, data, layout)


def spent(series: Sequence[Series], unit: str, title: str, note: str) -> dict[str, Any]:
    """Tokens or seconds per episode, by what they went into."""
    names = [_text(one.name) for one in series]
    data = []
    for part, label, colour in (
        ("acting", "policy, acting", "@run0"),
        ("imagining", "policy, imagining", "@run4"),
        ("world_model", "world model", "@run1"),
    ):
        values = [getattr(getattr(one.tally, unit), part) / one.tally.n for one in series]
        if any(values):
            hover = [f"{value:,.0f}" if unit == "tokens" else f"{value:,.3g} s" for value in values]
            data.append(_stacked(label, colour, values, names, hover))
    return _chart(title, note, data, _stack_layout(f"{'tokens' if unit == 'tokens' else 'seconds'}", len(series)))


def fidelity(name: str, results: Mapping[str, Any]) -> dict[str, Any] | None:
    """The world model of one `fidelity.json` by horizon of free running, beside its baselines; None without any."""
    data = []
    for number, (model, groups) in enumerate(results.items()):
        if not isinstance(groups, Mapping):
            continue
        by_horizon = sorted((int(key.rpartition(" ")[2]), group) for key, group in groups.items() if "free-run" in key)
        for what, label, dash in (("token_f1", "token-F1", "dot"), ("exact_match", "exact", "solid")):
            x, y = [h for h, _ in by_horizon], [100 * group[what] for _, group in by_horizon if what in group]
            if y:
                series = Series(number, model, Tally())
                line: dict[str, Any] = _line(series, x, y)
                line |= {"name": f"{_text(model)}, {label}", "mode": "lines+markers"}
                line["line"] |= {"dash": dash}
                data.append(line | {"hovertemplate": f"{label} %{{y:.1f}}% at horizon %{{x}}"})
    if not data:
        return None
    layout = {"xaxis": _axis("steps into its own predictions", dtick=1), "yaxis": _axis("%", range=[0, 103])}
    note = "Free running along real actions: the model reads its own predictions. `itp world-model eval`."
    return _chart(f"World model by horizon: {name}", note, data, layout)


def run_colour(number: int) -> str:
    """The name of a run's colour; they repeat after `RUN_COLOURS`."""
    return f"@run{number % RUN_COLOURS}"


def _rate(won: int, n: int) -> tuple[float, float, float]:
    """Percent, and how far the Wilson interval goes up and down from it."""
    low, high = wilson_interval(won, n)
    rate = won / n
    return round(100 * rate, 3), round(100 * (high - rate), 3), round(100 * (rate - low), 3)


def _line(one: Series, x: Sequence[float], y: Sequence[float]) -> dict[str, Any]:
    dash = _DASHES[one.number // RUN_COLOURS % len(_DASHES)]
    return {
        "type": "scatter", "mode": "lines", "name": _text(one.name), "x": list(x), "y": [round(v, 4) for v in y],
        "line": {"color": one.colour, "width": 2, "dash": dash},
    }  # fmt: skip


def _stacked(name: str, colour: str, x: Sequence[float], y: Sequence[Any], hover: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "bar", "orientation": "h", "name": _text(name), "x": [round(v, 4) for v in x], "y": list(y),
        "marker": {"color": colour}, "customdata": list(hover), "hovertemplate": "%{customdata} (%{x:.3~g})",
    }  # fmt: skip


def _stack_layout(title: str, rows: int, *, share: bool = False) -> dict[str, Any]:
    extra = {"range": [0, 100]} if share else {"rangemode": "tozero"}
    return {
        "barmode": "stack", "height": 150 + 36 * rows, "hovermode": "closest", "legend": {"traceorder": "normal"},
        "xaxis": _axis(title, **extra), "yaxis": _axis("", autorange="reversed"),
    }  # fmt: skip


def _axis(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": _text(title)}, "automargin": True, **more}


def _chart(title: str, note: str, data: list[dict[str, Any]], layout: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "note": note, "figure": {"data": data, "layout": layout}}


def _text(text: str) -> str:
    return html.escape(text, quote=False)
