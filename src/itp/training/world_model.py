"""`itp train world-model`: p(next observation | state, action) by next-token likelihood (Liu et al. 2026, eq. 1).

itp train world-model --data out/data --out out/world_model
"""

from __future__ import annotations

from dataclasses import dataclass, field

from itp.training.sft import Optimisation
from itp.training.stage import SftConfig


@dataclass
class Config(SftConfig):
    """Train the textual world model on expert and rollout episodes."""

    renderer: str = "history"
    """State text: history or memory."""
    window: int = 24
    """Labelled steps per training sequence."""
    max_observation_tokens: int = 192
    """Limit of one imagined observation, kept in the checkpoint; less makes small models' endless lists cheaper."""
    optim: Optimisation = field(default_factory=lambda: Optimisation(lr=2e-3))
    """Optimiser settings."""


def run(config: Config) -> None:
    """Train; a second run in the same folder resumes or reports what is there."""
    from functools import partial

    from itp.data.rows import world_model_rows
    from itp.policy.checkpoint import ItpConfig
    from itp.run_folder import open_run
    from itp.state_text.renderers import get_renderer
    from itp.training.stage import finish, train_stage

    renderer = get_renderer(config.renderer).name
    with open_run(config.out, config, command="train world-model") as folder:
        if finish(folder):
            return
        itp_config = ItpConfig(
            kind="world_model",
            renderer=renderer,
            max_state_tokens=config.max_state_tokens,
            max_observation_tokens=config.max_observation_tokens,
            stage="world-model",
            parent=config.base,
        )
        rows = partial(world_model_rows, window=config.window)
        finish(folder, train_stage(config, itp_config, rows, title="world model"))
