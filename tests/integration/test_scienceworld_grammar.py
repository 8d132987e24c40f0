"""What the simulator's own gold paths say is in the grammar that the environment tells; and a policy held to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from itp import make_env
from itp.lm.constraint import Grammar

pytest.importorskip("scienceworld", reason="scienceworld is not installed (extra: scienceworld)")
if shutil.which("java") is None:
    pytest.skip("there is no Java on the PATH", allow_module_level=True)

from itp.envs.base import InfoDict
from itp.envs.scienceworld.grammar import grammar
from itp.envs.scienceworld.simulator import POOL

pytestmark = pytest.mark.slow
TASKS = (
    "use-thermometer/133",
    "test-conductivity-of-unknown-substances/150",
    "identify-life-stages-2/1",
    "grow-plant/30",
)
REFUSED = "No known action matches that input."


@pytest.fixture(scope="module", autouse=True)
def no_jvm_is_left_to_others() -> Iterator[None]:
    yield
    POOL.close()


def held(info: InfoDict) -> Grammar:
    assert info["admissible_commands"] is None
    assert "command_grammar" in info
    return Grammar(info["command_grammar"])


@pytest.mark.parametrize("task_id", TASKS)
@pytest.mark.parametrize("expert", [True, "tidy"])
def test_every_step_of_a_gold_path_is_in_the_grammar(task_id: str, expert: bool | str) -> None:
    env = make_env("scienceworld", split="sim-train", expert=expert, commands="grammar", max_steps=200)
    _, info = env.reset(options={"task_id": task_id})
    over = False
    while not over:
        assert "expert_plan" in info
        action = info["expert_plan"][0]
        assert held(info).whole(action), action
        _, _, terminated, truncated, info = env.step(action)
        over = terminated or truncated
    assert info["won"]
    assert "command_grammar" not in info
    env.close()


def test_names_that_are_not_in_sight_are_not_in_the_grammar() -> None:
    env = make_env("scienceworld", split="sim-train", commands="grammar")
    _, info = env.reset(options={"task_id": "boil/8"})
    assert held(info).whole("teleport to kitchen")
    assert not held(info).whole("pick up thermometer")
    env.step("teleport to kitchen")
    observation, *_, info = env.step("pick up thermometer")
    assert not observation.startswith(REFUSED)
    assert held(info).whole("use thermometer in inventory on table")
    env.close()


def test_a_question_is_answered_by_a_number() -> None:
    asked = Grammar(grammar(["seed"], "Ambiguous request: Please enter the number:\n0:\tmove seed\n1:\tmove seed\n"))
    assert [text for text in ("0", "1", "2", "look around", "eat seed") if asked.whole(text)] == ["0", "1"]
