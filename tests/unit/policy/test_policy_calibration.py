"""Shares of the looks: what was calibrated is what is looked at, and whatever is missing is refused in one line."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from itp.cli.main import main
from itp.errors import ConfigError
from itp.planners.factory import PlannerSpec, build_planner
from itp.planners.horizon import LearnedHorizon
from itp.planners.horizon_flag import parse_horizon
from itp.policy.calibration import SHARES, best_command, cuts, no_further_step, stored_cut, top_probability
from itp.policy.checkpoint import HORIZON_CUTS
from itp.types import DecisionContext
from models import episodes, make_policy, save_policy

SPLIT = ["--env", "household", "--split", "valid", "--episodes", "12", "--max-steps", "12", "--seed", "3"]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A policy with K_max 3 that was calibrated on its own play, and that play."""
    folder = tmp_path_factory.mktemp("calibrated")
    policy, play = save_policy(folder / "policy", k_max=3), folder / "play"
    flags = ["--planner", "itp", "--policy", policy, "--world-model", "rules", "--horizon", "random"]
    assert main(["eval", *SPLIT, *flags, "--out", str(play)]) == 0
    assert main(["policy", "calibrate", "--policy", policy, "--data", str(play)]) == 0
    return policy, play


def test_a_cut_has_at_most_its_share_below_it_and_one_more_would_be_too_many() -> None:
    draw = random.Random(0)
    values = [draw.random() for _ in range(1234)]
    found = cuts(values)
    assert list(found) == list(SHARES)
    for share, cut in found.items():
        below = sum(value < cut for value in values)
        assert below <= 1234 * float(share) < below + 1


def test_values_that_are_equal_stay_on_one_side() -> None:
    assert cuts([0.5] * 200)["0.99"] == 0.5  # nothing lies below
    assert sum(value < cuts([0.1] * 50 + [0.9] * 50)["0.60"] for value in [0.1] * 50 + [0.9] * 50) == 50


def test_a_share_is_that_share_of_the_steps_of_the_largest_k() -> None:
    policy = make_policy(k_max=3)
    states = [state for trajectory in episodes(12) for state in trajectory.states()]
    cut = cuts(no_further_step(policy, states, 16))
    for share in ("0.20", "0.50", "0.80"):
        chosen = LearnedHorizon(policy, quantile=cut[share]).select([DecisionContext(s) for s in states])
        assert sum(choice.horizon for choice in chosen) / (3 * len(states)) == pytest.approx(float(share), abs=0.01)


def test_a_very_sure_head_is_still_cut_where_it_should_be() -> None:
    policy = make_policy(k_max=1)
    assert policy.heads is not None
    with torch.no_grad():
        policy.heads.horizon.bias.add_(torch.tensor([30.0, 0.0]))  # p(1 | s) of 1e-13: single precision calls p(0) 1
    states = [state for trajectory in episodes(6) for state in trajectory.states()]
    cut = cuts(no_further_step(policy, states, 64))["0.50"]
    chosen = LearnedHorizon(policy, quantile=cut).select([DecisionContext(s) for s in states])
    assert sum(choice.horizon for choice in chosen) / len(states) == pytest.approx(0.5, abs=0.06)  # equal states


@pytest.mark.parametrize("horizon", ["share:0.40", "unsure:0.40"])
def test_what_the_command_wrote_is_what_the_horizon_looks_at(calibrated: tuple[str, Path], horizon: str) -> None:
    policy, play = calibrated
    out = play.parent / horizon.replace(":", "-")
    flags = ["--planner", "itp", "--policy", policy, "--world-model", "rules", "--horizon", horizon]
    assert main(["eval", *SPLIT, *flags, "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_text())
    assert results["mean_k"] / 3 == pytest.approx(0.4, abs=0.15)  # other play of the same games
    assert results["planner"] == f"itp {horizon}"


def test_unsure_looks_where_the_best_command_is_least_likely(calibrated: tuple[str, Path]) -> None:
    path, _ = calibrated
    policy = make_policy(k_max=3)
    pairs = [(s, step.admissible) for t in episodes(6) for s, step in zip(t.states(), t.steps, strict=False)]
    pairs = [(state, commands or ("look", "inventory")) for state, commands in pairs]
    selector = parse_horizon("unsure:0.5", policy=policy, k_max=2, policy_path=path)
    chosen = selector.select([DecisionContext(state, commands) for state, commands in pairs])
    cut = stored_cut(path, "unsure:0.5")
    wanted = [2 if p < cut else 0 for p in best_command(policy, pairs, 8)]
    assert [choice.horizon for choice in chosen] == wanted
    assert all(choice.usage.calls == 1 and choice.usage.prompt_tokens for choice in chosen)
    with pytest.raises(ConfigError, match="this one lists none"):
        selector.select([DecisionContext(pairs[0][0])])


def test_probabilities_of_listed_commands_sum_to_one() -> None:
    assert top_probability([-1.0, -1.0]) == pytest.approx(0.5)
    assert top_probability([-1000.0, -1001.0]) == pytest.approx(1 / (1 + 2.718281828**-1))


def test_a_share_without_calibration_names_the_command(tmp_path: Path) -> None:
    spec = PlannerSpec("itp", "share:0.45", policy=save_policy(tmp_path / "policy", k_max=1), world_model="rules")
    with pytest.raises(ConfigError, match=rf"run `itp policy calibrate --policy {tmp_path}/policy --data HELD_"):
        build_planner(spec)
    file = tmp_path / "policy" / HORIZON_CUTS
    for content in ('{"schema_version": 0}', "[]", "{", '{"schema_version": 1, "share": {}}'):
        file.write_text(content)
        with pytest.raises(ConfigError, match="was not written by this version"):
            build_planner(spec)
    file.write_text('{"schema_version": 1, "unsure": null}')
    with pytest.raises(ConfigError, match="was made of play without lists of commands"):
        stored_cut(spec.policy, "unsure:0.2")


def headless(folder: Path, play: Path) -> list[str]:
    return ["--policy", save_policy(folder / "headless"), "--data", str(play)]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (headless, "has no K-head to calibrate: run `itp train warmup`"),
        (lambda _, play: ["--policy", "hub/id", "--data", str(play)], "is no folder to write horizon_calibration.json"),
        (lambda _, play: ["--policy", ".", "--data", str(play), "--states", "-1"], "--states -1 is too small"),
        (lambda _, play: ["--policy", ".", "--data", str(play), "--states", "50"], "leave 50 states, too few"),
        (lambda _, play: ["--policy", ".", "--data", "nowhere"], "--data nowhere holds no trajectories"),
        (lambda _, play: ["--policy", ".", "--data", str(play), "--out", "no/where.json"], "there is no folder no"),
    ],
)  # fmt: skip
def test_flags_that_cannot_work(
    flags: Callable[[Path, Path], list[str]],
    message: str,
    calibrated: tuple[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["policy", "calibrate", *flags(tmp_path, calibrated[1])]) == 2
    assert message in capsys.readouterr().err
