"""How true imagination was by depth, and when K was spent."""

from __future__ import annotations

from itp.evaluation.imagination import imagination_accuracy, imagined_outcomes, k_by_phase
from itp.types import Decision, Step, StopReason, Task, Trajectory
from models import imagined


def played(*steps: tuple[str, str, tuple[tuple[str, str], ...]]) -> Trajectory:
    """An episode from (action, observation, what was imagined before it)."""
    made = tuple(Step(Decision(a, len(f), foresight=imagined(*f)), o) for a, o, f in steps)
    return Trajectory(Task("id", "goal", "pick"), "room", made, StopReason.STEP_LIMIT)


EPISODE = played(
    ("go", "a b", (("go", "a b"), ("take", "c d"), ("put", "e"))),
    ("take", "c x", (("take", "c x"), ("drop", "never"))),
    ("eat", "e", ()),
)


def test_imagined_steps_are_judged_as_long_as_they_were_really_taken() -> None:
    found = [(depth, outcome.exact, outcome.f1) for depth, outcome in imagined_outcomes(EPISODE)]
    assert found == [(1, True, 1.0), (2, False, 0.5), (1, True, 1.0)]


def test_accuracy_by_depth() -> None:
    first, second = imagination_accuracy([EPISODE, EPISODE])
    assert (first["depth"], first["n"], first["exact_match"], first["token_f1"]) == (1, 4, 1.0, 1.0)
    assert (second["depth"], second["n"], second["exact_match"], second["token_f1"]) == (2, 2, 0.0, 0.5)
    low, high = second["exact_match_ci95"]
    assert low == 0.0 < high < 1
    assert imagination_accuracy([]) == []


def test_k_by_phase_of_the_episodes_own_length() -> None:
    assert k_by_phase([EPISODE]) == {"first third": {"3": 1}, "second third": {"2": 1}, "last third": {"0": 1}}
    short = played(("go", "a", (("go", "a"),)))
    assert k_by_phase([short])["first third"] == {"1": 1}
    assert k_by_phase([]) == {"first third": {}, "second third": {}, "last third": {}}
