"""ScienceWorld on real JVMs: text, scores, limits, gold paths; JVMs that die, hang or are left behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import psutil
import pytest

from itp import make_env
from itp.envs.check import check_text_env
from itp.errors import ConfigError, EnvError
from itp.planners.simple import ExpertPlanner
from itp.rollout.lockstep import run_episodes
from itp.types import CommandGrammar, Decision, DecisionContext, State, StopReason, Trajectory
from itp.world_model.exact import LOST, ExactWorldModel

pytest.importorskip("scienceworld", reason="scienceworld is not installed (extra: scienceworld)")
if shutil.which("java") is None:
    pytest.skip("there is no Java on the PATH", allow_module_level=True)

from itp.envs.scienceworld import ScienceWorldTextEnv
from itp.envs.scienceworld.simulator import POOL, Simulator

pytestmark = pytest.mark.slow


def jvms() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if child.is_running() and "scienceworld.jar" in " ".join(child.cmdline())]


@pytest.fixture(scope="module", autouse=True)
def no_jvm_is_left() -> Iterator[None]:
    yield
    POOL.close()
    assert not jvms()


@pytest.fixture
def env() -> Iterator[ScienceWorldTextEnv]:
    made = make_env("scienceworld", split="sim-train")
    assert isinstance(made, ScienceWorldTextEnv)
    yield made
    made.close()


ODD = ("", "LOOK AROUND", "xyzzy", "look around", "inventory", "x" * 10_000, "new\nline", "ünïcode")


@pytest.mark.parametrize("task_id", ["boil/3", "grow-plant/2", "power-component/1"])
def test_text_score_and_end_equal_those_of_the_library(env: ScienceWorldTextEnv, task_id: str) -> None:
    library = make_env("scienceworld", split="sim-train", engine="official")
    task = {"task_id": task_id}
    assert env.reset(options=task) == library.reset(options=task)
    for step in range(14):
        commands = env.valid_actions()
        command = ODD[step // 2] if step % 2 else commands[(step * 7919) % len(commands)]
        ours, theirs = env.step(command), library.step(command)
        assert ours == theirs
        if ours[2]:
            break
    library.close()


@pytest.mark.parametrize("gold", [False, True])
def test_a_task_starts_as_the_librarys_load_and_reset_start_it(gold: bool) -> None:
    ours, theirs = Simulator(), Simulator()
    for name, variation in (("melt", 1), ("find-animal", 7)):
        first = ours.load(name, variation, "easy", gold)
        theirs.server.load(name, variation, "easy", gold)
        theirs.server.reset()
        assert first == theirs.step("look around").text
        for step in range(8):
            commands = ours.valid_actions()
            assert commands == theirs.valid_actions()
            command = commands[(step * 7919) % len(commands)]
            assert ours.step(command) == theirs.step(command)
    ours.close()
    theirs.close()


def test_the_same_actions_give_the_same_text_in_every_jvm_and_in_a_clone(env: ScienceWorldTextEnv) -> None:
    def play(players: Sequence[ScienceWorldTextEnv], count: int) -> None:
        for step in range(count):
            commands = env.valid_actions()
            command = commands[(step * 104_729) % len(commands)]
            answers = [player.step(command) for player in players]
            assert all(answer == answers[0] for answer in answers)

    twin = make_env("scienceworld", split="sim-train")
    assert isinstance(twin, ScienceWorldTextEnv)
    task = {"task_id": "chemistry-mix/1"}
    assert twin.reset(options=task) == env.reset(options=task)
    play([env, twin], 5)
    clone = env.clone()
    play([env, twin, clone], 4)
    play([clone], 2)  # its steps are its own
    play([env, twin], 2)
    for player in (twin, clone):
        player.close()


def test_a_gold_path_wins_and_is_dropped_when_left() -> None:
    gold = make_env("scienceworld", split="sim-train", expert=True, max_steps=200)
    _, info = gold.reset(options={"task_id": "find-animal/0"})
    reward = 0.0
    terminated = False
    while plan := info.get("expert_plan"):
        _, gained, terminated, _, info = gold.step(plan[0])
        reward += gained
    assert terminated
    assert info["won"]
    assert info["score"] == 100
    assert reward == pytest.approx(1.0)
    _, info = gold.reset(options={"task_id": "find-animal/0"})
    assert gold.step("look around")[4].get("expert_plan") == []
    gold.close()


def test_a_tidy_plan_wins_sooner_and_outlives_detours() -> None:
    env = make_env("scienceworld", split="wide", expert="tidy", commands="detours")
    _, info = env.reset(options={"task_id": "test-conductivity/11"})
    steps = 0
    while plan := info.get("expert_plan"):
        steps += 1
        action = "teleport to bathroom" if steps == 3 else "pick up anvil" if steps == 6 else plan[0]
        assert plan[0] not in (info["admissible_commands"] or ())
        _, _, _, _, info = env.step(action)
    assert info["won"]
    assert steps < 30  # the gold path takes 31 and more
    env.close()


def test_a_tidy_plan_chooses_what_is_listed_first_and_readings_can_be_compared() -> None:
    env = make_env("scienceworld", split="sim-train", expert="tidy", readings="compared")
    _, info = env.reset(options={"task_id": "find-plant/7"})
    assert "focus on cherry tree in flower pot 2" in info.get("expert_plan", [])
    _, info = env.reset(options={"task_id": "use-thermometer/0"})
    texts = []
    while plan := info.get("expert_plan"):
        text, _, _, _, info = env.step(plan[0])
        texts.append(text)
    assert info["won"]
    assert any(text.endswith(" degrees celsius (below 100.0 degrees celsius)") for text in texts)
    env.close()


def test_a_patient_plan_waits_and_looks_instead_of_watching() -> None:
    env = make_env("scienceworld", split="sim-train", expert="tidy")
    _, info = env.reset(options={"task_id": "identify-life-stages-1/1"})
    plan = info.get("expert_plan", [])
    assert len(plan) < 20  # the gold path takes 28, of a limit of 30
    assert plan[3:6] == ["wait", "look around", "wait"]
    for action in plan:
        text, _, _, _, info = env.step(action)
        assert "No known action" not in text
    assert info["won"]
    env.close()


def test_a_plan_finds_what_was_moved_before_the_episode() -> None:
    env = make_env("scienceworld", split="sim-train", expert="tidy", moved=1)
    plain = make_env("scienceworld", split="sim-train", expert="tidy")
    try:
        first, info = env.reset(options={"task_id": "melt/12"})
        assert first == plain.reset(options={"task_id": "melt/12"})[0]
        plan = info.get("expert_plan")
        assert plan is not None
        found = plan.index("pick up marshmallow")
        assert plan[found - 1] == "look around"
        seen = [env.step(action) for action in plan[:found]]
        assert ["marshmallow" in text for text, *_ in seen] == [False] * (found - 1) + [True]
        twin = env.clone()
        for player in (env, twin):
            ends = [player.step(action) for action in plan[found:]]
            assert ends[-1][4]["won"]
        twin.close()
    finally:
        env.close()
        plain.close()


def test_a_target_is_called_so_in_every_text_and_understood_in_commands() -> None:
    option: dict[str, Any] = {"split": "sim-train", "expert": "tidy", "commands": "grammar"}
    plain, env = make_env("scienceworld", **option), make_env("scienceworld", names="target", **option)
    assert isinstance(plain, ScienceWorldTextEnv)
    assert isinstance(env, ScienceWorldTextEnv)
    try:
        task = {"task_id": "test-conductivity/60"}
        (first, known), (told, info) = plain.reset(options=task), env.reset(options=task)
        thing = re.search("determine if (.+?) is", known["task"])
        assert thing is not None
        say = partial(re.compile(rf"\b{thing[1]}\b").sub, "target")
        assert say(known["task"]) == info["task"] != known["task"]
        assert told == say(first)
        assert info.get("expert_plan") == [say(command) for command in known.get("expert_plan") or []]
        for action in list(known.get("expert_plan") or []):
            (text, *_, known), (told, *_, info) = plain.step(action), env.step(say(action))
            assert told == say(text)
        assert info["won"]
        assert known["won"]
        plain.reset(options=task)
        env.reset(options=task)
        *_, known = plain.step("teleport to workshop")
        *_, info = env.step("teleport to workshop")
        names = [told.get("command_grammar", CommandGrammar((), ())).names for told in (known, info)]
        assert names[0]
        assert {*map(say, names[0])} == {*names[1]}
        assert sorted(map(say, plain.valid_actions())) == sorted(env.valid_actions())
    finally:
        plain.close()
        env.close()


def test_focusing_on_the_wrong_thing_is_irreversible(env: ScienceWorldTextEnv) -> None:
    env.reset(options={"task_id": "boil/0"})
    wrong = next(command for command in env.valid_actions() if command.startswith("focus on") and "door" in command)
    _, reward, terminated, truncated, info = env.step(wrong)
    assert (reward, terminated, truncated) == (-1.0, True, False)
    assert info["score"] == -100
    assert info.get("irreversible")
    assert not info["won"]
    with pytest.raises(EnvError, match="the episode is over"):
        env.step("look around")


def test_the_simulator_as_world_model_foretells_what_then_happens_and_what_is_fatal() -> None:
    env, twin = (ScienceWorldTextEnv(["find-living-thing/0", "boil/3"], expert=True) for _ in range(2))
    model = ExactWorldModel(lambda: twin)
    observation, info = env.reset(options={"task_id": "boil/3"})
    state = State(info["task"], observation)
    for _ in range(6):
        wrong = next(command for command in env.valid_actions() if command.startswith("focus on") and "door" in command)
        action = info.get("expert_plan", [])[0]
        fatal, prediction = model.predict([state] * 2, [wrong, action])
        assert fatal.ended
        assert fatal.observation.endswith(LOST)
        observation, *_, info = env.step(action)
        assert (prediction.observation, prediction.ended) == (observation, False)
        state = state.extend(action, observation)
    env.close()
    twin.close()


def test_the_step_limit_counts_actions_not_moves(env: ScienceWorldTextEnv) -> None:
    env.reset(options={"task_id": "lifespan-longest-lived/0"})  # its limit is 10, and a wait takes ten moves
    assert [env.step("wait")[2:4] for _ in range(10)] == [(False, False)] * 9 + [(False, True)]


def test_admissible_commands_on_demand_or_at_every_step() -> None:
    listing = make_env("scienceworld", split="sim-train", commands="valid")
    _, info = listing.reset(options={"task_id": "boil/0"})
    assert info["admissible_commands"] is not None
    assert len(info["admissible_commands"]) > 50
    listing.close()
    electrical = make_env("scienceworld", split="sim-train", simplifications="noElectricalAction")
    with pytest.raises(ConfigError, match="needs electrical actions"):
        electrical.reset(options={"task_id": "power-component/0"})
    electrical.close()


def test_the_contract_holds() -> None:
    assert check_text_env(lambda: make_env("scienceworld", split="sim-train"), steps=4) == []


class Killing(ExpertPlanner):
    """The gold path; kills one of the run's JVMs when some episodes have ended."""

    def __init__(self, ended: list[Trajectory]) -> None:
        super().__init__()
        self.ended, self.killed, self.others = ended, 0, set(jvms())

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        if len(self.ended) >= 10 and not self.killed:
            self.killed = next(jvm.pid for jvm in jvms() if jvm not in self.others)
            os.kill(self.killed, signal.SIGKILL)
        return super().decide(contexts)


def test_a_run_outlives_a_jvm_that_is_killed() -> None:
    POOL.close()

    def new() -> ScienceWorldTextEnv:
        env = make_env("scienceworld", split="sim-train", expert=True)
        assert isinstance(env, ScienceWorldTextEnv)
        return env

    tasks = [task for task in new().task_ids if task.startswith("lifespan-longest-lived/")][:40]
    ended: list[Trajectory] = []
    planner = Killing(ended)
    played = run_episodes(new, planner, tasks, batch_size=2, max_steps=8, seed=0, on_episode=ended.append)
    assert [trajectory.task.task_id for trajectory in played] == tasks
    failed = [trajectory for trajectory in played if trajectory.stop is StopReason.ERROR]
    assert len(failed) == 1
    assert f"the JVM of scienceworld (pid {planner.killed}) died" in failed[0].error
    assert sum(trajectory.won for trajectory in played) == 39


def test_a_jvm_that_hangs_is_killed_and_said_in_one_line() -> None:
    env = make_env("scienceworld", split="sim-train", timeout=8)
    assert isinstance(env, ScienceWorldTextEnv)
    env.reset(options={"task_id": "boil/0"})
    assert env._simulator is not None
    hung = psutil.Process(env._simulator.pid)
    hung.suspend()
    deadline = time.monotonic() + 5
    while hung.status() != psutil.STATUS_STOPPED and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(EnvError, match="gave no answer for 8 s"):
        env.step("look around")
    assert not hung.is_running() or hung.status() == psutil.STATUS_ZOMBIE
    env.reset(options={"task_id": "boil/1"})
    assert env._simulator.pid != hung.pid
    env.close()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, None])
def test_no_jvm_outlives_its_parent(end: signal.Signals | None) -> None:
    code = (
        "import sys, time\n"
        "from itp import make_env\n"
        "env = make_env('scienceworld', split='sim-train')\n"
        "env.reset(options={'task_id': 'boil/0'})\n"
        "print(env._simulator.pid, flush=True)\n"
        "time.sleep(float(sys.argv[1]))\n"
    )
    words = [sys.executable, "-c", code, "0" if end is None else "60"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    jvm = psutil.Process(int(process.stdout.readline()))
    if end is not None:
        process.send_signal(end)
    process.wait(20)
    psutil.wait_procs([jvm], timeout=10)
    assert not jvm.is_running() or jvm.status() == psutil.STATUS_ZOMBIE
