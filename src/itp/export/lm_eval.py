"""Results in the shape of lm-evaluation-harness: `results`, `configs`, `n-samples`, one entry for each run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from itp.export.runs import ExportRun


def write_lm_eval(runs: Sequence[ExportRun], out: Path) -> int:
    """Write one JSON file. Returns the number of runs."""
    content = {
        "results": {_task(run): _figures(run.results) for run in runs},
        "configs": {_task(run): dict(run.results["config"]) for run in runs},
        "n-samples": {_task(run): {"original": run.results["n"], "effective": run.results["n"]} for run in runs},
        "higher_is_better": {_task(run): {"acc": True, "score": True} for run in runs},
        "versions": {_task(run): run.results["schema_version"] for run in runs},
    }
    out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return len(runs)


def _task(run: ExportRun) -> str:
    return f"{run.results['env']}_{run.results['split']}_{run.name}"


def _figures(results: Mapping[str, Any]) -> dict[str, Any]:
    rate, n = results["success_rate"], results["n"]
    error = (rate * (1 - rate) / (n - 1)) ** 0.5 if rate is not None and n > 1 else None
    return {
        "alias": results["planner"],
        "acc,none": rate,
        "acc_stderr,none": error,
        "score,none": results["mean_score"],
        "steps,none": results["mean_steps"],
        "mean_k,none": results["mean_k"],
        "tokens_per_episode,none": results["tokens"]["per_episode"],
    }
