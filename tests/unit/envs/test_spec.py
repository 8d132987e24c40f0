"""The shared environment flags: options with YAML values, one-line refusals."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from itp.cli.main import main
from itp.envs.spec import EnvFlags
from itp.errors import ConfigError, DataError


def test_options_are_yaml_values_and_the_factory_can_be_pickled() -> None:
    flags = EnvFlags(split="valid", env_option=("size=full", "episodes=3"), max_steps=7)
    assert flags.env_options() == {"size": "full", "episodes": 3}
    env = pickle.loads(pickle.dumps(flags.env_factory()))()
    assert list(env.task_ids) == [f"household-full-valid-{n:06}" for n in range(3)]
    env.reset(seed=0)
    assert [env.step("look")[3] for _ in range(7)] == [False] * 6 + [True]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("size", "--env-option size is no KEY=VALUE: write for example size=full"),
        ("=3", "is no KEY=VALUE"),
        ("split=valid", "use the flag --split instead"),
        ("max-steps=3", "use the flag --max-steps instead"),
        ("size=[", "is no YAML value"),
    ],
)
def test_words_that_are_no_options_are_refused(option: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EnvFlags(env_option=(option,)).env_factory()


def test_a_key_given_twice_and_data_that_is_absent_are_refused() -> None:
    with pytest.raises(ConfigError, match="size is given twice"):
        EnvFlags(env_option=("size=full", "size=small")).env_factory()
    with pytest.raises(DataError, match="--data /nowhere does not exist"):
        EnvFlags(data=Path("/nowhere")).env_factory()
    with pytest.raises(ConfigError, match="--max-steps 0 is too small"):
        EnvFlags(max_steps=0).env_factory()


def test_the_command_line_takes_several_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "--planner", "random", "--episodes", "2", "--max-steps", "3", "--out", str(tmp_path / "run")]
    assert main([*words, "--env-option", "size=full", "episodes=2"]) == 0
    assert "household-full-valid" in (tmp_path / "run" / "traces.jsonl").read_text()
    capsys.readouterr()
    assert main([*words[:-1], str(tmp_path / "other"), "--env-option", "sise=full"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
