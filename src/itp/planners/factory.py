"""From names and paths, as a user gives them, to a planner. Everything is checked before any model is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from itp.errors import ConfigError
from itp.planners.base import Planner
from itp.planners.prompt_factory import (
    NO_PARTS,
    PROMPTED,
    Parts,
    PromptFlags,
    ServerFlags,
    backend_of,
    build_prompted,
    is_prompted,
    prompted_world_model,
)

if TYPE_CHECKING:
    from itp.envs.base import TextEnv
    from itp.planners.itp import ActionMode
    from itp.planners.wkm import WkmPlanner
    from itp.world_model.base import WorldModel

PLANNERS = ("act", "itp", "no-repeat", "wkm", *PROMPTED, "random", "expert")
ACTION_MODES = ("score", "generate", "constrained")
WRITTEN = ("generate", "constrained")
"""Modes in which a policy writes its commands itself."""
HEADLESS = ("fixed:", "random", "unsure", "confidence")
"""Horizons that ask no K-head, and may be longer than its K_max."""
FORESIGHTS = ("full", "last")
DEFAULT_K_MAX = 5


@dataclass(frozen=True)
class PlannerSpec:
    """What a user asked for.

    Attributes:
        planner: one of `PLANNERS`.
        horizon: see `itp.planners.horizon_flag.check_horizon`; ignored by `random` and `expert`, and fixed:0 for `act`.
        policy: checkpoint folder or Hugging Face id.
        world_model: checkpoint folder, Hugging Face id, `rules`, or `exact` (the engine itself).
        action: "score", "generate" or "constrained"; "" is generate for prompted models, else score.
        knowledge: folder of a world knowledge model, for `wkm`.
        gamma: the agent's share in the choice of `wkm`.
        k_max: largest horizon; must equal that of the checkpoint's K-head where the horizon asks it. None takes the
            checkpoint's.
        device, dtype: where and how the models run; `wm_device` and `wm_dtype`, when given, for the world model.
        action_tokens: most tokens of a generated action.
        proposals: commands that a trained policy writes for a decision, of which the likeliest is sent.
        alternatives: with `avoid`, further commands to try where all that it wrote is warned of.
        max_observation_tokens: most tokens of an imagined observation; None is the world model's own limit.
        history_steps: latest steps that the policy's state text tells; None is as many as its checkpoint says.
        max_steps: step limit of an episode, over which `budget` is spread; None is the usual one.
        avoid: texts of imagined observations that warn of a command; see `itp.planners.avoiding`.
        avoid_returns: with `avoid`, commands that lead back are passed over too.
        foresight: "full", or "last": the last imagined step alone is read (an ablation).
        prompting, server: how prompted planners ask, and how servers are reached.
    """

    planner: str
    horizon: str = "learned"
    policy: str = ""
    world_model: str = ""
    action: str = ""
    knowledge: str = ""
    gamma: float = 0.4
    k_max: int | None = None
    device: str = "cpu"
    dtype: str = "float32"
    wm_device: str = ""
    wm_dtype: str = ""
    action_tokens: int = 16
    proposals: int = 1
    alternatives: int = 0
    max_observation_tokens: int | None = None
    history_steps: int | None = None
    max_steps: int | None = None
    avoid: tuple[str, ...] = ()
    avoid_returns: bool = True
    foresight: str = "full"
    prompting: PromptFlags = field(default_factory=PromptFlags)
    server: ServerFlags = field(default_factory=ServerFlags)


def build_planner(spec: PlannerSpec, make_env: Callable[[], TextEnv] | None = None, parts: Parts = NO_PARTS) -> Planner:
    """Build a planner. Raises an ItpError, with the flag to change, for anything that does not fit.

    Args:
        spec: what a user asked for.
        make_env: makes the environment that is to be played; the world model `exact` needs it.
        parts: models that exist already.
    """
    if spec.planner not in PLANNERS:
        raise ConfigError(f"--planner {spec.planner} is unknown: choose one of {', '.join(PLANNERS)}")
    if spec.action not in ("", *ACTION_MODES):
        raise ConfigError(f"--action {spec.action} is unknown: choose one of {', '.join(ACTION_MODES)}")
    check_proposals(spec.proposals, spec.planner, spec.policy, spec.action)
    check_avoid(spec.avoid, spec.avoid_returns, spec.planner)
    check_alternatives(spec.alternatives, spec.avoid, spec.action)
    if is_prompted(spec.planner, spec.policy) or parts.asked is not None:
        return build_prompted(spec, make_env, parts)
    if spec.planner == "random":
        from itp.planners.simple import RandomPlanner

        return RandomPlanner()
    if spec.planner == "expert":
        from itp.planners.simple import ExpertPlanner

        return ExpertPlanner()
    return _build_wkm(spec) if spec.planner == "wkm" else _build_model_planner(spec, make_env, parts)


def _build_wkm(spec: PlannerSpec) -> WkmPlanner:
    check_wkm(spec)
    from itp.lm.base import Sampling
    from itp.planners.wkm import WkmPlanner
    from itp.policy.model import Policy
    from itp.world_model.knowledge import KnowledgeBase, KnowledgeModel

    base = KnowledgeBase.load(spec.knowledge)
    device, dtype = spec.wm_device or spec.device, spec.wm_dtype or spec.dtype
    model = KnowledgeModel.load(spec.knowledge, device=device, dtype=dtype)
    policy = Policy.load(spec.policy, k_max=spec.k_max, device=spec.device, dtype=spec.dtype)
    policy = policy if spec.history_steps is None else policy.with_history(spec.history_steps)
    if "wkm" not in policy.config.stage:
        raise ConfigError(
            f"--planner wkm: {spec.policy} was trained without task knowledge: "
            f"run `itp train policy --knowledge {spec.knowledge}`"
        )
    return WkmPlanner(policy, model, base, spec.gamma, action_sampling=Sampling(spec.action_tokens))


def check_proposals(proposals: int, planner: str, policy: str, action: str) -> None:
    """Refuse a number of commands to write where none, or no others, are written."""
    if proposals < 1:
        raise ConfigError(f"--proposals {proposals} is too small: give at least 1")
    if proposals > 1 and (planner not in ("act", "itp") or is_prompted(planner, policy) or action not in WRITTEN):
        raise ConfigError(
            f"--proposals {proposals} works with --planner act or itp, a trained policy, and --action generate or "
            "constrained only: leave it out"
        )


def check_avoid(avoid: Sequence[str], avoid_returns: bool, planner: str) -> None:
    """Refuse texts to avoid where no planner reads them, and a setting of theirs without them."""
    if avoid and (planner != "itp" or not all(avoid)):
        raise ConfigError("--avoid takes texts, and works with --planner itp only: leave it out")
    if not (avoid or avoid_returns):
        raise ConfigError("--no-avoid-returns does nothing without --avoid: leave it out, or give --avoid texts")


def check_alternatives(alternatives: int, avoid: Sequence[str], action: str) -> None:
    """Refuse a number of further commands to try where none are tried, or none can be found."""
    if alternatives < 0:
        raise ConfigError(f"--alternatives {alternatives} is too small: give at least 0")
    if alternatives and not (avoid and action == "constrained"):
        raise ConfigError(
            f"--alternatives {alternatives} works with --avoid and --action constrained only: leave it out"
        )


def check_wkm(spec: PlannerSpec) -> None:
    """Refuse flags that `wkm` cannot work with, before anything is loaded."""
    if not spec.policy or not spec.knowledge:
        raise ConfigError(
            "--planner wkm needs --policy PATH (trained with `itp train policy --knowledge`) and --knowledge PATH "
            "(a folder written by `itp train wkm`)"
        )
    if not 0 <= spec.gamma <= 1:
        raise ConfigError(f"--gamma {spec.gamma:g} is not allowed: give the agent's share, from 0 to 1")
    if spec.action in WRITTEN:
        raise ConfigError(
            f"--action {spec.action} is not possible with --planner wkm, which mixes scores: leave it out"
        )


def _build_model_planner(spec: PlannerSpec, make_env: Callable[[], TextEnv] | None, parts: Parts) -> Planner:
    if not spec.policy:
        raise ConfigError(f"--planner {spec.planner} needs --policy PATH: a folder written by `itp train policy`")
    needs_world_model = spec.planner == "itp" and spec.horizon != "fixed:0"
    if needs_world_model and not spec.world_model:
        raise ConfigError(
            "--planner itp needs --world-model PATH (a folder written by `itp train world-model`) or rules"
        )
    from itp.lm.base import Sampling
    from itp.planners.horizon import FixedHorizon
    from itp.planners.horizon_flag import check_horizon, parse_horizon
    from itp.planners.itp import ItpPlanner
    from itp.policy.model import Policy

    if spec.planner == "itp":
        check_horizon(spec.horizon, spec.k_max)
    heads = None if spec.horizon.startswith(HEADLESS) else spec.k_max
    policy = parts.trained or Policy.load(spec.policy, k_max=heads, device=spec.device, dtype=spec.dtype)
    policy = policy if spec.history_steps is None else policy.with_history(spec.history_steps)
    action, sampling = cast("ActionMode", spec.action or "score"), Sampling(spec.action_tokens)
    if spec.planner == "no-repeat":
        from itp.planners.no_repeat import NoRepeatPlanner

        return NoRepeatPlanner(policy)
    if spec.planner == "act":
        return ItpPlanner(
            policy,
            None,
            FixedHorizon(0),
            action_mode=action,
            action_sampling=sampling,
            proposals=spec.proposals,
            name="act",
        )
    k_max = spec.k_max if spec.k_max is not None else policy.config.k_max or DEFAULT_K_MAX
    horizon = parse_horizon(
        spec.horizon,
        policy=policy,
        k_max=k_max,
        policy_path=spec.policy,
        world_model=spec.world_model,
        max_steps=spec.max_steps,
    )
    world_model = (parts.world_model or _world_model(spec, make_env)) if needs_world_model else None
    if spec.avoid and world_model is not None:
        from itp.planners.avoiding import AvoidingPlanner

        return AvoidingPlanner(
            policy,
            world_model,
            horizon,
            spec.avoid,
            sampling=sampling,
            writes=action in WRITTEN,
            constrained=action == "constrained",
            proposals=spec.proposals,
            alternatives=spec.alternatives,
            avoid_returns=spec.avoid_returns,
            last_only=spec.foresight == "last",
        )
    return ItpPlanner(
        policy,
        world_model,
        horizon,
        action_mode=action,
        action_sampling=sampling,
        proposals=spec.proposals,
        last_only=spec.foresight == "last",
        name=f"itp {horizon.name}",
    )


def _world_model(spec: PlannerSpec, make_env: Callable[[], TextEnv] | None) -> WorldModel:
    if backend_of(spec.world_model):
        return prompted_world_model(spec)
    return load_world_model(
        spec.world_model,
        spec.wm_device or spec.device,
        spec.wm_dtype or spec.dtype,
        max_observation_tokens=spec.max_observation_tokens,
        make_env=make_env,
    )


def load_world_model(
    path: str,
    device: str,
    dtype: str,
    *,
    max_observation_tokens: int | None = None,
    make_env: Callable[[], TextEnv] | None = None,
) -> WorldModel:
    """Load a world model checkpoint, the rule-based memory for `rules`, or the engine itself for `exact`.

    The last two know no limit of tokens. `make_env` is needed by `exact` alone.
    """
    if path == "rules":
        from itp.world_model.rules import RuleWorldModel

        return RuleWorldModel()
    if path == "exact":
        from itp.world_model.exact import ExactWorldModel

        if make_env is None:
            raise ConfigError(
                "--world-model exact is the environment's own engine, and this command plays none: "
                "name a folder written by `itp train world-model`, or rules"
            )
        return ExactWorldModel(make_env)
    from itp.world_model.text import TextWorldModel

    world_model = TextWorldModel.load(path, device=device, dtype=dtype)
    if max_observation_tokens is not None:
        world_model.sampling = replace(world_model.sampling, max_new_tokens=max_observation_tokens)
    return world_model
