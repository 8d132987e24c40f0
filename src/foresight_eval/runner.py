"""`python -m foresight_eval`: the authors' ALFWorld evaluation over `itp eval`.

python -m foresight_eval --split seen --policy_model out/rl_k --wm_model out/wm/merged_full --output_path out/seen
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foresight_eval.common import EvalFlags, play
from itp.cli import authors
from itp.errors import DataError

SPLITS = {"seen": "valid_seen", "unseen": "valid_unseen", "train": "train"}


@dataclass(kw_only=True)
class Config(EvalFlags):
    """Evaluate a policy with a world model on ALFWorld; the authors' flags."""

    method: str = "foresight"
    """foresight (imagine, then act), or rap (Monte Carlo tree search by prompts)."""
    split: str = "seen"
    """seen, unseen or train."""
    env_data_root: Path | None = None
    """Folder that holds json_2.1.1 (default: the variable ALFWORLD_DATA)."""
    use_history: int | None = None
    """0: the policy sees the task, the first observation and the latest step; 1 (and the default): what it was trained
    to see."""
    force_admissible_action: int = 1
    """1: the best-scored admissible command; 0: generated text, sent as it stands."""
    prefer_goal_action: int | None = None
    """Without effect: no rule of thumb takes the policy's place."""
    heuristic_fallback: int | None = None
    """Without effect: no rule of thumb takes the policy's place."""


def run(config: Config) -> None:
    """Evaluate; the same command again resumes."""
    authors.check_choice("--method", config.method, ("foresight", "rap"))
    authors.check_choice("--split", config.split, tuple(SPLITS))
    authors.check_choice("--force_admissible_action", config.force_admissible_action, (0, 1))
    if config.env_data_root is not None and not config.env_data_root.exists():
        raise DataError(f"--env_data_root {config.env_data_root} does not exist: name the folder of json_2.1.1")
    idle = {
        f"--{name} 1": "no rule of thumb takes the policy's place"
        for name in ("prefer_goal_action", "heuristic_fallback")
        if getattr(config, name)
    }
    play(
        config,
        method=config.method,
        idle=idle,
        env="alfworld",
        split=SPLITS[config.split],
        data=config.env_data_root,
        action="score" if config.force_admissible_action else "generate",
        history_steps=_history(config.use_history),
    )


def _history(use: int | None) -> int | None:
    if use is None:
        return None
    authors.check_choice("--use_history", use, (0, 1))
    return 1 if use == 0 else None


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    return authors.run_entry("foresight_eval.runner", words, prog="python -m foresight_eval")


if __name__ == "__main__":
    sys.exit(main())
