"""Free running: the real actions, the model's own observations, compared with what really followed."""

from __future__ import annotations

import pytest

from itp.types import Decision, State, Step, StopReason, Task, Trajectory
from itp.world_model.free_running import free_running, stretches
from models import ScriptedWorldModel, episodes


def episode(length: int) -> Trajectory:
    steps = tuple(Step(Decision(f"a{n}"), f"saw {n}") for n in range(length))
    return Trajectory(Task("t", "goal"), "room", steps, StopReason.STEP_LIMIT)


def test_a_stretch_is_a_real_state_with_what_really_followed() -> None:
    [item] = stretches([episode(5), episode(2)], 3, limit=9, seed=1)
    start = int(item.actions[0][1:])
    assert item.actions == tuple(f"a{n}" for n in range(start, start + 3))
    assert item.observations == tuple(f"saw {n}" for n in range(start, start + 3))
    assert item.state == episode(5).states()[start]


def test_stretches_are_drawn_by_seed_from_as_many_episodes_as_are_asked_for() -> None:
    played = episodes()
    assert len(stretches(played, 2, limit=4)) == 4
    assert stretches(played, 2, limit=4, seed=1) == stretches(played, 2, limit=4, seed=1)
    assert stretches(played, 2, limit=4, seed=1) != stretches(played, 2, limit=4, seed=2)
    assert stretches(played, 99, limit=4) == []


def test_the_model_reads_its_own_words_along_the_real_actions() -> None:
    def observe(state: State, action: str) -> str:
        """Right at first, wrong once its history holds a word that is not real."""
        number = len(state.history)
        return f"saw {number}" if number < 2 else "saw nothing real"

    model = ScriptedWorldModel(observe)
    [item] = stretches([episode(4)], 4, limit=1)
    first, second, third, fourth = (outcomes[0] for outcomes in free_running(model, [item]))
    assert (first.exact, second.exact, third.exact, fourth.exact) == (True, True, False, False)
    assert third.f1 == pytest.approx(2 / 5)
    assert [action for _, action in model.asked] == ["a0", "a1", "a2", "a3"]
    assert model.asked[3][0].history[-1] == ("a2", "saw nothing real"), "it was shown the real observation"


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_batches_do_not_change_the_outcome(batch_size: int) -> None:
    model = ScriptedWorldModel(lambda state, action: action)
    items = stretches(episodes(), 3, limit=5)
    by_horizon = free_running(model, items, batch_size=batch_size)
    assert by_horizon == free_running(model, items)
    assert [len(outcomes) for outcomes in by_horizon] == [5, 5, 5]
    assert free_running(model, []) == []
