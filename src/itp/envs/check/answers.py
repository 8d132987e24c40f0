"""The shape of what `reset` and `step` return: tuples, types, and every key of the info dictionary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from itp.envs.base import InfoDict
from itp.envs.check.findings import Findings, show
from itp.types import CommandGrammar

Answer = tuple[str, float, bool, bool, dict[str, Any]]
"""Observation, reward, terminated, truncated, info."""

_STRINGS = ("task", "task_id", "task_type")
_REQUIRED = tuple(key for key in InfoDict.__annotations__ if key in InfoDict.__required_keys__)
_KNOWN = tuple(InfoDict.__annotations__)


def read_reset(findings: Findings, env: gymnasium.Env[Any, Any], result: object) -> tuple[str, dict[str, Any]]:
    """Check what `reset` returned."""
    pair = isinstance(result, tuple) and len(result) == 2
    findings.demand(pair, "reset", "a tuple (observation, info)", show(result))
    assert isinstance(result, tuple)
    observation, info = result
    _check_observation(findings, env, "reset", observation)
    check_info(findings, info)
    _check_commands(findings, env, info, running=True)
    return observation, info


def read_step(findings: Findings, env: gymnasium.Env[Any, Any], result: object) -> Answer:
    """Check what `step` returned."""
    five = isinstance(result, tuple) and len(result) == 5
    findings.demand(five, "step", "a tuple (observation, reward, terminated, truncated, info)", show(result))
    assert isinstance(result, tuple)
    observation, reward, terminated, truncated, info = result
    _check_observation(findings, env, "step", observation)
    findings.demand(_is_number(reward), "step", "a finite number as reward", show(reward))
    findings.demand(_is_bool(terminated), "step", "terminated as a bool", show(terminated))
    findings.demand(_is_bool(truncated), "step", "truncated as a bool", show(truncated))
    check_info(findings, info)
    over = bool(terminated or truncated)
    _check_commands(findings, env, info, running=not over)
    findings.need(
        over or not info["won"], "step", "terminated (or truncated) as soon as info['won'] is true", "still running"
    )
    return observation, float(reward), bool(terminated), bool(truncated), info


def check_info(findings: Findings, info: object) -> None:
    """Check keys and types of an info dictionary."""
    findings.demand(isinstance(info, dict), "info", "a dict", show(info))
    assert isinstance(info, dict)
    missing = [key for key in _REQUIRED if key not in info]
    findings.demand(not missing, "info", f"the keys {', '.join(_REQUIRED)}", f"no {', '.join(missing)}")
    for key in _STRINGS:
        findings.demand(isinstance(info[key], str), f"info[{key!r}]", "a string", show(info[key]))
    findings.need(bool(info["task"].strip()), "info['task']", "the goal in words", "an empty string")
    commands = info["admissible_commands"]
    listed = commands is None or _is_texts(commands)
    findings.demand(listed, "info['admissible_commands']", "a list of strings, or None", show(commands))
    findings.demand(_is_bool(info["won"]), "info['won']", "a bool", show(info["won"]))
    findings.demand(_is_number(info["score"]), "info['score']", "a finite number", show(info["score"]))
    hopeless = info.get("irreversible", False)
    findings.demand(_is_bool(hopeless), "info['irreversible']", "a bool, if given", show(hopeless))
    findings.need(
        not (hopeless and info["won"]), "info['irreversible']", "false when info['won'] is true", "both are true"
    )
    most = info.get("max_score", 0)
    findings.demand(_is_number(most), "info['max_score']", "a finite number, if given", show(most))
    plan = info.get("expert_plan", [])
    findings.demand(_is_texts(plan), "info['expert_plan']", "a list of strings, if given", show(plan))
    grammar = info.get("command_grammar", CommandGrammar((), ()))
    findings.demand(
        isinstance(grammar, CommandGrammar),
        "info['command_grammar']",
        "an itp.types.CommandGrammar, if given",
        show(grammar),
    )


def comparable(answer: Sequence[Any]) -> tuple[Any, ...]:
    """An answer of `reset` or `step` reduced to what the contract names, so that two plays can be compared."""
    info = answer[-1]
    return (*answer[:-1], {key: info[key] for key in _KNOWN if key in info})


def difference(one: Sequence[Any], other: Sequence[Any]) -> str:
    """Where two comparable answers differ, in words."""
    for name, left, right in zip(("observation", "reward", "terminated", "truncated"), one[:-1], other, strict=False):
        if left != right:
            return f"{name} {show(left)}, then {show(right)}"
    keys = [key for key in _KNOWN if one[-1].get(key) != other[-1].get(key)]
    return "; ".join(f"info[{key!r}] {show(one[-1].get(key))}, then {show(other[-1].get(key))}" for key in keys[:1])


def _check_observation(findings: Findings, env: gymnasium.Env[Any, Any], method: str, observation: object) -> None:
    findings.demand(isinstance(observation, str), method, "a string as observation", show(observation))
    accepts = findings.call(
        "observation_space",
        "a space with contains(); TextEnv.__init__ sets it",
        lambda: env.observation_space.contains(observation),
    )
    findings.need(accepts, "observation_space", "to contain every observation (use TextSpace)", show(observation))


def _check_commands(findings: Findings, env: gymnasium.Env[Any, Any], info: dict[str, Any], *, running: bool) -> None:
    commands, where = info["admissible_commands"], "info['admissible_commands']"
    if commands is None:
        return
    if running:
        findings.need(bool(commands), where, "at least one command while the episode runs, or None", "an empty list")
    twice = (
        [command for command in commands if commands.count(command) > 1] if len(set(commands)) < len(commands) else []
    )
    findings.need(not twice, where, "each command once", f"{show(twice[0]) if twice else ''} more than once")
    contains = findings.call(
        "action_space",
        "a space with contains(); TextEnv.__init__ sets it",
        lambda: [command for command in commands if not env.action_space.contains(command)],
    )
    findings.need(
        not contains,
        "action_space",
        "to contain every admissible command (use TextSpace)",
        f"{show(contains[0]) if contains else ''} is outside",
    )


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool | np.bool_)


def _is_number(value: object) -> bool:
    if _is_bool(value) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    return math.isfinite(value)
