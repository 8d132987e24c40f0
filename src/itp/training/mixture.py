"""What the world model learns from: D_exp (the expert's own episodes) and D_roll (noisy and policy play), in what mix.

D_WM = D_exp ∪ D_roll (Liu et al. 2026, eq. 1): expert episodes show what right actions do, rollouts what wrong ones do.
Which is which is told from the steps: in an expert episode every action is the expert's.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from itp.errors import ConfigError

if TYPE_CHECKING:
    from itp.types import Trajectory


def noise(trajectory: Trajectory) -> float:
    """Share of steps in which something else was done than the expert would do; 1 where no expert tells."""
    steps = trajectory.steps
    return sum(step.decision.action != step.expert_action for step in steps) / len(steps) if steps else 0.0


def mixture(
    trajectories: Sequence[Trajectory], *, mix: float | None = None, max_noise: float = 1.0, seed: int = 0
) -> list[Trajectory]:
    """Choose episodes, as many as the wanted shares allow; their order stays.

    Args:
        trajectories: expert and rollout episodes.
        mix: share of expert episodes among those chosen, 0 to 1; None takes all there are.
        max_noise: rollouts with a greater share of non-expert actions are left out.
        seed: of the draw.

    Raises:
        ConfigError: a value is not allowed, or a kind of episode that is asked for is absent.
    """
    if mix is not None and not 0 <= mix <= 1:
        raise ConfigError(f"--mix {mix} is not allowed: give the share of expert episodes, from 0 to 1")
    if not 0 <= max_noise <= 1:
        raise ConfigError(f"--max-noise {max_noise} is not allowed: give a share from 0 to 1")
    shares = [noise(trajectory) for trajectory in trajectories]
    expert = [n for n, share in enumerate(shares) if share == 0]
    rollout = [n for n, share in enumerate(shares) if 0 < share <= max_noise]
    if mix is None:
        chosen = expert + rollout
    else:
        for name, found, share in (("expert", expert, mix), ("rollout", rollout, 1 - mix)):
            if share and not found:
                raise ConfigError(f"--mix {mix} needs {name} episodes, and --data holds none: collect some")
        total = min(len(found) / share for found, share in ((expert, mix), (rollout, 1 - mix)) if share)
        draw = random.Random(seed)
        chosen = draw.sample(expert, round(total * mix)) + draw.sample(rollout, round(total * (1 - mix)))
    if not chosen:
        raise ConfigError(f"--max-noise {max_noise} leaves no episode: raise it")
    return [trajectories[n] for n in sorted(chosen)]
