"""The flags that name an environment, shared by every command that plays: `--env --split --engine --data ...`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itp.errors import ConfigError, DataError

if TYPE_CHECKING:
    from itp.envs.base import TextEnv

_TAKEN = ("env", "name", "split", "engine", "data", "max_steps")


@dataclass(kw_only=True)
class EnvFlags:
    """Base of the configs of commands that play; `env_factory` builds what the flags describe."""

    env: str = "household"
    """Environment: household, alfworld, scienceworld, textworld, textworld-express, a plugin's name, MODULE:FACTORY,
    gymnasium:ID, or the URL of `itp serve-env`."""
    split: str = "train"
    """Split to play: train, valid or test of household; train, valid_seen or valid_unseen of alfworld; train, valid,
    test_seen or test_unseen of scienceworld."""
    engine: str = "fast"
    """alfworld and household: fast (ours) or textworld (official); scienceworld: fast or official."""
    data: Path | None = None
    """Data folder of the environment (default for alfworld: the variable ALFWORLD_DATA)."""
    env_option: tuple[str, ...] = ()
    """Further options of the environment, KEY=VALUE, such as size=full; VALUE is read as YAML."""
    max_steps: int | None = None
    """Actions after which an episode is lost (default: the environment's own limit)."""

    def env_options(self) -> dict[str, Any]:
        """The options of `--env-option` with their values.

        Raises:
            ConfigError: a word is no KEY=VALUE, has no readable value, or names a key twice or one with its own flag.
        """
        import yaml

        options: dict[str, Any] = {}
        for word in self.env_option:
            key, equals, text = word.partition("=")
            key = key.replace("-", "_")
            if not equals or not key.isidentifier():
                raise ConfigError(f"--env-option {word} is no KEY=VALUE: write for example size=full")
            if key in _TAKEN:
                raise ConfigError(f"--env-option {word}: use the flag --{key.replace('_', '-')} instead")
            if key in options:
                raise ConfigError(f"--env-option {key} is given twice: leave one away")
            try:
                options[key] = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise ConfigError(f"--env-option {word}: {text!r} is no YAML value") from error
        return options

    def env_factory(self) -> Callable[[], TextEnv]:
        """A function that makes one environment; it can be pickled, for worker processes.

        Raises:
            ConfigError: a flag has a value that is not allowed.
            DataError: `--data` names nothing.
        """
        from itp.envs.registry import make_env

        if self.max_steps is not None and self.max_steps < 1:
            raise ConfigError(f"--max-steps {self.max_steps} is too small: give at least 1")
        if self.data is not None and not self.data.exists():
            raise DataError(f"--data {self.data} does not exist: name the environment's data folder")
        return partial(
            make_env,
            self.env,
            split=self.split,
            engine=self.engine,
            data=self.data,
            max_steps=self.max_steps,
            **self.env_options(),
        )
