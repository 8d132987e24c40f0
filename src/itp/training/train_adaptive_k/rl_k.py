"""`train_adaptive_k rl_k`: the authors' flags for `itp train a2c` on ALFWorld (Liu et al. 2026, eqs. 7-8).

Their loop plays one environment; ours plays `--envs` of them in lockstep, `--update_every` steps each per optimiser
step, until the episodes asked for could all have been played to their step limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from itp.errors import ConfigError

OURS = {
    "--out": "--out_dir",
    "--policy": "--policy_model_path",
    "--world-model": "--wm_model_path",
    "--split": "--env_split",
    "--force-split": "--force_split",
    "--data": "--env_data_path",
    "--max-steps": "--max_steps",
    "--rollout": "--update_every",
    "--temperature": "--action_temperature",
    "--top-p": "--action_top_p",
}


@dataclass
class Config:
    """Tune policy and K-head online with A2C on ALFWorld; the authors' flags, the paper's defaults."""

    policy_model_path: str
    """Warm-up checkpoint with heads: a checkpoint folder, or OUT_DIR of the stage sft."""
    wm_model_path: str
    """World model: a checkpoint folder, or a run folder of ours."""
    out_dir: Path
    """Run folder; the checkpoint is OUT_DIR/model."""
    alfworld_config: Path | None = None
    """ALFWorld's own YAML; read are dataset.data_path (without --env_data_path) and env.goal_desc_human_anns_prob."""
    env_data_path: Path | None = None
    """Folder that holds json_2.1.1 (default: --alfworld_config's, else the variable ALFWORLD_DATA)."""
    env_split: str = "train"
    """Split to train on; evaluation splits are refused."""
    force_split: bool = False
    """Ours: train on an evaluation split all the same; its figures are worthless afterwards."""
    policy_device: str = ""
    """Device of the policy (default: the first GPU, else the CPU)."""
    wm_device: str = ""
    """Device of the world model."""
    kmax: int = 5
    """Largest horizon; must be that of the checkpoint's K-head."""
    epochs: int = 1
    """Times --episodes_per_epoch."""
    episodes_per_epoch: int = 50
    """Episodes, counted at --max_steps steps each."""
    max_steps: int = 50
    """Actions after which an episode is truncated."""
    gamma: float = 0.99
    """Discount."""
    lr: float = 5e-6
    """Learning rate of policy and heads."""
    wd: float = 0.0
    """AdamW weight decay."""
    lambda_k: float = 0.2
    """Price of one imagined step in reward."""
    step_cost: float = 0.01
    """Cost of every real step."""
    success_bonus: float = 0.01
    """Added on success."""
    invalid_action_penalty: float = -0.1
    """Added for text that is no admissible command; 0 or less."""
    entropy_coef: float = 0.01
    """Weight of the entropy of p(K | s)."""
    value_coef: float = 1.0
    """Weight of the value loss."""
    max_grad_norm: float = 1.0
    """Gradient norm limit."""
    wm_max_new_tokens: int = 192
    """Most tokens of an imagined observation."""
    action_max_new_tokens: int = 16
    """Most tokens of an action."""
    action_do_sample: int = 1
    """1; 0 (greedy) is refused, for nothing could be learnt from it."""
    action_temperature: float = 0.7
    """Sampling temperature of actions."""
    action_top_p: float = 0.9
    """Nucleus of actions."""
    imagine_action_max_new_tokens: int = 12
    """Most tokens of an imagined action."""
    max_seq_len: int = 2048
    """Tokens of a whole prompt; the state gets what kmax imagined steps and the action leave."""
    history_keep_steps: int = 0
    """Latest steps that the state text tells; 0 tells as many as fit."""
    update_every: int = 1
    """Steps of every environment per optimiser step."""
    envs: int = 16
    """Ours: environments side by side."""
    action: str = "generate"
    """Ours: generate (free text, as the authors) or score (draw among the admissible commands)."""
    fp16: bool = False
    """Half precision; the update has none in float16 and takes bfloat16."""
    bf16: bool = False
    """Matrix products of the update and the frozen world model in bfloat16."""
    train_only_heads: bool = False
    """Without effect: policy and heads learn together, as in the paper."""
    padding_side: str = ""
    """left or right; no prompt is padded here, so it changes nothing."""
    logprob_norm: str = "sum"
    """sum; with mean the sum is taken all the same, since the gradient needs the probability of what was sampled."""
    seed: int = 42
    """Ours: of sampling and tasks."""


def run(config: Config) -> None:
    """Train; the same command again resumes."""
    from itp.cli import authors
    from itp.training import a2c
    from itp.training.train_adaptive_k.alfworld_config import environment

    _check(config)
    limit = authors.state_limit(
        config.max_seq_len,
        config.kmax,
        observation_tokens=config.wm_max_new_tokens,
        imagined_action_tokens=config.imagine_action_max_new_tokens,
        action_tokens=config.action_max_new_tokens,
    )
    policy = authors.checkpoint("--policy_model_path", config.policy_model_path)
    world_model = authors.checkpoint("--wm_model_path", config.wm_model_path)
    _check_heads(policy, config)
    placed = authors.devices(policy_device=config.policy_device, wm_device=config.wm_device)
    dtype = authors.half_precision(config.fp16, config.bf16)
    data, human_goals = environment(config.alfworld_config, config.env_data_path)
    idle = _idle(config, dtype)
    if config.history_keep_steps and not authors.tells_history(policy):
        idle[f"--history_keep_steps {config.history_keep_steps}"] = "the checkpoint's state text is no list of steps"
    authors.without_effect(idle)
    with authors.flags_named(OURS):
        a2c.run(
            a2c.Config(
                out=config.out_dir,
                policy=policy,
                world_model=world_model,
                env="alfworld",
                split=config.env_split,
                data=data,
                env_option=("goal=human",) if human_goals else (),
                max_steps=config.max_steps,
                updates=updates(config),
                envs=config.envs,
                rollout=config.update_every,
                action=config.action,
                cost="paper",
                lambda_k=config.lambda_k,
                lambda_step=config.step_cost,
                success_bonus=config.success_bonus,
                invalid_penalty=-config.invalid_action_penalty,
                gamma=config.gamma,
                gae_lambda=0.0,
                lr=config.lr,
                head_lr=config.lr,
                weight_decay=config.wd,
                alpha=config.value_coef,
                beta=config.entropy_coef,
                grad_clip=config.max_grad_norm,
                temperature=config.action_temperature,
                top_p=config.action_top_p,
                action_tokens=config.action_max_new_tokens,
                imagined_action_tokens=config.imagine_action_max_new_tokens,
                max_observation_tokens=config.wm_max_new_tokens,
                max_state_tokens=limit,
                history_steps=config.history_keep_steps or None,
                value_warmup=0,
                bf16=dtype != "float32",
                policy_device=placed["policy_device"],
                wm_device=placed["wm_device"],
                wm_dtype=dtype,
                force_split=config.force_split,
                seed=config.seed,
            )
        )


def updates(config: Config) -> int:
    """Optimiser steps in which the episodes asked for can all be played to their step limit."""
    steps = config.epochs * config.episodes_per_epoch * config.max_steps
    return math.ceil(steps / (config.envs * config.update_every))


def _check(config: Config) -> None:
    from itp.cli.authors import check_choice

    check_choice("--padding_side", config.padding_side, ("", "left", "right"))
    check_choice("--logprob_norm", config.logprob_norm, ("sum", "mean"))
    check_choice("--action_do_sample", config.action_do_sample, (0, 1))
    for flag in ("kmax", "epochs", "episodes_per_epoch", "max_steps", "update_every", "envs"):
        if getattr(config, flag) < 1:
            raise ConfigError(f"--{flag} {getattr(config, flag)} is too small: give 1 or more")
    if config.history_keep_steps < 0:
        raise ConfigError(f"--history_keep_steps {config.history_keep_steps} is too small: give 0 or more")
    if not config.action_do_sample:
        raise ConfigError(
            "--action_do_sample 0 plays greedily, and A2C learns from what it samples: give 1, and a low "
            "--action_temperature for less exploration"
        )
    if config.invalid_action_penalty > 0:
        raise ConfigError(
            f"--invalid_action_penalty {config.invalid_action_penalty} would reward invalid actions: give 0 or less"
        )


def _check_heads(policy: str, config: Config) -> None:
    from itp.policy.checkpoint import read_itp_config

    stored = read_itp_config(policy).k_max
    if stored and stored != config.kmax:
        raise ConfigError(
            f"--kmax {config.kmax} is not the K-head's in {policy}, which has {stored}: give --kmax {stored}"
        )


def _idle(config: Config, dtype: str) -> dict[str, str]:
    idle = {f"--padding_side {config.padding_side}": "no prompt is padded"} if config.padding_side else {}
    if config.logprob_norm == "mean":
        idle["--logprob_norm mean"] = "the gradient needs the probability of the whole action: the sum"
    if config.train_only_heads:
        idle["--train_only_heads"] = "policy and heads learn together, as in the paper"
    if dtype == "float16":
        idle["--fp16 in the update"] = "it takes bfloat16; the world model is float16"
    return idle
