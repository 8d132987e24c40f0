"""`itp train world-model`: p(next observation | state, action) by next-token likelihood (Liu et al. 2026, eq. 1).

itp train world-model --data out/data --out out/world_model
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from itp.errors import ConfigError
from itp.training.sft import Optimisation
from itp.training.stage import SftConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from itp.state_text.prompts import PromptBuilder
    from itp.types import Trajectory


@dataclass
class Config(SftConfig):
    """Train the textual world model on expert and rollout episodes."""

    renderer: str = "history"
    """State text: history or memory."""
    window: int = 24
    """Labelled steps per training sequence."""
    max_observation_tokens: int = 192
    """Limit of one imagined observation, kept in the checkpoint; less makes small models' endless lists cheaper."""
    mix: float | None = None
    """Share of expert episodes (D_exp) among the training episodes, the rest being rollouts (D_roll); default: all."""
    tell_loss: str = ""
    """Sentence to add to the last observation of episodes that a mistake beyond repair ended, where the environment's
    own text does not say so (a fatal focus in ScienceWorld): then the model foretells it, and --avoid can heed it."""
    copies: int = 1
    """How often an epoch shows a step whose observation holds one of the --copies-of texts."""
    copies_of: tuple[str, ...] = ()
    """Texts of what is rare and matters, as a loss beyond repair: from one copy of each such step a small model learns
    which commands can be fatal, and not when they are."""
    max_noise: float = 1.0
    """Leave out rollouts with a greater share of actions that the expert would not have taken."""
    eval_episodes: int = 16
    """Held-out episodes in which each evaluation lets the model run freely; 0 measures the loss alone."""
    eval_horizon: int = 3
    """Steps of that free running."""
    optim: Optimisation = field(default_factory=lambda: Optimisation(lr=2e-3))
    """Optimiser settings."""


def run(config: Config) -> None:
    """Train; a second run in the same folder resumes or reports what is there."""
    from functools import partial

    from itp.data.rows import world_model_rows
    from itp.policy.checkpoint import ItpConfig
    from itp.run_folder import open_run
    from itp.state_text.renderers import get_renderer
    from itp.training.mixture import mixture
    from itp.training.stage import finish, train_stage

    if config.eval_horizon < 1:
        raise ConfigError(f"--eval-horizon {config.eval_horizon} is too small: give 1 or more")
    if config.copies < 1:
        raise ConfigError(f"--copies {config.copies} is too small: give 1 or more")
    if (config.copies > 1) != bool(config.copies_of):
        raise ConfigError("--copies N (2 or more) and --copies-of TEXT belong together: give both, or neither")
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
        plain = partial(world_model_rows, window=config.window, tell_loss=config.tell_loss)
        rows = partial(plain, copies=config.copies, copies_of=config.copies_of)
        select = partial(mixture, mix=config.mix, max_noise=config.max_noise, seed=config.optim.seed)
        probe = partial(fidelity_probe, config)
        done = train_stage(
            config, itp_config, rows, title="world model", select=select, probe=probe, make_eval_rows=plain
        )
        finish(folder, done)


def fidelity_probe(
    config: Config, held_out: list[Trajectory], tokenizer: PreTrainedTokenizerBase, prompts: PromptBuilder
) -> Callable[[PreTrainedModel], dict[str, float]] | None:
    """A judge of the model in training: exact match and token-F1, `_hH` after H steps of its own predictions."""
    from itp.lm.base import Sampling
    from itp.lm.transformers import TransformersLM
    from itp.world_model.free_running import free_running, stretches
    from itp.world_model.text import TextWorldModel

    items = stretches(held_out, config.eval_horizon, limit=config.eval_episodes, seed=config.optim.seed)
    if not items:
        return None

    def judge(model: PreTrainedModel) -> dict[str, float]:
        lm = TransformersLM(model, tokenizer, name="in training")
        world_model = TextWorldModel(lm, prompts, Sampling(max_new_tokens=config.max_observation_tokens))
        figures = {}
        for h, outcomes in enumerate(free_running(world_model, items), start=1):
            figures[f"exact_h{h}"] = sum(outcome.exact for outcome in outcomes) / len(outcomes)
            figures[f"f1_h{h}"] = sum(outcome.f1 for outcome in outcomes) / len(outcomes)
        return figures

    return judge
