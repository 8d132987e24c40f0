"""ScienceWorld's splits: recreated lists equal the field's files, ours do not overlap, wrong names are refused."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

import itp
from itp.cli.main import main
from itp.envs.scienceworld.splits import SPLITS, TASKS, field_name_to_task, max_steps, task_ids
from itp.errors import ConfigError, DataError


@pytest.fixture
def split_files() -> Path:
    """The field's files, or a skip with the reason."""
    value = os.environ.get("SCIENCEWORLD_DATA")
    folder = Path(value) if value else Path(__file__).parents[4] / "shared" / "data" / "scienceworld"
    if not folder.is_dir():
        pytest.skip("SCIENCEWORLD_DATA is not set: the field's ScienceWorld split files are absent")
    return folder


@pytest.fixture(autouse=True)
def no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCIENCEWORLD_DATA", raising=False)


def test_recreated_lists_equal_the_files(split_files: Path) -> None:
    for split, count in (("train", 1483), ("test_seen", 194), ("test_unseen", 211)):
        pairs = json.loads((split_files / f"{split}.json").read_text())
        expected = {f"{field_name_to_task(name)}/{variation}" for name, variation in pairs}
        recreated = task_ids(split)
        assert set(recreated) == expected
        assert len(recreated) == len(set(recreated)) == count
        assert task_ids(split, split_files) == recreated
    limits = json.loads((split_files / "max_steps.json").read_text())
    assert {field_name_to_task(name): steps for name, steps in limits.items()} == {
        name: max_steps(name) for name, task in TASKS.items() if task.train is not None
    }


def test_seen_and_train_overlap_as_published_and_unseen_does_not() -> None:
    train, seen, unseen = (set(task_ids(split)) for split in ("train", "test_seen", "test_unseen"))
    assert len(train & seen) == 54
    assert not unseen & (train | seen)


def test_our_cut_of_train_is_a_partition_and_the_simulators_splits_too() -> None:
    fit, valid = task_ids("fit"), task_ids("valid")
    assert not set(fit) & set(valid)
    assert {*fit, *valid} == set(task_ids("train"))
    assert 100 < len(valid) < 200
    parts = [set(task_ids(split)) for split in SPLITS if split.startswith("sim-")]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 7207


def test_dev_shares_nothing_with_training_or_a_test_split() -> None:
    dev = task_ids("dev")
    assert len({*dev}) == len(dev) == 161
    assert {*dev} <= {*task_ids("sim-dev")}
    for split in ("wide", "more", "spare", "test_seen", "test_unseen"):
        assert not {*dev} & {*task_ids(split)}
    assert max(Counter(task_id.partition("/")[0] for task_id in dev).values()) == 12


def test_damaged_files_and_wrong_names_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="split 'devel' is unknown; scienceworld has train, test_seen"):
        task_ids("devel")
    with pytest.raises(DataError, match=r"train\.json does not exist"):
        task_ids("train", tmp_path)
    (tmp_path / "train.json").write_text('[["task-1-boil", 3')
    with pytest.raises(DataError, match="is no list of"):
        task_ids("train", tmp_path)
    (tmp_path / "train.json").write_text('[["task-1-boil", 30]]')
    with pytest.raises(DataError, match="no task boil with variation 30"):
        task_ids("train", tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "textworld"}, "engine 'textworld' is unknown; scienceworld has fast, official"),
        ({"simplifications": "easier"}, "simplification 'easier' is unknown; allowed are easy, teleportAction"),
        ({"commands": "all"}, "commands 'all' is unknown"),
        ({"max_steps": 0}, "max_steps=0 must be a whole number"),
        ({"timeout": -1}, "timeout=-1 must be a number"),
        ({"goldpath": True}, "goldpath"),
    ],
)
def test_wrong_options_are_refused_before_java_starts(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        itp.make_env("scienceworld", **options)


def test_a_machine_without_java_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("scienceworld", reason="scienceworld is not installed (extra: scienceworld)")
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ["--env", "scienceworld", "--env-option", "expert=true", "--planner", "expert", "--episodes", "1"]
    assert main(["eval", *words, "--out", str(tmp_path / "run")]) == 2
    assert "apt install default-jre-headless" in capsys.readouterr().err


def test_wide_takes_most_tasks_evenly_and_rare_is_its_share_of_those_with_few_variations() -> None:
    wide, rare = task_ids("wide"), task_ids("rare")
    counts = Counter(task_id.partition("/")[0] for task_id in wide)
    assert (len(wide), len(rare)) == (1042, 122)
    assert max(counts.values()) == 80
    assert [task_id for task_id in wide if counts[task_id.partition("/")[0]] <= 20] == list(rare)
    for other in ("valid", "test_seen", "test_unseen"):
        assert not {*wide} & {*task_ids(other)}


def test_spare_is_training_play_that_nothing_else_holds() -> None:
    spare = task_ids("spare")
    counts = Counter(task_id.partition("/")[0] for task_id in spare)
    assert set(counts.values()) == {20}
    assert len(counts) == 8
    assert {*spare} <= {*task_ids("sim-train")}
    for other in ("wide", "valid", "test_seen", "test_unseen"):
        assert not {*spare} & {*task_ids(other)}


def test_more_adds_variations_of_the_tasks_that_have_hundreds() -> None:
    more = task_ids("more")
    counts = Counter(task_id.partition("/")[0] for task_id in more)
    assert counts == dict.fromkeys(
        (
            "use-thermometer",
            "measure-melting-point-known-substance",
            "test-conductivity",
            "test-conductivity-of-unknown-substances",
        ),
        100,
    )
    assert {*more} <= {*task_ids("sim-train")}
    for other in ("wide", "spare", "valid", "test_seen", "test_unseen"):
        assert not {*more} & {*task_ids(other)}
