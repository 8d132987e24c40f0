"""What a K-head's order of states is worth: which fatal first choices lie among those that it would look at first.

    itp eval --env household --env-option family=irreversible --split valid --episodes 200 --max-steps 30 --seed 0 \\
        --planner itp --policy checkpoints/household/policy --world-model rules --horizon fixed:1 \\
        --avoid "is gone for good" "breaks for good" "locks for good" --out out/valid
    python scripts/k_head_order.py --policy checkpoints/household/policy --run out/valid

A run that looks everywhere with --avoid tells of every decision whether the policy's first choice was warned of. The
decisions are sorted twice, by the K-head (K_max 1) and by how sure the policy is of its command, the control; for a
few shares of them, looked at first, the table says how many of the warned first choices they hold.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from itp.cli.flags import parse_config
from itp.cli.main import guarded
from itp.errors import ConfigError
from itp.policy.calibration import best_command, no_further_step
from itp.policy.model import Policy
from itp.trace.store import TraceStore
from itp.types import Decision

SHARES = (0.15, 0.25, 0.45, 0.6)


@dataclass
class Config:
    """Count the warned first choices among the decisions that a K-head would look at first."""

    policy: str
    """The policy that played, with a K-head of K_max 1."""
    run: Path
    """Its run folder of `itp eval --planner itp --horizon fixed:1 --avoid ...` in games that list their commands."""
    avoid: tuple[str, ...] = ("is gone for good", "breaks for good", "locks for good")
    """Texts that warn."""


def run(config: Config) -> None:
    """Print the table."""
    policy = Policy.load(config.policy)
    if policy.heads is None or policy.heads.k_max != 1:
        raise ConfigError(f"--policy {config.policy} has no K-head of K_max 1: give one of runs/household.sh")
    if not (config.run / "traces.jsonl").is_file():
        raise ConfigError(f"--run {config.run} holds no traces.jsonl: give a run folder of `itp eval`")
    pairs, fatal = [], []
    for trajectory in TraceStore(config.run / "traces.jsonl").read():
        for state, step in zip(trajectory.states(), trajectory.steps, strict=False):
            pairs.append((state, step.admissible))
            fatal.append(warned(step.decision, config.avoid))
    if not any(fatal) or not all(commands for _, commands in pairs):
        raise ConfigError(f"--run {config.run} holds no warned first choice, or no lists of commands")
    orders = {
        "K-head": no_further_step(policy, [state for state, _ in pairs], 64),
        "policy's own doubt": best_command(policy, pairs, 64),
    }
    print(f"{len(pairs):,} decisions, the first choice of {sum(fatal)} warned of; of these are among the first ...")
    for name, sure in orders.items():
        ranked = sorted(range(len(sure)), key=sure.__getitem__)
        held = (sum(fatal[i] for i in ranked[: int(share * len(ranked))]) / sum(fatal) for share in SHARES)
        print(f"{name:>20}", *(f"{share:.0%}: {part:.0%}" for share, part in zip(SHARES, held, strict=True)), sep="   ")


def warned(decision: Decision, avoid: Sequence[str]) -> bool:
    """Whether what was imagined of the policy's first choice tells of one of the texts."""
    first = decision.passed_over[0] if decision.passed_over else decision.foresight
    return any(text in step.observation for step in first.steps for text in avoid)


def main(words: Sequence[str] | None = None) -> int:
    """Run; exit code 2 and one line for what a user can mend."""
    given = sys.argv[1:] if words is None else words

    def call() -> int:
        run(parse_config(Config, given, prog="k_head_order.py"))
        return 0

    return guarded(call)


if __name__ == "__main__":
    raise SystemExit(main())
