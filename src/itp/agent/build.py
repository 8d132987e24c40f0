"""From what a user gives, names or objects of his own, to a planner.

Names are those of the command line, and so is what happens to them (`itp.planners.factory`). Errors of the factory
speak of flags; here they are told in the words of keyword arguments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from itp.errors import ConfigError, ItpError
from itp.planners.base import Planner
from itp.planners.factory import PLANNERS, PlannerSpec, build_planner
from itp.planners.prompt_factory import PROMPTED, Parts, PromptFlags, ServerFlags, backend_of

if TYPE_CHECKING:
    from itp.lm.base import LanguageModel
    from itp.lm.function import AskFunction
    from itp.policy.model import Policy
    from itp.policy.prompted import PromptedPolicy
    from itp.world_model.base import WorldModel
    from itp.world_model.function import OutcomeFunction

    PolicyLike: TypeAlias = str | Path | LanguageModel | PromptedPolicy | Policy | AskFunction
    WorldModelLike: TypeAlias = str | Path | WorldModel | LanguageModel | PromptedPolicy | OutcomeFunction

ALONE = ("random", "expert")
"""Planners that need no policy."""
OFFERED = tuple(name for name in PLANNERS if name not in ("wkm", "no-repeat"))
GIVEN = "(an object of yours)"
"""Stands for the name of a model that was given as an object."""
_OF_SPEC = (
    *("action", "action_tokens", "proposals", "max_observation_tokens", "history_steps", "max_steps"),
    *("avoid", "avoid_returns"),
    *("device", "dtype", "wm_device", "wm_dtype"),
)
OPTIONS = (*_OF_SPEC, *(f.name for kind in (PromptFlags, ServerFlags) for f in fields(kind)))
"""Further keyword arguments of `itp.Agent`, named and described as the flags of `itp eval`."""
_FLAG = re.compile(r"--([a-z][a-z-]*)(?: (?=[A-Z\d(]|openai:|transformers:|fixed:|score|generate|rollout|one-shot))?")


def make_planner(
    policy: PolicyLike | None,
    world_model: WorldModelLike | None,
    planner: str,
    *,
    horizon: str,
    max_k: int | None,
    options: Mapping[str, Any],
) -> Planner:
    """The planner that the arguments of `itp.Agent` describe.

    Raises:
        ConfigError, CheckpointError, ServerError: whatever does not fit, on one line.
    """
    if unknown := [name for name in options if name not in OPTIONS]:
        raise ConfigError(f"Agent has no argument {unknown[0]!r}: further ones are {', '.join(OPTIONS)}")
    if planner not in OFFERED:
        raise ConfigError(
            f"planner {planner!r} is unknown: choose one of {', '.join(OFFERED)}, or give your own object"
        )
    if policy is None and planner not in ALONE:
        raise ConfigError(
            f"planner {planner} needs a policy: a name such as openai:URL, transformers:PATH or a checkpoint folder, "
            "or a language model, or a function (messages) -> text"
        )
    if world_model is not None and planner in (*ALONE, "act", "cot", "react", "tot", *COMPUTE_ONLY):
        raise ConfigError(f"planner {planner} imagines no outcomes: leave world_model out, or use itp-i, rap or mcts")
    if isinstance(options.get("avoid"), str):  # one text, not its letters
        options = {**options, "avoid": (options["avoid"],)}
    prompting = PromptFlags(**_own(options, PromptFlags))
    spec = PlannerSpec(
        planner=planner,
        horizon=horizon or ("prompted" if planner == "itp-i" else "learned"),
        policy=_name(policy),
        world_model=_name(world_model),
        k_max=max_k,
        prompting=_with_paths(prompting),
        server=_with_paths(ServerFlags(**_own(options, ServerFlags))),
        **{name: options[name] for name in _OF_SPEC if name in options},
    )
    try:
        return build_planner(spec, parts=_parts(policy, world_model, spec))
    except ItpError as error:
        error.args = (in_arguments(str(error)), *error.args[1:])
        raise


COMPUTE_ONLY = ("self-refine", "multi-attempt", "k-candidates")


def serves_threads(*models: object) -> bool:
    """Whether models may be asked from several threads at once: all of them are behind servers, or left out."""
    return all(model is None or (isinstance(model, str) and backend_of(model) == "openai") for model in models)


def in_arguments(message: str) -> str:
    """An error of the command line in the words of keyword arguments: `--k-max 3` becomes `max_k=3`."""

    def renamed(found: re.Match[str]) -> str:
        name = found[1].replace("-", "_")
        if name.startswith("no_"):
            return f"{name.removeprefix('no_')}=False"
        return f"{'max_k' if name == 'k_max' else name}{'=' if found[0].endswith(' ') else ''}"

    return _FLAG.sub(renamed, message)


def _parts(policy: Any, world_model: Any, spec: PlannerSpec) -> Parts:
    asked = trained = None
    if hasattr(policy, "score_actions"):
        trained = _checked(policy, spec)
    elif policy is not None and not isinstance(policy, str | Path):
        if spec.planner not in ("act", *PROMPTED):
            raise ConfigError(
                f"planner {spec.planner} plays a trained policy, and the given one is a language model: "
                f"use one of act, {', '.join(PROMPTED)}"
            )
        asked = _asked(policy, spec.prompting, "policy")
    made = None if world_model is None or isinstance(world_model, str | Path) else _outcomes(world_model, spec)
    return Parts(asked, trained, made)


def _checked(policy: Policy, spec: PlannerSpec) -> Policy:
    """A trained policy, for the planners that play one."""
    if spec.planner not in ("act", "itp"):
        raise ConfigError(
            f"planner {spec.planner} asks a language model by prompts, and the given policy is a trained one: "
            "use act or itp, or give its language model (policy.lm)"
        )
    if spec.k_max is not None and policy.heads is not None and policy.heads.k_max != spec.k_max:
        raise ConfigError(f"max_k={spec.k_max} differs from the policy's K-head, {policy.heads.k_max}: leave it out")
    return policy


def _asked(model: Any, flags: PromptFlags, role: str) -> PromptedPolicy:
    from itp.policy.prompted import PromptedPolicy
    from itp.policy.templates import load_templates

    if isinstance(model, PromptedPolicy):
        return model
    if hasattr(model, "generate") and hasattr(model, "count_tokens"):
        lm = model
    elif callable(model):
        from itp.lm.function import FunctionLM

        lm = FunctionLM(cast("AskFunction", model))
    else:
        raise ConfigError(
            f"{role} is {type(model).__name__}: give a name such as openai:URL, a LanguageModel (generate, score, "
            "count_tokens), a PromptedPolicy, a trained Policy, or a function (messages) -> text"
        )
    return PromptedPolicy(lm, load_templates(flags.prompts), max_prompt_tokens=flags.max_prompt_tokens)


def _outcomes(model: Any, spec: PlannerSpec) -> WorldModel:
    if hasattr(model, "predict"):
        return model
    if hasattr(model, "generate") or hasattr(model, "ask"):
        from itp.lm.base import Sampling
        from itp.world_model.prompted import OBSERVATION_TOKENS, PromptedWorldModel

        sampling = Sampling(spec.max_observation_tokens or OBSERVATION_TOKENS)
        return PromptedWorldModel(_asked(model, spec.prompting, "world_model"), sampling)
    if callable(model):
        from itp.world_model.function import FunctionWorldModel

        return FunctionWorldModel(cast("OutcomeFunction", model))
    raise ConfigError(
        f"world_model is {type(model).__name__}: give a name such as openai:URL, rules or a checkpoint folder, a "
        "WorldModel (predict), a LanguageModel, or a function (state, action) -> observation"
    )


def _name(model: object) -> str:
    if model is None:
        return ""
    return str(model) if isinstance(model, str | Path) else GIVEN


def _own(options: Mapping[str, Any], kind: type) -> dict[str, Any]:
    names = [field.name for field in fields(kind)]
    return {name: value for name, value in options.items() if name in names}


def _with_paths(flags: Any) -> Any:
    """Folders may be given as texts."""
    for name in ("prompts", "cache"):
        if isinstance(getattr(flags, name, None), str):
            setattr(flags, name, Path(getattr(flags, name)))
    return flags
