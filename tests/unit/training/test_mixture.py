"""The mix of expert and rollout episodes that a world model learns from."""

from __future__ import annotations

import pytest

from itp.errors import ConfigError
from itp.training.mixture import mixture, noise
from itp.types import Decision, Step, StopReason, Task, Trajectory


def episode(number: int, *wrong: bool) -> Trajectory:
    steps = tuple(Step(Decision("stray" if w else "go"), "seen", expert_action="go") for w in wrong)
    return Trajectory(Task(f"t{number}", "goal"), "room", steps, StopReason.STEP_LIMIT)


EXPERT = [episode(n, False, False) for n in range(6)]
ROLLOUT = [episode(10 + n, True, n % 2 == 0, False, False) for n in range(12)]
PLAYED = [trajectory for pair in zip(ROLLOUT, [*EXPERT, *EXPERT], strict=True) for trajectory in pair][:18]


def count(chosen: list[Trajectory]) -> tuple[int, int]:
    expert = sum(noise(trajectory) == 0 for trajectory in chosen)
    return expert, len(chosen) - expert


def test_noise_is_the_share_of_steps_that_the_expert_would_not_have_taken() -> None:
    assert noise(episode(0, False, False)) == 0
    assert noise(episode(0, True, False, False, False)) == 0.25
    unlabelled = Trajectory(Task("t", "goal"), "room", (Step(Decision("go"), "seen"),), StopReason.STEP_LIMIT)
    assert noise(unlabelled) == 1
    assert noise(episode(0)) == 0


def test_without_a_mix_everything_is_taken_in_its_order() -> None:
    assert mixture(PLAYED) == PLAYED


@pytest.mark.parametrize(("mix", "expected"), [(0.5, (6, 6)), (0.0, (0, 12)), (1.0, (6, 0)), (0.25, (4, 12))])
def test_a_mix_keeps_as_many_episodes_as_its_shares_allow(mix: float, expected: tuple[int, int]) -> None:
    chosen = mixture([*EXPERT, *ROLLOUT], mix=mix, seed=3)
    assert count(chosen) == expected
    assert chosen == mixture([*EXPERT, *ROLLOUT], mix=mix, seed=3)
    assert [t for t in [*EXPERT, *ROLLOUT] if t in chosen] == chosen, "the order changed"
    assert mix in (0, 1) or chosen != mixture([*EXPERT, *ROLLOUT], mix=mix, seed=4)


def test_noisier_rollouts_are_left_out_and_expert_episodes_never() -> None:
    assert count(mixture([*EXPERT, *ROLLOUT], max_noise=0.25)) == (6, 6)
    assert count(mixture([*EXPERT, *ROLLOUT], max_noise=0.0)) == (6, 0)


@pytest.mark.parametrize(
    ("played", "options", "message"),
    [
        (EXPERT, {"mix": 1.5}, "--mix 1.5 is not allowed: give the share of expert episodes, from 0 to 1"),
        (EXPERT, {"mix": 0.5}, "--mix 0.5 needs rollout episodes, and --data holds none: collect some"),
        (ROLLOUT, {"mix": 1.0}, "--mix 1.0 needs expert episodes, and --data holds none: collect some"),
        (EXPERT, {"max_noise": -1.0}, "--max-noise -1.0 is not allowed: give a share from 0 to 1"),
        (ROLLOUT, {"max_noise": 0.1}, "--max-noise 0.1 leaves no episode: raise it"),
    ],
)
def test_mixtures_that_cannot_be_are_refused(played: list[Trajectory], options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mixture(played, **options)  # pyright: ignore[reportArgumentType]
