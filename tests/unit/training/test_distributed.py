"""Several processes running one command: the launcher's variables, who writes and who speaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from itp.cli.main import main
from itp.errors import ConfigError
from itp.run_folder import CONFIG_NAME, open_run
from itp.training import distributed
from itp.training.progress import Ticker


def launched(monkeypatch: pytest.MonkeyPatch, rank: int, size: int) -> None:
    for name, value in {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size}.items():
        monkeypatch.setenv(name, str(value))


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_launcher_there_is_one_process_and_it_is_the_main_one() -> None:
    assert (distributed.rank(), distributed.local_rank(), distributed.world_size()) == (0, 0, 1)
    assert distributed.is_main()
    assert distributed.per_process(7, "--batch-size") == 7
    distributed.wait_for_all()
    assert distributed.from_main("x") == "x"


def test_a_rank_left_behind_without_a_launcher_does_not_silence_the_only_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RANK", "3")
    assert distributed.is_main()
    assert distributed.rank() == 0


def test_a_global_batch_is_divided_or_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    launched(monkeypatch, 1, 4)
    assert (distributed.rank(), distributed.local_rank(), distributed.world_size()) == (1, 1, 4)
    assert distributed.per_process(32, "--batch-size") == 8
    with pytest.raises(ConfigError, match="--batch-size 30 is no multiple of the 4 processes: it is the global size"):
        distributed.per_process(30, "--batch-size")


def test_only_the_main_process_writes_the_run_folder_and_speaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_run(tmp_path / "run", {"lr": 1}, command="train x"):
        launched(monkeypatch, 1, 2)
        with open_run(tmp_path / "run", {"lr": 1}, command="train x") as second:  # locked by the first, and no error
            second.write_json("results.json", {})
            distributed.say("second")
            Ticker("second").tick(1, 1)
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == [".lock", CONFIG_NAME]
    assert main(["train", "nothing"]) == 2
    assert capsys.readouterr() == ("", "")
