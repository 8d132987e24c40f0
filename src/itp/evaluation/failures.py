"""Why an episode was lost: one category for each, from its trace alone.

The first rule that holds names the category:

1. `error`: the environment failed.
2. `loop`: none of the last `LOOP_STEPS` steps was new: each of them repeated an (action, observation) pair from earlier
   in the episode, so the agent went round places and answers that it knew.
3. `target_never_seen`: no object of the goal's type was ever seen or held.
4. `wrong_object`: one was seen but none ever held, while some other object was.
5. `other`: everything else, for example the right object never brought to its place.

Rules 3 and 4 need a goal that the household grammar can read; other environments know `loop`, `error` and `other`.
"""

from __future__ import annotations

from itp.envs.alfworld.belief import Belief
from itp.types import StopReason, Trajectory

LOOP_STEPS = 10
CATEGORIES = ("loop", "target_never_seen", "wrong_object", "other", "error")


def failure_category(trajectory: Trajectory, loop_steps: int = LOOP_STEPS) -> str | None:
    """The category of a lost episode (see the module's text), None for a won one."""
    if trajectory.won:
        return None
    if trajectory.stop is StopReason.ERROR:
        return "error"
    if is_loop(trajectory, loop_steps):
        return "loop"
    return _object_category(trajectory)


def is_loop(trajectory: Trajectory, loop_steps: int = LOOP_STEPS) -> bool:
    """Whether each of the last `loop_steps` steps repeats an (action, observation) pair of an earlier step."""
    pairs = [(step.decision.action, step.observation) for step in trajectory.steps]
    first_new = len(pairs) - loop_steps
    if first_new <= 0:
        return False
    latest_new = max(index for index, pair in enumerate(pairs) if pair not in pairs[:index])
    return latest_new < first_new


def _object_category(trajectory: Trajectory) -> str:
    belief = Belief.start(trajectory.task.goal, trajectory.first_observation)
    target = belief.goal.target
    if not target:
        return "other"
    seen: set[str] = set()
    held: set[str] = set()
    for step in trajectory.steps:
        belief.update(step.decision.action, step.observation)
        seen.update(item for contents in belief.contents.values() for item in contents)
        if belief.holding is not None:
            held.add(belief.holding)
    if not _any_of_type(target, seen | held):
        return "target_never_seen"
    return "wrong_object" if held and not _any_of_type(target, held) else "other"


def _any_of_type(target: str, objects: set[str]) -> bool:
    return any(name == target or name.startswith(target + " ") for name in objects)
