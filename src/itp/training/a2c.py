"""`itp train a2c`: online advantage actor-critic for K-head, value head and policy; the world model stays frozen.

    itp train a2c --env household --policy out/warmup/model --world-model out/world_model/model --out out/a2c

    r = r_env [+ bonus if won] − cost(K) − λ_step        (Liu et al. 2026, eq. 7)
    L = −A · (log p(K | s) + log π(a | s, τ̂)) + α (V − V̂)² − β H(p(K | s))        (eq. 8)

log π is that of the action really sampled, at the sampling temperature, over the admissible commands it was drawn from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from itp.envs.spec import EnvFlags
from itp.errors import ConfigError

COST_MODES = ("paper", "per-token", "annealed")
TEST_SPLITS = ("valid", "valid_seen", "valid_unseen", "test", "test_seen", "test_unseen", "dev")


@dataclass(kw_only=True)
class Config(EnvFlags):
    """Tune policy and K-head online with advantage actor-critic; evaluation splits are refused."""

    out: Path
    """Run folder; the checkpoint is OUT/model."""
    policy: str
    """Warm-up checkpoint with heads."""
    world_model: str
    """World model checkpoint, or rules; frozen."""
    updates: int = 100
    """Optimiser steps."""
    envs: int = 16
    """Environments side by side."""
    rollout: int = 5
    """Steps of every environment per update."""
    max_steps: int | None = 30
    """Actions after which an episode is truncated."""
    lambda_k: float = 0.01
    """λ_K; the paper uses 0.2 with --cost paper."""
    cost: str = "per-token"
    """What λ_K charges: per-token (100 imagined tokens), paper (per imagined step) or annealed (rising, per step)."""
    lambda_step: float = 0.01
    """Cost of every real step."""
    success_bonus: float = 0.01
    """Added on success, on top of the environment's reward."""
    gamma: float = 0.99
    """Discount."""
    gae_lambda: float = 0.95
    """0 is the paper's one-step TD target; towards 1 longer returns count."""
    lr: float = 5e-5
    """Learning rate (the paper: 5e-6 for an LLM)."""
    alpha: float = 1.0
    """Weight of the value loss."""
    beta: float = 0.01
    """Weight of the entropy of p(K | s)."""
    grad_clip: float = 1.0
    """Gradient norm limit."""
    temperature: float = 0.7
    """Sampling temperature of actions."""
    normalize_advantages: bool = True
    """Scale advantages to unit variance in each update."""
    value_warmup: int = 10
    """Updates that fit the value head alone, before the policy moves."""
    save_every: int = 10
    """Updates between resumable checkpoints."""
    device: str = "cpu"
    """Torch device."""
    seed: int = 0
    """Of sampling and tasks."""


def run(config: Config) -> None:
    """Train; a second run in the same folder resumes or reports what is there."""
    from itp.run_folder import open_run
    from itp.training.stage import finish

    _check(config)
    with open_run(config.out, config, command="train a2c") as folder:
        if finish(folder):
            return
        from itp.training.a2c_loop import train

        finish(folder, train(config))


def _check(config: Config) -> None:
    if config.cost not in COST_MODES:
        raise ConfigError(f"--cost {config.cost} is unknown: choose one of {', '.join(COST_MODES)}")
    if config.split in TEST_SPLITS:
        raise ConfigError(f"--split {config.split} is for evaluation: reinforcement learning uses train")
    for name in ("updates", "envs", "rollout", "save_every"):
        if getattr(config, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} {getattr(config, name)} is too small: give 1 or more")
    if config.temperature <= 0:
        raise ConfigError(f"--temperature {config.temperature} is too small: exploration needs a value above 0")
