"""Implicit world modelling: which tokens carry how much loss, the order of two stages, the policy that comes out."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from itp.cli.main import main
from itp.data.rows import IGNORE, Row, joint_rows, world_model_rows
from itp.lm.loading import encode
from itp.lm.tokens import CTRL, END
from itp.policy.checkpoint import read_itp_config
from itp.policy.model import Policy
from itp.run_folder import read_config
from itp.state_text.prompts import PromptBuilder
from itp.state_text.renderers import RENDERERS, get_renderer
from itp.training.iwm import FIRST_STAGE, observation_weights
from itp.training.sft import Optimisation, fit
from models import decode, episodes, random_model, tokenizer
from training_data import curve, write_episodes

BOTH = pytest.mark.parametrize("renderer", list(RENDERERS))


def rows(renderer: str) -> list[Row]:
    made = joint_rows(episodes()[:2], partial(encode, tokenizer()), PromptBuilder(get_renderer(renderer)))
    return list(made)


def parts(row: Row) -> list[tuple[str, str]]:
    """(cue before it, text) of every run of labels in a row, read token by token."""
    found, run = [], []
    for position, label in enumerate(row.labels):
        if label == IGNORE:
            continue
        if row.labels[position - 1] == IGNORE:
            run = [decode(row.input_ids[position - 1 : position])]
            found.append(run)
        run.append(decode([label]))
    return [(cue, "".join(tokens)) for cue, *tokens in found]


@BOTH
def test_each_observation_token_has_the_given_weight_and_each_action_token_one(renderer: str) -> None:
    weigh = observation_weights(tokenizer(), 0.25)
    observations = {" ".join(step.observation.split()) + END for t in episodes()[:2] for step in t.steps}
    actions = {step.expert_action + END for t in episodes()[:2] for step in t.steps}
    kinds = set()
    for row in rows(renderer):
        weights = weigh(torch.tensor([row.input_ids]))[0].tolist()
        for cue, text in parts(row):
            assert (text in observations) == (cue == "<OBS>")
            assert (text in actions) == (cue == "<ACT>")
            kinds.add(cue)
        position = 0
        for cue, _ in parts(row):
            while row.labels[position] == IGNORE:
                position += 1
            while position < len(row.labels) and row.labels[position] != IGNORE:
                assert weights[position] == (0.25 if cue == "<OBS>" else 1.0)
                position += 1
    assert kinds == {"<OBS>", "<ACT>"}


def test_weights_are_those_of_each_row_when_rows_lie_one_behind_another_or_are_padded() -> None:
    weigh = observation_weights(tokenizer(), 0.5)
    made = rows("memory-v1")[:6]
    ids = [row.input_ids for row in made]
    packed = weigh(torch.tensor([[token for row in ids for token in row]]))[0]
    padded = weigh(torch.tensor([row + [0] * (max(map(len, ids)) - len(row)) for row in ids]))
    start = 0
    for number, row in enumerate(made):
        labelled = torch.tensor(row.labels) != IGNORE
        alone = weigh(torch.tensor([row.input_ids]))[0][labelled]
        assert torch.equal(packed[start : start + len(row.labels)][labelled], alone)
        assert torch.equal(padded[number, : len(row.labels)][labelled], alone)
        start += len(row.labels)


def test_the_loss_is_the_weighted_sum_over_all_labels_of_the_step(tmp_path: Path) -> None:
    """Against a plain loop over rows, packed as the trainer packs them."""
    made, weigh = rows("history-v1"), observation_weights(tokenizer(), 0.3)
    total, count = 0.0, 0
    with torch.no_grad():
        for row in made:
            logits_TV = random_model()(torch.tensor([row.input_ids])).logits[0]
            for position, label in enumerate(row.labels):
                if label != IGNORE:
                    weight = float(weigh(torch.tensor([row.input_ids]))[0, position])
                    total -= weight * float(logits_TV[position - 1].log_softmax(-1)[label])
                    count += 1
    settings = Optimisation(epochs=1, batch_size=len(made), bf16=False, lr=0.0, log_steps=1)
    model = copy.deepcopy(random_model())
    fit(model, tokenizer(), made, [], out=tmp_path, settings=settings, title="test", weigh=weigh)
    [logged] = curve(tmp_path)
    assert logged["loss"] == pytest.approx(total / count, rel=1e-4)


def test_an_architecture_that_trains_on_padded_rows_weighs_them_too(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    made, losses = rows("history-v1"), []
    for weight in (1.0, 1e-9):
        torch.manual_seed(0)
        config = GPT2Config(vocab_size=len(tokenizer()), n_embd=32, n_layer=1, n_head=2, n_positions=2048)
        settings = Optimisation(epochs=1, batch_size=len(made), bf16=False, lr=0.0, log_steps=1)
        weigh = observation_weights(tokenizer(), weight)
        out = tmp_path / str(weight)
        fit(GPT2LMHeadModel(config), tokenizer(), made, [], out=out, settings=settings, title="test", weigh=weigh)
        losses.append(curve(out)[0]["loss"])
    observed = sum(len(encode(tokenizer(), text)) for row in made for cue, text in parts(row) if cue == "<OBS>")
    labels = sum(label != IGNORE for row in made for label in row.labels)
    # Untrained, every token costs about as much: what is left is the actions' share of the labels.
    assert losses[1] / losses[0] == pytest.approx(1 - observed / labels, rel=0.05)


def train(data: Path, out: Path, *words: str) -> int:
    settings = ["--base", "scratch:tiny", "--vocab-size", "300", "--epochs", "1", "--batch-size", "8"]
    return main(["train", "policy", "--data", str(data), *settings, *words, "--out", str(out)])


@pytest.mark.parametrize("renderer", ["memory", "history"])
def test_one_stage_leaves_an_ordinary_policy_judged_on_imitation(tmp_path: Path, renderer: str) -> None:
    data, out = write_episodes(tmp_path / "data", 4), tmp_path / "iwm"
    words = ["--objective", "iwm", "--observation-weight", "0.5", "--renderer", renderer, "--held-out", "0.25"]
    assert train(data, out, *words) == 0
    config = read_itp_config(str(out / "model"))
    assert (config.kind, config.stage, config.parent) == ("policy", "iwm", "scratch:tiny")
    policy = Policy.load(str(out / "model"))
    assert policy.prompts.act(episodes()[0].states()[0]).endswith(CTRL + "<ACT>")


def test_two_stages_learn_next_observations_first_then_actions_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import itp.training.sft

    seen: list[tuple[str, str, set[str]]] = []
    original = itp.training.sft.fit

    def watch(model: Any, used: Any, made: list[Row], *rest: Any, **named: Any) -> dict[str, float]:
        cues = {used.decode([row.input_ids[i - 1]]) for row in made for i, x in _starts(row)}
        seen.append((named["title"], str(named["out"].name), cues))
        return original(model, used, made, *rest, **named)

    monkeypatch.setattr("itp.training.sft.fit", watch)
    data, out = write_episodes(tmp_path / "data", 4), tmp_path / "iwm"
    words = ["--objective", "iwm", "--stages", "2", "--observation-epochs", "1"]
    assert train(data, out, *words) == 0
    assert seen == [
        ("iwm: next observation", FIRST_STAGE, {"<OBS>"}),
        ("iwm: imitation", "iwm", {"<ACT>"}),
    ]
    assert read_config(out)["config"]["base"] == "scratch:tiny"
    first, second = (read_itp_config(str(folder / "model")) for folder in (out / FIRST_STAGE, out))
    assert (first.stage, second.stage, second.parent) == ("iwm: next observation", "iwm", "scratch:tiny")
    assert Policy.load(str(out / FIRST_STAGE / "model")).lm.encode("mug") == Policy.load(str(out / "model")).lm.encode(
        "mug"
    )


def _starts(row: Row) -> list[tuple[int, int]]:
    return [
        (position, label)
        for position, label in enumerate(row.labels)
        if label != IGNORE and row.labels[position - 1] == IGNORE
    ]


def test_an_interrupted_second_stage_does_not_train_the_first_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from itp.training.progress import Ticker

    data, out = write_episodes(tmp_path / "data", 4), tmp_path / "iwm"
    words = ["--objective", "iwm", "--stages", "2"]
    tick, titles = Ticker.tick, []

    def killed(self: Ticker, *rest: Any, **named: Any) -> None:
        titles.append(self.title)
        if titles.count("iwm: imitation") == 1:
            raise KeyboardInterrupt
        tick(self, *rest, **named)

    monkeypatch.setattr(Ticker, "tick", killed)
    assert train(data, out, *words) == 130
    assert {*titles} == {"iwm: next observation", "iwm: imitation"}
    titles[:] = ["iwm: imitation"]  # so that nothing interrupts this time
    assert train(data, out, *words) == 0
    assert {*titles} == {"iwm: imitation"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--objective", "cloning"], "--objective cloning is unknown: choose one of imitation, iwm"),
        (["--stages", "2"], "--stages does nothing with --objective imitation"),
        (["--observation-weight", "2"], "--observation-weight does nothing with --objective imitation"),
        (["--objective", "iwm", "--stages", "3"], "--stages 3 is not allowed: give 1 or 2"),
        (["--objective", "iwm", "--observation-weight", "0"], "--observation-weight 0 is not allowed"),
        (["--objective", "iwm", "--observation-epochs", "2"], "--observation-epochs does nothing with"),
        (["--objective", "iwm", "--stages", "2", "--observation-weight", "2"], "--observation-weight does nothing"),
        (["--knowledge", "nowhere"], "--knowledge nowhere holds no knowledge model: give a folder of `itp train wkm`"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert train(write_episodes(tmp_path / "data", 2), tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_next_observations_are_learnt_behind_the_world_models_own_prompt() -> None:
    ids = partial(encode, tokenizer())
    prompts = PromptBuilder(get_renderer("memory"))
    world = {tuple(row.input_ids) for row in world_model_rows(episodes()[:1], ids, prompts)}
    joint = {tuple(row.input_ids) for row in joint_rows(episodes()[:1], ids, prompts)}
    assert world < joint
