"""Several seeds of one setting: runs that differ in their seed and their checkpoints alone, as one row.

The interval is Student's over the runs: it holds for a new seed on the same tasks. How far the tasks stand for others
is what each run's own Wilson interval tells.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from itp.evaluation.stats import t_interval
from itp.evaluation.table import interval, number, percent

FREE = (
    "seed",
    "policy",
    "world_model",
    "knowledge",
    "out",
    "batch_size",
    "workers",
    "device",
    "policy_device",
    "wm_device",
)
"""Settings in which runs of one group may differ."""


def group_by_seed(results: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Results that differ in `FREE` settings alone, in the order in which the groups begin."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        settings = {key: value for key, value in result["config"].items() if key not in FREE}
        key = json.dumps([result["env"], result["split"], result["planner"], result["n"], settings], sort_keys=True)
        groups.setdefault(key, []).append(result)
    return list(groups.values())


def seed_rows(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A row for each group, in the order of `itp.evaluation.table.SEED_HEADERS`; rates are means over its runs."""
    return [_row(group) for group in group_by_seed(results)]


def _row(group: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    rates = [float(result["success_rate"] or 0.0) for result in group]
    bounds = t_interval(rates)
    spread = (
        (sum((rate - sum(rates) / len(rates)) ** 2 for rate in rates) / (len(rates) - 1)) ** 0.5 if bounds else None
    )
    first = group[0]
    return (
        str(first["planner"]),
        f"{first['env']}/{first['split']}",
        str(len(group)),
        str(first["n"]),
        percent(sum(rates) / len(rates)),
        "–" if bounds is None else interval(bounds),
        percent(spread),
        ", ".join(percent(rate) for rate in rates),
        number(sum(result["mean_steps"] or 0.0 for result in group) / len(group), 1),
        number(sum(result["irreversible_failures"] for result in group) / len(group), 1),
    )
