"""Which of an expert's labels can be trusted, where its plan does not look at what others do.

A plan that was made at the start, such as ScienceWorld's tidy ones, is right as long as it is followed, and at the
first step where something else is done. It stays right after steps that change nothing: refused commands, looks, walks
to another room (the plan knows the way back). After others it may be spoilt, or done already in another way; that it
was neither shows where an episode is won by its very last step.
"""

from __future__ import annotations

from dataclasses import replace

from itp.types import Step, Trajectory

_CHANGES_NOTHING = ("look", "inventory", "examine ", "teleport to ", "go to ")
_REFUSED = ("No known action matches that input.",)


def sure(trajectory: Trajectory) -> Trajectory:
    """The episode with the labels that are sure to be right.

    All of an episode that the plan has won in the end; of another, those up to the first departure from it that may
    have changed something.
    """
    if trajectory.won and trajectory.steps and _follows(trajectory.steps[-1]):
        return trajectory
    steps, departed = [], False
    for step in trajectory.steps:
        steps.append(replace(step, expert_action="") if departed else step)
        departed = departed or not (_follows(step) or _idle(step))
    return replace(trajectory, steps=tuple(steps))


def _follows(step: Step) -> bool:
    return step.decision.action == step.expert_action


def _idle(step: Step) -> bool:
    return step.decision.action.startswith(_CHANGES_NOTHING) or step.observation.startswith(_REFUSED)
