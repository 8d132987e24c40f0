"""Free-running fidelity: how far a world model can be trusted when it reads its own predictions.

From a real state, the episode's real actions are played against the model alone. After h steps its observation is
compared with the one the environment gave. Horizon 1 is plain one-step prediction; what imagination of K steps sees is
horizon K. Reported by `itp world-model eval` and, at every evaluation, by `itp train world-model`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from itp.types import State, Trajectory
from itp.world_model.metrics import Outcome

if TYPE_CHECKING:
    from itp.world_model.base import WorldModel


@dataclass(frozen=True, slots=True)
class Stretch:
    """A real state, the actions really taken from there and what followed each."""

    state: State
    actions: tuple[str, ...]
    observations: tuple[str, ...]


def stretches(trajectories: Sequence[Trajectory], horizon: int, *, limit: int, seed: int = 0) -> list[Stretch]:
    """At most `limit` stretches of `horizon` steps, one from each of as many episodes as possible, drawn by seed."""
    draw = random.Random(seed)
    long = [trajectory for trajectory in trajectories if len(trajectory.steps) >= horizon]
    draw.shuffle(long)
    found = []
    for trajectory in long[:limit]:
        start = draw.randint(0, len(trajectory.steps) - horizon)
        steps = trajectory.steps[start : start + horizon]
        found.append(
            Stretch(
                trajectory.states()[start],
                tuple(step.decision.action for step in steps),
                tuple(step.observation for step in steps),
            )
        )
    return found


def free_running(model: WorldModel, items: Sequence[Stretch], *, batch_size: int = 64) -> list[list[Outcome]]:
    """Outcomes by horizon: entry h - 1 holds one for every stretch of at least h steps."""
    outcomes: list[list[Outcome]] = [[] for _ in range(max((len(item.actions) for item in items), default=0))]
    for start in range(0, len(items), batch_size):
        live = [(item, item.state) for item in items[start : start + batch_size]]
        for step, found in enumerate(outcomes):
            live = [(item, state) for item, state in live if step < len(item.actions)]
            predictions = model.predict([state for _, state in live], [item.actions[step] for item, _ in live])
            for n, ((item, state), prediction) in enumerate(zip(live, predictions, strict=True)):
                text, real = prediction.observation, item.observations[step]
                found.append(Outcome.of(text, real))
                live[n] = (item, state.extend(item.actions[step], text))
    return outcomes
