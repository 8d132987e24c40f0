"""From a sweep's YAML to its runs: named lists of flags, crossed with axes.

    common: {env: household, split: valid, episodes: 60}       # flags that all runs share
    runs:                                                       # what is compared
      act: {planner: act}
      itp: {planner: itp, world_model: rules, grid: {horizon: [fixed:1, fixed:3]}}    # an axis of this run alone
    grid:                                                       # axes of all runs
      checkpoint:                                               # a name for several flags at once ...
        sft: {policy: out/policy/model}
        rl:  {policy: out/a2c/model}
      max_steps: [30, 50]                                       # ... or the values of one flag
    seeds: [0, 1, 2]                                            # short for the last axis, `seed`

This module knows the structure, `itp.cli.sweep` the flags.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from itp.errors import ConfigError

KEYS = ("common", "runs", "grid", "seeds")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
Flags = dict[str, Any]
Axis = list[tuple[str, Flags]]
"""The points of one axis: what a run's name says of it, and the flags it sets."""


def expand(content: Any, where: str) -> dict[str, Flags]:
    """The runs of a sweep: name -> flags, seeds varying fastest.

    Args:
        content: what the YAML file holds.
        where: the file, for messages.

    Raises:
        ConfigError: the file has another shape, sets a flag twice for a run, or gives two runs one name.
    """
    sweep = _mapping(content, where)
    _check_keys(sweep, where)
    common = _flags(sweep.get("common") or {}, f"{where}: common")
    if not sweep.get("runs"):
        raise ConfigError(f"{where}: runs is missing: name at least one, for example `runs: {{act: {{planner: act}}}}`")
    shared = _axes(sweep.get("grid"), f"{where}: grid")
    seeds = _axes(None if sweep.get("seeds") is None else {"seed": sweep["seeds"]}, f"{where}: seeds")
    runs: dict[str, Flags] = {}
    for name, given in _mapping(sweep["runs"], f"{where}: runs").items():
        place = f"{where}: runs: {_check_name(name, where)}"
        own = dict(_mapping(given or {}, place))
        axes = {**shared, **_fresh(_axes(own.pop("grid", None), f"{place}: grid"), shared, place), **seeds}
        for label, flags in _points(name, _flags(own, place), axes, place):
            if label in runs:
                raise ConfigError(f"{place}: two runs would be named {label}: give their values labels of their own")
            runs[label] = {**common, **flags}
    return runs


def _points(name: str, flags: Flags, axes: Mapping[str, Axis], place: str) -> list[tuple[str, Flags]]:
    points = []
    for choice in product(*axes.values()):
        merged = dict(flags)
        for axis, (_, settings) in zip(axes, choice, strict=True):
            if twice := sorted(merged.keys() & settings.keys()):
                raise ConfigError(f"{place}: {', '.join(twice)} is set twice, once by the axis {axis}: leave one away")
            merged |= settings
        points.append(("_".join([name, *(label for label, _ in choice)]), merged))
    return points


def _axes(content: Any, place: str) -> dict[str, Axis]:
    """Axes by name; each is a list of one flag's values, or a mapping of labels to flags."""
    if content is None:
        return {}
    axes: dict[str, Axis] = {}
    for name, values in _mapping(content, place).items():
        key = str(name).replace("-", "_")
        if isinstance(values, Mapping) and values:
            axis = [(_check_name(k, place), _flags(v or {}, f"{place}: {name}: {k}")) for k, v in values.items()]
        elif isinstance(values, list) and values:
            axis = [(f"{key}={_slug(value)}", {key: value}) for value in values]
        else:
            raise ConfigError(f"{place}: {name} is {values!r}: give a list of values, or labels with flags below them")
        axes[key] = axis
    return axes


def _fresh(axes: dict[str, Axis], shared: Mapping[str, Axis], place: str) -> dict[str, Axis]:
    if twice := sorted(axes.keys() & shared.keys()):
        raise ConfigError(f"{place}: the axis {', '.join(twice)} is one of all runs already: leave one away")
    return axes


def _check_keys(sweep: Mapping[str, Any], where: str) -> None:
    for key in sweep:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(f"{where}: unknown key {key!r}: {hint}allowed are {', '.join(KEYS)}")


def _check_name(name: Any, place: str) -> str:
    if not NAME.fullmatch(str(name)):
        raise ConfigError(f"{place}: {name!r} cannot name a run: use letters, digits, dot, dash and underscore")
    return str(name)


def _mapping(content: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise ConfigError(f"{place} must hold `key: value` lines, not {type(content).__name__} {content!r}")
    return content


def _flags(content: Any, place: str) -> Flags:
    flags: Flags = {}
    for key, value in _mapping(content, place).items():
        name = str(key).replace("-", "_")
        if name in flags:
            raise ConfigError(f"{place}: {key} is given twice")
        flags[name] = value
    return flags


def _slug(value: Any) -> str:
    """A value as part of a folder's name."""
    text = "+".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
    return re.sub(r"[^A-Za-z0-9.+]+", "-", text).strip("-.") or "none"
