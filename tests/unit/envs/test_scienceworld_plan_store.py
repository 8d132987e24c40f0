"""Plans that were found once are not rehearsed again, and nothing that is wrong with their file stops play."""

from collections.abc import Callable
from pathlib import Path

import pytest

from itp.envs.scienceworld import plan_store
from itp.envs.scienceworld.plan_store import PlanStore, TidyPlan

FOUND = TidyPlan(["move cup to kitchen"], ["look around", "focus on cup"])


def never() -> TidyPlan:
    raise AssertionError("rehearsed again")


def counted(calls: list[int]) -> Callable[[], TidyPlan]:
    def rehearse() -> TidyPlan:
        calls.append(1)
        return FOUND

    return rehearse


def test_a_plan_is_found_once_in_a_process_and_by_all_that_follow(tmp_path: Path) -> None:
    calls: list[int] = []
    store = PlanStore(tmp_path)
    assert store.find("boil/3", "easy", 1, counted(calls)) == FOUND
    assert store.find("boil/3", "easy", 1, never) == FOUND
    assert PlanStore(tmp_path).find("boil/3", "easy", 1, never) == FOUND
    assert len(calls) == 1


@pytest.mark.parametrize("other", [("boil/4", "easy", 1), ("boil/3", "", 1), ("boil/3", "easy", 0)])
def test_other_tasks_simplifications_and_moves_have_plans_of_their_own(
    tmp_path: Path, other: tuple[str, str, int]
) -> None:
    calls: list[int] = []
    PlanStore(tmp_path).find("boil/3", "easy", 1, counted(calls))
    PlanStore(tmp_path).find(*other, counted(calls))
    assert len(calls) == 2


def test_lines_that_were_cut_off_are_passed_by(tmp_path: Path) -> None:
    store = PlanStore(tmp_path)
    store.find("boil/3", "easy", 0, lambda: FOUND)
    whole = store.path.read_text()
    store.path.write_text(f'{whole[:-9]}\n17\n["x"]\n{whole}')
    assert PlanStore(tmp_path).find("boil/3", "easy", 0, never) == FOUND


def test_a_folder_that_cannot_be_written_costs_time_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = PlanStore(tmp_path / "file" / "folder")
    assert store.find("boil/3", "easy", 0, lambda: FOUND) == FOUND
    assert store.find("boil/3", "easy", 0, never) == FOUND


def test_other_code_has_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = PlanStore(tmp_path).path
    assert before == PlanStore(tmp_path).path
    for name in ("plans.py", "plan_store.py"):
        (tmp_path / name).write_text("# changed")
    monkeypatch.setattr(plan_store, "__file__", str(tmp_path / "plan_store.py"))
    assert PlanStore(tmp_path).path != before


def test_the_folder_is_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITP_CACHE", str(tmp_path))
    assert PlanStore().path.parent == tmp_path
    monkeypatch.setenv("ITP_CACHE", "")
    assert PlanStore().path.parent == Path("~/.cache/itp").expanduser()
