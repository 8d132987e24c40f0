"""What lamps tell in the task's words: once the thing lies in its circuit, after a look around, and only then."""

import pytest

from itp.envs.scienceworld.readings import lamp_told

TASK = "Your task is to determine if paper clip is electrically conductive. "
LIT = "This room is called the workshop. In it, you see:\n\ta blue lamp, which is on\n\ta motor, which is off\n"
UNLIT = LIT.replace("is on", "is off")
CIRCUIT = ("connect battery anode to paper clip terminal 1", "connect paper clip terminal 2 to lamp", "look around")


@pytest.mark.parametrize(("text", "said"), [(LIT, "conductive"), (UNLIT, "nonconductive")])
def test_a_look_at_a_finished_circuit_ends_with_what_the_lamp_tells(text: str, said: str) -> None:
    assert lamp_told(text, TASK, CIRCUIT) == f"{text.rstrip()}\n(electrically {said})"


@pytest.mark.parametrize(
    ("text", "task", "actions"),
    [
        (LIT, "Your task is to turn on the blue lamp.", CIRCUIT),
        (LIT, TASK, ()),
        (LIT, TASK, CIRCUIT[:1]),
        (LIT, TASK, ("examine paper clip terminal 1", "examine paper clip terminal 2")),
        ("You see a blue lamp, which is on", TASK, CIRCUIT),
        ("This room is called the kitchen. In it, you see: a stove, which is turned off.", TASK, CIRCUIT),
    ],
)
def test_nothing_is_added_before_or_elsewhere(text: str, task: str, actions: tuple[str, ...]) -> None:
    assert lamp_told(text, task, actions) == text
