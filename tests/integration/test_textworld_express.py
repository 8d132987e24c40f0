"""TextWorld-Express through the adapter: the library's own games, text for text; a JVM that dies, hangs or is left."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from itp.envs import textworld_express_server as server
from itp.envs.check import check_text_env
from itp.envs.registry import make_env
from itp.envs.textworld_express import GAMES, SEEDS
from itp.errors import ConfigError, EnvError

pytest.importorskip("textworld_express", reason="textworld-express is not installed (extra 'textworld')")
if shutil.which("java") is None:
    pytest.skip("textworld-express needs Java on the PATH", allow_module_level=True)
pytestmark = pytest.mark.slow


def jvm_of(env: Any) -> int:
    """Process id of the JVM behind an environment."""
    return next(iter(env._sessions.values()))._jvm._process.pid


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: Any, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.fixture(scope="module")
def official() -> Iterator[Any]:
    """The library's own environment, in a JVM of its own."""
    from textworld_express import TextWorldExpressEnv

    env = TextWorldExpressEnv(envStepLimit=10_000)
    yield env
    env.close()


@pytest.mark.parametrize("game", GAMES)
def test_text_scores_and_commands_are_the_librarys(game: str, official: Any) -> None:
    env = make_env("textworld-express", game=game, split="valid")
    for seed in SEEDS["dev"][:2]:
        rng = random.Random(seed)
        text, info = env.reset(options={"task_id": f"{game}-{seed}"})
        expected, state = official.reset(seed=seed, gameFold="dev", gameName=game, gameParams="")
        assert (text, info["task"]) == (expected.strip(), state["taskDescription"].strip())
        for index in range(25):
            assert info["admissible_commands"] == sorted(set(state["validActions"]))
            odd = [*(info["admissible_commands"] or []), "help", "LOOK AROUND", "fly"][-3:]
            command = rng.choice(odd if index % 5 == 4 else info["admissible_commands"] or [])
            text, reward, terminated, _, info = env.step(command)
            expected, gained, done, state = official.step(command)
            assert (text, terminated, info["won"]) == (expected.strip(), done, state["tasksuccess"])
            assert (info["score"], reward) == pytest.approx((state["score"], gained))
            if terminated:
                break
    env.close()


@pytest.mark.parametrize("game", GAMES)
def test_the_gold_path_wins(game: str) -> None:
    env = make_env("textworld-express", game=game, split="test", expert=True, max_steps=500)
    _, info = env.reset(options={"task_id": f"{game}-20007"})
    plan, over = info.get("expert_plan", []), False
    while not over:
        assert info.get("expert_plan")
        _, _, terminated, truncated, info = env.step(info.get("expert_plan", [])[0])
        over = terminated or truncated
    assert (info["won"], info["score"], info.get("expert_plan")) == (True, 1.0, [])
    _, info = env.reset(options={"task_id": f"{game}-20007"})
    assert info.get("expert_plan") == plan
    assert env.step("a command off the path")[4].get("expert_plan") == []
    env.close()


@pytest.mark.parametrize("game", GAMES)
def test_the_contract_holds(game: str) -> None:
    assert check_text_env(partial(make_env, "textworld-express", game=game), steps=12) == []


def test_seeds_and_names_are_the_simulators(official: Any) -> None:
    assert set(official.getGameNames()) == set(GAMES)
    official.reset(gameName="coin", gameParams="", seed=0, gameFold="train")
    asked = (official.getValidSeedsTrain, official.getValidSeedsDev, official.getValidSeedsTest)
    assert [list(seeds) for seeds in SEEDS.values()] == [ask() for ask in asked]
    env = make_env("textworld-express", split="test")
    assert len(env.task_ids) == 8000
    assert env.task_ids[0] == "cookingworld-20000"


def test_wrong_choices_are_named() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"split": "eval"}, "split 'eval' is unknown; textworld-express has train, dev, valid, test"),
        ({"game": "chess"}, "game 'chess' is unknown; textworld-express has cookingworld, .*, and all"),
        ({"game": "coin,twc", "params": "numLocations=3"}, "name one game to set its params"),
        ({"max_steps": 0}, "max_steps=0 must be a whole number, at least 1"),
        ({"colour": 1}, "has no option colour; it takes game, params, expert"),
    ]
    for options, message in cases:
        with pytest.raises(ConfigError, match=message):
            make_env("textworld-express", **options)
    env = make_env("textworld-express", game="coin", params="nonsense=3")
    with pytest.raises(ConfigError, match=r"refuses game 'coin' with params 'nonsense=3': Unrecognized property name"):
        env.reset()


def test_parameters_change_the_game() -> None:
    small = make_env("textworld-express", game="coin", params="numLocations=2,includeDoors=0")
    info = small.reset(options={"task_id": "coin-3"})[1]
    assert not [command for command in info["admissible_commands"] or [] if "door" in command]


def test_environments_share_a_jvm_and_none_disturbs_another() -> None:
    one, two = (make_env("textworld-express", game="coin,sorting") for _ in range(2))
    for task in ("coin-1", "sorting-1"):
        first = [env.reset(options={"task_id": task})[1]["admissible_commands"] for env in (one, two)]
        assert first[0] == first[1]
        command = (first[0] or [])[-1]
        assert one.step(command)[4] == two.step(command)[4]
    assert jvm_of(one) == jvm_of(two)
    one.close()
    assert two.step("look around")[0]


def test_a_jvm_that_dies_is_replaced_with_the_next_episode() -> None:
    env = make_env("textworld-express", game="coin")
    first = env.reset(options={"task_id": "coin-5"})
    killed = jvm_of(env)
    os.kill(killed, signal.SIGKILL)
    assert wait_for(lambda: not runs(killed))
    with pytest.raises(EnvError, match=r"JVM of textworld-express .* died; start the episode again"):
        env.step("look around")
    assert env.reset(options={"task_id": "coin-5"}) == first
    assert jvm_of(env) != killed


def test_a_jvm_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    server.close_jvm()
    monkeypatch.setattr(server, "TIMEOUT", 2.0)
    env = make_env("textworld-express", game="coin")
    env.reset(seed=0)
    hung = jvm_of(env)
    os.kill(hung, signal.SIGSTOP)
    assert wait_for(lambda: psutil.Process(hung).status() == psutil.STATUS_STOPPED)
    with pytest.raises(EnvError, match="gave no answer for 2 s"):
        env.step("look around")
    assert not runs(hung)
    server.close_jvm()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, None])
def test_no_jvm_is_left_behind(end: signal.Signals | None) -> None:
    code = (
        "import sys, time\n"
        "from itp import make_env\n"
        "env = make_env('textworld-express', game='sorting,coin')\n"
        "env.reset(options={'task_id': 'sorting-0'})\n"
        "env.reset(options={'task_id': 'coin-0'})\n"
        "print(*(session._jvm.pid for session in env._sessions.values()), flush=True)\n"
        "time.sleep(float(sys.argv[1]))\n"
    )
    words = [sys.executable, "-c", code, "0" if end is None else "60"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    jvms = [int(word) for word in process.stdout.readline().split()]
    assert len(jvms) == 2
    if end is not None:
        assert all(map(runs, jvms))
        process.send_signal(end)
    process.wait(timeout=20)
    assert wait_for(lambda: not any(map(runs, jvms)))
