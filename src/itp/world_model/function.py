"""A world model that is a function of the user's own: a simulator, rules, a client of another service."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from itp.errors import ConfigError
from itp.types import State, Usage
from itp.world_model.base import Prediction

Outcome: TypeAlias = str | tuple[str, bool] | Prediction
OutcomeFunction: TypeAlias = Callable[[State, str], Outcome]


class FunctionWorldModel:
    """`WorldModel` by a function.

    Args:
        function: takes a state (`task`, `first_observation`, `history`, `observation`: imagined steps extend it like
            real ones) and an action; returns the next observation, or (observation, whether the episode is over), or a
            `Prediction`. It is called once for each pair, in one thread.
        name: shown in traces.
    """

    def __init__(self, function: OutcomeFunction, name: str = "") -> None:
        self.function = function
        self.name = name or getattr(function, "__name__", type(function).__name__)

    def predict(self, states: Sequence[State], actions: Sequence[str]) -> list[Prediction]:
        """See `WorldModel.predict`. What the function raises goes through; ConfigError for another kind of answer."""
        return [self._predict(state, action) for state, action in zip(states, actions, strict=True)]

    def _predict(self, state: State, action: str) -> Prediction:
        start = time.perf_counter()
        told = self.function(state, action)
        if isinstance(told, Prediction):
            return told
        observation, ended = told if isinstance(told, tuple) and len(told) == 2 else (told, False)
        if not isinstance(observation, str):
            raise ConfigError(
                f"world model function {self.name} returned {type(observation).__name__}: it must return the "
                "observation, or (observation, whether the episode is over)"
            )
        usage = Usage(calls=1, seconds=time.perf_counter() - start)
        return Prediction(observation, usage=usage, ended=bool(ended))
