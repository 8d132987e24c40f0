"""Two runs on the same tasks, compared task by task: what one wins and the other loses counts, nothing else does.

Games differ far more in difficulty than planners do, so that two Wilson intervals may overlap although one planner is
plainly better on the very same games.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from itp.evaluation.stats import Interval, bootstrap_mean_interval, mcnemar
from itp.types import Trajectory


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """What `compare_pairs` found. Differences are second minus first.

    Attributes:
        n: tasks that both runs played.
        unpaired: tasks that only one of them played, left out.
        both, only_first, only_second, neither: tasks by who won them.
        difference: of the success rates, in [-1, 1].
        difference_ci95: bootstrap over tasks; None for fewer than two.
        p_value: McNemar's exact test, two-sided.
        steps_difference: mean over the tasks that both won; None without such.
        steps_ci95: its bootstrap interval.
        tokens_difference: mean of the episodes' tokens (policy and world model).
        tokens_ci95: its bootstrap interval.
    """

    n: int
    unpaired: int
    both: int
    only_first: int
    only_second: int
    neither: int
    difference: float
    difference_ci95: Interval | None
    p_value: float
    steps_difference: float | None
    steps_ci95: Interval | None
    tokens_difference: float
    tokens_ci95: Interval | None


def compare_pairs(first: Sequence[Trajectory], second: Sequence[Trajectory], family: str = "") -> PairedComparison:
    """Compare two runs by task.

    Args:
        first: episodes of the reference, one per task.
        second: episodes of the run to judge.
        family: of tasks, where only that one is to be compared.

    Raises:
        ValueError: no task was played by both, or one was played twice by one of them.
    """
    one, two = _by_task(first, family), _by_task(second, family)
    shared = sorted(one.keys() & two.keys())
    if not shared:
        raise ValueError("the runs have no task in common")
    pairs = [(one[task], two[task]) for task in shared]
    wins = [(a.won, b.won) for a, b in pairs]
    gains = [float(b.won) - float(a.won) for a, b in pairs]
    steps = [float(len(b.steps) - len(a.steps)) for a, b in pairs if a.won and b.won]
    tokens = [float(_tokens(b) - _tokens(a)) for a, b in pairs]
    only_first, only_second = wins.count((True, False)), wins.count((False, True))
    return PairedComparison(
        n=len(pairs),
        unpaired=len(one.keys() ^ two.keys()),
        both=wins.count((True, True)),
        only_first=only_first,
        only_second=only_second,
        neither=wins.count((False, False)),
        difference=_mean(gains),
        difference_ci95=bootstrap_mean_interval(gains),
        p_value=mcnemar(only_first, only_second),
        steps_difference=_mean(steps) if steps else None,
        steps_ci95=bootstrap_mean_interval(steps),
        tokens_difference=_mean(tokens),
        tokens_ci95=bootstrap_mean_interval(tokens),
    )


def families(*runs: Sequence[Trajectory]) -> list[str]:
    """Task families that every run has, sorted."""
    sets = [{trajectory.task.task_type for trajectory in run} for run in runs]
    return sorted(filter(None, set.intersection(*sets)))


def _by_task(trajectories: Sequence[Trajectory], family: str) -> Mapping[str, Trajectory]:
    chosen = [t for t in trajectories if not family or t.task.task_type == family]
    found = {trajectory.task.task_id: trajectory for trajectory in chosen}
    if len(found) != len(chosen):
        raise ValueError("a task was played twice in one run")
    return found


def _tokens(trajectory: Trajectory) -> int:
    decisions = [step.decision for step in trajectory.steps]
    return sum(decision.policy_usage.tokens + decision.world_model_usage.tokens for decision in decisions)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
