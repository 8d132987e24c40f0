"""`itp check-env`: what is wrong with an environment, one line each.

    itp check-env --env household
    itp check-env --env mygames.env:make_env --env-option rooms=3

For authors of environments; docs/environments.md shows it at work. The exit code is 0 when nothing was found, 1 when
something was, 2 when a flag is wrong or the environment cannot be made at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from itp.envs.spec import EnvFlags
from itp.errors import ConfigError, ItpError


@dataclass
class Config(EnvFlags):
    """Play an environment a little and say what breaks the contract of itp.envs.base, one line each."""

    steps: int = 30
    """Random steps to play in each of two tasks."""
    seed: int = 0
    """Of the random play."""


def run(config: Config) -> int:
    """Print the problems, or that there are none; returns the exit code."""
    from itp.envs.check import check_text_env

    if config.steps < 1:
        raise ConfigError(f"--steps {config.steps} is too small: give at least 1")
    make = config.env_factory()
    try:
        make().close()
    except ItpError:
        raise  # flags that cannot work are refused here, as by every command
    except Exception:  # whatever else is wrong, the check tells
        pass
    problems = check_text_env(make, steps=config.steps, seed=config.seed)
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{config.env}: nothing wrong found in {config.steps} random steps in each of two tasks")
    return 1 if problems else 0
