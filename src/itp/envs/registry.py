"""Environments by name: `make_env("alfworld", split="train")`.

A name is one of the built-in ones; that of another package's entry point in the group "itp.envs", which names a
factory; "package.module:factory"; "gymnasium:ID" for anything registered with Gymnasium; or the URL of an environment
server (`itp serve-env`). A factory is called with the keyword arguments `split`, `engine`, `data`, `max_steps` and the
caller's further options, as many of them as it takes, and returns a `TextEnv`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from functools import lru_cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itp.envs.base import TextEnv
from itp.envs.factories import call_factory, load_factory
from itp.errors import ConfigError

if TYPE_CHECKING:
    from itp.envs.alfworld.library import GameLibrary

ENTRY_POINT_GROUP = "itp.envs"
ENGINES = ("fast", "textworld")
MAX_STEPS = 50
"""The usual step limit of ALFWorld."""
_ALFWORLD_OPTIONS = ("annotation", "cache_size", "expert", "goal")

EnvFactory = Callable[..., TextEnv]


def make_env(
    name: str,
    *,
    split: str = "train",
    engine: str = "fast",
    data: str | Path | None = None,
    max_steps: int | None = None,
    **options: Any,
) -> TextEnv:
    """Create a text environment.

    Args:
        name: see the module's text.
        split: which tasks; the names depend on the environment.
        engine: "fast" (ours) or "textworld" (the official engine; needs the `alfworld` extra).
        data: folder of the environment's data; None means its default.
        max_steps: steps before an episode is truncated; None takes the environment's own limit.
        options: passed on to the environment.

    Raises:
        ConfigError: unknown name, split, engine or option.
        DataError: the environment's data is missing.
    """
    arguments = {"split": split, "engine": engine, "data": data, "max_steps": max_steps}
    return call_factory(name, _factory(name), arguments, options)


def env_names() -> list[str]:
    """Names that `make_env` knows: built-ins and installed plugins."""
    return sorted({*_BUILT_IN, *_plugins()})


def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def _factory(name: str) -> EnvFactory:
    if built_in := _BUILT_IN.get(name):
        return _load(built_in) if isinstance(built_in, str) else built_in
    if plugin := _plugins().get(name):
        return load_factory(f"{plugin.module}:{plugin.attr}")
    for prefix, target in _PREFIXES.items():
        if name.startswith(prefix):
            return partial(_load(target), name)
    if ":" not in name:
        near = difflib.get_close_matches(name, env_names(), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(
            f"environment {name!r} is unknown; {hint}allowed are {', '.join(env_names())} and MODULE:FACTORY"
        )
    return load_factory(name)


def _load(target: str) -> EnvFactory:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _check_engine(engine: str) -> None:
    if engine not in ENGINES:
        raise ConfigError(f"engine {engine!r} is unknown; allowed are {', '.join(ENGINES)}")


def _alfworld(*, split: str, engine: str, data: str | Path | None, max_steps: int | None, **options: Any) -> TextEnv:
    _check_engine(engine)
    if unknown := set(options) - set(_ALFWORLD_OPTIONS):
        raise ConfigError(f"options {sorted(unknown)} are unknown; alfworld takes {', '.join(_ALFWORLD_OPTIONS)}")
    from itp.envs.alfworld.data import SPLITS, data_folder
    from itp.envs.alfworld.library import CACHE_SIZE, at_least_one

    if split not in SPLITS:
        raise ConfigError(f"split {split!r} is unknown; alfworld has {', '.join(SPLITS)}")
    limit = MAX_STEPS if max_steps is None else max_steps
    folder = data_folder(data)
    if engine == "textworld":
        from itp.envs.alfworld.official import OfficialEnv

        return OfficialEnv(_library(folder, split, CACHE_SIZE), max_steps=limit, **options)
    from itp.envs.alfworld.env import AlfworldEnv

    cache_size = at_least_one("cache_size", options.pop("cache_size", CACHE_SIZE))
    return AlfworldEnv(_library(folder, split, cache_size), max_steps=limit, **options)


@lru_cache(maxsize=8)
def _library(folder: Path, split: str, cache_size: int) -> GameLibrary:
    """The games of a folder, listed and parsed once for all environments of a process."""
    from itp.envs.alfworld.data import find_games
    from itp.envs.alfworld.library import GameLibrary

    return GameLibrary(find_games(folder, split), cache_size)


def _household(*, split: str, engine: str, data: str | Path | None, max_steps: int | None, **options: Any) -> TextEnv:
    _check_engine(engine)
    if data is not None:
        raise ConfigError(f"data={str(data)!r}: household games are generated and read no data; leave it away")
    from itp.envs.household import make_household_env

    return make_household_env(
        split=split, engine=engine, max_steps=MAX_STEPS if max_steps is None else max_steps, **options
    )


_BUILT_IN: dict[str, EnvFactory | str] = {
    "alfworld": _alfworld,
    "household": _household,
    "scienceworld": "itp.envs.scienceworld:make_scienceworld_env",
    "textworld": "itp.envs.textworld:make_textworld_env",
    "textworld-express": "itp.envs.textworld_express:make_textworld_express_env",
}
_PREFIXES = {
    "gymnasium:": "itp.envs.gymnasium:make_gymnasium_env",
    "http://": "itp.envs.remote.client:make_remote_env",
    "https://": "itp.envs.remote.client:make_remote_env",
}
"""Prefix of a name -> factory whose first argument is the whole name."""
