"""From names and paths, as a user gives them, to a planner. Everything is checked before any model is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from itp.errors import ConfigError
from itp.planners.base import Planner

if TYPE_CHECKING:
    from itp.planners.itp import ItpPlanner
    from itp.world_model.base import WorldModel

PLANNERS = ("act", "itp", "random", "expert")
ACTION_MODES = ("score", "generate")
DEFAULT_K_MAX = 5


@dataclass(frozen=True)
class PlannerSpec:
    """What a user asked for.

    Attributes:
        planner: one of `PLANNERS`.
        horizon: `fixed:K`, `random` or `learned`; ignored by `random` and `expert`, and fixed:0 for `act`.
        policy: checkpoint folder or Hugging Face id.
        world_model: checkpoint folder, Hugging Face id, or `rules`.
        action: "score" or "generate".
        k_max: largest horizon; must equal that of the checkpoint's K-head when it has one. None takes the checkpoint's.
    """

    planner: str
    horizon: str = "learned"
    policy: str = ""
    world_model: str = ""
    action: str = "score"
    k_max: int | None = None
    device: str = "cpu"
    dtype: str = "float32"


def build_planner(spec: PlannerSpec) -> Planner:
    """Build a planner. Raises an ItpError, with the flag to change, for anything that does not fit."""
    if spec.planner not in PLANNERS:
        raise ConfigError(f"--planner {spec.planner} is unknown: choose one of {', '.join(PLANNERS)}")
    if spec.action not in ACTION_MODES:
        raise ConfigError(f"--action {spec.action} is unknown: choose one of {', '.join(ACTION_MODES)}")
    if spec.planner == "random":
        from itp.planners.simple import RandomPlanner

        return RandomPlanner()
    if spec.planner == "expert":
        from itp.planners.simple import ExpertPlanner

        return ExpertPlanner()
    return _build_model_planner(spec)


def _build_model_planner(spec: PlannerSpec) -> ItpPlanner:
    if not spec.policy:
        raise ConfigError(f"--planner {spec.planner} needs --policy PATH: a folder written by `itp train policy`")
    needs_world_model = spec.planner == "itp" and spec.horizon != "fixed:0"
    if needs_world_model and not spec.world_model:
        raise ConfigError(
            "--planner itp needs --world-model PATH (a folder written by `itp train world-model`) or rules"
        )
    from itp.planners.horizon import FixedHorizon, check_fixed, parse_horizon
    from itp.planners.itp import ItpPlanner
    from itp.policy.model import Policy

    if spec.planner == "itp" and spec.horizon not in ("learned", "random"):
        check_fixed(spec.horizon, spec.k_max if spec.k_max is not None else 1_000)
    policy = Policy.load(spec.policy, k_max=spec.k_max, device=spec.device, dtype=spec.dtype)
    action = "score" if spec.action == "score" else "generate"
    if spec.planner == "act":
        return ItpPlanner(policy, None, FixedHorizon(0), action_mode=action, name="act")
    k_max = spec.k_max if spec.k_max is not None else policy.config.k_max or DEFAULT_K_MAX
    horizon = parse_horizon(spec.horizon, policy=policy, k_max=k_max)
    world_model = load_world_model(spec.world_model, spec.device, spec.dtype) if needs_world_model else None
    return ItpPlanner(policy, world_model, horizon, action_mode=action, name=f"itp {horizon.name}")


def load_world_model(path: str, device: str, dtype: str) -> WorldModel:
    """Load a world model checkpoint, or the rule-based memory for `rules`."""
    if path == "rules":
        from itp.world_model.rules import RuleWorldModel

        return RuleWorldModel()
    from itp.world_model.text import TextWorldModel

    return TextWorldModel.load(path, device=device, dtype=dtype)
