"""Pseudo-labels: the best horizon, what the expert's action is scored under, and runs that resume."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from itp.cli.main import main
from itp.errors import ConfigError, DataError
from itp.trace.store import TraceStore
from itp.training import pseudo_label
from itp.training.labels import (
    FLOOR,
    HISTOGRAM_FILE,
    LABEL_FILE,
    LabelledState,
    append_labels,
    best_horizon,
    read_labels,
    report,
)
from itp.training.pseudo_label import Config, _Item, label_states
from itp.types import ImaginedTrajectory, Trajectory
from models import ScriptedPolicy, ScriptedWorldModel, episodes, make_policy, save_policy


@pytest.mark.parametrize(
    ("scores", "lambda_k", "best"),
    [
        ([-1.0], 0.2, 0),
        ([-1.0, -0.5, -0.1], 0.0, 2),
        ([-1.0, -0.5, -0.1], 0.2, 2),
        ([-1.0, -0.5, -0.4], 0.2, 1),
        ([-1.0, -0.9, -0.8], 0.2, 0),
        ([-1.0, -1.0, -1.0], 0.0, 0),
        ([-2.0, -1.0, -1.0], 0.0, 1),
        ([-1.0, -0.5], 0.5, 0),
        ([-0.1, -3.0], 0.0, 0),
    ],
)
def test_best_horizon_is_the_shortest_arg_max_of_eq_5(scores: list[float], lambda_k: float, best: int) -> None:
    assert best_horizon(scores, lambda_k) == best


@pytest.mark.parametrize(
    ("scores", "candidates", "barred"),
    [
        ((-1.0, FLOOR), (0, 1), True),
        ((-1.0, math.log(1e-6), -0.5), (0, 1, 2), True),
        ((-1.0, -0.5, FLOOR), (0, 1, 2), False),  # it is a later step of the imagination that warns
        ((-1.0, FLOOR), (0, 3), True),
        ((FLOOR, FLOOR), (0, 1), False),  # the policy alone would not take it either
        ((-1.0, -13.0), (0, 1), False),
        ((-12.0, -15.0), (0, 1), False),  # unlikely behind a foresight, and barred by nothing
        ((-1.0,), (0,), False),
        ((FLOOR,), (2,), False),
        ((), (), False),
    ],
)
def test_a_state_is_barred_where_the_shortest_look_passes_over_the_experts_action(
    scores: tuple[float, ...], candidates: tuple[int, ...], barred: bool
) -> None:
    state = episodes(1)[0].states()[0]
    assert LabelledState(state, "look", ImaginedTrajectory(), scores, 0, candidates).barred is barred


def test_the_report_says_in_how_many_states_the_experts_action_is_barred(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    states = episodes(1)[0].states()[:2]
    for name, last, count in (("none", -0.5, 0), ("one", FLOOR, 1)):
        scores = [(-1.0, -0.5), (-1.0, last)]
        labels = [LabelledState(s, "look", ImaginedTrajectory(), row, 0) for s, row in zip(states, scores, strict=True)]
        (tmp_path / name).mkdir()
        append_labels(tmp_path / name / LABEL_FILE, labels)
        report(tmp_path / name)
        assert json.loads((tmp_path / name / HISTOGRAM_FILE).read_text())["barred"] == count
        assert ("bars a* itself in 1 states (50.0%)" in capsys.readouterr().out) is bool(count)


def test_best_horizon_is_that_of_brute_force_over_any_candidates() -> None:
    draw = random.Random(0)
    for _ in range(300):
        candidates = sorted(draw.sample(range(9), draw.randint(1, 6)))
        scores, price = [draw.choice((-1.0, -0.5, -0.25, 0.0)) for _ in candidates], draw.choice((0.0, 0.25, 0.2))
        worth = {k: score - price * k for k, score in zip(candidates, scores, strict=True)}
        best = next(k for k in candidates if worth[k] == max(worth.values()))
        assert best_horizon(scores, price, candidates) == best
        allowed = {*draw.sample(candidates, draw.randint(1, len(candidates)))}
        best = next(k for k in sorted(allowed) if worth[k] == max(worth[a] for a in allowed))
        assert best_horizon(scores, price, candidates, allowed) == best


def config(**changes: Any) -> Config:
    return replace(Config(out=Path(), data=(), policy="", world_model="rules"), **changes)


def item(trajectory: Trajectory, index: int) -> _Item:
    return _Item(trajectory, index, trajectory.states()[index], trajectory.steps[index].expert_action)


def test_scores_are_of_the_experts_action_under_every_prefix_of_the_foresight() -> None:
    policy = ScriptedPolicy(score=lambda state, foresight, action: -abs(len(foresight) - 2) - len(action) / 1000)
    batch = [item(t, i) for t in episodes()[:2] for i in (0, 3)]
    labels = label_states(batch, None, cast("Any", policy), ScriptedWorldModel(), config(k_max=4, lambda_k=0.1))
    for one, label in zip(batch, labels, strict=True):
        assert (label.state, label.action) == (one.state, one.action)
        assert label.scores == tuple(-abs(k - 2) - len(one.action) / 1000 for k in range(5))
        assert label.horizon == 2
    seen = policy.acted[:5]
    assert [len(foresight) for _, foresight in seen] == [0, 1, 2, 3, 4]
    assert all(foresight == labels[0].foresight.prefix(k) for k, (_, foresight) in enumerate(seen))


def test_by_default_the_policy_imagines_for_itself() -> None:
    policy = ScriptedPolicy(lambda state: "what I would do")
    [foresight] = pseudo_label._foresights(
        [item(episodes()[0], 0)], cast("Any", policy), ScriptedWorldModel(), config(k_max=3)
    )
    assert [step.action for step in foresight.steps] == ["what I would do"] * 3


def test_teacher_forcing_uses_the_experts_actions_from_real_states() -> None:
    trajectory = episodes(6, 0.0)[0]
    policy, world = ScriptedPolicy(), ScriptedWorldModel()
    last = len(trajectory.steps) - 1
    forced = config(foresight="teacher-forced", k_max=3)
    near, end = pseudo_label._foresights(
        [item(trajectory, 1), item(trajectory, last)], cast("Any", policy), world, forced
    )
    assert [step.action for step in near.steps] == [s.expert_action for s in trajectory.steps[1:4]]
    assert [state for state, _ in world.asked[:3]] == trajectory.states()[1:4]
    assert len(end) == 1
    assert policy.proposed == []


def test_teacher_forcing_skips_episodes_that_left_the_experts_way() -> None:
    forced = config(foresight="teacher-forced", states=0)
    clean, noisy = episodes(6, 0.0), episodes(4, 0.5)
    drawn = pseudo_label._draw([*clean, *noisy], forced)
    assert {id(x.trajectory) for x in drawn} == {
        id(t) for t in (*clean, *noisy) if all(s.decision.action == s.expert_action for s in t.steps)
    }
    off = [t for t in noisy if any(s.decision.action != s.expert_action for s in t.steps)]
    with pytest.raises(DataError, match="holds no step with an expert action"):
        pseudo_label._draw(off, forced)


def test_states_are_drawn_evenly_repeatably_and_only_where_the_expert_knows_better() -> None:
    everything = pseudo_label._draw(episodes(), config(states=0))
    assert len(everything) == sum(bool(s.expert_action) for t in episodes() for s in t.steps)
    some = pseudo_label._draw(episodes(), config(states=10))
    assert some == pseudo_label._draw(episodes(), config(states=10))
    assert all(one in everything for one in some)
    assert [len(x.state.history) for x in some] == sorted(len(x.state.history) for x in some), "sorted by length"
    assert some != pseudo_label._draw(episodes(), config(states=10, seed=1))


def write(path: Path, trajectories: tuple[Trajectory, ...]) -> str:
    store = TraceStore(path / "expert-0.jsonl")
    for trajectory in trajectories:
        store.append(trajectory)
    return str(path)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("label")
    data, policy = write(folder / "data", episodes()), save_policy(folder / "policy")
    return ["--data", data, "--policy", policy, "--world-model", "rules", "--k-max", "2", "--batch-size", "4"]


def label(out: Path, inputs: list[str], *words: str) -> int:
    return main(["label", *inputs, "--states", "10", *words, "--out", str(out)])


def test_labels_come_back_from_their_file_and_a_torn_line_is_done_again(tmp_path: Path, inputs: list[str]) -> None:
    out = tmp_path / "out"
    assert label(out, inputs) == 0
    labels = read_labels(out)
    assert len(labels) == 10
    policy = make_policy()
    for one in labels:
        for k in range(3):
            score = policy.score_actions([one.state], [one.foresight.prefix(k)], [[one.action]])[0].logprobs[0]
            assert one.scores[k] == pytest.approx(score, abs=1e-3)
        assert one.horizon == best_horizon(one.scores, 0.05)
    file = out / "labels.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:6]) + lines[6][:30])
    assert label(out, inputs) == 0
    again = read_labels(out)
    assert [(i.state, i.action, i.foresight) for i in again] == [(i.state, i.action, i.foresight) for i in labels]
    for one, two in zip(again, labels, strict=True):
        assert one.scores == pytest.approx(two.scores, abs=1e-3)


def test_a_finished_run_is_left_alone_and_its_histogram_printed(
    tmp_path: Path, inputs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert label(tmp_path, inputs) == 0
    before = (tmp_path / "labels.jsonl").read_bytes()
    capsys.readouterr()
    assert label(tmp_path, inputs) == 0
    assert (tmp_path / "labels.jsonl").read_bytes() == before
    shown = capsys.readouterr().out
    assert [line[:3] for line in shown.splitlines() if line.startswith("K=")] == ["K=0", "K=1", "K=2"]


def test_reuse_scores_the_same_foresights_with_another_policy(
    tmp_path: Path, inputs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert label(tmp_path / "first", inputs) == 0
    monkeypatch.setattr(pseudo_label, "_foresights", lambda *_: pytest.fail("imagined anew"))
    other = [*inputs, "--policy", save_policy(tmp_path / "other", seed=5)]
    assert label(tmp_path / "second", other, "--reuse", str(tmp_path / "first")) == 0
    first, second = read_labels(tmp_path / "first"), read_labels(tmp_path / "second")
    assert [i.foresight for i in first] == [i.foresight for i in second]
    assert [i.scores for i in first] != [i.scores for i in second]


def test_reuse_keeps_to_a_smaller_k_max_and_refuses_a_larger_one(
    tmp_path: Path, inputs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert label(tmp_path / "first", inputs) == 0
    assert label(tmp_path / "less", inputs, "--k-max", "1", "--reuse", str(tmp_path / "first")) == 0
    assert {len(one.scores) for one in read_labels(tmp_path / "less")} == {2}
    assert label(tmp_path / "more", inputs, "--k-max", "3", "--reuse", str(tmp_path / "first")) == 2
    assert "imagined 2 steps, not --k-max 3: lower --k-max" in capsys.readouterr().err


def test_reuse_of_other_states_is_refused(
    tmp_path: Path, inputs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert label(tmp_path / "first", inputs) == 0
    assert label(tmp_path / "second", inputs, "--seed", "1", "--reuse", str(tmp_path / "first")) == 2
    assert "labels other states: give the same --data, --states and --seed" in capsys.readouterr().err


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no labels.jsonl: give a folder written by `itp label`"):
        read_labels(tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--foresight", "oracle"], "--foresight oracle is unknown: choose one of policy, teacher-forced"),
        (["--logprob-norm", "max"], "--logprob-norm max is unknown: choose one of sum, mean"),
        (["--k-candidates", "0", "3"], "--k-candidates 0 3: give each once, from 0 to --k-max 2"),
        (["--k-candidates", "1", "1"], "--k-candidates 1 1: give each once"),
        (["--policy", ""], "--policy is required: give it a value, or choose K anew with --relabel LABELS"),
        (["--k-max", "0"], "--k-max 0 leaves nothing to label: give 1 or more"),
    ],
)
def test_wrong_settings_are_refused(
    tmp_path: Path, inputs: list[str], capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert label(tmp_path / "out", inputs, *words) == 2
    assert message in capsys.readouterr().err


def test_another_price_chooses_again_from_the_stored_scores(tmp_path: Path, inputs: list[str]) -> None:
    from itp.training.warmup import Config as WarmupConfig
    from itp.training.warmup import warmup_rows

    assert label(tmp_path / "labels", inputs) == 0
    labels = read_labels(tmp_path / "labels")
    settings = WarmupConfig(out=tmp_path, labels=(tmp_path,), policy="", k_max=2)
    rows = warmup_rows(labels, make_policy(), replace(settings, lambda_k=1e9))
    assert {row["horizon"] for row in rows} == {0}
    rows = warmup_rows(labels, make_policy(), replace(settings, lambda_k=0.0))
    assert [row["horizon"] for row in rows] == [best_horizon(one.scores, 0.0) for one in labels]
    with pytest.raises(ConfigError, match="beyond --k-max 0"):
        warmup_rows([replace(labels[0], horizon=1)], make_policy(), replace(settings, k_max=0))
    assert json.loads((tmp_path / "labels" / "labels.jsonl").read_text().splitlines()[0])["history"] is not None


def test_relabel_chooses_k_again_without_a_model(
    tmp_path: Path, inputs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert label(tmp_path / "first", inputs) == 0
    first = read_labels(tmp_path / "first")
    for price in (0.0, 0.5):
        out = tmp_path / f"again-{price}"
        assert main(["label", "--relabel", str(tmp_path / "first"), "--lambda-k", str(price), "--out", str(out)]) == 0
        again = read_labels(out)
        assert [(a.state, a.foresight, a.scores) for a in again] == [(f.state, f.foresight, f.scores) for f in first]
        assert [a.horizon for a in again] == [best_horizon(f.scores, price) for f in first]
    histogram = json.loads((tmp_path / "again-0.5" / "histogram.json").read_text())
    assert histogram["labels"] == 10
    assert sum(row["labels"] for row in histogram["by_k"]) == 10
    few = ["label", "--relabel", str(tmp_path / "first"), "--k-candidates", "5", "--out", str(tmp_path / "few")]
    assert main(few) == 2
    assert "has labels without a score for K in [5]" in capsys.readouterr().err


def test_candidates_are_scored_alone_and_the_mean_divides_by_the_actions_tokens(
    tmp_path: Path, inputs: list[str]
) -> None:
    assert label(tmp_path / "all", inputs) == 0
    assert label(tmp_path / "some", inputs, "--k-candidates", "2", "0") == 0
    assert label(tmp_path / "mean", inputs, "--logprob-norm", "mean") == 0
    policy = make_policy()
    every, some, mean = (read_labels(tmp_path / name) for name in ("all", "some", "mean"))
    for one, two, three in zip(every, some, mean, strict=True):
        assert two.candidates == (0, 2)
        assert two.scores == pytest.approx((one.scores[0], one.scores[2]), abs=1e-3)
        tokens = len(policy.lm.encode_continuation(one.action))
        assert three.scores == pytest.approx([score / tokens for score in one.scores], abs=1e-3)


def test_equal_states_are_imagined_once(tmp_path: Path, inputs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    twice = write(tmp_path / "data", (*episodes()[:1], *episodes()[:1]))
    asked: list[int] = []
    foresights = pseudo_label._foresights
    monkeypatch.setattr(
        pseudo_label, "_foresights", lambda items, *rest: asked.append(len(items)) or foresights(items, *rest)
    )
    words = [*inputs[2:], "--data", twice, "--states", "0"]
    assert main(["label", *words, "--out", str(tmp_path / "out")]) == 0
    labels = read_labels(tmp_path / "out")
    assert sum(asked) == len({(one.state, one.action) for one in labels}) == len(labels) // 2
