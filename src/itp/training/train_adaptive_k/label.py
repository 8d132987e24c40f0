"""`train_adaptive_k label`: the authors' flags for `itp label` (Liu et al. 2026, eq. 5).

Beside OUT.jsonl it leaves OUT.run (the run folder, which makes the command resumable) and OUT.data (the expert rows as
trajectories).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from itp.errors import ConfigError, DataError

OURS = {
    "--out": "--out_labeled_jsonl",
    "--data": "--expert_jsonl",
    "--policy": "--policy_model_path",
    "--world-model": "--wm_model_path",
    "--k-max": "--kmax",
    "--k-candidates": "--k_candidates",
    "--logprob-norm": "--logprob_norm",
    "--batch-size": "--wm_batch_size",
}


@dataclass
class Config:
    """Label expert rows with their best K; the authors' flags."""

    expert_jsonl: Path
    """Expert rows (episode_id, step, state, action, next_state), ETO conversations, or our trajectories."""
    policy_model_path: str
    """π_0: a checkpoint folder, or a run folder of ours."""
    wm_model_path: str
    """World model: a checkpoint folder, or a run folder of ours."""
    out_labeled_jsonl: Path
    """File of labels to write."""
    kmax: int = 5
    """Largest horizon."""
    k_candidates: str = ""
    """Horizons to choose among, with commas between (default: 0 to kmax)."""
    lambda_k: float = 0.2
    """Price of one imagined step in nats."""
    wm_max_new_tokens: int = 192
    """Most tokens of an imagined observation."""
    max_seq_len: int = 2048
    """Tokens of a whole prompt; the state gets what kmax imagined steps and the action leave."""
    padding_side: str = ""
    """left or right; no prompt is padded here, so it changes nothing."""
    logprob_norm: str = "sum"
    """log π of an action: sum over its tokens, or their mean."""
    wm_batch_size: int = 64
    """States imagined side by side."""
    score_batch_size: int | None = None
    """Without effect: all prefixes of a foresight are scored in one pass."""
    foresight: str = "policy"
    """Ours: who acts in the imagination, policy (what the agent will see) or teacher-forced (the authors' way)."""
    policy_device: str = ""
    """Ours: device of the policy (default: the first GPU, else the CPU)."""
    wm_device: str = ""
    """Ours: device of the world model."""
    seed: int = 42
    """Ours: of the order of states."""


def run(config: Config) -> None:
    """Convert the rows, label them, and leave the labels in `--out_labeled_jsonl`."""
    from itp.cli import authors
    from itp.data.convert import as_trajectories
    from itp.run_folder import is_main
    from itp.training import pseudo_label
    from itp.training.labels import LABEL_FILE

    out = config.out_labeled_jsonl
    if out.is_dir():
        raise ConfigError(f"--out_labeled_jsonl {out} is a folder: name a file, such as {out / 'labeled.jsonl'}")
    authors.check_choice("--padding_side", config.padding_side, ("", "left", "right"))
    candidates = _numbers(config.k_candidates)
    if not config.expert_jsonl.exists():
        raise DataError(f"--expert_jsonl {config.expert_jsonl} does not exist: name a file of expert rows")
    if config.kmax < 1:
        raise ConfigError(f"--kmax {config.kmax} leaves nothing to label: give 1 or more")
    limit = authors.state_limit(config.max_seq_len, config.kmax, observation_tokens=config.wm_max_new_tokens)
    policy = authors.checkpoint("--policy_model_path", config.policy_model_path)
    world_model = authors.checkpoint("--wm_model_path", config.wm_model_path)
    placed = authors.devices(policy_device=config.policy_device, wm_device=config.wm_device)
    idle = {f"--padding_side {config.padding_side}": "no prompt is padded"} if config.padding_side else {}
    if config.score_batch_size is not None:
        idle["--score_batch_size"] = "every prefix of a foresight is scored in one pass"
    authors.without_effect(idle)
    with authors.flags_named(OURS):
        data = as_trajectories(config.expert_jsonl, _beside(out, "data"), expert=True)
        settings = pseudo_label.Config(
            out=_beside(out, "run"),
            data=(data,),
            policy=policy,
            world_model=world_model,
            foresight=config.foresight,
            k_max=config.kmax,
            k_candidates=candidates,
            lambda_k=config.lambda_k,
            logprob_norm=config.logprob_norm,
            max_observation_tokens=config.wm_max_new_tokens,
            max_state_tokens=limit,
            states=0,
            batch_size=config.wm_batch_size,
            policy_device=placed["policy_device"],
            wm_device=placed["wm_device"],
            seed=config.seed,
        )
        pseudo_label.run(settings)
    if is_main():
        draft = out.with_name(f".{out.name}.new")
        shutil.copyfile(settings.out / LABEL_FILE, draft)
        draft.replace(out)
        print(f"labels: {out}", flush=True)


def _beside(file: Path, ending: str) -> Path:
    """ "labeled.jsonl" -> "labeled.run"; any other name keeps its ending in front."""
    stem = file.stem if file.suffix in (".json", ".jsonl") else file.name
    return file.with_name(f"{stem}.{ending}")


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(",") if word.strip())
    except ValueError:
        raise ConfigError(f"--k_candidates {text} is no list of numbers: write for example 0,1,2,3,4,5") from None
