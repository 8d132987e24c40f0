"""Warm-up: the K-head learns at the very position and prompt that it is queried at."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from itp.cli.main import main
from itp.errors import ConfigError
from itp.lm.tokens import END
from itp.policy.heads import PolicyHeads
from itp.policy.model import Policy
from itp.state_text.renderers import RENDERERS
from itp.training.labels import FLOOR, LABEL_FILE, LabelledState, append_labels
from itp.training.sft import Optimisation
from itp.training.warmup import NO_LABEL, Config, _class_weights, _train, imbalance, return_of, warmup_rows
from itp.types import ImaginedTrajectory, StopReason
from models import decode, episodes, imagined, make_policy, save_policy, some_states
from training_data import write_episodes

FORESIGHT = imagined(("go to drawer 1", "You arrive at loc 2."), ("look", "You see nothing."))


def labelled(count: int = 4, foresight: ImaginedTrajectory = FORESIGHT) -> list[LabelledState]:
    """States whose best horizon is 0 and 2 in turn."""
    return [
        LabelledState(state, f"go to drawer {n}", foresight, (-1.0, -0.9, -0.5), 2 * (n % 2))
        for n, state in enumerate(some_states(count))
    ]


def settings(out: Path, *, k_max: int = 2, eta: float = 0.5, foresight: str = "label", **optim: Any) -> Config:
    optimisation = replace(Optimisation(epochs=1, batch_size=4, bf16=False), **optim)
    return Config(out=out, labels=(out,), policy="", k_max=k_max, eta=eta, foresight=foresight, optim=optimisation)


def train(policy: Policy, config: Config, labels: list[LabelledState] | None = None) -> dict[str, float]:
    return _train(policy, warmup_rows(labels or labelled(), policy, config), config)


@pytest.mark.parametrize("renderer", list(RENDERERS))
def test_training_and_acting_show_the_k_head_the_same_hidden_state(
    renderer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, shown = make_policy(renderer, k_max=2, fresh=True), []
    forward = PolicyHeads.forward

    def recording(self: PolicyHeads, hidden_BD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shown.extend(hidden_BD.detach().clone())
        return forward(self, hidden_BD)

    monkeypatch.setattr(PolicyHeads, "forward", recording)
    train(policy, settings(tmp_path, lr=0.0))
    trained, shown[:] = torch.stack(shown), []
    policy.control(some_states(4))
    acting = torch.stack(shown)
    distances = torch.cdist(trained, acting)
    assert trained.shape == acting.shape
    assert sorted(distances.argmin(dim=1).tolist()) == [0, 1, 2, 3]
    assert float(distances.min(dim=1).values.max()) < 1e-3
    assert float(torch.cdist(acting, acting).add(torch.eye(4) * 1e9).min()) > 0.1


def test_rows_hold_k_the_action_and_a_foresight_of_that_length(tmp_path: Path) -> None:
    policy = make_policy(k_max=2)
    for row, label in zip(warmup_rows(labelled(), policy, settings(tmp_path)), labelled(), strict=True):
        assert row["horizon"] == label.horizon
        text = decode(row["input_ids"])
        assert text == policy.prompts.act(label.state, FORESIGHT.prefix(label.horizon)) + label.action + END
        assert decode([token for token in row["labels"] if token >= 0]) == label.action + END
        control = policy.lm.encode(policy.prompts.control(label.state))
        assert row["input_ids"][: row["control"] + 1] == control


def test_a_state_whose_expert_action_is_barred_teaches_the_action_and_no_k_where_that_is_asked_for(
    tmp_path: Path,
) -> None:
    policy, (barred, open_) = make_policy(k_max=2), labelled(2)
    labels = [replace(barred, scores=(-1.0, FLOOR, FLOOR), horizon=0), open_]
    kept = warmup_rows(labels, policy, settings(tmp_path))
    dropped = warmup_rows(labels, policy, replace(settings(tmp_path), drop_barred=True))
    assert [row["horizon"] for row in kept] == [0, 2]
    assert [row["horizon"] for row in dropped] == [NO_LABEL, 2]
    assert [row["labels"] for row in kept] == [row["labels"] for row in dropped]


def lengths(config: Config, draws: int = 40) -> Counter[int]:
    policy = make_policy(k_max=2)
    rows = warmup_rows(labelled(1), policy, replace(config, draws=draws))
    return Counter(decode(row["input_ids"]).count("<IMAGINE>") for row in rows)


def test_the_foresight_setting_decides_the_length_learnt_with(tmp_path: Path) -> None:
    assert set(lengths(settings(tmp_path, foresight="label"))) == {0}
    uniform, mixed = (lengths(settings(tmp_path, foresight=kind)) for kind in ("uniform", "mixed"))
    assert set(uniform) == set(mixed) == {0, 1, 2}
    assert mixed[0] > uniform[0]


def test_a_label_beyond_k_max_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a label has K=2, beyond --k-max 1: raise it, or label again"):
        warmup_rows(labelled(), make_policy(k_max=1), settings(tmp_path, k_max=1))


def test_the_k_head_and_the_policy_learn_a_toy_set(tmp_path: Path) -> None:
    policy = make_policy(k_max=2, fresh=True)
    labels = labelled()

    def action_logprobs() -> torch.Tensor:
        foresights = [label.foresight.prefix(label.horizon) for label in labels]
        output = policy.forward([x.state for x in labels], foresights, [policy.lm.trie([x.action]) for x in labels])
        return torch.stack([row[0] for row in output.action_logprobs]).detach()

    before = action_logprobs()
    metrics = train(policy, settings(tmp_path, lr=2e-3, epochs=25), labels)
    chosen = policy.control([label.state for label in labels]).horizon_logits_BK.argmax(-1).tolist()
    assert chosen == [label.horizon for label in labels]
    assert bool((action_logprobs() > before + 1).all())
    assert 0.5 < metrics["k_accuracy"] <= 1
    assert not hasattr(policy.lm.model, "itp_heads"), "the heads stayed on the language model"
    assert not policy.lm.model.training


def test_without_eta_the_k_head_stays_as_it_was(tmp_path: Path) -> None:
    policy = make_policy(k_max=2, fresh=True)
    assert policy.heads is not None
    before = policy.heads.horizon.weight.detach().clone()
    train(policy, settings(tmp_path, eta=0.0, lr=1e-2, weight_decay=0.0))
    assert torch.equal(policy.heads.horizon.weight, before)


def test_accumulation_averages_the_loss_instead_of_adding_it_up(tmp_path: Path) -> None:
    losses = []
    for accumulation in (1, 4):
        same = [labelled()[1]] * 4
        config = settings(tmp_path / str(accumulation), lr=0.0, accumulation=accumulation)
        losses.append(train(make_policy(k_max=2, fresh=True), config, same)["train_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_a_step_is_the_same_in_one_pass_or_several(tmp_path: Path) -> None:
    """Rows of unequal length, some without a K label: sums are divided by what the whole step holds."""
    weights = []
    for accumulation in (1, 4):
        policy = make_policy(k_max=2, fresh=True)
        config = settings(tmp_path / str(accumulation), lr=1e-3, accumulation=accumulation)
        rows = warmup_rows(labelled(), policy, config)
        rows[1]["horizon"] = NO_LABEL
        metrics = _train(policy, rows, config, [0.5, 1.0, 2.0])
        weights.append([metrics["train_loss"], *(float(p.detach().sum()) for p in policy.lm.model.parameters())])
    assert weights[0] == pytest.approx(weights[1], rel=1e-3, abs=1e-3)


def test_replayed_rows_teach_the_action_and_leave_the_k_head_alone(tmp_path: Path) -> None:
    data, policy = write_episodes(tmp_path / "data", 3), make_policy(k_max=2, fresh=True)
    config = replace(settings(tmp_path / "out", lr=1e-2, weight_decay=0.0), data=(data,), replay=1.5)
    rows = warmup_rows(labelled(), policy, config)
    assert len(rows) == 4 + 6
    replayed = rows[4:]
    assert {row["horizon"] for row in replayed} == {NO_LABEL}
    for row in replayed:
        assert "<IMAGINE>" not in decode(row["input_ids"])
        assert any(label >= 0 for label in row["labels"])
    assert policy.heads is not None
    before = policy.heads.horizon.weight.detach().clone()
    _train(policy, replayed, config)
    assert torch.equal(policy.heads.horizon.weight, before)


def test_class_weights_raise_rare_horizons_and_keep_the_mean() -> None:
    counts = Counter({0: 90, 1: 9, 2: 1})
    config = replace(settings(Path()), balance=True, k_max=3)
    weights = _class_weights(counts, config)
    assert weights[1] == pytest.approx(10 * weights[0])
    assert weights[2] == weights[1], "at most 10 to 1"
    assert sum(weights[k] * n for k, n in counts.items()) == pytest.approx(100)
    assert _class_weights(counts, replace(config, balance=False)) == [1.0] * 4
    assert imbalance(counts) == "K=0 90.0%  K=1 9.0%  K=2 1.0%; always K=0 would be right in 90.0%"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--replay", "1"], "--replay 1 needs --data: folders written by `itp collect`"),
        (["--value-weight", "1"], "--value-weight 1 needs --replay: only these rows have a return"),
        (["--replay", "-1"], "--replay -1 is too small: give 0 or more rows per labelled row"),
        (["--foresight", "none"], "--foresight none is unknown: choose one of label, mixed, uniform"),
    ],
)
def test_wrong_settings_are_refused(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["train", "warmup", "--labels", "nowhere", "--policy", "nowhere", *words]
    assert main([*given, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_labels_of_several_folders_are_all_learnt_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, some in (("first", labelled(2)), ("second", labelled(4)[1:])):
        (tmp_path / name).mkdir()
        append_labels(tmp_path / name / LABEL_FILE, some)
    policy, out = save_policy(tmp_path / "policy"), tmp_path / "out"
    words = ["--labels", str(tmp_path / "first"), str(tmp_path / "second"), "--policy", policy, "--k-max", "2"]
    assert main(["train", "warmup", *words, "--epochs", "1", "--out", str(out)]) == 0
    assert "warm-up: 5 rows, 5 with a K label" in capsys.readouterr().out


def test_returns_are_discounted_wins_less_the_cost_of_steps() -> None:
    trajectory = next(t for t in episodes(6, 0.0) if t.won)
    last = len(trajectory.steps) - 1
    assert return_of(trajectory, last, 0.9, 0.1) == pytest.approx(1 - 0.1)
    assert return_of(trajectory, last - 1, 0.9, 0.1) == pytest.approx(-0.1 + 0.9 * (1 - 0.1))
    lost = replace(trajectory, stop=StopReason.STEP_LIMIT)
    assert return_of(lost, last - 1, 0.9, 0.1) == pytest.approx(-0.1 - 0.9 * 0.1)


def test_the_value_head_learns_returns_where_it_is_told_to(tmp_path: Path) -> None:
    data = write_episodes(tmp_path / "data", 3)
    errors = []
    for weight in (0.0, 2.0):
        policy = make_policy(k_max=2, fresh=True)
        optim = {"lr": 2e-3, "epochs": 15, "weight_decay": 0.0}
        config = replace(settings(tmp_path / str(weight), **optim), data=(data,), replay=4.0, value_weight=weight)
        rows = warmup_rows(labelled(), policy, config)
        assert [math.isnan(row["value"]) for row in rows] == [True] * 4 + [False] * 16
        _train(policy, rows, config)
        assert policy.heads is not None
        prompts = [row["input_ids"][: row["control"] + 1] for row in rows[4:]]
        values = policy.heads(torch.cat([policy.lm.engine.hidden([ids]) for ids in prompts]))[1].detach()
        wanted = torch.tensor([row["value"] for row in rows[4:]])
        errors.append(float((values - wanted).square().mean()))
    assert errors[1] < 0.3 * errors[0]
