"""Factories that others wrote: found in the working folder, called with what they take, refused in one line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from envs_with_faults import Count

from itp.envs.base import TextEnv
from itp.envs.factories import call_factory
from itp.envs.gymnasium import GymnasiumTextEnv
from itp.envs.registry import env_names, make_env
from itp.errors import ConfigError

MODULE = """
import gymnasium
from envs_with_faults import Count
from itp.envs.registry import make_env

ENV = Count()

def bare():
    return Count()

def with_size(size, colour="red", max_steps=7):
    env = Count(max_steps)
    env.given = (size, colour)
    return env

def everything(**given):
    env = Count()
    env.given = given
    return env

def lake(split):
    return gymnasium.make("FrozenLake-v1")

def number():
    return 3

def not_ours():
    env = gymnasium.make("FrozenLake-v1")
    env.task_ids = ["one"]
    return env

def breaks():
    raise KeyError("a bug of its author")
"""


@pytest.fixture
def games(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a module of factories; imports look there only because `make_env` sees to it."""
    (tmp_path / "my_games.py").write_text(MODULE)
    (tmp_path / "needs_more.py").write_text("import a_module_that_is_not_there")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    for name in ("my_games", "needs_more"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_a_factory_gets_what_it_takes(games: Path) -> None:
    assert type(make_env("my_games:bare", split="valid", max_steps=5)).__name__ == "Count"
    env: Any = make_env("my_games:with_size", size=3, max_steps=5)
    assert (env.given, env.max_steps) == ((3, "red"), 5)
    assert make_env("my_games:with_size", size=3).max_steps == 7  # pyright: ignore
    env = make_env("my_games:everything", split="test", depth=2)
    assert env.given == {"split": "test", "engine": "fast", "data": None, "max_steps": None, "depth": 2}


def test_a_plain_gymnasium_environment_is_wrapped(games: Path) -> None:
    env = make_env("my_games:lake", split="valid", max_steps=2)
    assert isinstance(env, GymnasiumTextEnv)
    assert env.task_ids[0] == "seed-1000000"
    env.reset(seed=0)
    assert [env.step("left")[3] for _ in range(2)] == [False, True]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "no_such:make",
            {},
            "cannot be loaded: there is no module no_such in .* or installed; expected MODULE:FACTORY",
        ),
        ("my_games.sub:make", {}, "there is no module my_games.sub|'my_games' is not a package"),
        ("needs_more:make", {}, r"importing it failed \(No module named 'a_module_that_is_not_there'\)"),
        ("my_games:", {}, "'my_games:' cannot be read: write MODULE:FACTORY"),
        (":make", {}, "':make' cannot be read: write MODULE:FACTORY"),
        ("my_games:bear", {}, "my_games has no 'bear'; did you mean 'bare'?"),
        ("my_games:ENV", {}, "ENV is a Count, not a function that makes one"),
        ("my_games:with_size", {}, "needs size: give --env-option size=..."),
        ("my_games:with_size", {"size": 1, "sise": 2}, "has no option sise; it takes size, colour"),
        ("my_games:bare", {"size": 1}, "has no option size; it takes none"),
        ("my_games:bare", {"data": "games"}, "takes no data: leave data='games' away"),
        ("my_games:bare", {"engine": "textworld"}, "takes no engine: leave engine='textworld' away"),
        (
            "my_games:number",
            {},
            "returned a int, not a TextEnv: subclass itp.envs.base.TextEnv and run `itp check-env`",
        ),
        ("my_games:not_ours", {}, "has task_ids but is no TextEnv: subclass"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(games: Path, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make_env(name, **options)
    assert "\n" not in str(caught.value)


def test_an_error_inside_a_factory_keeps_its_traceback(games: Path) -> None:
    with pytest.raises(KeyError, match="a bug of its author"):
        make_env("my_games:breaks")


def test_an_installed_plugin_has_a_name_of_its_own(games: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = games / "my_games-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-games\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[itp.envs]\ncounting = my_games:with_size\nlost = my_games:gone\n")
    monkeypatch.syspath_prepend(str(games))
    assert "counting" in env_names()
    assert make_env("counting", size=2).max_steps == 7  # pyright: ignore
    with pytest.raises(ConfigError, match="my_games has no 'gone'"):
        make_env("lost")
    with pytest.raises(ConfigError, match=r"'countin' is unknown; did you mean counting\? allowed are .* and MODULE:F"):
        make_env("countin")


def test_callables_without_a_signature_are_called_with_everything() -> None:
    class Silent:
        __signature__ = "none"

        def __call__(self, **given: Any) -> TextEnv:
            assert given == {"split": "train", "size": 1}
            return Count()

    assert isinstance(call_factory("silent", Silent(), {"split": "train"}, {"size": 1}), Count)
