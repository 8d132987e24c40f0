"""What a decision is asked about, in the words of somebody who owns the loop; checked here, with one-line errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from itp.errors import ConfigError
from itp.types import DecisionContext, State, Watch


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Where an episode stands.

    Raises:
        ConfigError: a field has a value of another kind.
    """

    task: str
    """The goal, for example "put a clean mug in desk."."""
    first_observation: str = ""
    """What was seen before the first action."""
    history: Sequence[tuple[str, str]] = ()
    """(action, the observation that followed) for every step so far, oldest first: the last observation is the present
    one."""
    admissible_commands: Sequence[str] | None = None
    """What may be answered; None where any text may."""
    thoughts: Sequence[str] = ()
    """`Decision.thought` of every step so far, for `react`, which goes on from them; may be left out."""
    imagined_tokens: int = 0
    """Tokens of `Decision.imagination_usage` so far, for the horizon `budget:N`, which counts them."""
    imagined_steps: int = 0
    """`Decision.horizon` summed over the steps so far, for the same."""

    def __post_init__(self) -> None:
        for name in ("task", "first_observation"):
            if not isinstance(value := getattr(self, name), str):
                raise ConfigError(f"{name} is {type(value).__name__}: give a text")
        if not self.task.strip():
            raise ConfigError("task is empty: say what is to be done")
        object.__setattr__(self, "history", _pairs(self.history))
        object.__setattr__(self, "thoughts", _texts("thoughts", self.thoughts))
        if self.admissible_commands is not None:
            commands = _texts("admissible_commands", self.admissible_commands)
            if not commands:
                raise ConfigError("admissible_commands is empty: give at least one, or None where any text may be sent")
            object.__setattr__(self, "admissible_commands", commands)
        for name in ("imagined_tokens", "imagined_steps"):
            if not isinstance(value := getattr(self, name), int) or value < 0:
                raise ConfigError(f"{name} is {value!r}: give a whole number, 0 or more")

    @classmethod
    def of(cls, given: Situation | Mapping[str, Any]) -> Situation:
        """A situation as it is, or from a mapping with the same names."""
        if isinstance(given, Situation):
            return given
        if not isinstance(given, Mapping):
            raise ConfigError(f"a situation is {type(given).__name__}: give itp.Situation(...) or a dict of its fields")
        allowed = [field.name for field in fields(cls)]
        if unknown := [str(name) for name in given if name not in allowed]:
            raise ConfigError(f"a situation has no field {unknown[0]!r}: allowed are {', '.join(allowed)}")
        if "task" not in given:
            raise ConfigError("a situation needs a task: say what is to be done")
        return cls(**given)

    @property
    def state(self) -> State:
        """The same as models see it."""
        return State(self.task, self.first_observation, tuple(self.history))

    def context(self, seed: int, watch: Watch | None = None) -> DecisionContext:
        """The same as planners see it. The decision's own seed comes from `seed`, the task and the number of steps."""
        from itp.rollout.lockstep import derive_seed

        commands = self.admissible_commands
        return DecisionContext(
            self.state,
            None if commands is None else tuple(commands),
            derive_seed(seed, self.task, len(self.history)),
            thoughts=tuple(self.thoughts),
            imagined_tokens=self.imagined_tokens,
            imagined_steps=self.imagined_steps,
            watch=watch,
        )


def _pairs(history: Any) -> tuple[tuple[str, str], ...]:
    if isinstance(history, str | Mapping) or not isinstance(history, Sequence):
        raise ConfigError(f"history is {type(history).__name__}: give a list of (action, observation) pairs")
    pairs = []
    for number, step in enumerate(history):
        if isinstance(step, str) or not isinstance(step, Sequence) or len(step) != 2:
            raise ConfigError(f"history[{number}] is {step!r:.60}: give a pair (action, observation that followed)")
        if not all(isinstance(text, str) for text in step):
            raise ConfigError(f"history[{number}] is {step!r:.60}: both action and observation must be text")
        pairs.append((step[0], step[1]))
    return tuple(pairs)


def _texts(name: str, values: Any) -> tuple[str, ...]:
    if isinstance(values, str | Mapping) or not isinstance(values, Sequence):
        raise ConfigError(f"{name} is {type(values).__name__}: give a list of texts")
    for number, value in enumerate(values):
        if not isinstance(value, str):
            raise ConfigError(f"{name}[{number}] is {value!r:.60}: give a text")
    return tuple(values)
