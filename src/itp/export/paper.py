"""Tables for papers, LaTeX and Markdown: our runs, and the rows that Liu et al. 2026 report, marked as theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from itp.evaluation.table import interval, markdown_text, number, percent
from itp.export.runs import ExportRun

CITATION = "Liu et al. 2026, arXiv 2601.08955"
PAPER_COLUMNS = {
    ("alfworld", "valid_seen"): 0,
    ("scienceworld", "test_seen"): 1,
    ("scienceworld", "test_unseen"): 2,
}
"""Column of `PAPER` for each of our environments and splits; the fourth, WebShop, has no environment here."""
BACKBONES = ("Qwen2.5-7B", "Qwen3-8B", "Llama-3.1-8B")
PAPER: Mapping[str, tuple[tuple[float, ...], ...]] = {
    "CoT": ((14.3, 3.1, 4.6, 5.1), (13.6, 2.4, 2.0, 6.3), (15.0, 3.1, 3.3, 8.2)),
    "ReAct": ((17.1, 8.2, 9.9, 15.3), (19.3, 9.8, 8.6, 18.6), (21.4, 9.3, 13.2, 19.3)),
    "RAP": ((27.9, 10.3, 16.6, 11.3), (28.6, 15.5, 27.1, 12.4), (22.9, 11.3, 17.2, 16.1)),
    "ITP-I": ((35.7, 16.5, 17.9, 20.1), (41.4, 20.6, 19.9, 25.3), (37.9, 19.6, 19.2, 24.3)),
    "SFT": ((67.9, 55.7, 49.0, 51.6), (70.7, 56.7, 49.7, 52.3), (79.3, 57.2, 50.3, 47.3)),
    "WKM": ((76.4, 54.1, 56.3, 58.8), (79.3, 60.3, 47.7, 61.2), (77.9, 61.3, 55.0, 65.6)),
    "IWM": ((82.8, 60.8, 57.6, 56.2), (82.1, 59.3, 54.3, 57.3), (85.9, 57.6, 56.3, 58.6)),
    "ITP-R": ((85.1, 62.6, 58.9, 60.2), (88.6, 61.9, 57.0, 68.1), (87.1, 63.9, 57.6, 67.5)),
}
"""Success %, by method and backbone: ALFWorld seen, ScienceWorld seen, ScienceWorld unseen, WebShop."""
HEADERS = ("agent", "environment", "n", "success %", "95% interval", "steps", "mean K", "tokens/episode")
Row = tuple[str, ...]


def markdown(runs: Sequence[ExportRun]) -> str:
    """Both tables as GitHub's Markdown."""
    text = markdown_text(HEADERS, [_row(run) for run in runs])
    theirs = [
        f"\n{env}/{split} as reported by {CITATION} (theirs; success %):\n\n"
        + markdown_text(("method", *BACKBONES), rows)
        for env, split, rows in _theirs(runs)
    ]
    return "".join([text, *theirs])


def latex(runs: Sequence[ExportRun]) -> str:
    """Both tables as LaTeX with booktabs rules."""
    tables = [_tabular(HEADERS, [_row(run) for run in runs], "Our runs (95\\% Wilson intervals).")]
    for env, split, rows in _theirs(runs):
        caption = f"{_escaped(env)}/{_escaped(split)} as reported by {CITATION} (theirs; success \\%)."
        tables.append(_tabular(("method", *BACKBONES), rows, caption))
    return "% needs \\usepackage{booktabs}\n" + "\n".join(tables)


def _theirs(runs: Sequence[ExportRun]) -> list[tuple[str, str, list[Row]]]:
    """Environment, split and the paper's rows, for each that our runs played and the paper reports."""
    played = dict.fromkeys((run.results["env"], run.results["split"]) for run in runs)
    found = []
    for env, split in played:
        column = PAPER_COLUMNS.get((env, split))
        if column is not None:
            rows = [(name, *(f"{backbone[column]:.1f}" for backbone in rows)) for name, rows in PAPER.items()]
            found.append((env, split, rows))
    return found


def _row(run: ExportRun) -> Row:
    results: Mapping[str, Any] = run.results
    return (
        run.label,
        f"{results['env']}/{results['split']}",
        str(results["n"]),
        percent(results["success_rate"]),
        interval(results["success_ci95"]),
        number(results["mean_steps"], 1),
        number(results["mean_k"], 2),
        number(results["tokens"]["per_episode"], 0),
    )


def _tabular(headers: Sequence[str], rows: Sequence[Row], caption: str) -> str:
    lines = [" & ".join(map(_escaped, cells)) + r" \\" for cells in (headers, *rows)]
    columns = "l" + "r" * (len(headers) - 1)
    body = "\n".join(lines[1:])
    return (
        f"\\begin{{table}}\n\\centering\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n{lines[0]}\n\\midrule\n{body}\n"
        f"\\bottomrule\n\\end{{tabular}}\n\\caption{{{caption}}}\n\\end{{table}}\n"
    )


def _escaped(text: str) -> str:
    replaced = text.replace("\\", r"\textbackslash ")
    for sign in "&%$#_{}":
        replaced = replaced.replace(sign, "\\" + sign)
    return replaced.replace("–", "--").replace("~", r"\textasciitilde ").replace("^", r"\textasciicircum ")
