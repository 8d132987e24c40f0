"""One name for what a task is about: found in every kind of task, the same in texts and commands, and back again."""

import pytest

from itp.envs.scienceworld.aliases import aliases


@pytest.mark.parametrize(
    ("task", "thing"),
    [
        ("boil apple juice. For compounds without a boiling point, burning", "apple juice"),
        ("change the state of matter of lead. First", "lead"),
        ("measure the temperature of unknown substance B, which is located", "unknown substance B"),
        ("measure the melting point of gallium, which", "gallium"),
        ("turn on the red light bulb by powering it using", "red light bulb"),
        ("turn on the electric motor. First", "electric motor"),
        ("determine if book (The Foundations of the Origin of Species) is electrically conductive. The",
         "book (The Foundations of the Origin of Species)"),
        ("use chemistry to create the substance 'salt water'. A recipe", "salt water"),
        ("grow a apple plant from seed. Seeds", "apple"),
        ("grow a apple. This will require", "apple"),
        ("focus on the 4 life stages of the common toad, starting", "common toad"),
        ("focus on the life stages of the banana plant, starting", "banana"),
    ],
)  # fmt: skip
def test_what_the_task_names_is_the_target_and_back(task: str, thing: str) -> None:
    say, mean = aliases(f"Your task is to {task}")
    assert say(f"a jar ({thing}), {thing.capitalize()} seed, X{thing}") == f"a jar (target), target seed, X{thing}"
    assert mean("focus on target in jar") == f"focus on {thing} in jar"
    assert mean("focus on targets") == "focus on targets"


@pytest.mark.parametrize(
    "task",
    [
        "Your task is to boil water. First, focus on the substance.",
        "Your task is to melt ice. First",
        "Your task is to find a(n) living thing. First, focus on the thing.",
        "Your task is to use chemistry to create green paint. When you are done",
        "Your task is to find the animal with the longest life span.",
        "",
    ],
)
def test_tasks_that_name_nothing_or_something_common_stay_as_they_are(task: str) -> None:
    say, mean = aliases(task)
    assert say(task) == task
    assert mean("focus on target") == "focus on target"


@pytest.mark.parametrize("names", ["plain", "target"])
def test_boxes_and_rooms_keep_their_names_unless_roles_are_asked_for(names: str) -> None:
    task = "Your task is to find a(n) plant. First, focus on the thing. Then, move it to the red box in the bedroom."
    say, mean = aliases(task, names)
    assert say(task) == task
    assert mean("teleport to box room") == "teleport to box room"


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("find a(n) plant. Then, move it to the red box in the kitchen.",
         "find a(n) plant. Then, move it to the first box in the box room."),
        ("determine if glass jar is electrically conductive. The glass jar is located around the kitchen. If it is "
         "electrically conductive, place it in the blue box. If it is electrically nonconductive, in the red box.",
         "determine if target is electrically conductive. The target is located around the kitchen. If it is "
         "electrically conductive, place it in the first box. If it is electrically nonconductive, in the second box."),
        ("measure the temperature of lead, which is located around the bathroom. If above, the red box. If below, the "
         "blue box. The boxes are located around the living room.",
         "measure the temperature of target, which is located around the target room. If above, the first box. If "
         "below, the second box. The boxes are located around the box room."),
        ("measure the temperature of lead, which is located around the bedroom. The boxes are located around the "
         "bedroom.",
         "measure the temperature of target, which is located around the target room. The boxes are located around the "
         "target room."),
        ("grow a pea plant from seed. Seeds can be found in the greenhouse. First",
         "grow a target plant from seed. Seeds can be found in the greenhouse. First"),
        ("grow a apple. This will require it.  Seeds can be found in the living room. To",
         "grow a target. This will require it.  Seeds can be found in the target room. To"),
    ],
)  # fmt: skip
def test_roles_are_said_and_meant(task: str, said: str) -> None:
    say, mean = aliases(f"Your task is to {task}", "roles")
    assert say(task) == said
    assert mean(said) == task
    assert say(f"{said} a green box") == f"{said} a green box"


def test_roles_are_words_of_their_own() -> None:
    say, mean = aliases("Your task is to find a(n) plant. Then, move it to the red box in the bedroom.", "roles")
    assert say("This room is called the bedroom. A Red Box, a bored box") == (
        "This room is called the box room. A first box, a bored box"
    )
    assert mean("move fly to first box") == "move fly to red box"
    assert mean("teleport to box rooms") == "teleport to box rooms"
