"""A2C: what a rollout records, what one update does to which weights, and runs that resume or are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from itp.cli.main import main
from itp.errors import TrainingError
from itp.lm.base import Sampling
from itp.policy.model import Policy
from itp.training import a2c_loop
from itp.training.a2c import Config
from itp.training.a2c_loop import Actor, Transition, _losses, _update
from itp.world_model.rules import RuleWorldModel
from models import imagined, make_policy, save_policy, save_world_model, some_states

COMMANDS = ("look", "go to drawer 1", "go to drawer 12", "inventory")


def config(out: Path = Path(), **changes: Any) -> Config:
    base = Config(out=out, policy="", world_model="rules", envs=2, rollout=3, updates=2, max_steps=30)
    return replace(base, **changes)


def actor(settings: Config, policy: Policy | None = None) -> Actor:
    return Actor(settings, policy or make_policy(k_max=2), RuleWorldModel())


def transitions() -> list[Transition]:
    foresights = [imagined(), imagined(("look", "Nothing.")), imagined(("look", "A."), ("look", "B."))]
    return [
        Transition(state, k, foresight, COMMANDS[: k + 2], k, 0.0, 0.0)
        for k, (state, foresight) in enumerate(zip(some_states(3), foresights, strict=True))
    ]


def test_losses_are_those_of_eq_8_for_the_sampled_action_at_the_sampling_temperature() -> None:
    policy, settings = make_policy(k_max=2), config(temperature=0.7)
    rows, advantages, targets = transitions(), torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.1, 0.2, 0.3])
    with torch.no_grad():
        losses = _losses(rows, advantages, targets, policy, settings)
    total, errors, entropies = 0.0, [], []
    for row, advantage, target in zip(rows, advantages.tolist(), targets.tolist(), strict=True):
        scores = np.array(policy.score_actions([row.state], [row.foresight], [row.candidates])[0].logprobs)
        weights = np.exp(scores / 0.7 - (scores / 0.7).max())
        control = policy.control([row.state])
        probs_k = control.horizon_logits_BK[0].softmax(-1).numpy()
        total -= advantage * (np.log(probs_k[row.horizon]) + np.log(weights[row.action] / weights.sum())) / 3
        errors.append((float(control.values_B[0]) - target) ** 2)
        entropies.append(-(probs_k * np.log(probs_k)).sum())
    assert float(losses["policy_loss"]) == pytest.approx(total, abs=1e-3)
    assert float(losses["value_loss"]) == pytest.approx(np.mean(errors), abs=1e-4)
    assert float(losses["k_entropy"]) == pytest.approx(np.mean(entropies), abs=1e-4)


def test_a_rollout_links_values_within_episodes_and_records_what_was_really_done() -> None:
    settings = config(rollout=4, envs=3)
    player = actor(settings)
    steps = player.collect()
    assert len(steps) == 4
    assert all(len(step) == 3 for step in steps)
    for n in range(3):
        for before, after in pairwise(steps):
            assert before[n].next_value == after[n].value
            command = before[n].candidates[before[n].action]
            assert after[n].state.history[:-1] == before[n].state.history
            assert after[n].state.history[-1][0] == command
            assert len(before[n].foresight) == before[n].horizon
        value = player.policy.control([player.states[n]]).values_B[0]
        assert steps[-1][n].next_value == pytest.approx(float(value), abs=1e-4)


def test_an_episode_cut_by_the_step_limit_bootstraps_from_the_state_it_was_cut_in() -> None:
    player = actor(config(rollout=2, max_steps=1))
    steps = player.collect()
    for transition in (t for step in steps for t in step):
        assert transition.truncated
        assert not transition.terminated
        assert transition.state.history == (), "the next episode did not start afresh"
        assert transition.next_value != transition.value


def test_the_reward_is_that_of_eq_7() -> None:
    for transition in (
        t for step in actor(config(cost="paper", lambda_k=0.2, lambda_step=0.03)).collect() for t in step
    ):
        assert transition.reward == pytest.approx(-0.03 - 0.2 * transition.horizon)


def test_a_win_earns_the_environments_reward_and_the_bonus_and_ends_the_episode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    player = actor(config(rollout=1, lambda_k=0.0, lambda_step=0.01, success_bonus=0.5))
    for env in player.envs:
        step = env.step

        def won(action: str, step: Any = step) -> Any:
            observation, _, _, _, info = step(action)
            return observation, 1.0, True, True, {**info, "won": True}

        monkeypatch.setattr(env, "step", won)
    for transition in player.collect()[0]:
        assert transition.reward == pytest.approx(1 + 0.5 - 0.01)
        assert transition.terminated
        assert not transition.truncated
    assert list(player.wins) == [True, True]


def update(policy: Policy, settings: Config, *, value_only: bool = False) -> dict[str, float]:
    assert policy.heads is not None
    parameters = [*policy.lm.model.parameters(), *policy.heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0)
    return _update(actor(settings, policy).collect(), policy, optimizer, parameters, settings, value_only=value_only)


def changed(policy: Policy, settings: Config, **options: Any) -> set[str]:
    """Names of the parts whose weights one update moves."""
    assert policy.heads is not None
    parts = {"lm": policy.lm.model, "horizon": policy.heads.horizon, "value": policy.heads.value}
    before = {name: [p.detach().clone() for p in part.parameters()] for name, part in parts.items()}
    update(policy, settings, **options)
    return {
        name
        for name, part in parts.items()
        if any(not torch.equal(p, q) for p, q in zip(part.parameters(), before[name], strict=True))
    }


def test_an_update_moves_policy_k_head_and_value_head() -> None:
    assert changed(make_policy(k_max=2, fresh=True), config()) == {"lm", "horizon", "value"}


def test_the_value_warm_up_moves_the_value_head_alone() -> None:
    assert changed(make_policy(k_max=2, fresh=True), config(), value_only=True) == {"value"}


def test_a_non_finite_loss_is_skipped_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = a2c_loop._losses

    def broken(*args: Any) -> dict[str, torch.Tensor]:
        return {name: value * float("nan") for name, value in losses(*args).items()}

    monkeypatch.setattr(a2c_loop, "_losses", broken)
    policy = make_policy(k_max=2, fresh=True)
    assert changed(policy, config()) == set()
    assert update(policy, config())["skipped"] == 1


def test_the_minibatch_changes_memory_only(monkeypatch: pytest.MonkeyPatch) -> None:
    norms = []
    for size in (16, 2):
        monkeypatch.setattr(a2c_loop, "MINIBATCH", size)
        norms.append(update(make_policy(k_max=2, fresh=True), config())["grad_norm"])
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("a2c")
    return {
        "policy": save_policy(folder / "policy", k_max=2),
        "plain": save_policy(folder / "plain"),
        "world_model": save_world_model(folder / "world_model"),
    }


def train(out: Path, inputs: dict[str, str], *words: str, policy: str = "policy", world_model: str = "rules") -> int:
    given = [
        "--policy",
        inputs[policy],
        "--world-model",
        world_model,
        "--envs",
        "2",
        "--rollout",
        "2",
        "--updates",
        "4",
    ]
    return main(["train", "a2c", *given, "--save-every", "2", "--value-warmup", "1", *words, "--out", str(out)])


def log_of(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_two_updates_train_the_policy_and_leave_the_world_model_frozen(
    tmp_path: Path, inputs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from itp.world_model.text import TextWorldModel

    loaded = TextWorldModel.load(inputs["world_model"])
    loaded.sampling = Sampling(max_new_tokens=5)
    before = {name: tensor.clone() for name, tensor in loaded.lm.model.state_dict().items()}  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(a2c_loop, "load_world_model", lambda *_: loaded)
    assert train(tmp_path, inputs, "--updates", "2", world_model=inputs["world_model"]) == 0
    for name, tensor in loaded.lm.model.state_dict().items():  # pyright: ignore[reportAttributeAccessIssue]
        assert torch.equal(tensor, before[name])
    old, new = Policy.load(inputs["policy"]), Policy.load(str(tmp_path / "model"))
    assert any(not torch.equal(p, q) for p, q in zip(old.lm.model.parameters(), new.lm.model.parameters(), strict=True))
    assert (new.config.stage, new.config.parent, new.config.k_max) == ("a2c", inputs["policy"], 2)
    for record in log_of(tmp_path):
        assert sum(value for name, value in record.items() if name.startswith("k_") and name != "k_entropy") == 1
        assert 0 <= record["mean_k"] <= 2


def test_an_interrupted_run_goes_on_from_its_last_state_and_doubles_no_update(
    tmp_path: Path, inputs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = a2c_loop._update, []

    def interrupted(*args: Any, **kwargs: Any) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(a2c_loop, "_update", interrupted)
    assert train(tmp_path, inputs) == 130
    assert [record["update"] for record in log_of(tmp_path)] == [1, 2, 3]
    saved = Policy.load(str(tmp_path / "checkpoints" / "update-2"))
    resumed_from: list[Policy] = []
    monkeypatch.setattr(a2c_loop, "Actor", lambda c, p, w: resumed_from.append(p) or Actor(c, p, w))
    before = [p.detach().clone() for p in saved.lm.model.parameters()]
    start = a2c_loop.Policy.load

    def load(path: str, **options: Any) -> Policy:
        policy = start(path, **options)
        assert all(torch.equal(p, q) for p, q in zip(policy.lm.model.parameters(), before, strict=True))
        return policy

    monkeypatch.setattr(a2c_loop.Policy, "load", load)
    assert train(tmp_path, inputs) == 0
    assert len(resumed_from) == 1
    assert [record["update"] for record in log_of(tmp_path)] == [1, 2, 3, 4]
    assert len(calls) == 6, "updates 3 and 4 are done again, 1 and 2 are not"
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["update-4"]


def test_a_kill_while_saving_leaves_the_older_state_usable(
    tmp_path: Path, inputs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Policy.save

    def torn(self: Policy, path: Path, **options: str) -> None:
        if path.name == "update-4":
            path.mkdir(parents=True)
            (path / "config.json").write_text("{")
            raise KeyboardInterrupt
        save(self, path, **options)

    monkeypatch.setattr(Policy, "save", torn)
    assert train(tmp_path, inputs) == 130
    monkeypatch.setattr(Policy, "save", save)
    assert train(tmp_path, inputs) == 0
    assert [record["update"] for record in log_of(tmp_path)] == [1, 2, 3, 4]


def test_too_many_non_finite_losses_in_a_row_end_the_run_with_advice(
    tmp_path: Path, inputs: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(a2c_loop, "_update", lambda *_, **__: {"skipped": 1.0, "mean_k": 0.0, "loss": float("nan")})
    assert train(tmp_path, inputs, "--updates", "9") == 2
    assert "6 updates in a row had a non-finite loss: lower --lr" in capsys.readouterr().err
    with pytest.raises(TrainingError):
        a2c_loop.train(config(tmp_path / "again", policy=inputs["policy"], updates=9))


def test_a_last_update_without_a_finite_loss_still_ends_in_a_readable_report(
    tmp_path: Path, inputs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(a2c_loop, "_update", lambda *_, **__: {"skipped": 1.0, "mean_k": 0.0, "loss": float("nan")})
    assert train(tmp_path, inputs, "--updates", "1") == 0
    assert json.loads((tmp_path / "training.json").read_text())["metrics"]["updates"] == 1


@pytest.mark.parametrize("split", ["valid", "test", "valid_seen", "valid_unseen", "dev"])
def test_evaluation_splits_are_refused(
    tmp_path: Path, inputs: dict[str, str], capsys: pytest.CaptureFixture[str], split: str
) -> None:
    assert train(tmp_path / "out", inputs, "--split", split) == 2
    assert f"--split {split} is for evaluation: reinforcement learning uses train" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cost", "free"], "--cost free is unknown: choose one of paper, per-token, annealed"),
        (["--envs", "0"], "--envs 0 is too small: give 1 or more"),
        (["--save-every", "0"], "--save-every 0 is too small: give 1 or more"),
        (["--temperature", "0"], "--temperature 0.0 is too small: exploration needs a value above 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    tmp_path: Path, inputs: dict[str, str], capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert train(tmp_path / "out", inputs, *words) == 2
    assert message in capsys.readouterr().err


def test_a_policy_without_heads_is_refused(
    tmp_path: Path, inputs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, inputs, policy="plain") == 2
    assert "has no K-head and value head: run `itp train warmup` first" in capsys.readouterr().err
