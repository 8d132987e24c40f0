"""`check_text_env`: plays an environment a little and compares what it does with the contract of `itp.envs.base`.

The parts run in an order in which one fault gives one line: the class, the tasks, reset, play, and only when a step
works and repeats itself the finer points (odd commands, clones, step limit). No part raises.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import gymnasium

from itp.envs.base import TextEnv
from itp.envs.check import behaviour
from itp.envs.check.answers import comparable, difference, read_reset
from itp.envs.check.findings import Findings, Problem, describe, show
from itp.envs.registry import make_env
from itp.errors import EnvError

UNKNOWN_TASK = "no-such-task-of-check_text_env"


def check_text_env(
    env_or_factory: gymnasium.Env[Any, Any] | Callable[..., Any], *, steps: int = 30, seed: int = 0
) -> list[Problem]:
    """What an author has to mend before the package can play an environment; empty when nothing was found.

    Never raises for a faulty environment: an exception becomes a problem. It cannot find an environment that hangs.
    The environment is played on and then closed.

    Args:
        env_or_factory: a factory called without arguments, or an environment. Only with a factory are two instances
            compared, and step before reset tried; if it takes `max_steps`, a limit of 3 steps is tried as well (with
            `make_env`, which may drop it, only where the environment has an attribute `max_steps`).
        steps: random steps to play in each of two tasks, three times.
        seed: of the random play.
    """
    findings = Findings()
    made: list[Any] = []
    try:
        with findings.part():
            _check(findings, env_or_factory, made, steps, seed)
    except Exception as error:  # an attribute that raises where nobody would expect it
        findings.add("environment", "attributes that can be read", describe(error))
    finally:
        for env in made:
            with findings.part():
                for attempt in ("close", "close, called twice"):
                    findings.call(attempt, "no exception", lambda: env.close())  # noqa: B023
    return findings.problems


def assert_text_env(
    env_or_factory: gymnasium.Env[Any, Any] | Callable[..., Any], *, steps: int = 30, seed: int = 0
) -> None:
    """`check_text_env` for tests: raises when anything was found.

    Raises:
        EnvError: the problems, one line each.
    """
    if problems := check_text_env(env_or_factory, steps=steps, seed=seed):
        raise EnvError("\n".join(str(problem) for problem in problems))


def _check(findings: Findings, given: Any, made: list[Any], steps: int, seed: int) -> None:
    make = None if isinstance(given, gymnasium.Env) or not callable(given) else given
    env = _new(findings, make, made) if make else given
    _check_class(findings, env)
    if make is None:
        made.append(env)
    tasks = _task_ids(findings, env)
    other = None
    if make is not None:
        _step_before_reset(findings, env)
        other = _new(findings, make, made)
        same = tasks == _task_ids(findings, other)
        findings.need(same, "task_ids", "the same ids in the same order from every instance", "another list")
    _check_reset(findings, env, tasks, seed)
    chosen = list(dict.fromkeys((tasks[0], tasks[-1])))
    for task in chosen:
        behaviour.check_play(findings, env, other, task, steps, seed)
    behaviour.check_odd_commands(findings, env, tasks[0], seed)
    if getattr(type(env), "clone", TextEnv.clone) is not TextEnv.clone:
        with findings.part():
            behaviour.check_clone(findings, env, tasks[0], steps, seed, made)
    if make is not None and "max_steps" in _parameters(make):
        with findings.part():
            limited = _new(findings, make, made, max_steps=behaviour.LIMIT)
            if hasattr(limited, "max_steps") or getattr(make, "func", make) is not make_env:
                behaviour.check_limit(findings, limited, tasks[0], seed)


def _new(findings: Findings, make: Callable[..., Any], made: list[Any], **options: Any) -> Any:
    given = ", ".join(f"{key}={value}" for key, value in options.items())
    env = findings.call(f"factory({given})", "an environment", lambda: make(**options))
    _check_class(findings, env)
    made.append(env)
    return env


def _check_class(findings: Findings, env: object) -> None:
    expected = "a gymnasium.Env (subclass itp.envs.base.TextEnv)"
    findings.demand(isinstance(env, gymnasium.Env), "environment", expected, show(env))


def _task_ids(findings: Findings, env: Any) -> list[str]:
    listed = findings.call("task_ids", "a property that lists the task ids", lambda: env.task_ids)
    sequence = hasattr(listed, "__len__") and hasattr(listed, "__getitem__") and not isinstance(listed, str | dict)
    findings.demand(sequence, "task_ids", "a sequence (list or tuple) of strings", show(listed))
    ids = findings.call("task_ids", "a sequence that can be read", lambda: [listed[i] for i in range(len(listed))])
    findings.demand(bool(ids), "task_ids", "at least one task", "none")
    wrong = [task for task in ids if not isinstance(task, str)]
    findings.demand(not wrong, "task_ids", "strings", show(wrong[0]) if wrong else "")
    findings.need(len(set(ids)) == len(ids), "task_ids", "unique ids", f"{len(ids) - len(set(ids))} repeated")
    again = findings.call("task_ids", "a property that lists the task ids", lambda: list(env.task_ids))
    findings.need(ids == again, "task_ids", "the same list each time it is read", "another list")
    return ids


def _step_before_reset(findings: Findings, env: Any) -> None:
    findings.refused("step", "an exception before the first reset", lambda: env.step("look"), "an answer")


def _check_reset(findings: Findings, env: Any, tasks: list[str], seed: int) -> None:
    """A task named, a task drawn with a seed, a task that does not exist."""
    for task in dict.fromkeys((tasks[0], tasks[len(tasks) // 2], tasks[-1])):
        options = {"task_id": task}
        result = findings.call("reset", "to play any of task_ids", lambda: env.reset(seed=seed, options=options))  # noqa: B023
        played = read_reset(findings, env, result)[1]["task_id"]
        findings.need(played == task, "reset", "to play the task named by options['task_id']", f"task_id {played!r}")
    drawn = [
        comparable(read_reset(findings, env, findings.call("reset", "reset(seed=...) to draw a task", draw)))
        for draw in [lambda: env.reset(seed=seed)] * 2
    ]
    expected = "the same task and text when reset twice with one seed"
    findings.need(drawn[0] == drawn[1], "reset", expected, difference(*drawn))
    findings.need(drawn[0][-1]["task_id"] in tasks, "reset", "a task_id out of task_ids", repr(drawn[0][-1]["task_id"]))
    read_reset(findings, env, findings.call("reset", "reset() without arguments to draw a task", env.reset))
    expected = "an exception that names a task_id which is not in task_ids"
    refusal = findings.refused(
        "reset", expected, lambda: env.reset(options={"task_id": UNKNOWN_TASK}), f"an episode for {UNKNOWN_TASK!r}"
    )
    if refusal is not None:
        findings.need(UNKNOWN_TASK in str(refusal), "reset", expected, describe(refusal))


def _parameters(make: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(make).parameters)
    except (TypeError, ValueError):
        return []
