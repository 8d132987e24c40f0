"""Prompted planners from flags: which model is asked, how, and by which planner. `factory` comes here for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from itp.errors import ConfigError
from itp.planners.base import Planner

if TYPE_CHECKING:
    from itp.envs.base import TextEnv
    from itp.lm.base import LanguageModel, Sampling
    from itp.planners.factory import PlannerSpec
    from itp.planners.horizon import HorizonSelector
    from itp.policy.model import Policy
    from itp.policy.prompted import PromptedPolicy
    from itp.world_model.base import WorldModel

PROMPTED = ("itp-i", "cot", "react", "rap", "mcts", "tot", "self-refine", "multi-attempt", "k-candidates")
"""Planners that ask a model; `act` does so too when its policy is one of the backends below."""
BACKENDS = ("openai", "transformers", "scripted")
SEARCHES = ("rap", "mcts")
IMAGINATIONS = ("rollout", "one-shot")


@dataclass(kw_only=True)
class PromptFlags:
    """How prompted planners ask: part of what is played, so a resumed run may not change it."""

    model: str = ""
    """Name of the policy's model on its server (default: the only one it serves)."""
    wm_model: str = ""
    """Name of the world model's model on its server."""
    prompts: Path | None = None
    """Folder with prompt templates that replace those of the same name; see docs/prompting.md."""
    imagination: str = "rollout"
    """How itp-i imagines: rollout (policy and world model alternate) or one-shot (one answer with all steps)."""
    answer_tokens: int = 256
    """Most tokens of an answer with reasoning."""
    thinking_tokens: int = 0
    """Most tokens that a thinking model may think before each answer; 0 asks it not to."""
    max_prompt_tokens: int = 4096
    """Most tokens of a prompt; beyond it the oldest steps are left out."""
    keep_prompts: bool = True
    """Keep the prompt of each command's answer in the traces; without it they are a fraction as large."""
    temperature: float = 0.7
    """Of the sampled attempts of multi-attempt; everything else is greedy."""
    width: int = 3
    """Candidates of a state (tot, rap, mcts, k-candidates), and plans that tot keeps."""
    attempts: int = 5
    """Attempts of multi-attempt."""
    rounds: int = 2
    """Most revisions of self-refine."""
    simulations: int = 6
    """Simulations of rap and mcts for each decision."""


@dataclass(kw_only=True)
class ServerFlags:
    """How model servers are reached: a resumed run may change it."""

    key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the server's API key; the key itself is never written anywhere."""
    wm_key_env: str = ""
    """The same for the world model's server (default: --key-env)."""
    max_concurrency: int = 16
    """Requests that are sent side by side."""
    cache: Path | None = None
    """Folder that keeps every answer, so that an interrupted run pays nothing twice (default: none)."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Models that a program made itself, in place of those that a spec names (`itp.Agent`).

    The spec then holds any words in the place of their names.
    """

    asked: PromptedPolicy | None = None
    """The policy of prompted planners."""
    trained: Policy | None = None
    """The policy of `act` and `itp`."""
    world_model: WorldModel | None = None


NO_PARTS = Parts()


def is_prompted(planner: str, policy: str) -> bool:
    """Whether the planner asks a language model instead of playing a trained checkpoint."""
    return planner in PROMPTED or (planner == "act" and backend_of(policy) != "")


def check_prompted(spec: PlannerSpec) -> None:
    """Refuse what cannot work, before anything is loaded or asked."""
    flags = spec.prompting
    if not spec.policy:
        raise ConfigError(
            f"--planner {spec.planner} needs a language model: --policy openai:URL, transformers:PATH or a model folder"
        )
    if flags.imagination not in IMAGINATIONS:
        raise ConfigError(f"--imagination {flags.imagination} is unknown: choose one of {', '.join(IMAGINATIONS)}")
    for name in ("answer_tokens", "max_prompt_tokens", "width", "attempts", "rounds", "simulations"):
        if getattr(flags, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} {getattr(flags, name)} is too small: give at least 1")
    if flags.thinking_tokens < 0:
        raise ConfigError(f"--thinking-tokens {flags.thinking_tokens} is negative: give 0 or more")
    if spec.planner == "multi-attempt" and flags.temperature <= 0:
        raise ConfigError("--temperature 0 makes all attempts of multi-attempt alike: give more, such as 0.7")
    if spec.action == "constrained":
        raise ConfigError("--action constrained is for trained checkpoints, which write bare commands: leave it out")
    if spec.action == "score" and spec.planner != "act":
        raise ConfigError(f"--action score is not possible with --planner {spec.planner}: its answers are read")
    if spec.action == "score" and backend_of(spec.policy) == "openai":
        raise ConfigError(
            "--action score needs log-probabilities of whole commands, which servers do not give: leave it out"
        )
    if spec.planner == "itp-i":
        from itp.planners.horizon_flag import K_HEAD, check_horizon

        check_horizon(spec.horizon, spec.k_max)
        if any(kind in K_HEAD for kind in spec.horizon.split(":")):
            raise ConfigError(
                f"--horizon {spec.horizon} needs a K-head: use --planner itp, or --horizon prompted with itp-i"
            )
        if "confidence" in spec.horizon and flags.imagination == "one-shot":
            raise ConfigError(
                f"--horizon {spec.horizon} stops between imagined steps, and --imagination one-shot writes them all "
                "at once: use rollout"
            )


def build_prompted(spec: PlannerSpec, make_env: Callable[[], TextEnv] | None, parts: Parts = NO_PARTS) -> Planner:
    """Build a prompted planner; models are loaded, and servers asked for their models, here."""
    check_prompted(spec)
    from itp.lm.base import Sampling
    from itp.planners.prompting import SHORT

    policy = parts.asked or _asked(
        spec, spec.policy, spec.prompting.model, spec.server.key_env, spec.device, spec.dtype
    )
    short = Sampling(max(spec.action_tokens, 16) + SHORT - 16)
    long = Sampling(spec.prompting.answer_tokens)
    if spec.planner == "itp-i":
        return _itp_i(spec, policy, make_env, short, long, parts)
    if spec.planner in (*SEARCHES, "tot"):
        return _search(spec, policy, make_env, short, parts)
    if spec.planner in ("self-refine", "multi-attempt", "k-candidates"):
        return _compute_matched(spec, policy, short, long)
    from itp.planners.prompting import PromptingPlanner

    sampling = short if spec.planner == "act" else long
    return PromptingPlanner(policy, spec.planner, sampling, score=spec.action == "score")


def _itp_i(
    spec: PlannerSpec,
    policy: PromptedPolicy,
    make_env: Callable[[], TextEnv] | None,
    short: Sampling,
    long: Sampling,
    parts: Parts,
) -> Planner:
    from itp.planners.factory import DEFAULT_K_MAX
    from itp.planners.itp_i import ItpIPlanner

    k_max = spec.k_max if spec.k_max is not None else DEFAULT_K_MAX
    world_model = None if spec.horizon == "fixed:0" else parts.world_model or _world_model(spec, policy, make_env)
    horizon = _horizon(spec, policy, k_max)
    return ItpIPlanner(
        policy, world_model, horizon, imagination=spec.prompting.imagination, reflected=long, direct=short
    )


def _horizon(spec: PlannerSpec, policy: PromptedPolicy, k_max: int) -> HorizonSelector:
    from itp.planners.horizon_flag import parse_horizon
    from itp.planners.itp_i import PromptedHorizon

    return parse_horizon(
        spec.horizon,
        policy=None,
        k_max=k_max,
        world_model=spec.world_model,
        max_steps=spec.max_steps,
        prompted=PromptedHorizon(policy, k_max),
    )


def _search(
    spec: PlannerSpec, policy: PromptedPolicy, make_env: Callable[[], TextEnv] | None, short: Sampling, parts: Parts
) -> Planner:
    from itp.planners.factory import DEFAULT_K_MAX
    from itp.planners.search import Searcher
    from itp.planners.tree_planners import MctsPlanner, TotPlanner

    flags, depth = spec.prompting, spec.k_max if spec.k_max is not None else DEFAULT_K_MAX
    if spec.planner == "tot":
        searcher = Searcher(policy, None, width=flags.width, short=short)
        return TotPlanner(searcher, depth=depth, beam=flags.width)
    world_model = parts.world_model or _world_model(spec, policy, make_env)
    searcher = Searcher(policy, world_model, width=flags.width, short=short)
    return MctsPlanner(searcher, simulations=flags.simulations, depth=depth, judged=spec.planner == "rap")


def _compute_matched(spec: PlannerSpec, policy: PromptedPolicy, short: Sampling, long: Sampling) -> Planner:
    from itp.planners.compute_matched import KCandidatesPlanner, MultiAttemptPlanner, SelfRefinePlanner

    flags = spec.prompting
    if spec.planner == "self-refine":
        return SelfRefinePlanner(policy, rounds=flags.rounds, short=short, long=long)
    if spec.planner == "multi-attempt":
        sampling = replace(long, temperature=flags.temperature)
        return MultiAttemptPlanner(policy, attempts=flags.attempts, sampling=sampling)
    return KCandidatesPlanner(policy, count=flags.width, short=short, long=long)


def _world_model(spec: PlannerSpec, policy: PromptedPolicy, make_env: Callable[[], TextEnv] | None) -> WorldModel:
    """The one that `--world-model` names; without it the policy's own model, as in RAP."""
    from itp.planners.factory import load_world_model
    from itp.world_model.prompted import PromptedWorldModel

    if not spec.world_model:
        return PromptedWorldModel(policy, _observation(spec))
    if backend_of(spec.world_model):
        return prompted_world_model(spec)
    return load_world_model(
        spec.world_model,
        spec.wm_device or spec.device,
        spec.wm_dtype or spec.dtype,
        max_observation_tokens=spec.max_observation_tokens,
        make_env=make_env,
    )


def prompted_world_model(spec: PlannerSpec) -> WorldModel:
    """The language model that `--world-model BACKEND:...` names, asked for what happens next."""
    from itp.world_model.prompted import PromptedWorldModel

    key_env = spec.server.wm_key_env or spec.server.key_env
    device, dtype = spec.wm_device or spec.device, spec.wm_dtype or spec.dtype
    asked = _asked(spec, spec.world_model, spec.prompting.wm_model, key_env, device, dtype)
    return PromptedWorldModel(asked, _observation(spec))


def _observation(spec: PlannerSpec) -> Sampling:
    from itp.lm.base import Sampling
    from itp.world_model.prompted import OBSERVATION_TOKENS

    return Sampling(spec.max_observation_tokens or OBSERVATION_TOKENS)


def _asked(spec: PlannerSpec, path: str, model: str, key_env: str, device: str, dtype: str) -> PromptedPolicy:
    from itp.policy.prompted import PromptedPolicy
    from itp.policy.templates import load_templates

    templates = load_templates(spec.prompting.prompts)
    lm = _language_model(spec, path if backend_of(path) else f"transformers:{path}", model, key_env, device, dtype)
    flags = spec.prompting
    return PromptedPolicy(lm, templates, max_prompt_tokens=flags.max_prompt_tokens, keep_prompts=flags.keep_prompts)


def _language_model(spec: PlannerSpec, path: str, model: str, key_env: str, device: str, dtype: str) -> LanguageModel:
    from itp.lm.spec import load_lm

    return load_lm(
        path,
        model=model,
        device=device,
        dtype=dtype,
        thinking_tokens=spec.prompting.thinking_tokens,
        key_env=key_env,
        max_concurrency=spec.server.max_concurrency,
        cache=spec.server.cache,
        logprobs=spec.horizon.startswith("confidence"),
    )


def backend_of(path: str) -> str:
    """The backend that a model's name begins with, "" for a plain path."""
    name, colon, _ = path.partition(":")
    return name if colon and name in BACKENDS else ""
