"""One row per real step, for spreadsheets and data frames: CSV or Parquet through polars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itp.errors import ConfigError
from itp.export.runs import ExportRun
from itp.types import Step, Trajectory

if TYPE_CHECKING:
    import polars

COLUMNS: dict[str, type] = {
    "run": str, "env": str, "split": str, "planner": str, "task_id": str, "task_type": str, "goal": str, "won": bool,
    "score": float, "stop": str, "irreversible": bool, "step": int, "action": str, "observation": str, "reward": float,
    "horizon": int, "imagined": str, "imagined_steps": int, "parse": str, "horizon_parse": str, "thought": str,
    "reflection": str, "policy_tokens": int, "world_model_tokens": int, "imagination_tokens": int, "calls": int,
    "seconds": float, "admissible_commands": int,
}  # fmt: skip
"""Name and type of every column. `step` counts from 1, as in `itp show`; `imagined` is the foresight, two lines a step;
`seconds` are the decision's, of both models; `admissible_commands` is their number, 0 where traces do not keep them."""


def write_steps(runs: Sequence[ExportRun], out: Path) -> int:
    """Write the steps of all runs; the file's ending says how. Returns the number of rows."""
    frame = steps_frame(runs)
    if out.suffix == ".parquet":
        frame.write_parquet(out)
    else:
        frame.write_csv(out)
    return len(frame)


def steps_frame(runs: Sequence[ExportRun]) -> polars.DataFrame:
    """All steps as a polars frame with `COLUMNS`. Raises ConfigError where polars is missing."""
    try:
        import polars
    except ImportError:
        raise ConfigError("csv and parquet need polars: pip install 'imagine-then-plan[export]'") from None
    kinds = {str: polars.String, int: polars.Int64, float: polars.Float64, bool: polars.Boolean}
    schema = {name: kinds[kind] for name, kind in COLUMNS.items()}
    rows = [row for run in runs for episode in run.episodes() for row in _rows(run, episode)]
    return polars.DataFrame(rows, schema=schema, orient="row")


def _rows(run: ExportRun, episode: Trajectory) -> Iterator[list[Any]]:
    results, task = run.results, episode.task
    head = [run.name, results["env"], results["split"], results["planner"], task.task_id, task.task_type, task.goal]
    ending = [episode.won, float(episode.score), str(episode.stop.value), episode.irreversible]
    for number, step in enumerate(episode.steps, start=1):
        yield [*head, *ending, number, *_step(step)]


def _step(step: Step) -> list[Any]:
    decision = step.decision
    usages = (decision.policy_usage, decision.world_model_usage)
    imagined = "\n".join(f"> {s.action}\n{s.observation}" for s in decision.foresight.steps)
    return [
        decision.action,
        step.observation,
        float(step.reward),
        decision.horizon,
        imagined,
        len(decision.foresight),
        decision.parse,
        decision.horizon_parse,
        decision.thought,
        decision.reflection,
        *(usage.tokens for usage in usages),
        decision.imagination_usage.tokens,
        sum(usage.calls for usage in usages),
        float(sum(usage.seconds for usage in usages)),
        len(step.admissible or ()),
    ]
