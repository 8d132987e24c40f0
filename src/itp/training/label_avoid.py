"""Eq. 5 of Liu et al. 2026 for the agent that plays with `--avoid`: what is the expert's action worth to it at each K?

That agent takes the first command, in the order that its policy draws, whose imagined future does not warn
(`itp.planners.avoiding`). So it draws from the policy restricted to the commands that do not warn, and

    log π_k(a*) = log π_0(a* | s) − log (1 − Σ π_0(c | s))      over the commands c that warn within k imagined steps

Only commands that the policy likes better than a*, and a* itself, are tried; where a* warns, a floor stands for log 0.
Where a step lists no commands, a few that the policy writes stand for all of them (`itp.planners.proposals`), a* among
them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from typing import TYPE_CHECKING

from itp.errors import DataError
from itp.planners.avoiding import CANDIDATES, COMMAND, first_warning, likeliest_first, returns, situations
from itp.planners.proposals import PROPOSALS, propose
from itp.training.labels import FLOOR
from itp.types import ImaginedTrajectory, State
from itp.world_model.imagination import imagine

if TYPE_CHECKING:
    from itp.policy.model import Policy
    from itp.world_model.base import WorldModel


def avoiding_scores(
    states: Sequence[State],
    actions: Sequence[str],
    commands: Sequence[Sequence[str] | None],
    policy: Policy,
    world_model: WorldModel,
    avoid: Sequence[str],
    horizons: Sequence[int],
    *,
    candidates: int = CANDIDATES,
    avoid_returns: bool = True,
) -> list[tuple[float, ...]]:
    """The score in nats of every state's expert action at each horizon.

    Args:
        states: where the agent decides.
        actions: the expert's action of each state.
        commands: the admissible commands of each state, the expert's among them; None has the policy write some.
        policy: π_0; ranks the commands and acts in the imagination.
        world_model: foretells.
        avoid: texts; an imagined observation that contains one is a warning.
        horizons: the K to score.
        candidates: commands that one decision tries in imagination at most.
        avoid_returns: leading back to a situation of the episode is a warning, too.

    Raises:
        DataError: an expert action is not among the commands.
    """
    listed = _listed(states, actions, commands, policy)
    expert = [_position(action, texts) for action, texts in zip(actions, listed, strict=True)]
    nothing = [ImaginedTrajectory()] * len(states)
    logprobs = [score.logprobs for score in policy.score_actions(states, nothing, listed)]
    orders = [likeliest_first(values) for values in logprobs]
    tried = [
        (row, index)
        for row, order in enumerate(orders)
        for index in order[: min(order.index(expert[row]) + 1, candidates)]
    ]
    imagined = imagine(
        [states[row] for row, _ in tried],
        [max(horizons)] * len(tried),
        policy,
        world_model,
        first=[listed[row][index] for row, index in tried],
    )
    situation = policy.prompts.renderer.situation
    seen = [situations(state, situation) for state in states]
    warned: list[dict[int, int]] = [{} for _ in states]
    for (row, index), imagination in zip(tried, imagined, strict=True):
        foresight = imagination.foresight
        back = avoid_returns and returns(states[row], foresight, seen[row], situation)
        safe = 0 if back else first_warning(foresight, avoid)
        if safe < len(foresight):
            warned[row][index] = safe + 1
    return [
        tuple(_score(logprobs[row], expert[row], {i for i, at in found.items() if at <= k}) for k in horizons)
        for row, found in enumerate(warned)
    ]


def _listed(
    states: Sequence[State], actions: Sequence[str], commands: Sequence[Sequence[str] | None], policy: Policy
) -> list[Sequence[str]]:
    """The commands of every state: as they were listed, or as the policy writes them, with the expert's."""
    free = [row for row, texts in enumerate(commands) if texts is None]
    counts = [PROPOSALS] * len(free)
    written = propose(policy, [states[row] for row in free], counts, free, COMMAND) if free else []
    found = {row: [*dict.fromkeys([*p.commands, actions[row]])] for row, p in zip(free, written, strict=True)}
    return [found[row] if texts is None else texts for row, texts in enumerate(commands)]


def _position(action: str, commands: Sequence[str]) -> int:
    if action not in commands:
        raise DataError(f"the expert's action {action!r} is not among the {len(commands)} commands of its state")
    return list(commands).index(action)


def _score(logprobs: Sequence[float], expert: int, passed_over: Set[int]) -> float:
    """log π(a*) renormalised over what is not passed over. Log-probabilities need not be normalised."""
    if expert in passed_over:
        return FLOOR
    most = max(logprobs)
    left = sum(math.exp(value - most) for i, value in enumerate(logprobs) if i not in passed_over)
    return max(FLOOR, logprobs[expert] - most - math.log(left))
