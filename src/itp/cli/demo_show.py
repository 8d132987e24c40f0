"""What the demos print at the end: the table, the chosen K, one decision in full; and their report."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from itp.cli.demo_sets import PlaySet, Row
    from itp.types import Decision, Step, Trajectory

    Played = tuple[Row, Mapping[str, Any], Sequence[Trajectory]]

HEADERS = (
    "planner", "games", "success %", "95% interval", "steps", "irreversible", "mean K", "tokens/decision", "s/decision",
)  # fmt: skip


def show_set(one: PlaySet, played: Sequence[Played]) -> None:
    """Print a set's table, how often each K was chosen, what imagination won, and one decision.

    Args:
        one: the set.
        played: of every row, its `results.json` and its episodes.
    """
    from itp.cli.console import wide_console
    from itp.evaluation.table import number, text_table

    console, play = wide_console(), one.play
    print()
    title = f"{one.name}: {play.env}/{play.split}, the same {play.episodes} games for every row, seed {play.seed}"
    headers, rows = HEADERS, [cells(row.title, results) for row, results, _ in played]
    if any(results["mean_score"] != results["success_rate"] for _, results, _ in played):  # more than won or not
        headers = (*headers, "mean score")
        rows = [(*row, number(results["mean_score"], 1)) for row, (_, results, _) in zip(rows, played, strict=True)]
    console.print(text_table(headers, rows, title=title))
    first, chosen = played[0], learned_row(played)
    lines = [*_k_line(chosen), *(_pairs_line(first, chosen) if first is not chosen else ()), *_errors_line(played)]
    for line in lines:
        console.print(line, markup=False, highlight=False)
    others = [row for row in reversed(played) if row is not chosen]
    print_decision(console, {row.title: episodes for row, _, episodes in [chosen, *others]}, first[2], play.avoid)


def cells(title: str, results: Mapping[str, Any]) -> tuple[str, ...]:
    """One row of the table, in the order of `HEADERS`."""
    from itp.evaluation.table import interval, number, percent

    return (
        title,
        str(results["n"]),
        percent(results["success_rate"]),
        interval(results["success_ci95"]),
        number(results["mean_steps"], 1),
        str(results["irreversible_failures"]),
        number(results["mean_k"], 2),
        number(results["tokens"]["per_decision"], 0),
        number(results["seconds"] / max(results["decisions"], 1), 3),
    )


def learned_row(played: Sequence[Played]) -> Played:
    """The row whose K-head chooses; the last row where there is none."""
    from itp.planners.horizon_flag import K_HEAD

    learned = [row for row in played if row[0].planner == "itp" and row[0].horizon.partition(":")[0] in ("", *K_HEAD)]
    return (learned or list(played))[-1]


def print_decision(
    console: Console,
    rows: Mapping[str, Sequence[Trajectory]],
    without: Sequence[Trajectory] = (),
    avoid: Sequence[str] = (),
) -> None:
    """Print one decision that shows what imagination does, from the first row that has any.

    Args:
        console: where to.
        rows: episodes by the row's title, the row to show first.
        without: episodes of a row that imagines nothing, to tell what it did in the same state.
        avoid: texts that warn.
    """
    from itp.cli.show import show_decision

    for title, trajectories in rows.items():
        found = pick_decision(trajectories, without, avoid)
        if found is None:
            continue
        trajectory, number = found
        ending = "won" if trajectory.won else "lost"
        lines = [f"\nOne decision in full ({title}; this game was {ending}):", *show_decision(trajectory, number)]
        for line in [*lines, *_elsewhere(trajectory, number, without)]:
            console.print(line, markup=False, highlight=False)
        return


def pick_decision(
    trajectories: Sequence[Trajectory], without: Sequence[Trajectory] = (), avoid: Sequence[str] = ()
) -> tuple[Trajectory, int] | None:
    """The decision to show: (episode, step number from 1), or None when nothing was imagined.

    One in which imagination warned of the command that the policy liked best, and so changed the act, comes first; then
    one in which it changed the act at all. Of those: in a won game, in a game that was lost without imagination, early.
    Failing these, the longest imagination in a won game.
    """
    lost = {other.task.task_id for other in without if not other.won}

    def merit(trajectory: Trajectory, number: int, decision: Decision) -> tuple[int, ...]:
        changed = _changed(decision)
        depth = 0 if changed else len(decision.foresight)
        won, helped = trajectory.won, trajectory.task.task_id in lost
        return (_warned(decision, avoid), changed, won, helped, depth, -number)

    candidates = [
        (merit(trajectory, number, step.decision), -at, trajectory)
        for at, trajectory in enumerate(trajectories)
        for number, step in enumerate(trajectory.steps, start=1)
        if step.decision.foresight.steps
    ]
    if not candidates:
        return None
    best, _, trajectory = max(candidates, key=lambda candidate: candidate[:2])
    return trajectory, -best[-1]


def write_page(runs: Sequence[Path], out: Path, title: str) -> None:
    """OUT/report.html: figures, curves and every episode; without the extra `report`, a line that says so."""
    if importlib.util.find_spec("plotly") is None or importlib.util.find_spec("jinja2") is None:
        print(f"\nNo report: pip install 'imagine-then-plan[report]', then itp report {out}")
        return
    from itp.report.build import write_report
    from itp.report.sources import find_runs

    done = write_report(find_runs(runs), out / "report.html", title=title)
    print(f"\nEvery figure and episode, in a browser: {out / 'report.html'} ({done.size / 1e6:.1f} MB)")


def _changed(decision: Decision) -> bool:
    from itp.report.episodes import plan_changed

    return plan_changed(decision)


def _warned(decision: Decision, avoid: Sequence[str]) -> bool:
    """Whether the policy's first choice was seen to lead to what is to be avoided, and the command taken was not."""

    def warns(observations: Iterator[str]) -> bool:
        return any(text in observation for observation in observations for text in avoid)

    first = (step.observation for foresight in decision.passed_over[:1] for step in foresight.steps)
    return warns(first) and not warns(step.observation for step in decision.foresight.steps)


def _elsewhere(trajectory: Trajectory, number: int, without: Sequence[Trajectory]) -> Iterator[str]:
    """What the row without imagination did, where it came into the very same state and acted otherwise."""
    other = next((one for one in without if one.task.task_id == trajectory.task.task_id), None)
    if other is None or len(other.steps) < number or other is trajectory:
        return
    step = other.steps[number - 1]
    same = _seen(other.steps[: number - 1]) == _seen(trajectory.steps[: number - 1])
    if not same or step.decision.action == trajectory.steps[number - 1].decision.action:
        return
    ending = "won" if other.won else "lost for good" if other.irreversible else "lost"
    yield f"\nin the same state, without imagination (that game was {ending})"
    yield f"    > {step.decision.action}"
    yield from (f"    {line}" for line in step.observation.splitlines())


def _seen(steps: Sequence[Step]) -> list[tuple[str, str]]:
    return [(step.decision.action, step.observation) for step in steps]


def _k_line(row: Played) -> Iterator[str]:
    """How often each K was chosen."""
    counts = {int(k): count for k, count in row[1]["k_histogram"].items()}
    total = max(sum(counts.values()), 1)
    shares = "  ".join(f"K={k} {count:,} ({count / total:.0%})" for k, count in sorted(counts.items()))
    yield f"K of {row[0].title}: {shares}"


def _pairs_line(first: Played, second: Played) -> Iterator[str]:
    from itp.evaluation.pairs import compare_pairs

    pair = compare_pairs(first[2], second[2])
    yield (
        f"Game by game: {second[0].title} won {pair.only_second} that {first[0].title} lost, "
        f"and lost {pair.only_first} that it won (p = {pair.p_value:.2g})."
    )


def _errors_line(played: Sequence[Played]) -> Iterator[str]:
    errors = [trajectory.error for _, _, trajectories in played for trajectory in trajectories if trajectory.error]
    if errors:
        yield f"{len(errors)} episodes ended in an error, the first: {errors[0]}"
