"""Episodes told again under other names, so that a model reads names instead of reciting them.

Where a task has been seen with four substances, a small model learns those four by heart. A renamed copy of an episode
is the same episode with another substance: each name that the goal mentions changes places with another one of its
group, in every text of the episode. Names of `always` groups do so whether the goal mentions them or not. Words that go
together change together: where "conductive" and "which is on" change places with "nonconductive" and "which is off",
the copy is an episode with the other outcome (counterfactual data augmentation), and what was learnt by heart is wrong.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from itp.errors import DataError
from itp.types import Step, Trajectory


@dataclass(frozen=True, slots=True)
class Group:
    """Names that may stand for each other.

    Args:
        names: each one a word, or several that go together and change places with as many others.
        where: expression that the goal of an episode must hold; "" takes any.
        part: expression with one group, searched in the actions; the text of the group stands for each "{}" in a word.
            Without it in an episode the names stay. Such names change before all others do.
    """

    names: tuple[tuple[str, ...], ...]
    where: str = ""
    part: str = ""

    @classmethod
    def of(cls, *names: str) -> Group:
        """A group of single words, for any goal."""
        return cls(tuple((name,) for name in names))

    def words(self) -> Iterator[str]:
        """Every word of every name."""
        return itertools.chain.from_iterable(self.names)


@dataclass(frozen=True, slots=True)
class Names:
    """Groups of names that may stand for each other.

    Args:
        goal: groups whose names change where the goal mentions them.
        always: groups whose names change in every episode.
        times: how many times as many copies there are of episodes whose goal holds an expression.
    """

    goal: tuple[Group, ...] = ()
    always: tuple[Group, ...] = ()
    times: tuple[tuple[str, int], ...] = ()

    @classmethod
    def load(cls, path: Path) -> Names:
        """Read `{"goal": [GROUP, ...], "always": [GROUP, ...], "times": {"EXPRESSION": 3}}`.

        A group is a list of names, `["apple", "plum"]`, or `{"where": "EXPRESSION", "part": "EXPRESSION", "names":
        [...]}`, of which `part` may be missing; a name is a word or a list of words that go together.

        Raises:
            DataError: the file cannot be read, or is something else.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            goal, always = (tuple(_group(entry) for entry in data.pop(key, [])) for key in ("goal", "always"))
            times = tuple((re.compile(where).pattern, n) for where, n in data.pop("times", {}).items())
        except (OSError, ValueError, AttributeError, TypeError, KeyError, re.error) as error:
            raise DataError(f"--rename {path} cannot be read ({error}): {_FORM}") from error
        groups = (*goal, *always)
        words = [word for group in groups for word in group.words()]
        if (
            data
            or not words
            or not all(isinstance(word, str) and word for word in words)
            or min(map(_lengths, groups)) < 1
        ):
            raise DataError(f"--rename {path} is no list of names: {_FORM}")
        if not all(isinstance(n, int) and n >= 1 for _, n in times):
            raise DataError(f"--rename {path} has times that are not whole numbers of at least 1")
        for where in {group.where for group in groups}:
            together = [word for group in groups if group.where == where for word in group.words()]
            if twice := _twice(together):
                raise DataError(f"--rename {path} has {twice!r} twice: give each name in one group, once")
        return cls(goal, always, times)


_FORM = 'give a JSON file like {"goal": [["apple", "plum"]], "always": [["pot 1", "pot 2"]]}'


def _group(entry: Any) -> Group:
    if not isinstance(entry, dict):
        entry = {"where": "", "names": entry}
    names = tuple((name,) if isinstance(name, str) else tuple(name) for name in entry["names"])
    where, part = re.compile(entry["where"]), re.compile(entry.get("part", ""))
    if bool(part.pattern) != (part.groups == 1):
        raise ValueError(f"part {part.pattern!r} must have one group")
    return Group(names, where.pattern, part.pattern)


def _twice(words: Sequence[str]) -> str | None:
    return next((word for word, count in Counter(words).items() if count > 1), None)


def _lengths(group: Group) -> int:
    """How many words each name of a group has; 0 where they differ."""
    lengths = {len(name) for name in group.names}
    return lengths.pop() if len(lengths) == 1 else 0


def renamed(trajectories: Iterable[Trajectory], names: Names, copies: int, seed: int = 0) -> Iterator[Trajectory]:
    """Each episode as it is, followed by copies under other names; episodes that mention none have no copies.

    Args:
        trajectories: what was played.
        names: what may change.
        copies: how many copies of each, times what `names` says.
        seed: of the names that are drawn.
    """
    for trajectory in trajectories:
        yield trajectory
        draw = random.Random(f"{seed} {trajectory.task.task_id} {len(trajectory.steps)}")
        count = copies * max((n for where, n in names.times if re.search(where, trajectory.task.goal)), default=1)
        for _ in range(count):
            copy = trajectory
            for exchange in _drawn(trajectory, names, draw):
                copy = _told(copy, _speaker(exchange))
            if copy is not trajectory:
                yield copy


def _drawn(trajectory: Trajectory, names: Names, draw: random.Random) -> Iterator[dict[str, str]]:
    """Which word is put in which one's place: first for names that hold a part of the episode, then for the others."""
    goal = trajectory.task.goal
    parts: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    pairs: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    for group in (group for group in names.goal if re.search(group.where, goal)):
        filled = _filled(group, trajectory)
        found = {*_pattern(itertools.chain.from_iterable(filled)).findall(goal)} if filled else set()
        mentioned = [name for name in filled if found.intersection(name)]
        others = [name for name in filled if name not in mentioned]
        for old, new in zip(mentioned, draw.sample(others, k=min(len(mentioned), len(others))), strict=False):
            (parts if group.part else pairs).extend([(old, new), (new, old)])
    for group in (group for group in names.always if re.search(group.where, goal)):
        filled = _filled(group, trajectory)
        (parts if group.part else pairs).extend(zip(filled, draw.sample(filled, k=len(filled)), strict=True))
    for part in (parts, pairs):
        exchange = [words for old, new in part for words in zip(old, new, strict=True)]
        if twice := _twice([word for word, _ in exchange]):
            raise DataError(f"--rename: {twice!r} is in two groups that apply to the goal {goal!r}: narrow their where")
        if exchange:
            yield dict(exchange)


def _filled(group: Group, trajectory: Trajectory) -> Sequence[tuple[str, ...]]:
    """The names of a group, with a part of the episode in them where they ask for one."""
    if not group.part:
        return group.names
    found = (re.search(group.part, step.decision.action) for step in trajectory.steps)
    part = next((match[1] for match in found if match), None)
    return [] if part is None else [tuple(word.replace("{}", part) for word in name) for name in group.names]


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
