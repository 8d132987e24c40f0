"""Many environments behind one call: what lockstep rollouts step, in this process or in worker processes.

A vector environment has slots, numbered from 0; each plays one episode at a time. `reset` and `step` take what some of
the slots shall do and return what came of it, slot by slot. Whatever an environment raises is that slot's `Failure`,
never the batch's: the slot gets a fresh environment at its next reset. `SerialVectorEnv` plays in this process;
`itp.envs.workers.WorkerVectorEnv` spreads the slots over processes.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from itp.envs.base import InfoDict, TextEnv
from itp.errors import ConfigError, EnvError

EnvFactory = Callable[[], TextEnv]
_INFO_KEYS = ("task", "task_id", "task_type", "admissible_commands", "won", "score")


@dataclass(frozen=True, slots=True)
class Episode:
    """What a slot shall play: a task, and the seed given to `TextEnv.reset`."""

    task_id: str
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """What an environment answered to a reset or a step.

    `seconds` is the time it took there; reward is 0 and both flags are False after a reset.
    """

    observation: str
    info: InfoDict
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Failure:
    """The episode of a slot ended in an error; `message` is one line."""

    message: str
    seconds: float = 0.0


Outcome = Turn | Failure


class VectorEnv(ABC):
    """Slots that play episodes side by side.

    Attributes:
        num_envs: number of slots.
    """

    def __init__(self, num_envs: int) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs={num_envs} is too small: give 1 or more")
        self.num_envs = num_envs

    @property
    @abstractmethod
    def task_ids(self) -> Sequence[str]:
        """Task ids of the split, in a fixed order."""

    @abstractmethod
    def reset(self, episodes: Mapping[int, Episode]) -> dict[int, Outcome]:
        """Start an episode in each of the slots named, whatever they played before."""

    @abstractmethod
    def step(self, actions: Mapping[int, str]) -> dict[int, Outcome]:
        """Take one action in each of the slots named."""

    @abstractmethod
    def close(self) -> None:
        """Free all environments. Calling it twice is harmless."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SerialVectorEnv(VectorEnv):
    """Slots that are stepped one after another in this process: best for environments that take microseconds.

    Args:
        make_env: creates one environment; called when a slot is first used, and again after its environment failed.
        num_envs: number of slots.
    """

    def __init__(self, make_env: EnvFactory, num_envs: int) -> None:
        super().__init__(num_envs)
        self._make_env = make_env
        self._envs: dict[int, TextEnv] = {}

    @property
    def task_ids(self) -> Sequence[str]:
        """Task ids of the split, in a fixed order."""
        if not self._envs:
            self._envs[0] = self._make_env()
        return next(iter(self._envs.values())).task_ids

    def reset(self, episodes: Mapping[int, Episode]) -> dict[int, Outcome]:
        """See `VectorEnv.reset`."""
        return dict(self.resets(episodes))

    def step(self, actions: Mapping[int, str]) -> dict[int, Outcome]:
        """See `VectorEnv.step`."""
        return dict(self.steps(actions))

    def resets(self, episodes: Mapping[int, Episode]) -> Iterator[tuple[int, Outcome]]:
        """`reset`, one slot after another as they are asked for."""
        for slot, episode in episodes.items():
            yield slot, self._attempt(slot, lambda env, episode=episode: _reset(env, episode), fresh=True)

    def steps(self, actions: Mapping[int, str]) -> Iterator[tuple[int, Outcome]]:
        """`step`, one slot after another as they are asked for."""
        for slot, action in actions.items():
            yield slot, self._attempt(slot, lambda env, action=action: _step(env, action))

    def _attempt(self, slot: int, act: Callable[[TextEnv], Turn], *, fresh: bool = False) -> Outcome:
        if not 0 <= slot < self.num_envs:
            raise ConfigError(f"slot {slot} does not exist: there are {self.num_envs}, numbered from 0")
        began = time.perf_counter()
        try:
            if fresh and slot not in self._envs:
                self._envs[slot] = self._make_env()
            if slot not in self._envs:
                raise EnvError(f"slot {slot} plays no episode; reset it first")
            return act(self._envs[slot])
        except Exception as error:  # whatever an environment raises belongs to its episode
            # It may be in any state now, so the next episode gets a fresh one.
            self._close(slot)
            message = " ".join(f"{type(error).__name__}: {error}".split())
            return Failure(message, time.perf_counter() - began)

    def _close(self, slot: int) -> None:
        env = self._envs.pop(slot, None)
        if env is not None:
            with contextlib.suppress(Exception):
                env.close()

    def close(self) -> None:
        """Close every environment. Calling it twice is harmless."""
        for slot in list(self._envs):
            self._close(slot)


def make_vector(make_env: EnvFactory, num_envs: int, *, workers: int = 0, timeout: float | None = None) -> VectorEnv:
    """A vector environment in this process (`workers` 0) or spread over processes.

    Args:
        make_env: creates one environment; with workers it must be picklable (a module's function, a `partial` of one).
        num_envs: number of slots.
        workers: processes; at most one per slot is started.
        timeout: seconds that one reset or step may take in a worker before the worker is replaced.
    """
    if workers < 0:
        raise ConfigError(f"workers={workers} is not allowed: give 0 (this process) or more")
    if not workers:
        return SerialVectorEnv(make_env, num_envs)
    from itp.envs.workers import WorkerVectorEnv

    return WorkerVectorEnv(make_env, num_envs, workers=workers, **({} if timeout is None else {"timeout": timeout}))


def _reset(env: TextEnv, episode: Episode) -> Turn:
    began = time.perf_counter()
    observation, info = env.reset(seed=episode.seed, options={"task_id": episode.task_id})
    return _turn(observation, info, 0.0, False, False, began)


def _step(env: TextEnv, action: str) -> Turn:
    began = time.perf_counter()
    observation, reward, terminated, truncated, info = env.step(action)
    return _turn(observation, info, reward, terminated, truncated, began)


def _turn(observation: Any, info: Any, reward: Any, terminated: Any, truncated: Any, began: float) -> Turn:
    """Check the answer's shape; a faulty environment fails in its own slot."""
    if not isinstance(observation, str):
        raise EnvError(f"an observation must be a string, found {type(observation).__name__}")
    for key in _INFO_KEYS:
        if key not in info:
            raise EnvError(f"info lacks {key!r}; run `itp check-env`")
    return Turn(observation, info, float(reward), bool(terminated), bool(truncated), time.perf_counter() - began)
