"""Environments that others wrote: find their factory, call it with the arguments it takes, accept what it returns.

Serves `itp.envs.registry`. A factory is any callable that returns a `TextEnv`, a class for example; a plain Gymnasium
environment is wrapped. Whatever does not fit is said in one line, since the reader is the author of the factory.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import gymnasium

from itp.envs.base import TextEnv
from itp.errors import ConfigError

CONTRACT = "subclass itp.envs.base.TextEnv and run `itp check-env` on it"
NEUTRAL = {"engine": ("fast",), "data": (None,)}
"""Values that say nothing: with any other, a factory that does not take the argument is an error, not a shrug."""


def load_factory(name: str) -> Callable[..., Any]:
    """The factory that "package.module:factory" names; the working folder is searched as well.

    Raises:
        ConfigError: there is no such module, or nothing in it that can be called by this name.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise ConfigError(f"environment {name!r} cannot be read: write MODULE:FACTORY, such as mygames.env:make_env")
    factory: Any = _import(name, module_name)
    for part in attribute.split("."):
        if not hasattr(factory, part):
            near = difflib.get_close_matches(part, [key for key in vars(factory) if not key.startswith("_")], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"environment {name!r}: {module_name} has no {attribute!r}{hint}")
        factory = getattr(factory, part)
    if not callable(factory):
        raise ConfigError(
            f"environment {name!r}: {attribute} is a {type(factory).__name__}, not a function that makes one"
        )
    return factory


def call_factory(
    name: str, factory: Callable[..., Any], arguments: Mapping[str, Any], options: Mapping[str, Any]
) -> TextEnv:
    """Call a factory with those of the arguments it takes, and all of the options.

    Args:
        name: as the user wrote it, for messages.
        factory: takes any of the arguments by keyword.
        arguments: the usual ones: split, engine, data, max_steps. One that the factory does not take is left away,
            unless the user has plainly asked for something by it (another engine, a data folder); so is None where
            the factory has a default of its own.
        options: the user's own; each must be taken.

    Raises:
        ConfigError: an option is not taken, a needed one is missing, or the result is no environment.
    """
    given = {**arguments, **options}
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # built-in callables tell nothing about themselves
        return as_text_env(name, factory(**given), arguments)
    keywords = [p for p in signature.parameters.values() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    taken = [parameter.name for parameter in keywords]
    if not any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        _refuse_unknown(name, taken, arguments, options)
        given = {key: value for key, value in given.items() if key in taken}
    has_default = {p.name for p in keywords if p.default is not p.empty}
    given = {key: value for key, value in given.items() if value is not None or key not in has_default}
    missing = [p.name for p in keywords if p.default is p.empty and p.name not in given]
    if missing:
        flags = " ".join(f"--env-option {key}=..." for key in missing)
        raise ConfigError(f"environment {name!r} needs {', '.join(missing)}: give {flags}")
    return as_text_env(name, factory(**given), arguments)


def as_text_env(name: str, made: object, arguments: Mapping[str, Any]) -> TextEnv:
    """What a factory returned, wrapped if it is a Gymnasium environment that knows nothing of tasks.

    Split and step limit, of which such an environment knows nothing either, are then the wrapper's affair.

    Raises:
        ConfigError: it is no environment.
    """
    if isinstance(made, TextEnv):
        return made
    kind = type(made).__name__
    if not isinstance(made, gymnasium.Env):
        raise ConfigError(f"environment {name!r}: the factory returned a {kind}, not a TextEnv: {CONTRACT}")
    if hasattr(made, "task_ids"):
        raise ConfigError(f"environment {name!r}: {kind} has task_ids but is no TextEnv: {CONTRACT}")
    from itp.envs.gymnasium import SPLITS, GymnasiumTextEnv

    first_seed = SPLITS.get(arguments.get("split", ""), 0)
    return GymnasiumTextEnv(made, first_seed=first_seed, max_steps=arguments.get("max_steps"))


def search_working_folder() -> str:
    """Let imports look into the working folder, as `python -m` does and the `itp` script does not; its path."""
    folder = os.getcwd()  # noqa: PTH109 (sys.path holds strings)
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)
    return folder


def _import(name: str, module_name: str) -> ModuleType:
    folder = search_working_folder()
    try:
        return importlib.import_module(module_name)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}.")
        why = (
            f"there is no module {error.name} in {folder} or installed" if absent else f"importing it failed ({error})"
        )
        raise ConfigError(f"environment {name!r} cannot be loaded: {why}; expected MODULE:FACTORY") from error


def _refuse_unknown(name: str, taken: list[str], arguments: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    own = [key for key in taken if key not in arguments]
    if unknown := [key for key in options if key not in taken]:
        takes = f"it takes {', '.join(own)}" if own else "it takes none"
        raise ConfigError(f"environment {name!r} has no option {', '.join(unknown)}; {takes}")
    for key, neutral in NEUTRAL.items():
        if key not in taken and arguments.get(key) not in neutral:
            raise ConfigError(f"environment {name!r} takes no {key}: leave {key}={str(arguments[key])!r} away")
