"""Shards of a run, and their merge: who plays which episodes, and whether the parts make a whole.

The episodes of every run are split, not the list of runs: shard i of n takes every n-th task of the split, from the
i-th. Splits list their tasks by family, so each shard gets its share of every family and of every planner, and shards
take about the same time however much the planners differ in cost.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from itp.errors import ConfigError, DataError
from itp.types import Trajectory

LISTED = 5
"""Task ids that a message names; it counts the rest."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index` (from 1) of `count`."""

    index: int = 1
    count: int = 1

    @staticmethod
    def parse(text: str) -> Shard:
        """Read "2/4"; "" is the whole. Raises ConfigError for anything else."""
        if not text:
            return Shard()
        match = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(f"--shard {text} is no part of a whole: write i/n with 1 <= i <= n, for example 1/4")
        return Shard(int(match[1]), int(match[2]))

    def take(self, tasks: Sequence[str]) -> list[str]:
        """This shard's tasks, in order; together the shards hold every task once."""
        return list(tasks[self.index - 1 :: self.count])


def merge_episodes(parts: Mapping[str, Sequence[Trajectory]], tasks: Sequence[str]) -> list[Trajectory]:
    """The episodes of all parts in the order of `tasks`.

    Args:
        parts: name of a part (a folder) -> its episodes.
        tasks: every task of the whole run.

    Raises:
        DataError: a task was played in several parts, or twice in one; is missing; or does not belong to the run.
            Names the tasks.
    """
    episodes: dict[str, Trajectory] = {}
    owners: dict[str, list[str]] = {}
    for name, trajectories in parts.items():
        for trajectory in trajectories:
            episodes[trajectory.task.task_id] = trajectory
            owners.setdefault(trajectory.task.task_id, []).append(name)
    doubled = {task: names for task, names in owners.items() if len(names) > 1}
    if doubled:
        places = ", ".join(sorted({name for names in doubled.values() for name in names}))
        raise DataError(f"{_listed(doubled)} played more than once, in {places}: leave the shard given twice away")
    missing = [task for task in tasks if task not in episodes]
    if missing:
        raise DataError(
            f"{_listed(missing)} of {len(tasks)} in none of {', '.join(parts)}: "
            "name every shard, and let each finish (the same command resumes it)"
        )
    foreign = sorted(episodes.keys() - set(tasks))
    if foreign:
        raise DataError(f"{_listed(foreign)} in the shards but not in the split: they were played on other data")
    return [episodes[task] for task in tasks]


def missing_shards(shards: Sequence[Shard]) -> list[str]:
    """Shards that are not among these, which must agree on their number, as "2/4".

    Raises:
        ConfigError: they are parts of different wholes, or one is given twice.
    """
    counts = sorted({shard.count for shard in shards})
    if len(counts) > 1:
        raise ConfigError(f"shards of {' and of '.join(map(str, counts))} cannot be merged: name those of one split")
    twice = [f"{shard.index}/{shard.count}" for shard, n in Counter(shards).items() if n > 1]
    if twice:
        raise ConfigError(f"shard {', '.join(twice)} is given twice: leave one away")
    given = {shard.index for shard in shards}
    return [f"{index}/{counts[0]}" for index in range(1, counts[0] + 1) if index not in given]


def _listed(tasks: Mapping[str, object] | Sequence[str]) -> str:
    names = list(tasks)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{len(names)} episode{'s' * (len(names) > 1)} ({', '.join(names[:LISTED])}{more})"
