"""The engine as a world model: its answers are the real ones, whatever was asked before."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest

from itp import make_env
from itp.cli.main import main
from itp.data.recorded_env import recorded_env
from itp.envs.base import InfoDict, TextEnv
from itp.errors import ConfigError, EnvError
from itp.planners.factory import PlannerSpec, build_planner, load_world_model
from itp.trace.store import TraceStore
from itp.types import State
from itp.world_model.exact import AFTER_THE_END, LOST, ExactWorldModel
from models import save_policy

HAZARDS = partial(make_env, "household", split="valid", family="irreversible", episodes=12, max_steps=12)


class Doors(TextEnv):
    """Games "a1", "a2" and "b": the first two begin alike; "open" tells them apart. Won by "open" twice."""

    begun = stepped = 0

    @property
    def task_ids(self) -> Sequence[str]:
        return ["a1", "a2", "b"]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, InfoDict]:  # pyright: ignore[reportIncompatibleMethodOverride]
        Doors.begun += 1
        self.game, self.opened = (options or {})["task_id"], 0
        return f"room {self.game[0]}", self.info()

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]:  # pyright: ignore[reportIncompatibleMethodOverride]
        Doors.stepped += 1
        self.opened += action == "open"
        text = f"behind it: {self.game}" if action == "open" else "a door"
        return text, 0.0, self.opened == 2, False, self.info()

    def info(self) -> InfoDict:
        return InfoDict(
            task="open", task_id=self.game, task_type="", admissible_commands=["open", "look"], won=False, score=0.0
        )

    def clone(self) -> Self:
        twin = type(self)()
        twin.__dict__.update(self.__dict__)
        return twin


class Stone(Doors):
    """Cannot be cloned. "fall" ends the episode beyond repair, which its text does not tell."""

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]:  # pyright: ignore[reportIncompatibleMethodOverride]
        text, reward, terminated, truncated, info = super().step(action)
        return text, reward, terminated or action == "fall", truncated, InfoDict(info, irreversible=action == "fall")

    def clone(self) -> Self:
        raise EnvError("cannot")


class DearlyCloned(Doors):
    dear_clones = True

    def clone(self) -> Self:
        raise AssertionError("asked for a clone")


def predicted(model: ExactWorldModel, state: State, *actions: str) -> list[str]:
    found = []
    for action in actions:
        found.append(model.predict([state], [action])[0].observation)
        state = state.extend(action, found[-1])
    return found


@pytest.mark.parametrize("factory", [HAZARDS, partial(make_env, "household", split="valid", episodes=6, max_steps=12)])
def test_every_answer_is_the_one_the_real_engine_then_gives(factory: partial[TextEnv]) -> None:
    model, env, draw = ExactWorldModel(factory), factory(), random.Random(0)
    for task in env.task_ids[:5]:
        observation, info = env.reset(options={"task_id": task})
        state, over = State(info["task"], observation), False
        while not over:
            commands = info["admissible_commands"] or []
            asked = [draw.choice(commands) for _ in range(3)] + ["fly to the moon"]
            model.predict([state] * 4, asked)  # other branches leave no trace
            action = draw.choice(commands)
            prediction = model.predict([state], [action])[0]
            observation, _, terminated, truncated, info = env.step(action)
            over = terminated or truncated
            assert (prediction.observation, prediction.ended) == (observation, over)
            assert prediction.logprob is None
            assert prediction.usage.tokens == 0
            state = state.extend(action, observation)


def test_a_winning_step_ends_the_imagined_episode_and_nothing_follows() -> None:
    model, state = ExactWorldModel(Doors), State("open", "room b")
    first, last = model.predict([state, state.extend("open", "behind it: b")], ["open", "open"])
    assert (first.ended, last.ended) == (False, True)
    won = state.extend("open", "behind it: b").extend("open", "behind it: b")
    assert model.predict([won], ["open"])[0].observation == AFTER_THE_END
    assert model.predict([won], ["open"])[0].ended


def test_games_that_begin_alike_are_told_apart_by_what_really_happened() -> None:
    model, state = ExactWorldModel(Doors), State("open", "room a")
    assert predicted(model, state, "look", "open") == ["a door", "behind it: a1"]  # nothing tells yet: the first
    assert predicted(model, state.extend("open", "behind it: a2"), "open") == ["behind it: a2"]


def test_one_step_further_costs_one_step_of_the_engine() -> None:
    model, state = ExactWorldModel(Doors), State("open", "room b")
    for _ in range(4):
        state = state.extend("look", "a door")
    model.predict([state], ["look"])
    begun, stepped = Doors.begun, Doors.stepped
    model.predict([state.extend("look", "a door")], ["open"])
    assert (Doors.begun, Doors.stepped) == (begun, stepped + 1)
    model.predict([state.extend("look", "a door")], ["open"])
    assert Doors.stepped == stepped + 1


def test_what_was_forgotten_is_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("itp.world_model.exact.MAX_NODES", 2)
    model, env = ExactWorldModel(HAZARDS), HAZARDS()
    observation, info = env.reset(options={"task_id": env.task_ids[3]})
    state = State(info["task"], observation)
    for _ in range(5):
        action = (info["admissible_commands"] or [])[0]
        observation, *_, info = env.step(action)
        assert predicted(model, state, action) == [observation]
        state = state.extend(action, observation)


@pytest.mark.parametrize(
    ("state", "what"),
    [(State("fly", "room a"), "begins"), (State("open", "room b").extend("open", "a wall"), "goes on")],
)
def test_a_state_of_another_environment_is_refused(state: State, what: str) -> None:
    with pytest.raises(EnvError, match=rf"no game of this environment {what} as .* the same environment, split"):
        ExactWorldModel(Doors).predict([state], ["open"])


def test_a_game_that_was_contradicted_is_not_played_on() -> None:
    model, state = ExactWorldModel(Stone), State("open", "room a").extend("open", "behind it: a2")
    model.predict([state], ["look"])
    begun = Doors.begun
    for _ in range(3):
        state = state.extend("look", "a door")
        model.predict([state], ["look"])
    assert Doors.begun == begun, "the first game, which says a1, was replayed"


@pytest.mark.parametrize("factory", [Doors, Stone])
def test_no_more_games_are_listed_than_need_be(factory: type[Doors]) -> None:
    model, begun = ExactWorldModel(factory), Doors.begun
    state = State("open", "room a")
    assert predicted(model, state, "open") == ["behind it: a1"]
    assert Doors.begun == begun + 2, "a1 is listed and begun"
    assert predicted(model, State("open", "room b"), "open", "open") == ["behind it: b"] * 2
    assert predicted(model, state.extend("open", "behind it: a1"), "look") == ["a door"]
    assert predicted(model, state.extend("open", "behind it: a2"), "look") == ["a door"]


def test_an_engine_that_is_only_asked_makes_no_plans() -> None:
    env = Doors()
    ExactWorldModel(lambda: env)
    assert not env.tells_plans


@pytest.mark.parametrize("factory", [Stone, DearlyCloned])
def test_where_clones_are_none_or_dear_one_engine_replays(factory: type[Doors]) -> None:
    model, state = ExactWorldModel(factory), State("open", "room a").extend("open", "behind it: a2")
    assert predicted(model, state, "look", "open") == ["a door", "behind it: a2"]
    assert predicted(model, State("open", "room b"), "look", "look") == ["a door", "a door"]
    assert predicted(model, state, "open") == ["behind it: a2"]  # another branch of the first


def test_an_engine_that_replays_goes_on_from_where_it_stands() -> None:
    model, state = ExactWorldModel(Stone), State("open", "room b")
    model.predict([state], ["look"])
    begun, stepped = Doors.begun, Doors.stepped
    assert predicted(model, state.extend("look", "a door"), *["look"] * 3) == ["a door"] * 3
    assert (Doors.begun, Doors.stepped) == (begun, stepped + 3)
    assert predicted(model, state.extend("look", "a door"), "open") == ["behind it: b"]
    assert (Doors.begun, Doors.stepped) == (begun + 1, stepped + 5)  # back to the second step


def test_an_end_beyond_repair_is_told() -> None:
    model, state = ExactWorldModel(Stone), State("open", "room b")
    fatal, harmless = model.predict([state, state], ["fall", "look"])
    assert (fatal.observation, fatal.ended) == (f"a door {LOST}", True)
    assert (harmless.observation, harmless.ended) == ("a door", False)


def test_commands_that_play_no_environment_refuse_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this command plays none"):
        load_world_model("exact", "cpu", "float32")
    with pytest.raises(ConfigError, match="this command plays none"):
        build_planner(PlannerSpec("itp", "fixed:1", policy=save_policy(tmp_path / "policy"), world_model="exact"))


def test_itp_eval_with_the_exact_model_foresees_what_then_happens(tmp_path: Path) -> None:
    policy, out = save_policy(tmp_path / "policy"), tmp_path / "eval"
    words = ["eval", "--env", "household", "--split", "valid", "--env-option", "family=irreversible", "--episodes", "3"]
    words += ["--planner", "itp", "--horizon", "fixed:2", "--world-model", "exact", "--policy", policy]
    assert main([*words, "--action", "generate", "--max-steps", "3", "--out", str(out)]) == 0
    engine = ExactWorldModel(recorded_env([out]))
    for trajectory in TraceStore(out / "traces.jsonl"):
        for state, step in zip(trajectory.states(), trajectory.steps, strict=False):
            imagined = step.decision.foresight.steps
            actions = [pair.action for pair in imagined]
            assert predicted(engine, state, *actions) == [pair.observation for pair in imagined]
            assert predicted(engine, state, step.decision.action) == [step.observation]


def test_the_recorded_environment_is_the_one_of_the_run(tmp_path: Path) -> None:
    for name, option in (("a", "receptacles=6"), ("b", "receptacles=7")):
        words = ["collect", "--split", "valid", "--episodes", "1", "--epsilon", "0", "--max-steps", "3"]
        assert main([*words, "--env-option", option, "--out", str(tmp_path / name)]) == 0
    assert "r6" in recorded_env([tmp_path / "a", tmp_path / "a" / "expert-0.jsonl"])().task_ids[0]
    with pytest.raises(ConfigError, match="episodes of two environments"):
        recorded_env([tmp_path / "a", tmp_path / "b"])
