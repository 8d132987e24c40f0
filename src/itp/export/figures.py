"""Figures for papers, PNG and PDF, by matplotlib: success against budget and by family, K, imagination by depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itp.errors import ConfigError
from itp.export.runs import ExportRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = ("png", "pdf")
SIZE = (4.8, 3.2)
"""Inches: a column of a two-column page, with room for a legend."""


def write_figures(runs: Sequence[ExportRun], out: Path) -> list[Path]:
    """Draw every figure that the runs have data for, into the folder `out`. Returns the files.

    Raises:
        ConfigError: matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError:
        raise ConfigError("--to figures needs matplotlib: pip install 'imagine-then-plan[export]'") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    out.mkdir(parents=True, exist_ok=True)
    files = []
    for name, draw in FIGURES.items():
        figure, axes = pyplot.subplots(figsize=SIZE, layout="constrained")
        if draw(axes, runs):
            for kind in FORMATS:
                files.append(out / f"{name}.{kind}")
                figure.savefig(files[-1], dpi=200)
        pyplot.close(figure)
    return files


def success_against_budget(axes: Axes, runs: Sequence[ExportRun]) -> bool:
    """Success with its Wilson interval over tokens per episode, a point for each run."""
    drawn = False
    for run in runs:
        rate, tokens = run.results["success_rate"], run.results["tokens"]["per_episode"]
        if rate is None or tokens is None:
            continue
        low, high = run.results["success_ci95"]
        error = [[100 * (rate - low)], [100 * (high - rate)]]
        axes.errorbar([tokens], [100 * rate], yerr=error, fmt="o", capsize=3, label=run.label)
        drawn = True
    axes.set(xlabel="tokens per episode", ylabel="success %", ylim=(0, 100))
    if drawn:
        axes.legend(fontsize="x-small")
    return drawn


def success_by_family(axes: Axes, runs: Sequence[ExportRun]) -> bool:
    """Bars with Wilson intervals, the runs side by side in each family."""
    families = sorted({family for run in runs for family in run.results["by_task_type"]})
    width = 0.8 / max(len(runs), 1)
    for number, run in enumerate(runs):
        groups = run.results["by_task_type"]
        known = [(i, groups[family]) for i, family in enumerate(families) if family in groups]
        rates = [100 * (group["success_rate"] or 0.0) for _, group in known]
        bounds = [[100 * bound for bound in group["success_ci95"]] for _, group in known]
        lower = [max(rate - low, 0.0) for rate, (low, _) in zip(rates, bounds, strict=True)]
        upper = [max(high - rate, 0.0) for rate, (_, high) in zip(rates, bounds, strict=True)]
        places = [i + (number - (len(runs) - 1) / 2) * width for i, _ in known]
        axes.bar(places, rates, width, yerr=[lower, upper], capsize=2, label=run.label)
    axes.set_xticks(range(len(families)), families, rotation=30, ha="right", fontsize="x-small")
    axes.set(ylabel="success %", ylim=(0, 105))
    if families:
        axes.legend(fontsize="x-small")
    return bool(families)


def k_histogram(axes: Axes, runs: Sequence[ExportRun]) -> bool:
    """Share of decisions at each K."""
    imagining = [run for run in runs if any(k != "0" for k in run.results["k_histogram"])]
    width = 0.8 / max(len(imagining), 1)
    for number, run in enumerate(imagining):
        counts = {int(k): n for k, n in run.results["k_histogram"].items()}
        total = sum(counts.values())
        places = [k + (number - (len(imagining) - 1) / 2) * width for k in counts]
        axes.bar(places, [100 * n / total for n in counts.values()], width, label=run.label)
    axes.set(xlabel="K", ylabel="% of decisions")
    if imagining:
        axes.legend(fontsize="x-small")
    return bool(imagining)


def imagination_by_depth(axes: Axes, runs: Sequence[ExportRun]) -> bool:
    """Token-F1 of imagined against real observations over depth, on the path that the agent took."""
    drawn = False
    for run in runs:
        table: list[dict[str, Any]] = run.results.get("imagination") or []
        if table:
            axes.plot([row["depth"] for row in table], [row["token_f1"] for row in table], "o-", label=run.label)
            drawn = True
    axes.set(xlabel="imagined step", ylabel="token-F1", ylim=(0, 1.02))
    if drawn:
        axes.legend(fontsize="x-small")
    return drawn


FIGURES: dict[str, Callable[[Axes, Sequence[ExportRun]], bool]] = {
    "success-budget": success_against_budget,
    "success-by-family": success_by_family,
    "k-histogram": k_histogram,
    "imagination-by-depth": imagination_by_depth,
}
"""File name and what draws it; False when the runs have no data for it."""
