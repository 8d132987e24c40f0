"""What imagination was worth, read from traces: how true it was by depth, and when in an episode it was used."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from itp.types import Trajectory
from itp.world_model.metrics import Outcome

PHASES = ("first third", "second third", "last third")
"""Of an episode's own steps; an episode of one step is all first third."""


def phase(number: int, steps: int) -> int:
    """Index in `PHASES` of step `number` (from 0) of an episode of so many steps."""
    return number * len(PHASES) // steps


def imagined_outcomes(trajectory: Trajectory) -> Iterator[tuple[int, Outcome]]:
    """(depth from 1, comparison) of each imagined observation with the real one, as long as the agent really did what
    it had imagined doing: behind the first other command there is nothing to compare."""
    for start, step in enumerate(trajectory.steps):
        future = trajectory.steps[start:]
        for depth, (imagined, real) in enumerate(zip(step.decision.foresight.steps, future, strict=False), start=1):
            if imagined.action != real.decision.action:
                break
            yield depth, Outcome.of(imagined.observation, real.observation)


def imagination_accuracy(trajectories: Iterable[Trajectory]) -> list[dict[str, Any]]:
    """By depth: `depth`, `n` comparisons, `exact_match` with its 95% Wilson interval `exact_match_ci95`, `token_f1`,
    `fact_f1`."""
    from itp.evaluation.stats import wilson_interval

    found: defaultdict[int, list[Outcome]] = defaultdict(list)
    for trajectory in trajectories:
        for depth, outcome in imagined_outcomes(trajectory):
            found[depth].append(outcome)
    table = []
    for depth, outcomes in sorted(found.items()):
        n, exact = len(outcomes), sum(outcome.exact for outcome in outcomes)
        table.append(
            {
                "depth": depth,
                "n": n,
                "exact_match": exact / n,
                "exact_match_ci95": list(wilson_interval(exact, n)),
                "token_f1": sum(outcome.f1 for outcome in outcomes) / n,
                "fact_f1": sum(outcome.fact_f1 for outcome in outcomes) / n,
            }
        )
    return table


def k_by_phase(trajectories: Sequence[Trajectory]) -> dict[str, dict[str, int]]:
    """K histogram of the decisions in each phase of their episodes."""
    counts: dict[str, Counter[int]] = {name: Counter() for name in PHASES}
    for trajectory in trajectories:
        for number, step in enumerate(trajectory.steps):
            counts[PHASES[phase(number, len(trajectory.steps))]][step.decision.horizon] += 1
    return {name: {str(k): n for k, n in sorted(count.items())} for name, count in counts.items()}
