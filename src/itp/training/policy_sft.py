"""`itp train policy`: imitation of the expert's actions, the warm start of every later stage.

itp train policy --data out/data --out out/policy
"""

from __future__ import annotations

from dataclasses import dataclass, field

from itp.training.sft import Optimisation
from itp.training.stage import SftConfig


@dataclass
class Config(SftConfig):
    """Train the policy by imitation of the expert."""

    renderer: str = "memory"
    """State text: memory (short, household games) or history (any environment)."""
    window: int = 24
    """With history: labelled steps per training sequence."""
    optim: Optimisation = field(default_factory=lambda: Optimisation(lr=2e-3, batch_size=128))
    """Optimiser settings."""


def run(config: Config) -> None:
    """Train; a second run in the same folder resumes or reports what is there."""
    from functools import partial

    from itp.data.rows import policy_rows
    from itp.policy.checkpoint import ItpConfig
    from itp.run_folder import open_run
    from itp.state_text.renderers import get_renderer
    from itp.training.stage import finish, train_stage

    renderer = get_renderer(config.renderer).name
    with open_run(config.out, config, command="train policy") as folder:
        if finish(folder):
            return
        itp_config = ItpConfig(
            kind="policy",
            renderer=renderer,
            max_state_tokens=config.max_state_tokens,
            stage="policy",
            parent=config.base,
        )
        rows = partial(policy_rows, window=config.window)
        finish(folder, train_stage(config, itp_config, rows, title="policy"))
