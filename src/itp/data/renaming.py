"""Episodes told again under other names, so that a model reads names instead of reciting them.

Where a task has been seen with four substances, a small model learns those four by heart. A renamed copy of an episode
is the same episode with another substance: each name that the goal mentions changes places with another one of its
group, in every text of the episode. Names of `always` groups do so whether the goal mentions them or not.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from itp.errors import DataError
from itp.types import Step, Trajectory


@dataclass(frozen=True, slots=True)
class Names:
    """Groups of names that may stand for each other.

    Args:
        goal: groups whose names change where the goal mentions them.
        always: groups whose names change in every episode.
    """

    goal: tuple[tuple[str, ...], ...] = ()
    always: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def load(cls, path: Path) -> Names:
        """Read `{"goal": [["apple", "plum"], ...], "always": [...]}`.

        Raises:
            DataError: the file cannot be read, or is something else.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            groups = {key: tuple(map(tuple, data.pop(key, []))) for key in ("goal", "always")}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise DataError(f"--rename {path} cannot be read ({error}): {_FORM}") from error
        names = [name for part in groups.values() for group in part for name in group]
        if data or not names or not all(isinstance(name, str) and name for name in names):
            raise DataError(f"--rename {path} is no list of names: {_FORM}")
        if len({*names}) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"--rename {path} has {twice!r} twice: give each name in one group, once")
        return cls(**groups)


_FORM = 'give a JSON file like {"goal": [["apple", "plum"]], "always": [["pot 1", "pot 2"]]}'


def renamed(trajectories: Iterable[Trajectory], names: Names, copies: int, seed: int = 0) -> Iterator[Trajectory]:
    """Each episode as it is, followed by copies under other names; episodes that mention none have no copies.

    Args:
        trajectories: what was played.
        names: what may change.
        copies: how many copies of each.
        seed: of the names that are drawn.
    """
    for trajectory in trajectories:
        yield trajectory
        draw = random.Random(f"{seed} {trajectory.task.task_id} {len(trajectory.steps)}")
        for _ in range(copies):
            if exchange := _drawn(trajectory, names, draw):
                yield _told(trajectory, _speaker(exchange))


def _drawn(trajectory: Trajectory, names: Names, draw: random.Random) -> dict[str, str]:
    """Which name is put in which one's place."""
    exchange: dict[str, str] = {}
    for group in names.goal:
        mentioned = set(_pattern(group).findall(trajectory.task.goal))
        others = draw.sample([name for name in group if name not in mentioned], k=min(len(mentioned), len(group) // 2))
        for old, new in zip(sorted(mentioned), others, strict=False):
            exchange |= {old: new, new: old}
    for group in names.always:
        exchange |= dict(zip(group, draw.sample(group, k=len(group)), strict=True))
    return exchange


def _pattern(names: Iterable[str]) -> re.Pattern[str]:
    """Any of the names as whole words, the longest first: in "apple juice" stands no "apple"."""
    return re.compile(r"\b(?:" + "|".join(map(re.escape, sorted(names, key=len, reverse=True))) + r")\b")


def _speaker(exchange: Mapping[str, str]) -> Callable[[str], str]:
    pattern = _pattern(exchange)
    return lambda text: pattern.sub(lambda found: exchange[found[0]], text)


def _told(trajectory: Trajectory, say: Callable[[str], str]) -> Trajectory:
    task = replace(trajectory.task, goal=say(trajectory.task.goal))
    steps: Sequence[Step] = [_step(step, say) for step in trajectory.steps]
    return replace(trajectory, task=task, first_observation=say(trajectory.first_observation), steps=tuple(steps))


def _step(step: Step, say: Callable[[str], str]) -> Step:
    admissible = None if step.admissible is None else tuple(map(say, step.admissible))
    return replace(
        step,
        decision=replace(step.decision, action=say(step.decision.action)),
        observation=say(step.observation),
        expert_action=say(step.expert_action),
        admissible=admissible,
    )
