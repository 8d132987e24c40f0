"""The flags of `itp eval`, what is refused of them, and the planner that they describe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from itp.envs.spec import EnvFlags
from itp.errors import ConfigError
from itp.harness.play import ExecutorFlags
from itp.planners.prompt_factory import PromptFlags, ServerFlags, is_prompted

if TYPE_CHECKING:
    from itp.planners.factory import PlannerSpec


@dataclass(kw_only=True)
class Config(EnvFlags):
    """Play a split with one planner; write traces and results.json, print the table."""

    out: Path
    """Run folder; the same command again resumes it."""
    split: str = "valid"
    """Split to play: train, valid or test of household; train, valid_seen or valid_unseen of alfworld; train, valid,
    test_seen or test_unseen of scienceworld."""
    planner: str = "itp"
    """Who plays. Trained checkpoints: act (no imagination), itp (imagine, then act), no-repeat (act, but nothing twice
    in the same situation: a control for itp --avoid), wkm (told by a knowledge model).
    Any language model, by prompts: act, itp-i, cot, react, rap, mcts, tot, self-refine, multi-attempt, k-candidates.
    Neither: random, expert."""
    horizon: str = ""
    """How far itp and itp-i imagine: fixed:K, random (0..K_max), learned (the checkpoint's K-head; default of itp),
    sampled (drawn from the K-head), quantile:Q (the K-head again: the least K with p(k <= K) at least Q), share:S (the
    K-head's first choices for a share S of the looks of fixed:K_max; `itp policy calibrate` writes where that is),
    unsure:S (K_max in the share S of the decisions where the policy is least sure of its command; likewise), prompted
    (the model names K; default of itp-i), confidence[:THRESHOLD] (to K_max, while the world model is sure; the limit
    is written by `itp world-model calibrate`), or budget:TOKENS[:HORIZON] (at most so many imagined tokens per episode,
    asked for by the K-head, or by HORIZON)."""
    policy: str = ""
    """Policy checkpoint: a folder or a Hugging Face id; or a model to prompt: openai:URL, transformers:PATH_OR_ID."""
    world_model: str = ""
    """World model checkpoint: a folder, a Hugging Face id, rules, exact (the engine itself, to measure planners), or a
    model to prompt: openai:URL, transformers:PATH_OR_ID (default for prompted planners: the policy's model)."""
    action: str = ""
    """How an action is chosen: score (the best admissible command; default of trained checkpoints), generate (text;
    default of prompted models) or constrained (text, held to the commands that the environment lists, or to the grammar
    that it tells: --env-option commands=grammar of scienceworld)."""
    action_tokens: int = 16
    """Most tokens of a generated action."""
    proposals: int = 1
    """With --action generate or constrained, commands that a trained policy writes for a decision: the likeliest as a
    whole is sent. What is held to a grammar word by word may be an unlikely command."""
    alternatives: int = 0
    """With --avoid and --action constrained: where all that the policy wrote is warned of, so many further commands are
    tried: the likeliest of the environment's list, or of those that differ from its own in one name of the grammar, and
    then one that it would write if it might not begin so."""
    avoid: tuple[str, ...] = ()
    """Texts such as "breaks for good": itp then passes over commands whose foresight holds one of them, down the
    policy's ranking, and shows the policy no foresight. For policies that were not trained to read one. With --action
    generate or constrained, and where no commands are listed, it chooses among a few that the policy writes."""
    avoid_returns: bool = True
    """With --avoid: pass over commands that lead back to where the episode has been, too. A learned world model that
    takes one place for another is better not believed in this (--no-avoid-returns)."""
    foresight: str = "full"
    """What of the foresight itp reads: full (every imagined step) or last (the last one alone; an ablation)."""
    knowledge: str = ""
    """World knowledge model, for --planner wkm: a folder written by `itp train wkm`."""
    gamma: float = 0.4
    """The agent's share in the choice of wkm, the rest being the knowledge base's: 0 to 1."""
    k_max: int | None = None
    """Largest horizon (default: that of the checkpoint's K-head). fixed:K, random and confidence may go beyond it."""
    max_observation_tokens: int | None = None
    """Most tokens of an imagined observation (default: the world model's own limit)."""
    history_steps: int | None = None
    """Latest steps that the policy's state text may tell (default: as the checkpoint says)."""
    episodes: int = 0
    """Tasks to play; fewer than the split gives the same fixed subset to every planner and seed. 0 plays all."""
    shard: str = ""
    """i/n: play every n-th of these tasks only, from the i-th; `itp merge` puts the n run folders together."""
    retry_errors: bool = False
    """Play the episodes again that ended in an error."""
    batch_size: int = 16
    """Episodes played side by side."""
    workers: int = 0
    """Processes that step the environments; 0 steps them in this one, best for the fast engines."""
    step_timeout: float = 120.0
    """Seconds that one reset or step may take in a worker before its episodes fail and it is replaced."""
    seed: int = 0
    """Of every random draw."""
    device: str = "cpu"
    """Where models run, where the next two do not say otherwise: cpu, cuda, cuda:1, mps."""
    policy_device: str = ""
    """Where the policy runs."""
    wm_device: str = ""
    """Where the world model runs."""
    dtype: str = "float32"
    """Precision of model weights: float32, bfloat16 or float16."""
    wm_dtype: str = ""
    """Precision of the world model's weights (default: --dtype)."""
    prices: Path | None = None
    """Price table (YAML) of the models, for the cost in the results; see docs/servers.md."""
    prompting: PromptFlags = field(default_factory=PromptFlags)
    """How prompted planners ask."""
    server: ServerFlags = field(default_factory=ServerFlags)
    """How model servers are reached."""
    cluster: ExecutorFlags = field(default_factory=ExecutorFlags)
    """Where episodes are played."""


def check(config: Config) -> None:
    """Refuse flags that cannot work, before anything is loaded or written."""
    from itp.harness.shards import Shard
    from itp.planners.factory import (
        ACTION_MODES,
        FORESIGHTS,
        PLANNERS,
        check_alternatives,
        check_avoid,
        check_proposals,
        check_wkm,
    )
    from itp.planners.horizon_flag import check_horizon
    from itp.planners.prompt_factory import check_prompted

    _check_choice("--planner", config.planner, PLANNERS)
    if config.action:
        _check_choice("--action", config.action, ACTION_MODES)
    _check_choice("--foresight", config.foresight, FORESIGHTS)
    for flag, value, least in (
        ("--episodes", config.episodes, 0),
        ("--batch-size", config.batch_size, 1),
        ("--workers", config.workers, 0),
        ("--step-timeout", config.step_timeout, 1),
        ("--seed", config.seed, 0),
        ("--action-tokens", config.action_tokens, 1),
        ("--k-max", config.k_max if config.k_max is not None else 1, 1),
        (
            "--max-observation-tokens",
            config.max_observation_tokens if config.max_observation_tokens is not None else 1,
            1,
        ),
        ("--history-steps", config.history_steps if config.history_steps is not None else 1, 1),
    ):
        if value < least:
            raise ConfigError(f"{flag} {value} is too small: give at least {least}")
    check_proposals(config.proposals, config.planner, config.policy, config.action)
    check_alternatives(config.alternatives, config.avoid, config.action)
    Shard.parse(config.shard)
    _check_cluster(config)
    check_avoid(config.avoid, config.avoid_returns, config.planner)
    if config.horizon not in ("", "fixed:0") and config.planner not in ("itp", "itp-i"):
        raise ConfigError(
            f"--horizon {config.horizon} does nothing with --planner {config.planner}: "
            "leave it out, or use itp or itp-i"
        )
    if config.foresight != "full" and (config.planner != "itp" or is_prompted(config.planner, config.policy)):
        raise ConfigError(
            f"--foresight {config.foresight} works with --planner itp and a trained policy only: leave it out"
        )
    if is_prompted(config.planner, config.policy):
        check_prompted(planner_spec(config))
        return
    if config.planner == "itp":
        check_horizon(horizon_of(config), config.k_max)
        if not config.world_model and config.horizon != "fixed:0":
            raise ConfigError(
                "--planner itp needs --world-model PATH (or rules, or exact); without imagination use --planner act"
            )
    if config.planner == "wkm":
        check_wkm(planner_spec(config))
    elif config.knowledge:
        raise ConfigError(f"--knowledge does nothing with --planner {config.planner}: leave it out, or use wkm")
    if config.planner in ("act", "itp", "no-repeat") and not config.policy:
        raise ConfigError(f"--planner {config.planner} needs --policy PATH: a folder written by `itp train policy`")


def planner_spec(config: Config) -> PlannerSpec:
    """The part of the config that describes the planner."""
    from itp.planners.factory import PlannerSpec

    return PlannerSpec(
        planner=config.planner,
        horizon=horizon_of(config),
        policy=config.policy,
        world_model=config.world_model,
        action=config.action,
        knowledge=config.knowledge,
        gamma=config.gamma,
        k_max=config.k_max,
        device=config.policy_device or config.device,
        dtype=config.dtype,
        wm_device=config.wm_device or config.device,
        wm_dtype=config.wm_dtype,
        action_tokens=config.action_tokens,
        proposals=config.proposals,
        alternatives=config.alternatives,
        max_observation_tokens=config.max_observation_tokens,
        history_steps=config.history_steps,
        prompting=config.prompting,
        server=config.server,
        max_steps=config.max_steps,
        avoid=config.avoid,
        avoid_returns=config.avoid_returns,
        foresight=config.foresight,
    )


def label(config: Config) -> str:
    """The planner's name in tables: `act`, `itp fixed:3`, `itp-i prompted one-shot`."""
    if config.planner not in ("itp", "itp-i"):
        return config.planner
    one_shot = config.planner == "itp-i" and config.prompting.imagination == "one-shot"
    return f"{config.planner} {horizon_of(config)}{' avoid' if config.avoid else ''}{' one-shot' if one_shot else ''}"


def horizon_of(config: Config) -> str:
    """`--horizon`, or the planner's own default."""
    return config.horizon or ("prompted" if config.planner == "itp-i" else "learned")


def _check_cluster(config: Config) -> None:
    config.cluster.check()
    devices = (config.device, config.policy_device, config.wm_device)
    if config.cluster.executor == "ray" and not config.cluster.ray_gpus and any("cuda" in name for name in devices):
        raise ConfigError("--executor ray with a cuda device needs --ray-gpus: Ray hides GPUs that were not asked for")


def _check_choice(flag: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ConfigError(f"{flag} {value} is unknown: choose one of {', '.join(allowed)}")
