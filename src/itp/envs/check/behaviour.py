"""What an environment does over an episode: endings, determinism, odd commands, clones, the step limit."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from itp.envs.check.answers import Answer, comparable, difference, read_reset, read_step
from itp.envs.check.findings import Findings, show
from itp.errors import EnvError

OPEN_COMMANDS = ("look", "inventory", "wait", "go north", "take all", "help")
"""Sent where an environment lists no admissible commands."""
ODD_COMMANDS = (
    "",
    "   ",
    "x" * 10_000,
    "naïve ☃ 猫 \U0001f600",
    "look\nlook",
    "LOOK",
    "-1",
    "%s {0} \\ \"'",
    "look\x00\t",
)
NO_COMMANDS = (None, 3, ["look"])
AT_LIMIT = "truncated exactly at the step limit it was made with"
LIMIT = 3
"""Step limit that is tried on environments that take one."""


def check_play(findings: Findings, env: Any, other: Any, task: str, steps: int, seed: int) -> None:
    """Play random commands, then the same ones again, here and on another instance; nothing may differ."""
    first = start(findings, env, task, seed)
    commands, answers = play(findings, env, first, steps, random.Random(seed))
    if answers and _over(answers[-1]):
        expected = "an exception after the episode is over"
        findings.refused("step", expected, lambda: env.step(commands[-1]), "an answer")
    wanted = [comparable(first), *map(comparable, answers)]
    again = [("reset", "the same play again after reset with the same task", env)]
    if other is not None:
        again.append(("reset", "the same play from another instance with the same task and seed", other))
    for method, expected, player in again:
        found = [comparable(start(findings, player, task, seed))]
        for command in commands:
            if len(found) > 1 and (found[-1][2] or found[-1][3]):
                break
            found.append(comparable(step(findings, player, command)))
        for index, (one, two) in enumerate(zip(wanted, found, strict=False)):
            after = f"after {index} steps " if index else "at reset "
            findings.demand(one == two, method, expected, after + difference(one, two))


def check_odd_commands(findings: Findings, env: Any, task: str, seed: int) -> None:
    """Any string is an action: it may do nothing, but not raise. What is no string is an error."""
    with findings.part():
        read = start(findings, env, task, seed)
        for command in ODD_COMMANDS:
            what = f"an answer to any text as action, such as {show(command)[4:24]}"
            result = findings.call("step", what, lambda: env.step(command))  # noqa: B023
            read = read_step(findings, env, result)
            if _over(read):
                start(findings, env, task, seed)
    for action in NO_COMMANDS:
        with findings.part():
            start(findings, env, task, seed)
            expected = "an exception for an action that is no string"
            findings.refused("step", expected, lambda: env.step(action), f"an answer to {show(action)}")  # noqa: B023


def check_clone(findings: Findings, env: Any, task: str, steps: int, seed: int, made: list[Any]) -> None:
    """Three copies of one state play the same commands one after the other: all must answer alike."""
    rng = random.Random(seed)
    first = start(findings, env, task, seed)
    _, answers = play(findings, env, first, max(1, steps // 3), rng)
    now = answers[-1] if answers else first
    if answers and _over(answers[-1]):
        now = start(findings, env, task, seed)

    def copy_twice() -> list[Any]:
        try:
            return [env.clone(), env.clone()]
        except EnvError:
            return []  # this one says itself that it cannot be cloned

    copies = findings.call("clone", "a copy, or an EnvError", copy_twice)
    if not copies:
        return
    for copy in copies:
        findings.demand(type(copy) is type(env), "clone", f"another {type(env).__name__}", show(copy))
        findings.demand(copy is not env, "clone", "an independent environment", "the environment itself")
    made.extend(copies)
    commands, wanted = play(findings, copies[0], now, steps, rng)
    for player, which in ((env, "the original"), (copies[1], "a second clone")):
        expected = f"{which} to go on as a clone of the same state did, each undisturbed by the others"
        for index, (command, answer) in enumerate(zip(commands, wanted, strict=True), start=1):
            result = findings.call("clone", expected, lambda: player.step(command))  # noqa: B023
            one, two = comparable(answer), comparable(read_step(findings, player, result))
            findings.demand(one == two, "clone", expected, f"after {index} steps {difference(one, two)}")


def check_limit(findings: Findings, env: Any, task: str, seed: int) -> None:
    """An environment made with `max_steps=3` truncates at the third step; plays that end before it do not count."""
    for attempt in range(5):
        first = start(findings, env, task, seed)
        _, answers = play(findings, env, first, LIMIT, random.Random(seed + attempt))
        if not answers[-1][2]:
            how = "truncated at" if answers[-1][3] else "still running after"
            found = f"max_steps={LIMIT}, {how} step {len(answers)}"
            findings.need(answers[-1][3] and len(answers) == LIMIT, "step", AT_LIMIT, found)
            return


def start(findings: Findings, env: Any, task: str, seed: int) -> tuple[str, dict[str, Any]]:
    """Reset to a task and check the answer."""
    result = findings.call(
        "reset", "to play any of task_ids, at any time", lambda: env.reset(seed=seed, options={"task_id": task})
    )
    return read_reset(findings, env, result)


def step(findings: Findings, env: Any, command: str) -> Answer:
    """Take a step and check the answer."""
    result = findings.call("step", f"an answer to {show(command)[4:44]}", lambda: env.step(command))
    return read_step(findings, env, result)


def play(
    findings: Findings, env: Any, now: Sequence[Any], steps: int, rng: random.Random
) -> tuple[list[str], list[Answer]]:
    """Send random admissible commands until the episode or the number of steps is over; commands and answers."""
    commands: list[str] = []
    answers: list[Answer] = []
    labels = _labels(now)
    limit = getattr(env, "max_steps", None)
    while len(commands) < steps and not (answers and _over(answers[-1])):
        info = answers[-1][-1] if answers else now[-1]
        commands.append(rng.choice(info["admissible_commands"] or OPEN_COMMANDS))
        answers.append(step(findings, env, commands[-1]))
        expected = "task, task_id and task_type to stay the same over an episode"
        found = _labels(answers[-1])
        findings.need(found == labels, "info", expected, f"{show(labels)}, then {show(found)}")
        if isinstance(limit, int) and len(commands) >= limit and not _over(answers[-1]):
            findings.add("step", AT_LIMIT, f"max_steps={limit}, still running after {len(commands)} steps")
    return commands, answers


def _labels(answer: Sequence[Any]) -> tuple[str, str, str]:
    info = answer[-1]
    return info["task"], info["task_id"], info["task_type"]


def _over(answer: Answer) -> bool:
    return answer[2] or answer[3]
