"""Runs in other tools' formats, read back by those tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from itp.cli.main import main
from itp.errors import ConfigError
from itp.export.paper import PAPER, latex, markdown
from itp.export.runs import ExportRun, names
from itp.export.steps import COLUMNS
from itp.trace.store import TraceStore


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs of six games."""
    folder = tmp_path_factory.mktemp("export")
    for name, planner in (("expert", "expert"), ("random", "random")):
        words = ["eval", "--env", "household", "--planner", planner, "--episodes", "6", "--max-steps", "40"]
        assert main([*words, "--out", str(folder / name)]) == 0
    return folder / "expert", folder / "random"


def export(runs: tuple[Path, ...], to: str, out: Path) -> int:
    return main(["export", *map(str, runs), "--to", to, "--out", str(out)])


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_every_step_is_a_row(runs: tuple[Path, Path], kind: str, tmp_path: Path) -> None:
    polars = pytest.importorskip("polars", reason="the extra `export` is not installed")
    out = tmp_path / f"steps.{kind}"
    assert export(runs, kind, out) == 0
    frame = polars.read_csv(out) if kind == "csv" else polars.read_parquet(out)
    episodes = [episode for run in runs for episode in TraceStore(run / "traces.jsonl").read()]
    assert frame.columns == list(COLUMNS)
    assert len(frame) == sum(len(episode.steps) for episode in episodes)
    assert frame["observation"].to_list() == [step.observation for one in episodes for step in one.steps]
    assert set(frame["run"]) == {"expert", "random"}
    assert frame["step"].min() == 1


def test_lm_evals_shape_keeps_runs_of_one_name_apart(runs: tuple[Path, Path], tmp_path: Path) -> None:
    import shutil

    for seed in ("0", "1"):
        shutil.copytree(runs[0], tmp_path / f"seed-{seed}" / "itp")
    out = tmp_path / "results.json"
    assert export((tmp_path / "seed-0/itp", tmp_path / "seed-1/itp"), "lm-eval", out) == 0
    content = json.loads(out.read_text())
    assert set(content["results"]) == {"household_valid_seed-0/itp", "household_valid_seed-1/itp"}
    assert content["results"]["household_valid_seed-0/itp"]["acc,none"] == 1.0
    assert content["n-samples"]["household_valid_seed-1/itp"]["effective"] == 6


def test_inspect_reads_the_log_back(runs: tuple[Path, Path], tmp_path: Path) -> None:
    log_module = pytest.importorskip("inspect_ai.log", reason="the extra `inspect` is not installed")
    out = tmp_path / "run.eval"
    assert export(runs[:1], "inspect", out) == 0
    log = log_module.read_eval_log(str(out))
    episodes = TraceStore(runs[0] / "traces.jsonl").read()
    assert log.status == "success"
    samples = {sample.id: sample for sample in log.samples}
    assert set(samples) == {episode.task.task_id for episode in episodes}
    for episode in episodes:
        sample = samples[episode.task.task_id]
        assert sample.scores["won"].value == int(episode.won)
        assert sample.messages[2].text == episode.steps[0].observation
    assert log.results.scores[0].metrics["accuracy"].value == 1.0


def test_figures_are_drawn_for_what_the_runs_have(runs: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `export` is not installed")
    assert export(runs, "figures", tmp_path / "figures") == 0
    found = {file.name: file.stat().st_size for file in (tmp_path / "figures").iterdir()}
    assert set(found) == {f"success-{of}.{kind}" for of in ("budget", "by-family") for kind in ("png", "pdf")}
    assert min(found.values()) > 3000


def played(path: Path, env: str, split: str) -> ExportRun:
    results = {
        "planner": "act_now", "env": env, "split": split, "n": 10, "success_rate": 0.5, "success_ci95": [0.2, 0.8],
        "mean_steps": 9.0, "mean_k": 0.0, "tokens": {"per_episode": 1234.0}, "config": {},
    }  # fmt: skip
    return ExportRun(path, results, "100%_sure")


def test_the_papers_rows_stand_beside_ours_and_are_marked_as_theirs(tmp_path: Path) -> None:
    text = markdown([played(tmp_path, "alfworld", "valid_seen")])
    assert "| act_now (100%_sure) | alfworld/valid_seen | 10 | 50.0 | 20.0–80.0 | 9.0 | 0.00 | 1,234 |" in text
    assert "alfworld/valid_seen as reported by Liu et al. 2026, arXiv 2601.08955 (theirs; success %)" in text
    assert "| ITP-R | 85.1 | 88.6 | 87.1 |" in text
    unseen = markdown([played(tmp_path, "scienceworld", "test_unseen")])
    assert "| ITP-R | 58.9 | 57.0 | 57.6 |" in unseen
    assert "theirs" not in markdown([played(tmp_path, "household", "valid")]), "the paper has no such row"
    assert all(len(backbone) == 4 for rows in PAPER.values() for backbone in rows)


def test_latex_is_escaped_and_balanced(tmp_path: Path) -> None:
    text = latex([played(tmp_path, "alfworld", "valid_seen")])
    assert r"act\_now (100\%\_sure)" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
    assert "(theirs; success \\%)" in text


@pytest.mark.parametrize(
    ("to", "out", "message"),
    [
        ("pdf", "x.pdf", "--to pdf is unknown: choose one of inspect, lm-eval, csv"),
        ("csv", "x.parquet", "does not end in .csv"),
        ("inspect", "x.eval", "--to inspect writes one run to a file, and 2 are given"),
    ],
)
def test_what_cannot_be_written_is_refused(
    runs: tuple[Path, Path], to: str, out: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(runs, to, tmp_path / out) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / out).exists()


def test_missing_libraries_are_named_with_their_extra(
    runs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from itp.export.steps import steps_frame

    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(ConfigError, match=r"pip install 'imagine-then-plan\[export\]'"):
        steps_frame([])


def test_names_are_as_short_as_they_can_be() -> None:
    assert names([Path("/a/x"), Path("/a/y")]) == ["x", "y"]
    assert names([Path("/a/1/x"), Path("/a/2/x")]) == ["1/x", "2/x"]
    assert names([Path("/a/x"), Path("/a/x")]) == ["x", "x"]
    assert names([]) == []
