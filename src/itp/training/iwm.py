"""Implicit world modelling (IWM, Zhang et al. 2025): the policy also learns what follows actions, its own and others.

    loss = NLL(expert actions) + w · NLL(next observations)        over the labelled tokens of one step

No second model and no new prompt: next observations are learnt behind the world-model prompt of the one prompt builder,
on the policy's own weights. What comes out is an ordinary policy that acts without imagination. `itp train policy
--objective iwm` calls `train_iwm`, in one stage (both losses together) or in two (next observations, then imitation).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from itp.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from itp.data.rows import Tell
    from itp.policy.checkpoint import ItpConfig
    from itp.training.policy_sft import Config
    from itp.training.trainer import Weigh

IDLE = {1: "epochs", 2: "weight"}
"""What has no meaning with so many stages."""
FIRST_STAGE = "next_observation"
"""Folder, inside the run's own, of the first of two stages."""


@dataclass
class Implicit:
    """What `--objective iwm` adds to imitation."""

    stages: int = 1
    """With iwm: 1 learns actions and next observations together, 2 next observations first, then actions alone."""
    observation_weight: float = 1.0
    """With iwm in one stage: weight of a next-observation token in the loss, where an action token weighs 1."""
    observation_epochs: float = 1.0
    """With iwm in two stages: passes over the rows of the first stage; --epochs counts those of the second."""

    def check(self, objective: str) -> None:
        """Raise ConfigError for values that cannot work, or would do nothing."""
        given = [flag for flag in ("stages", "observation_weight", "observation_epochs") if self._set(flag)]
        idle = [flag for flag in given if objective != "iwm" or flag == f"observation_{IDLE.get(self.stages)}"]
        if idle:
            raise ConfigError(
                f"--{idle[0].replace('_', '-')} does nothing with --objective {objective} --stages {self.stages}: "
                "leave it out"
            )
        if self.stages not in (1, 2):
            raise ConfigError(f"--stages {self.stages} is not allowed: give 1 or 2")
        for flag, value in (("weight", self.observation_weight), ("epochs", self.observation_epochs)):
            if not value > 0:
                raise ConfigError(
                    f"--observation-{flag} {value:g} is not allowed: give more than 0 (--objective imitation is 0)"
                )

    def _set(self, name: str) -> bool:
        return getattr(self, name) != getattr(Implicit, name)


def observation_weights(tokenizer: PreTrainedTokenizerBase, weight: float) -> Weigh:
    """Weights [B, T] of the loss on tokens [B, T]: `weight` in observations, 1 elsewhere.

    A label belongs to an observation when `<OBS>` is nearer before it than `<ACT>`. Every row opens a label with one of
    the two, so rows may be padded or lie one behind another.
    """
    import torch

    from itp.lm.tokens import ACT, OBS

    obs_id, act_id = tokenizer.convert_tokens_to_ids(OBS), tokenizer.convert_tokens_to_ids(ACT)

    def weigh(ids_BT: torch.Tensor) -> torch.Tensor:
        place_T = torch.arange(1, ids_BT.shape[1] + 1, device=ids_BT.device)
        latest = [((ids_BT == token) * place_T).cummax(1).values for token in (obs_id, act_id)]
        return torch.where(latest[0] > latest[1], weight, 1.0)

    return weigh


def train_iwm(config: Config, itp_config: ItpConfig, tell: Tell | None) -> dict[str, float]:
    """Train a policy with both objectives, judged on held-out imitation alone.

    Args:
        config: settings of `itp train policy`.
        itp_config: what the checkpoint remembers.
        tell: task knowledge of each episode, or None.

    Returns:
        the metrics of the (second) stage; those of a first one are prefixed with `first_`.
    """
    from itp.data.rows import joint_rows, policy_rows
    from itp.training.policy_sft import labelled_rows
    from itp.training.stage import train_stage

    imitation = labelled_rows(policy_rows, config, tell)
    if config.implicit.stages == 1:
        weigh = partial(observation_weights, weight=config.implicit.observation_weight)
        rows = labelled_rows(joint_rows, config, tell)
        return train_stage(config, itp_config, rows, title="iwm", make_eval_rows=imitation, weigh=weigh)
    first = _first_stage(config, itp_config, tell)
    second = replace(config, base=str(config.out / FIRST_STAGE / "model"))
    return train_stage(second, itp_config, imitation, title="iwm: imitation") | first


def _first_stage(config: Config, itp_config: ItpConfig, tell: Tell | None) -> dict[str, float]:
    """Next observations alone, in a run folder inside the run's own; done once, however often the run is resumed."""
    import json

    from itp.data.rows import world_model_rows
    from itp.run_folder import open_run
    from itp.training.distributed import wait_for_all
    from itp.training.stage import RESULT_FILE, finish, train_stage

    settings = replace(config.optim, epochs=config.implicit.observation_epochs)
    first = replace(config, out=config.out / FIRST_STAGE, optim=settings)
    with open_run(first.out, first, command="train policy, first stage") as folder:
        if (folder / RESULT_FILE).is_file():
            metrics = json.loads((folder / RESULT_FILE).read_text())["metrics"]
        else:
            rows = partial(world_model_rows, window=config.window, tell=tell)
            stage = replace(itp_config, stage="iwm: next observation")
            metrics = train_stage(first, stage, rows, title="iwm: next observation")
            finish(folder, metrics)
    wait_for_all()  # the other processes load what the main one wrote
    return {f"first_{name}": value for name, value in metrics.items()}
