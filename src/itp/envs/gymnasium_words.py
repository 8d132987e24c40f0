"""Words for what Gymnasium environments say in numbers: observations and actions, by their spaces.

Serves `itp.envs.gymnasium`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from itp.envs.base import TextSpace
from itp.errors import ConfigError

ACTION_NAMES = {
    "Blackjack": ("stick", "hit"),
    "CartPole": ("push left", "push right"),
    "CliffWalking": ("up", "right", "down", "left"),
    "FrozenLake": ("left", "down", "right", "up"),
    "MountainCar": ("push left", "wait", "push right"),
    "Taxi": ("south", "north", "east", "west", "pick up", "drop off"),
}
"""What Gymnasium's documentation calls the actions 0, 1, ... of its environments without text."""


def describe(space: gymnasium.Space[Any], observation: Any) -> str:
    """An observation in words: text as it is, numbers as a sentence, the parts of a dict or tuple one per line."""
    if isinstance(observation, str):
        return observation
    if isinstance(space, spaces.Dict) and isinstance(observation, Mapping):
        return "\n".join(f"{key}: {describe(part, observation[key])}" for key, part in space.items())
    if isinstance(space, spaces.Tuple):
        parts = zip(space.spaces, observation, strict=True)
        return "\n".join(f"part {index}: {describe(part, value)}" for index, (part, value) in enumerate(parts))
    if isinstance(space, spaces.Discrete):
        return f"You observe {int(observation)}, out of {int(space.start)} to {int(space.start + space.n - 1)}."
    numbers = [f"{number:.4g}" for number in np.asarray(observation, dtype=float).ravel()]
    return f"You observe {', '.join(numbers)}."


def name_actions(name: str, space: gymnasium.Space[Any], names: Sequence[str] | None) -> dict[str, int] | None:
    """Command -> action of a Discrete space, None for a text space.

    Raises:
        ConfigError: any other space, or names that do not fit it.
    """
    if isinstance(space, spaces.Text | TextSpace):
        if names is not None:
            raise ConfigError(f"the actions of {name} are text: leave actions={list(names)} away")
        return None
    if not isinstance(space, spaces.Discrete):
        raise ConfigError(f"{name} has the action space {space}; only Discrete and Text ones can be put into words")
    count = int(space.n)
    if names is None:
        known = ACTION_NAMES.get(name.partition("-v")[0], ())
        names = known if len(known) == count else [f"action {index}" for index in range(count)]
    if len(names) != count or len(set(names)) != count or not all(isinstance(part, str) and part for part in names):
        raise ConfigError(f"actions={list(names)}: {name} needs {count} different names, in the order of its actions")
    return {command: int(space.start) + index for index, command in enumerate(names)}
