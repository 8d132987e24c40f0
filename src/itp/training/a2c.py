"""`itp train a2c`: online advantage actor-critic for K-head, value head and policy; the world model stays frozen.

    itp train a2c --env household --policy out/warmup/model --world-model out/world_model/model --out out/a2c

    r = r_env [+ bonus if won] − cost(K) − λ_step        (Liu et al. 2026, eq. 7)
    L = −A · (log p(K | s) + log π(a | s, τ̂)) + α (V − V̂)² − β H(p(K | s))        (eq. 8)

log π is that of the action really sampled, at the sampling temperature: over the admissible commands it was drawn from
(`--action score`), or over the tokens that were generated (`--action generate`). docs/a2c.md explains every choice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from itp.envs.spec import EnvFlags
from itp.errors import ConfigError
from itp.training.advantages import COST_MODES
from itp.training.tracking import check_logger

ACTION_MODES = ("score", "generate", "constrained")
LIMITS = ("bootstrap", "loss")
LR_SCHEDULES = ("constant", "linear")
EVAL_HORIZONS = ("learned", "sampled")
TEST_SPLITS = ("valid", "valid_seen", "valid_unseen", "test", "test_seen", "test_unseen", "dev")
MAY_DIFFER = (
    "out", "updates", "save_every", "log", "device", "policy_device", "wm_device", "workers", "step_timeout",
)  # fmt: skip
"""Settings that a resumed run may change."""


@dataclass(kw_only=True)
class Config(EnvFlags):
    """Tune policy and K-head online with advantage actor-critic; evaluation splits are refused."""

    out: Path
    """Run folder; the last checkpoint is OUT/model, that of the best return on the validation cut OUT/best."""
    policy: str
    """Warm-up checkpoint with heads."""
    world_model: str
    """World model checkpoint, rules, or exact (the engine itself, to see what a perfect one would do); frozen."""
    updates: int = 100
    """Optimiser steps; a run that is done goes on when it is given more."""
    envs: int = 16
    """Environments side by side, over all processes."""
    rollout: int = 5
    """Steps of every environment per update."""
    max_steps: int | None = 30
    """Actions after which an episode is truncated."""
    action: str = "score"
    """How actions are drawn: score (among the admissible commands) or generate (free text, as the paper does); with
    --avoid also constrained (text held to the environment's list or grammar of commands)."""
    avoid: tuple[str, ...] = ()
    """Play as `itp eval --avoid`: foresight serves to pass over commands whose future tells of one of these texts. What
    is learnt is K, and the policy's first draw; K alone where it writes its commands."""
    avoid_returns: bool = True
    """With --avoid: pass over commands that lead back to where the episode has been, too."""
    lambda_k: float = 0.01
    """λ_K; the paper uses 0.2 with --cost paper."""
    cost: str = "per-token"
    """What λ_K charges: per-token (100 imagined tokens), paper (per imagined step) or annealed (rising, per step)."""
    lambda_step: float = 0.01
    """Cost of every real step."""
    success_bonus: float = 0.01
    """Added on success, on top of the environment's reward."""
    invalid_penalty: float = 0.1
    """Taken off for generated text that is no admissible command."""
    limit: str = "bootstrap"
    """What the step limit means: bootstrap (the episode was cut, its value goes on) or loss (it is over, as evaluation
    has it)."""
    irreversible_penalty: float | None = None
    """End an episode once a mistake has made its goal impossible (info["irreversible"]), and take this off; default:
    play on, the mistake showing in the value alone."""
    gamma: float = 0.99
    """Discount."""
    gae_lambda: float = 0.95
    """0 is the paper's one-step TD target; towards 1 longer returns count."""
    lr: float = 5e-5
    """Learning rate (the paper: 5e-6 for an LLM)."""
    lr_schedule: str = "constant"
    """constant, or linear: both learning rates fall to 0 at the last of --updates, which averages their noise out."""
    weight_decay: float = 0.0
    """AdamW weight decay."""
    head_lr: float = 1e-3
    """Learning rate of the K-head and the value head: two small layers, the second one new."""
    alpha: float = 1.0
    """Weight of the value loss."""
    beta: float = 0.01
    """Weight of the entropy of p(K | s)."""
    action_entropy: float = 0.0
    """Weight of the entropy of the action distribution (with --action score)."""
    kl: float = 0.0
    """Weight of KL(policy and K-head now ‖ those of the start)."""
    grad_clip: float = 1.0
    """Gradient norm limit."""
    temperature: float = 0.7
    """Sampling temperature of actions."""
    top_p: float = 0.9
    """Nucleus of generated actions."""
    action_tokens: int = 16
    """Most tokens of a generated action."""
    proposals: int = 1
    """With --avoid and --action generate or constrained: commands that the policy writes for a decision, as in
    `itp eval`."""
    imagined_action_tokens: int = 12
    """Most tokens of an imagined action."""
    max_observation_tokens: int | None = None
    """Most tokens of an imagined observation (default: the world model's own limit)."""
    max_state_tokens: int | None = None
    """Cut the state part of the policy's prompts to this many tokens where its checkpoint takes more."""
    history_steps: int | None = None
    """Latest steps that the state text may tell (default: as many as fit)."""
    normalize_advantages: bool = True
    """Scale advantages to unit variance in each update."""
    value_warmup: int = 10
    """Updates that fit the value head alone, before the policy moves."""
    eval_every: int = 0
    """Updates between evaluations on a validation cut of the split; 0 does none."""
    eval_episodes: int = 50
    """Tasks of the validation cut, drawn by --seed; they are never trained on."""
    eval_horizon: str = "learned"
    """How these evaluations read the K-head: learned (its most likely K) or sampled (drawn, as in training)."""
    save_every: int = 10
    """Updates between resumable checkpoints."""
    log: str = "tensorboard"
    """Where curves go besides OUT/metrics.jsonl: tensorboard, wandb, trackio or none."""
    bf16: bool = False
    """Autocast the update's matrix products to bfloat16 over fp32 weights."""
    device: str = "cpu"
    """Torch device of policy and world model, where the next two do not say otherwise."""
    policy_device: str = ""
    """Torch device of the policy."""
    wm_device: str = ""
    """Torch device of the world model."""
    wm_dtype: str = "float32"
    """Precision of the frozen world model: float32, bfloat16 or float16."""
    workers: int = 0
    """Processes that step the environments; 0 steps them in this one, best for the fast engines."""
    step_timeout: float = 120.0
    """Seconds that one reset or step may take in a worker before its episode is given up."""
    force_split: bool = False
    """Train on an evaluation split all the same; its figures are worthless afterwards."""
    seed: int = 0
    """Of sampling and tasks."""

    @property
    def writes(self) -> bool:
        """Whether the policy writes its commands itself."""
        return self.action != "score"

    @property
    def generates(self) -> bool:
        """Whether the policy answers for texts that it samples, rather than for choices among candidates."""
        return self.writes and not self.avoid


def run(config: Config) -> None:
    """Train; a second run in the same folder resumes or reports what is there."""
    from itp.run_folder import open_run
    from itp.training.stage import RESULT_FILE, finish

    _check(config)
    with open_run(config.out, config, command="train a2c", ignore=MAY_DIFFER) as folder:
        done = folder / RESULT_FILE
        if done.is_file() and json.loads(done.read_text())["metrics"]["updates"] < config.updates:
            done.unlink()
        if finish(folder):
            return
        from itp.training.a2c_loop import train
        from itp.training.distributed import say

        if config.updates <= config.value_warmup:
            say(
                f"a2c: --value-warmup {config.value_warmup} takes all of --updates {config.updates}: only the value "
                "head learns, policy and K-head stay as they are; give more updates, or fewer of these"
            )
        finish(folder, train(config))


def _check(config: Config) -> None:
    for flag, value, allowed in (
        ("--cost", config.cost, COST_MODES),
        ("--action", config.action, ACTION_MODES),
        ("--limit", config.limit, LIMITS),
        ("--lr-schedule", config.lr_schedule, LR_SCHEDULES),
        ("--eval-horizon", config.eval_horizon, EVAL_HORIZONS),
    ):
        if value not in allowed:
            raise ConfigError(f"{flag} {value} is unknown: choose one of {', '.join(allowed)}")
    if config.split in TEST_SPLITS and not config.force_split:
        raise ConfigError(
            f"--split {config.split} is for evaluation: reinforcement learning uses train (or give --force-split)"
        )
    least = {"updates": 1, "envs": 1, "rollout": 1, "save_every": 1, "eval_every": 0, "eval_episodes": 1, "workers": 0}
    for name, bound in least.items():
        if getattr(config, name) < bound:
            given = getattr(config, name)
            raise ConfigError(f"--{name.replace('_', '-')} {given} is too small: give {bound} or more")
    check_logger(config.log)
    if config.temperature <= 0:
        raise ConfigError(f"--temperature {config.temperature} is too small: exploration needs a value above 0")
    if not 0 < config.top_p <= 1:
        raise ConfigError(f"--top-p {config.top_p} is not allowed: give a share above 0, up to 1")
    if config.history_steps is not None and config.history_steps < 1:
        raise ConfigError(f"--history-steps {config.history_steps} is too small: give 1 or more")
    if config.irreversible_penalty is not None and config.irreversible_penalty < 0:
        raise ConfigError(f"--irreversible-penalty {config.irreversible_penalty} is negative: give 0 or more")
    if config.action == "constrained" and not config.avoid:
        raise ConfigError(
            "--action constrained needs --avoid: without it the policy answers for the texts it samples, as they are; "
            "give --avoid texts, or --action generate"
        )
    if config.proposals < 1 or (config.proposals > 1 and not (config.writes and config.avoid)):
        raise ConfigError(
            f"--proposals {config.proposals}: give at least 1, and more only with --avoid and --action generate or "
            "constrained"
        )
    if config.action_entropy and config.writes:
        raise ConfigError("--action-entropy needs --action score: generated text has no list to take an entropy over")
