"""Several `results.json` side by side: in the terminal (rich) and as Markdown. Both show the same cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from itp.evaluation.pairs import PairedComparison

HEADERS = (
    "planner", "env/split", "n", "success %", "95% interval", "steps", "mean K", "tokens/decision", "NB",
    "invalid", "unparsed %", "seconds", "errors",
)  # fmt: skip

PAIR_HEADERS = (
    "tasks", "n", "both won", "only first", "only this", "neither", "difference", "95% interval", "p",
    "steps where both won", "tokens/episode",
)  # fmt: skip
SEED_HEADERS = (
    "planner", "env/split", "runs", "n", "success %", "95% interval (t)", "SD", "each", "steps", "irreversible",
)  # fmt: skip

Results = Mapping[str, Any]
PARSES = ("exact", "case", "tag", "closest", "unparsed")
"""How an answer was read; other decisions (scored, random, expert) read none."""


def rows(results: Sequence[Results]) -> list[tuple[str, ...]]:
    """One row of cells for each result, in the order of `HEADERS`."""
    return [_row(result) for result in results]


def results_table(results: Sequence[Results], title: str | None = None) -> Table:
    """A rich table comparing results."""
    return _rich_table(HEADERS, rows(results), title)


def task_type_table(result: Results) -> Table:
    """A rich table of one result, family by family."""
    return _rich_table(("task type", "n", "success %", "95% interval"), _task_type_rows(result), None)


def markdown_table(results: Sequence[Results]) -> str:
    """The same table in GitHub's Markdown."""
    lines = [_markdown_row(HEADERS), "|---|---|" + "---:|" * (len(HEADERS) - 2)]
    return "\n".join([*lines, *(_markdown_row(row) for row in rows(results))]) + "\n"


def pair_row(name: str, pair: PairedComparison, p_value: float, significant: bool) -> tuple[str, ...]:
    """One row of a paired comparison, in the order of `PAIR_HEADERS`; differences in points, tokens and steps."""
    tasks = str(pair.n) + (f" (+{pair.unpaired} unpaired)" if pair.unpaired else "")
    counts = (pair.both, pair.only_first, pair.only_second, pair.neither)
    return (
        name,
        tasks,
        *map(str, counts),
        f"{100 * pair.difference:+.1f}",
        signed_interval(pair.difference_ci95, 100, 1),
        f"{p_value:.2g}{' *' if significant else ''}",
        "–" if pair.steps_difference is None else f"{pair.steps_difference:+.1f}",
        f"{pair.tokens_difference:+,.0f}",
    )


def signed_interval(bounds: tuple[float, float] | None, scale: float, digits: int) -> str:
    """Bounds of a difference: "+3.1 to +9.4"; a dash for None."""
    return "–" if bounds is None else " to ".join(f"{scale * bound:+,.{digits}f}" for bound in bounds)


def text_table(headers: Sequence[str], cells: Sequence[Sequence[str]], title: str | None = None) -> Table:
    """A rich table of any cells."""
    return _rich_table(headers, cells, title)


def markdown_text(headers: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Any cells in GitHub's Markdown, the first column to the left."""
    lines = [_markdown_row(headers), "|---|" + "---:|" * (len(headers) - 1), *map(_markdown_row, cells)]
    return "\n".join(lines) + "\n"


def _row(result: Results) -> tuple[str, ...]:
    return (
        str(result["planner"]),
        f"{result['env']}/{result['split']}",
        str(result["n"]),
        percent(result["success_rate"]),
        interval(result["success_ci95"]),
        number(result["mean_steps"], 1),
        number(result["mean_k"], 2),
        number(result["tokens"].get("per_decision"), 0),
        number(result["normalized_budget"], 2),
        str(result.get("invalid_actions", "–")),
        _unparsed(result),
        number(result["seconds"], 1),
        str(result["errors"]),
    )


def _unparsed(result: Results) -> str:
    """Share of answers that were no command, where answers were read."""
    read = sum(count for parse, count in result.get("parses", {}).items() if parse in PARSES)
    return percent(result["unparsed_actions"] / read) if read else "–"


def _task_type_rows(result: Results) -> list[tuple[str, ...]]:
    return [
        (name, str(group["n"]), percent(group["success_rate"]), interval(group["success_ci95"]))
        for name, group in result["by_task_type"].items()
    ]


def percent(rate: float | None) -> str:
    """A rate in [0, 1] as percent with one digit; a dash for None."""
    return number(None if rate is None else 100 * rate, 1)


def interval(bounds: Sequence[float]) -> str:
    """Two rates in [0, 1] as percent: "71.2–84.5"."""
    low, high = bounds
    return f"{percent(low)}–{percent(high)}"


def number(value: float | None, digits: int) -> str:
    """A figure with so many digits after the point; a dash for None."""
    return "–" if value is None else f"{value:,.{digits}f}"


def _rich_table(headers: Sequence[str], cells: Sequence[Sequence[str]], title: str | None) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title)
    for index, header in enumerate(headers):
        text_column = index == 0 or header == "env/split"
        table.add_column(header, justify="left" if text_column else "right", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
