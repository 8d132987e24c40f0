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
