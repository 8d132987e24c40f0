"""The environment that recorded episodes were played in, read back from the run folder that holds them.

The world model `exact` answers with that environment's engine, so `itp label` and `itp world-model eval` ask here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itp.envs.spec import EnvFlags
from itp.errors import ConfigError
from itp.run_folder import read_config

if TYPE_CHECKING:
    from itp.envs.base import TextEnv


def recorded_env(data: Sequence[Path]) -> Callable[[], TextEnv]:
    """What makes the environment of folders written by `itp collect` or `itp eval`.

    Raises:
        RunFolderError: a folder is no run folder.
        ConfigError: the folders' environments differ.
    """
    found = [(path, _env_flags(path)) for path in data]
    first, flags = found[0]
    for path, other in found[1:]:
        if other != flags:
            key = next(name for name in flags if flags[name] != other[name])
            raise ConfigError(
                f"--data {first} and {path} hold episodes of two environments ({key}: {flags[key]} and {other[key]}): "
                "--world-model exact needs those of one"
            )
    return EnvFlags(**flags).env_factory()


def _env_flags(path: Path) -> dict[str, Any]:
    config = read_config(path if path.is_dir() else path.parent)["config"]
    flags = {field.name: config[field.name] for field in dataclasses.fields(EnvFlags) if field.name in config}
    flags["env_option"] = tuple(flags.get("env_option") or ())
    flags["data"] = Path(flags["data"]) if flags.get("data") else None
    return flags
