"""Which of an expert's labels can be trusted, where its plan does not look at what others do.

A plan that was made at the start, such as ScienceWorld's tidy ones, is right as long as it is followed, and at the
first step where something else is done. After that it may be spoilt; the episode's being won shows that it was not.
"""

from __future__ import annotations

from dataclasses import replace

from itp.types import Trajectory


def sure(trajectory: Trajectory) -> Trajectory:
    """The episode with the labels that are sure to be right: all of a won one, else those up to the first departure."""
    if trajectory.won:
        return trajectory
    steps, departed = [], False
    for step in trajectory.steps:
        steps.append(replace(step, expert_action="") if departed else step)
        departed = departed or step.decision.action != step.expert_action
    return replace(trajectory, steps=tuple(steps))
