"""`itp report` and `itp view`: what is in the page's data, and what no text in a trace can do."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("plotly", reason="the extra `report` is not installed")
pytest.importorskip("jinja2", reason="the extra `report` is not installed")

from itp.cli.main import main
from itp.report.build import write_report
from itp.report.episodes import flags, payload, plan_changed, surprised
from itp.report.pack import chunks, content_policy, script_json, to_json
from itp.report.sources import TraceTail, find_runs
from itp.report.tally import Tally
from itp.types import Decision, ImaginedStep, ImaginedTrajectory, Step, StopReason, Task, Trajectory
from report_runs import HOSTILE, decision, episode, write_run, write_training


def element(page: str, name: str) -> str:
    """The text of a script element."""
    found = re.search(rf'<script type="application/\w+" id="{name}">(.*?)</script>', page, re.DOTALL)
    assert found, f"the page has no {name}"
    return found[1]


def packed(page: str, name: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(element(page, name))))


def written(tmp_path: Path, *runs: Path) -> str:
    out = tmp_path / "report.html"
    assert main(["report", *map(str, runs), "--out", str(out)]) == 0
    return out.read_text(encoding="utf-8")


def test_the_page_holds_every_episode_and_the_figures_of_the_results(tmp_path: Path) -> None:
    episodes = [episode(n, won=n % 4 != 0) for n in range(9)]
    page = written(tmp_path, write_run(tmp_path / "run", episodes))
    index = packed(page, "index")
    assert [entry["id"] for entry in index] == [one.task.task_id for one in episodes]
    assert packed(page, f"chunk-{index[4]['chunk']}")[index[4]["at"]] == json.loads(to_json(payload(episodes[4])))
    data = json.loads(element(page, "data"))["overview"]
    (row,) = data["table"]["rows"]
    cells = dict(zip([column["title"] for column in data["table"]["columns"]], row["cells"], strict=True))
    assert row["success"]["rate"] == pytest.approx(100 * 6 / 9)
    assert (cells["n"], cells["planner"], cells["steps"], cells["mean K"]) == ("9", "itp fixed:3", "3.0", "1.33")
    titles = [chart["title"] for group in data["groups"] for chart in group["charts"]]
    assert {"Success and budget", "Success by family", "K by step", "Imagination came true"} <= set(titles)


def test_no_text_of_a_trace_is_markup(tmp_path: Path) -> None:
    hostile = episode(0, goal=HOSTILE, family=HOSTILE, error=HOSTILE)
    page = written(tmp_path, write_run(tmp_path / "run", [hostile]))
    assert "window.hacked" not in re.sub(r'<script type="application/.*?</script>', "", page, flags=re.DOTALL)
    assert "<" not in element(page, "data"), "JSON in a script element cannot end it"
    assert packed(page, "index")[0]["goal"] == HOSTILE
    assert (
        "&lt;script&gt;"
        in json.loads(element(page, "data"))["overview"]["groups"][0]["charts"][1]["figure"]["data"][0]["y"][0]
    ), "plotly reads some HTML in labels"
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert "default-src &#39;none&#39;" in policy[1]
    assert "unsafe-eval" not in policy[1]


def test_script_json_and_policy() -> None:
    assert script_json({"a": "</script><!--&"}) == '{"a":"\\u003c/script\\u003e\\u003c!--\\u0026"}'
    assert json.loads(to_json({"a": [float("nan"), float("inf"), 1.0]})) == {"a": [None, None, 1.0]}
    assert "connect-src 'none'" in content_policy(["x"], live=False)
    assert "connect-src 'self'" in content_policy(["x"], live=True)


def test_chunks_keep_order_and_size() -> None:
    items = [{"n": n, "text": "x" * 100} for n in range(50)]
    parts = [(json.loads(gzip.decompress(base64.b64decode(text))), count) for text, count in chunks(items, size=1000)]
    assert [item for part, _ in parts for item in part] == items
    assert all(len(part) == count for part, count in parts)
    assert [count for _, count in parts] == [9, 9, 9, 9, 9, 5]


def test_changed_plans_and_surprises_are_marked_by_one_rule() -> None:
    first, second, third = episode(0).steps
    assert [plan_changed(step.decision) for step in (first, second, third)] == [True, False, False]
    assert [surprised(step) for step in (first, second, third)] == [False, True, False]
    assert not plan_changed(decision("look"))
    leap, look = (ImaginedTrajectory((ImaginedStep(action, "a fall"),)) for action in ("leap", "look"))
    warned = Decision("look", 1, look, passed_over=(leap,))
    assert plan_changed(warned)
    more = payload(Trajectory(Task("id", "live"), "a cliff", (Step(warned, "a fall"),), StopReason.WON))
    assert more["steps"][0]["more"] == {"passed_over": [{"steps": [{"action": "leap", "observation": "a fall"}]}]}
    assert set(flags(episode(2, won=False, irreversible=True))) == {
        "failed", "irreversible", "unparsed", "changed", "surprised",
    }  # fmt: skip


def test_tallies_are_sums_over_episodes() -> None:
    tally = Tally()
    for number in range(4):
        tally.add(episode(number, won=number > 0))
    assert (tally.n, tally.won, tally.steps, tally.imagined, tally.changed) == (4, 3, 12, 8, 4)
    assert tally.k_counts == {1: 4, 3: 4, 0: 4}
    assert [(depth.n, depth.exact) for depth in tally.depths] == [(4, 0)]
    assert tally.families == {"pick": [2, 1], "heat": [2, 2]}
    assert tally.tokens.total == 4 * 3 * 180


def test_a_torn_last_line_waits_and_damage_elsewhere_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [episode(0)])
    traces = run / "traces.jsonl"
    whole = traces.read_bytes()
    with traces.open("ab") as stream:
        stream.write(whole[: len(whole) // 2])
    tail = TraceTail(traces)
    assert [one.task.task_id for one, _ in tail.poll()] == ["task-00000"]
    with traces.open("ab") as stream:
        stream.write(whole[len(whole) // 2 :])
    ((again, offset),) = tail.poll()
    assert again == tail.read_at(offset) == episode(0)
    traces.write_bytes(b"nonsense\n" + whole)
    with pytest.raises(Exception, match=r"traces.jsonl line 1 is no episode"):
        list(TraceTail(traces).poll())


def test_trainings_runs_without_episodes_and_mixed_environments(tmp_path: Path) -> None:
    empty = write_run(tmp_path / "empty", [])
    other = write_run(tmp_path / "other", [episode(1)], env="alfworld", split="valid_seen")
    page = written(tmp_path, empty, other, write_training(tmp_path / "a2c"))
    groups = json.loads(element(page, "data"))["overview"]["groups"]
    assert [group["title"] for group in groups] == ["alfworld / valid_seen", "itp train a2c"]
    assert [chart["title"] for chart in groups[1]["charts"]] == ["loss", "mean_k"], "NaN is no curve"
    error = write_report(find_runs([empty]), tmp_path / "one.html")
    assert (error.runs, error.episodes) == (1, 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "itp report needs at least one run"),
        (["nowhere"], "nowhere is no folder: name folders written by"),
        (["."], "holds no run"),
    ],
)
def test_what_is_no_run_is_refused(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_live_page_gets_what_is_new(tmp_path: Path) -> None:
    testclient = pytest.importorskip("fastapi.testclient", reason="the extra `serve` is not installed")
    from itp.report.live import live_app
    from itp.trace.store import TraceStore

    run = write_run(tmp_path / "run", [episode(0)])
    client = testclient.TestClient(live_app(find_runs([run])))
    page = client.get("/").text
    assert json.loads(element(page, "data"))["meta"]["live"] is True
    assert "connect-src &#39;self&#39;" in page
    assert client.get("/api/state?since=1").json()["entries"] == []
    TraceStore(run / "traces.jsonl").append(episode(1, won=False))
    news = client.get("/api/state?since=1").json()
    assert [entry["id"] for entry in news["entries"]] == ["task-00001"]
    assert news["overview"]["table"]["rows"][0]["success"]["rate"] == 50
    assert news["running"]
    assert client.get("/api/episode?run=0&number=2").json() == json.loads(to_json(payload(episode(1, won=False))))
    assert client.get("/api/episode?run=0&number=3").status_code == 404
    assert client.get("/api/episode?run=7&number=1").status_code == 404
    assert client.get("/api/episode?run=x&number=1").status_code == 422


def test_a_finished_run_is_not_called_live(tmp_path: Path) -> None:
    from itp.report.live import LiveRuns

    run = write_run(tmp_path / "run", [episode(0)])
    live = LiveRuns(find_runs([run]))
    assert live.running
    (run / "results.json").write_text("{}")
    assert not live.running
