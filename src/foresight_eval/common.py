"""What both runners share: the authors' flags for models and output, and the way from them to `itp eval`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itp.cli import authors
from itp.errors import CheckpointError, ConfigError
from itp.planners.prompt_factory import PromptFlags, ServerFlags

if TYPE_CHECKING:
    from itp.cli import eval as itp_eval
    from itp.types import Trajectory

DEEPSEEK = "openai:https://api.deepseek.com/v1"
DEEPSEEK_KEY = "DEEPSEEK_API_KEY"
DEEPSEEK_MODEL = "deepseek-chat"
OURS = {
    "--out": "--output_path",
    "--policy": "--policy_model",
    "--world-model": "--wm_model",
    "--horizon": "--fixed_k",
    "--k-max": "--max_k",
    "--max-steps": "--max_steps",
    "--action-tokens": "--act_tokens",
    "--max-observation-tokens": "--foresight_tokens",
    "--batch-size": "--batch_size",
}


@dataclass(kw_only=True)
class EvalFlags:
    """Flags of both runners."""

    policy_model: str
    """Policy: a checkpoint folder, or a run folder of ours."""
    wm_model: str = ""
    """World model: a checkpoint folder, or a run folder of ours; not needed with --fixed_k 0."""
    output_path: Path
    """Run folder of `itp eval`; or a .json or .jsonl file, with the run folder FILE.run beside it."""
    wm_backend: str = "local"
    """local, or deepseek_api: DeepSeek's server, with the key in the variable DEEPSEEK_API_KEY, is asked what happens
    next; --wm_model then names the model (default: deepseek-chat)."""
    max_steps: int | None = None
    """Actions after which an episode is lost (default: the environment's own limit)."""
    max_k: int | None = None
    """Largest horizon; with --fixed_k -1 it must be that of the K-head (default: the checkpoint's)."""
    fixed_k: int = -1
    """Steps to imagine at every decision; 0 imagines nothing. -1: as many as the K-head says."""
    act_tokens: int | None = None
    """Most tokens of a generated action (default: 16)."""
    foresight_tokens: int | None = None
    """Most tokens of one imagined observation, or the world model's own limit where that is less (the authors' flag
    counts a whole foresight, written at once)."""
    decision_tokens: int | None = None
    """Without effect: an answer of one integer needs few tokens, and K is read from the K-head where there is one."""
    policy_device: str = ""
    """Device of the policy (default: the first GPU, else the CPU)."""
    wm_device: str = ""
    """Device of the world model."""
    policy_dtype: str = "fp32"
    """Precision of the policy's weights: fp32, bf16 or fp16."""
    wm_dtype: str = "fp32"
    """Precision of the world model's weights: fp32, bf16 or fp16."""
    episodes: int = 0
    """Ours: tasks to play, a fixed subset of the split; 0 plays all."""
    batch_size: int = 16
    """Ours: episodes played side by side."""
    seed: int = 42
    """Ours: of every random draw."""

    @property
    def run_folder(self) -> Path:
        """Where `itp eval` writes."""
        return self.output_path.with_suffix(".run") if self._is_file else self.output_path

    @property
    def _is_file(self) -> bool:
        return self.output_path.suffix in (".json", ".jsonl")


def play(flags: EvalFlags, *, method: str = "foresight", idle: dict[str, str], **environment: Any) -> None:
    """Run `itp eval` as the flags say, and write the summary file if one is asked for.

    Args:
        flags: the authors' flags.
        method: foresight, or rap.
        idle: flags of the runner that change nothing, with the reason.
        environment: fields of `itp.cli.eval_flags.Config` that the runner decides.

    Raises:
        ConfigError: a value is not allowed.
        CheckpointError: a model does not fit.
    """
    from itp.cli import eval as itp_eval

    horizon = _horizon(flags)
    authors.check_choice("--wm_backend", flags.wm_backend, ("local", "deepseek_api"))
    local = flags.wm_backend == "local"
    if local and horizon != "fixed:0" and not flags.wm_model:
        raise ConfigError("--wm_model is required: name a world model, or imagine nothing with --fixed_k 0")
    policy = authors.checkpoint("--policy_model", flags.policy_model)
    planner = "rap" if method == "rap" else "itp"
    if planner == "itp" and horizon == "learned" and not _has_heads(policy):
        planner, horizon = "itp-i", "prompted"
    elif planner == "itp" and horizon == "learned":
        _check_heads(flags, policy)
    if planner != "itp":
        authors.warn(f"{flags.policy_model} is asked by prompts: {_WHY[planner]}")
        environment = {**environment, "action": "", "history_steps": None}
    if flags.decision_tokens is not None:
        idle = {**idle, "--decision_tokens": "K is one integer, or read from the K-head, or fixed"}
    if environment.get("history_steps") is not None and not authors.tells_history(policy):
        idle = {**idle, "--use_history 0": "the checkpoint's state text is no list of steps"}
    with authors.flags_named(OURS):
        world_model = authors.checkpoint("--wm_model", flags.wm_model) if flags.wm_model and local else ""
        config = itp_eval.Config(
            out=flags.run_folder,
            planner=planner,
            horizon="" if planner == "rap" else horizon,
            policy=policy if planner == "itp" else f"transformers:{policy}",
            world_model=world_model if local else DEEPSEEK,
            prompting=PromptFlags(wm_model="" if local else flags.wm_model or DEEPSEEK_MODEL),
            server=ServerFlags(wm_key_env=DEEPSEEK_KEY),
            k_max=_largest(flags, policy),
            max_steps=flags.max_steps,
            max_observation_tokens=_observation_limit(flags, world_model),
            episodes=flags.episodes,
            batch_size=flags.batch_size,
            seed=flags.seed,
            **_placed(flags),
            **({} if flags.act_tokens is None else {"action_tokens": flags.act_tokens}),
            **environment,
        )
        if config.action != "generate" and config.env == "alfworld" and flags.act_tokens is not None:
            idle = {
                **idle,
                "--act_tokens": "the best admissible command is chosen; --force_admissible_action 0 generates",
            }
        authors.without_effect(idle)
        itp_eval.run(config)
    if flags.output_path != flags.run_folder:
        _summarise(config, flags.output_path)


def _horizon(flags: EvalFlags) -> str:
    """`fixed:K` or `learned`. K is refused, never clamped, beyond 0 to --max_k."""
    if flags.fixed_k < -1:
        raise ConfigError(f"--fixed_k {flags.fixed_k} is too small: give 0 or more, or -1 for the K-head's choice")
    if flags.fixed_k == -1:
        return "learned"
    if flags.max_k is not None and flags.fixed_k > flags.max_k:
        raise ConfigError(f"--fixed_k {flags.fixed_k} exceeds --max_k {flags.max_k}: lower it, or raise --max_k")
    return f"fixed:{flags.fixed_k}"


def _observation_limit(flags: EvalFlags, world_model: str) -> int | None:
    from itp.policy.checkpoint import read_itp_config

    if flags.foresight_tokens is None or not world_model:
        return flags.foresight_tokens
    return min(flags.foresight_tokens, read_itp_config(world_model).max_observation_tokens)


def _largest(flags: EvalFlags, policy: str) -> int | None:
    """K_max for `itp eval`: the K-head's own where there is one, else what the flags name."""
    if _has_heads(policy):
        return None
    return max(flags.max_k or 0, flags.fixed_k, 1)


_WHY = {
    "rap": "--method rap is a search by prompts",
    "itp-i": "it has no K-head (--fixed_k -1); train one with the stages label and sft, or give --fixed_k K",
}


def _has_heads(policy: str) -> bool:
    from itp.policy.checkpoint import HEADS_FILE

    return (Path(policy) / HEADS_FILE).is_file()


def _check_heads(flags: EvalFlags, policy: str) -> None:
    from itp.policy.checkpoint import read_itp_config

    stored = read_itp_config(policy).k_max
    if flags.max_k is not None and flags.max_k != stored:
        raise CheckpointError(
            f"--max_k {flags.max_k} is not the K-head's in {policy}: give --max_k {stored}, or leave it out"
        )


def _placed(flags: EvalFlags) -> dict[str, str]:
    placed = authors.devices(policy_device=flags.policy_device, wm_device=flags.wm_device)
    wanted = {"policy_dtype": flags.policy_dtype, "wm_dtype": flags.wm_dtype}
    for name, value in wanted.items():
        authors.check_choice(f"--{name}", value, ("fp32", "bf16", "fp16", "float32", "bfloat16", "float16"))
    dtypes = {name: authors.DTYPES[value] for name, value in wanted.items()}
    roles = {"policy_dtype": "policy_device", "wm_dtype": "wm_device"}
    slow = [name for name, dtype in dtypes.items() if dtype == "float16" and placed[roles[name]] == "cpu"]
    if slow:
        named = ", ".join(f"--{name} {wanted[name]}" for name in slow)
        authors.warn(f"fp16 needs a GPU: {named} -> fp32")
    dtypes.update(dict.fromkeys(slow, "float32"))
    return {**placed, "dtype": dtypes["policy_dtype"], "wm_dtype": dtypes["wm_dtype"]}


def _summarise(config: itp_eval.Config, path: Path) -> None:
    """One JSON file with results.json and a line per episode; or those lines alone, for .jsonl."""
    from itp.cli.eval import RESULTS_NAME, TRACES_NAME
    from itp.run_folder import write_text
    from itp.trace.store import TraceStore

    episodes = [_episode(trajectory) for trajectory in TraceStore(config.out / TRACES_NAME)]
    if path.suffix == ".jsonl":
        text = "".join(json.dumps(episode) + "\n" for episode in episodes)
    else:
        results = json.loads((config.out / RESULTS_NAME).read_text(encoding="utf-8"))
        text = json.dumps({"summary": results, "episodes": episodes}, indent=2) + "\n"
    write_text(path, text)
    print(f"summary: {path}", flush=True)


def _episode(trajectory: Trajectory) -> dict[str, Any]:
    horizons: Sequence[int] = [step.decision.horizon for step in trajectory.steps]
    return {
        "task_id": trajectory.task.task_id,
        "task_type": trajectory.task.task_type,
        "success": trajectory.won,
        "stop": trajectory.stop.value,
        "score": trajectory.score,
        "steps": len(trajectory.steps),
        "k": horizons,
        "actions": [step.decision.action for step in trajectory.steps],
    }
