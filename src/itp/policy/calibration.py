"""`itp policy calibrate`: where the K-head has to be cut for `--horizon share:S`.

    itp eval --split valid --planner itp --policy out/a2c/best --world-model rules --horizon fixed:1 --out out/valid
    itp policy calibrate --policy out/a2c/best --data out/valid
    itp eval --split test --planner itp --policy out/a2c/best --world-model rules --horizon share:0.45 --out out/test

A K-head may rank states well and still look too rarely, or too often. In the states of held-out play this finds, for
every share S in hundredths, the Q of `quantile:Q` that imagines S of the steps of `fixed:K_max`; and, for the control
`unsure:S`, the probability that the policy's best command stays below in S of the states. Both go to
horizon_calibration.json beside the checkpoint.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING

from itp.errors import CheckpointError, ConfigError, DataError
from itp.policy.checkpoint import HORIZON_CUTS

if TYPE_CHECKING:
    from itp.policy.model import Policy
    from itp.types import State, Trajectory

SCHEMA_VERSION = 1
SHARES = tuple(f"{hundredths / 100:.2f}" for hundredths in range(1, 100))
SHOWN = ("0.10", "0.25", "0.45", "0.75")
MIN_STATES = 100
"""Fewer states tell no hundredths."""


@dataclass
class Config:
    """Find where --horizon share:S and unsure:S draw the line, on held-out play of the policy itself."""

    policy: str
    """Policy checkpoint with a K-head."""
    data: tuple[Path, ...]
    """Its own play of a split that nothing is measured on: run folders of `itp eval`, best of one that looks ahead."""
    out: Path | None = None
    """File to write (default: horizon_calibration.json in the checkpoint's folder, where --horizon looks for it)."""
    states: int = 5000
    """States to read, drawn evenly; 0 takes all."""
    batch_size: int = 64
    """States read at once."""
    device: str = "cpu"
    """Torch device."""
    seed: int = 0
    """Of the draw."""


def run(config: Config) -> None:
    """Calibrate, write the file and print a few of the cuts."""
    from itp.policy.model import Policy
    from itp.run_folder import plain, write_json
    from itp.training.stage import read_trajectories

    file = _check(config)
    chosen = draw_states(read_trajectories(config.data), config.states, config.seed)
    policy = Policy.load(config.policy, device=config.device)
    if policy.heads is None:
        raise CheckpointError(f"--policy {config.policy} has no K-head to calibrate: run `itp train warmup`")
    sure = no_further_step(policy, [state for state, _ in chosen], config.batch_size)
    listed = [(state, commands) for state, commands in chosen if commands]
    settings = {key: value for key, value in plain(config).items() if key not in ("out", "device", "batch_size")}
    content = {
        "schema_version": SCHEMA_VERSION,
        "k_max": policy.heads.k_max,
        "states": len(chosen),
        "share": cuts(sure),
        "unsure": cuts(best_command(policy, listed, config.batch_size)) if len(listed) >= MIN_STATES else None,
        "config": settings,
    }
    write_json(file, content)
    for share in SHOWN:
        print(f"share:{share} is quantile:{content['share'][share]:.6g}")
    print(f"calibration of {len(chosen):,} states: {file}")


def _check(config: Config) -> Path:
    """Refuse flags that cannot work; returns the file to write."""
    from itp.run_folder import beside

    for flag, value, least in (("--states", config.states, 0), ("--batch-size", config.batch_size, 1)):
        if value < least:
            raise ConfigError(f"{flag} {value} is too small: give at least {least}")
    return beside("--policy", config.policy, HORIZON_CUTS, config.out)


def draw_states(
    trajectories: Sequence[Trajectory], limit: int, seed: int
) -> list[tuple[State, tuple[str, ...] | None]]:
    """States in which a decision was taken, with the commands that were listed there; at most `limit` (0: all).

    Raises:
        DataError: there are too few to tell a hundredth of them.
    """
    found = [
        (state, step.admissible)
        for trajectory in trajectories
        for state, step in zip(trajectory.states(), trajectory.steps, strict=False)
    ]
    if limit and len(found) > limit:
        found = random.Random(seed).sample(found, limit)
    if len(found) < MIN_STATES:
        raise DataError(f"--data and --states leave {len(found)} states, too few: at least {MIN_STATES} are needed")
    return found


def no_further_step(policy: Policy, states: Sequence[State], batch_size: int) -> list[float]:
    """P(k <= j | s) for every state s and every j below K_max: how sure the K-head is that j steps are enough."""
    found = []
    for start in range(0, len(states), batch_size):
        for probs in policy.control(states[start : start + batch_size]).horizon_probs():
            found += list(accumulate(probs))[:-1]
    return found


def best_command(
    policy: Policy, states: Sequence[tuple[State, tuple[str, ...] | None]], batch_size: int
) -> list[float]:
    """Probability of the likeliest of the listed commands of every state."""
    from itp.types import ImaginedTrajectory

    found = []
    for start in range(0, len(states), batch_size):
        batch = states[start : start + batch_size]
        nothing = [ImaginedTrajectory()] * len(batch)
        scores = policy.score_actions([state for state, _ in batch], nothing, [commands or () for _, commands in batch])
        found += [top_probability(score.logprobs) for score in scores]
    return found


def top_probability(logprobs: Sequence[float]) -> float:
    """Probability of the likeliest command among those whose log-probabilities are given, at least one."""
    best = max(logprobs)
    return 1 / sum(exp(logprob - best) for logprob in logprobs)


def cuts(certainties: Sequence[float]) -> dict[str, float]:
    """For every share, the value that at most this share of the certainties lies below, and hardly fewer."""
    ordered = sorted(certainties)
    return {share: ordered[int(len(ordered) * float(share) + 1e-9)] for share in SHARES}


def stored_cut(policy: str, horizon: str) -> float:
    """What was calibrated for a policy and `share:S` or `unsure:S`.

    Raises:
        ConfigError: there is nothing, or it cannot be read; names the command that writes it.
    """
    kind, _, share = horizon.partition(":")
    file = Path(policy) / HORIZON_CUTS
    command = f"itp policy calibrate --policy {policy or 'PATH'} --data HELD_OUT_PLAY"
    if not file.is_file():
        raise ConfigError(f"--horizon {horizon} finds no {file}: run `{command}`")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        stored = content[kind] if content["schema_version"] == SCHEMA_VERSION else {}
        cut = None if stored is None else float(stored[f"{float(share):.2f}"])
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{file} was not written by this version of itp: run `{command}` again") from None
    if cut is None:
        raise ConfigError(f"{file} was made of play without lists of commands: --horizon {horizon} needs them")
    return cut
