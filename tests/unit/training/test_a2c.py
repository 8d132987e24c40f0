"""A2C: what a rollout records, what one update does to which weights, and runs that resume or are refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from itp.cli.main import main
from itp.envs.vector import Failure, Outcome
from itp.errors import EnvError, TrainingError
from itp.lm.base import Sampling
from itp.lm.constraint import constraint_of
from itp.planners.avoiding import AvoidingPlanner
from itp.planners.horizon import FixedHorizon
from itp.planners.proposals import propose
from itp.policy.model import Policy
from itp.training import a2c_loop, a2c_loss
from itp.training.a2c import Config
from itp.training.a2c_actor import MAX_FAILURES, Actor, Transition
from itp.training.a2c_eval import episode_return, looking
from itp.training.a2c_loss import Learner, a2c_losses, forward_rows
from itp.types import Decision, DecisionContext, State, Step, StopReason, Usage
from itp.world_model.base import Prediction
from models import episodes, imagined, make_actor, make_policy, save_policy, save_world_model, some_states

COMMANDS = ("look", "go to drawer 1", "go to drawer 12", "inventory")


def config(out: Path = Path(), **changes: Any) -> Config:
    base = Config(out=out, policy="", world_model="rules", envs=2, rollout=3, updates=2, max_steps=30)
    return replace(base, **changes)


def transitions(policy: Policy) -> list[Transition]:
    foresights = [imagined(), imagined(("look", "Nothing.")), imagined(("look", "A."), ("look", "B."))]
    return [
        Transition(state, k, foresight, policy.lm.trie(COMMANDS[: k + 2]), k, 0.0, 0.0)
        for k, (state, foresight) in enumerate(zip(some_states(3), foresights, strict=True))
    ]


def test_losses_are_those_of_eq_8_for_the_sampled_action_at_the_sampling_temperature() -> None:
    policy, settings = make_policy(k_max=2), config(temperature=0.7)
    rows, advantages, targets = transitions(policy), torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.1, 0.2, 0.3])
    with torch.no_grad():
        losses = a2c_losses(rows, advantages, targets, policy, settings)
    total, errors, entropies = 0.0, [], []
    for k, (row, advantage, target) in enumerate(zip(rows, advantages.tolist(), targets.tolist(), strict=True)):
        scores = np.array(policy.score_actions([row.state], [row.foresight], [COMMANDS[: k + 2]])[0].logprobs)
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
    player, sent = make_actor(settings), []
    step_envs = player.envs.step
    player.envs.step = lambda actions: sent.append(actions) or step_envs(actions)
    steps = player.collect()
    assert len(steps) == 4
    assert all(len(step) == 3 for step in steps)
    for n in range(3):
        for t, (before, after) in enumerate(pairwise(steps)):
            assert before[n].next_value == after[n].value
            command = sent[t][n]
            path = before[n].actions.paths[before[n].action]
            assert [before[n].actions.tokens[i] for i in path] == [*player.policy.lm.encode_continuation(command)]
            assert after[n].state.history[:-1] == before[n].state.history
            assert after[n].state.history[-1][0] == command
            assert len(before[n].foresight) == before[n].horizon
        value = player.policy.control([player.slots[n].state]).values_B[0]
        assert steps[-1][n].next_value == pytest.approx(float(value), abs=1e-4)


def test_an_episode_cut_by_the_step_limit_bootstraps_from_the_state_it_was_cut_in() -> None:
    player = make_actor(config(rollout=2, max_steps=1))
    steps = player.collect()
    for transition in (t for step in steps for t in step):
        assert transition.truncated
        assert not transition.terminated
        assert transition.state.history == (), "the next episode did not start afresh"
        assert transition.next_value != transition.value


def test_the_step_limit_can_count_as_a_loss() -> None:
    steps = make_actor(config(rollout=2, max_steps=1, limit="loss")).collect()
    for transition in (t for step in steps for t in step):
        assert transition.terminated
        assert not transition.truncated
        assert transition.state.history == ()


def test_the_reward_is_that_of_eq_7() -> None:
    for transition in (
        t for step in make_actor(config(cost="paper", lambda_k=0.2, lambda_step=0.03)).collect() for t in step
    ):
        assert transition.reward == pytest.approx(-0.03 - 0.2 * transition.horizon)


class Answers:
    """An environment's vector whose steps answer what a test says."""

    def __init__(self, player: Actor, outcome: Any) -> None:
        self.envs, self.outcome = player.envs, outcome
        self.num_envs, self.task_ids = player.envs.num_envs, player.envs.task_ids
        self.reset = player.envs.reset

    def step(self, actions: Mapping[int, str]) -> dict[int, Outcome]:
        return {slot: self.outcome(outcome) for slot, outcome in self.envs.step(actions).items()}


def test_a_win_earns_the_environments_reward_and_the_bonus_and_ends_the_episode() -> None:
    player = make_actor(config(rollout=1, lambda_k=0.0, lambda_step=0.01, success_bonus=0.5))
    player.envs = Answers(  # pyright: ignore[reportAttributeAccessIssue]
        player, lambda turn: replace(turn, reward=1.0, terminated=True, truncated=True, info={**turn.info, "won": True})
    )
    for transition in player.collect()[0]:
        assert transition.reward == pytest.approx(1 + 0.5 - 0.01)
        assert transition.terminated
        assert not transition.truncated
    assert list(player.wins) == [True, True]


def test_an_irreversible_mistake_can_end_the_episode_at_a_price() -> None:
    def lose(turn: Any) -> Any:
        return replace(turn, info={**turn.info, "irreversible": True})

    for penalty, expected in ((None, -0.01), (0.0, -0.01), (0.5, -0.51)):
        player = make_actor(config(rollout=1, lambda_k=0.0, irreversible_penalty=penalty))
        player.envs = Answers(player, lose)  # pyright: ignore[reportAttributeAccessIssue]
        [step] = player.collect()
        assert [transition.reward for transition in step] == pytest.approx([expected] * 2)
        assert [transition.terminated for transition in step] == [penalty is not None] * 2
        assert [slot.state.history == () for slot in player.slots.values()] == [penalty is not None] * 2


def test_an_environment_that_fails_costs_its_episode_only() -> None:
    player = make_actor(config(rollout=2, lambda_k=0.0))
    outcomes = iter([Failure("it broke")])
    player.envs = Answers(player, lambda turn: next(outcomes, None) or turn)  # pyright: ignore[reportAttributeAccessIssue]
    first, second = player.collect()
    assert first[0].truncated
    assert (first[0].reward, first[0].next_value) == (0.0, first[0].value)
    assert second[0].state.history == (), "the slot plays another episode"
    assert len(second[1].state.history) == 1
    player.envs = Answers(player, lambda turn: Failure("it broke"))  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(EnvError, match=f"{MAX_FAILURES + 1} episodes in a row failed; the last said: it broke"):
        [player.collect() for _ in range(MAX_FAILURES)]


def test_generated_actions_are_sent_as_they_are_and_scored_as_the_tokens_drawn() -> None:
    policy = make_policy(k_max=1)
    settings = config(action="generate", temperature=0.7, top_p=0.8, invalid_penalty=0.25, lambda_k=0.0, rollout=1)
    player, sent = make_actor(settings, policy), []
    step_envs = player.envs.step
    player.envs.step = lambda actions: sent.append(actions) or step_envs(actions)
    for n, transition in enumerate(player.collect()[0]):
        tokens = [transition.actions.tokens[i] for i in transition.actions.paths[0]]
        text = policy.lm.tokenizer.decode(tokens, skip_special_tokens=True)
        assert sent[0][n] == str(text).strip()
        assert transition.reward == pytest.approx(-0.01 - 0.25), "a random model writes no admissible command"
        prompt = policy.lm.encode(policy.prompts.act(transition.state, transition.foresight))
        expected = 0.0
        with torch.no_grad():
            for i, token in enumerate(tokens):
                logits = policy.lm.model(torch.tensor([prompt + tokens[:i]])).logits[0, -1].double() / 0.7  # pyright: ignore[reportCallIssue]
                probs, order = logits.softmax(-1).sort(descending=True)
                kept = order[: int((probs.cumsum(-1) - probs < 0.8).sum())]
                assert token in kept.tolist()
                expected += float(logits[token] - logits[kept].logsumexp(-1))
            found = a2c_losses([transition], -torch.ones(1), torch.zeros(1), policy, settings)["policy_loss"]
            k = policy.control([transition.state]).horizon_logits_BK[0].log_softmax(-1)[transition.horizon]
        assert float(found) == pytest.approx(expected + float(k), abs=1e-3)


class _Foretold:
    """A world model that foretells the loss of everything for one command."""

    name = "foretold"

    def __init__(self, fatal: str) -> None:
        self.fatal = fatal

    def predict(self, states: Sequence[State], actions: Sequence[str]) -> list[Prediction]:
        return [Prediction("It breaks for good." if a == self.fatal else f"{a}: fine.") for a in actions]


def test_looking_first_passes_over_what_breaks_and_answers_for_the_first_draw() -> None:
    """K = 1 replaces a fatal first draw; K = 0 sends it. Either way the gradient is that of what was drawn first."""
    settings, fatal = config(rollout=1, envs=8, avoid=("for good",), temperature=8.0), "look"
    player, sent = make_actor(settings, make_policy("history-v1", k_max=1), _Foretold(fatal)), []
    step_envs = player.envs.step
    player.envs.step = lambda actions: sent.append(dict(actions)) or step_envs(actions)
    seen = set()
    for _ in range(40):
        states = {}
        for number in range(8):
            if number not in player.slots:
                player._begin(number)
            states[number] = player.slots[number].commands
        (step,) = player.collect()
        for number, transition in enumerate(step):
            first, done = states[number][transition.action], sent[-1][number]
            assert transition.foresight == imagined(), "the policy is shown no foresight"
            if transition.horizon == 0:
                assert done == first
            else:
                assert done != fatal
                assert first in (done, fatal)
            seen.add((transition.horizon, first == fatal))
    assert {(0, True), (1, True)} <= seen, "the fatal command was never drawn, so this test shows nothing"


def test_a_policy_that_writes_its_commands_looks_first_too_and_answers_for_k_alone() -> None:
    settings = config(rollout=1, envs=8, avoid=("for good",), action="generate", action_tokens=6)
    policy = make_policy("history-v1", k_max=1, fresh=True)
    player = make_actor(settings, policy, _Foretold("never"))
    (step,) = player.collect()
    greedy = AvoidingPlanner(policy, _Foretold("never"), FixedHorizon(0), ["x"], sampling=Sampling(6), writes=True)
    for transition in step:
        written = greedy.decide([DecisionContext(transition.state, None)])[0].action
        assert transition.actions.tokens == policy.lm.trie([written]).tokens
    ones = torch.ones(len(step))
    a2c_losses(step, ones, ones, policy, settings)["policy_loss"].backward()
    assert policy.heads is not None
    assert policy.heads.horizon.weight.grad is not None
    actions = [scores.log_softmax(-1) for scores in forward_rows(step, policy, settings).action_logprobs]
    assert all(float(scores[0].detach()) == 0 for scores in actions), "one candidate has no gradient"


def test_of_what_it_writes_the_likeliest_is_played() -> None:
    policy = make_policy("history-v1", k_max=1)
    settings = config(avoid=("for good",), action="constrained", action_tokens=24, proposals=8)
    state, held = some_states(1)[0], ("go to drawer 1", "open the fridge", "look", "take mug 1")
    context = DecisionContext(state, held)
    many, one = (
        looking(policy, _Foretold("never"), FixedHorizon(0), replace(settings, proposals=n)).decide([context])[0]
        for n in (8, 1)
    )
    sampling = Sampling(max_new_tokens=24)
    written = propose(policy, [state], [8], [context.seed], sampling, [constraint_of(context)])[0]
    assert (many.action, one.action) == (written.likeliest, written.commands[0])
    assert many.policy_usage.calls > one.policy_usage.calls


def test_what_a_policy_writes_is_held_to_the_environments_commands() -> None:
    policy, judged = make_policy("history-v1", k_max=1, fresh=True), {}
    for action in ("constrained", "generate"):
        settings = config(rollout=2, envs=4, avoid=("for good",), action=action, action_tokens=24)
        player = make_actor(settings, policy, _Foretold("never"))
        step_envs, known = player.envs.step, []

        def step(actions: Any, player: Any = player, step_envs: Any = step_envs, known: Any = known) -> Any:
            known += [command in player.slots[n].commands for n, command in actions.items()]
            return step_envs(actions)

        player.envs.step = step
        player.collect()
        judged[action] = known
    assert len(judged["constrained"]) == 8
    assert all(judged["constrained"])
    assert not all(judged["generate"])


def test_gradients_of_the_loss_are_those_of_a_plain_float64_computation() -> None:
    policy = make_policy(k_max=2, fresh=True)
    settings = config(temperature=0.7, alpha=0.7, beta=0.05, action_entropy=0.03)
    rows, advantages, targets = transitions(policy), torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.1, 0.2, 0.3])
    assert policy.heads is not None
    a2c_losses(rows, advantages, targets, policy, settings)["loss"].backward()
    model, horizon, value = (
        copy.deepcopy(part).double() for part in (policy.lm.model, policy.heads.horizon, policy.heads.value)
    )
    for part in (model, horizon, value):
        part.zero_grad()
    total = torch.zeros((), dtype=torch.float64)
    for k, row in enumerate(rows):
        prompt = policy.lm.encode(policy.prompts.act(row.state, row.foresight))
        scores = []
        for command in COMMANDS[: k + 2]:
            tokens = [*policy.lm.encode_continuation(command)]
            logprobs = model(torch.tensor([prompt + tokens])).logits[0].log_softmax(-1)
            scores.append(sum(logprobs[len(prompt) + i - 1, token] for i, token in enumerate(tokens)))
        actions = (torch.stack(scores) / 0.7).log_softmax(-1)  # pyright: ignore[reportArgumentType]
        control = policy.lm.encode(policy.prompts.control(row.state))
        hidden = model(torch.tensor([control]), output_hidden_states=True).hidden_states[-1][0, -1]
        ks = horizon(hidden).log_softmax(-1)
        total = total - advantages[k] * (ks[row.horizon] + actions[row.action]) / 3
        total = total + 0.7 * (value(hidden)[0] - targets[k]) ** 2 / 3
        total = total + 0.05 * (ks.exp() * ks).sum() / 3 + 0.03 * (actions.exp() * actions).sum() / 3
    total.backward()
    pairs = [
        *zip(policy.lm.model.named_parameters(), model.parameters(), strict=True),
        *zip(policy.heads.horizon.named_parameters(), horizon.parameters(), strict=True),
        *zip(policy.heads.value.named_parameters(), value.parameters(), strict=True),
    ]
    for (name, ours), reference in pairs:
        assert ours.grad is not None, name
        assert reference.grad is not None, name
        scale = float(reference.grad.abs().max())
        torch.testing.assert_close(
            ours.grad.double(), reference.grad, atol=2e-4 * max(scale, 1e-3), rtol=2e-3, msg=name
        )


def test_kl_is_measured_from_the_policy_of_the_start_over_actions_and_k() -> None:
    policy, start = make_policy(k_max=2, fresh=True), make_policy(k_max=2)
    rows, settings = transitions(policy), config(kl=0.5)
    zeros = torch.zeros(3)
    same = a2c_losses(rows, zeros, zeros, policy, settings, start)
    assert float(same["kl"].detach()) == pytest.approx(0.0, abs=1e-4)
    with torch.no_grad():
        for parameter in policy.lm.model.parameters():
            parameter.mul_(1.3)
        losses = a2c_losses(rows, zeros, zeros, policy, settings, start)
    expected = 0.0
    for k, row in enumerate(rows):
        for now, then in (
            (policy.control([row.state]).horizon_logits_BK[0], start.control([row.state]).horizon_logits_BK[0]),
            tuple(
                torch.tensor(p.score_actions([row.state], [row.foresight], [COMMANDS[: k + 2]])[0].logprobs) / 0.7
                for p in (policy, start)
            ),
        ):
            p, q = now.softmax(-1), then.softmax(-1)
            expected += float((p * (p / q).log()).sum()) / 3
    assert expected > 0.01
    assert float(losses["kl"]) == pytest.approx(expected, rel=1e-2)
    without = losses["loss"] - 0.5 * losses["kl"]
    assert float(without) == pytest.approx(
        float(a2c_losses(rows, zeros, zeros, policy, settings)["loss"].detach()), abs=1e-4
    )


def update(policy: Policy, settings: Config, *, value_only: bool = False) -> dict[str, float]:
    return Learner(policy, settings).update(make_actor(settings, policy).collect(), value_only=value_only)


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


def test_a_linear_schedule_lowers_both_learning_rates_to_nothing() -> None:
    policy = make_policy(k_max=2)
    settings = config(lr=1e-3, head_lr=1e-2, lr_schedule="linear")
    learner, steps = Learner(policy, settings), make_actor(settings, policy).collect()
    before = copy.deepcopy(policy.lm.model.state_dict())
    learner.update(steps, value_only=False, progress=1.0)
    assert all(torch.equal(before[name], weight) for name, weight in policy.lm.model.state_dict().items())
    learner.update(steps, value_only=False, progress=0.25)
    assert [group["lr"] for group in learner.optimizer.param_groups] == pytest.approx([7.5e-4, 7.5e-3])


def test_a_non_finite_loss_is_skipped_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> dict[str, torch.Tensor]:
        return {name: value * float("nan") for name, value in a2c_losses(*args).items()}

    monkeypatch.setattr(a2c_loss, "a2c_losses", broken)
    policy = make_policy(k_max=2, fresh=True)
    assert changed(policy, config()) == set()
    assert update(policy, config())["skipped"] == 1


def test_the_minibatch_changes_memory_only(monkeypatch: pytest.MonkeyPatch) -> None:
    norms = []
    for size in (16, 2):
        monkeypatch.setattr(a2c_loss, "MINIBATCH", size)
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
    monkeypatch.setattr(a2c_loop, "load_world_model", lambda *_, **__: loaded)
    assert train(tmp_path, inputs, "--updates", "2", world_model=inputs["world_model"]) == 0
    for name, tensor in loaded.lm.model.state_dict().items():  # pyright: ignore[reportAttributeAccessIssue]
        assert torch.equal(tensor, before[name])
    old, new = Policy.load(inputs["policy"]), Policy.load(str(tmp_path / "model"))
    assert any(not torch.equal(p, q) for p, q in zip(old.lm.model.parameters(), new.lm.model.parameters(), strict=True))
    assert (new.config.stage, new.config.parent, new.config.k_max) == ("a2c", inputs["policy"], 2)
    for record in log_of(tmp_path):
        assert sum(value for name, value in record.items() if name.startswith("k_") and name != "k_entropy") == 1
        assert 0 <= record["mean_k"] <= 2


@pytest.mark.parametrize(("updates", "told"), [("1", True), ("2", False)])
def test_it_is_told_when_the_value_head_alone_will_learn(
    tmp_path: Path, inputs: dict[str, str], capsys: pytest.CaptureFixture[str], updates: str, told: bool
) -> None:
    assert train(tmp_path, inputs, "--updates", updates) == 0
    said = "--value-warmup 1 takes all of --updates 1: only the value head learns" in "".join(capsys.readouterr())
    old, new = Policy.load(inputs["policy"]), Policy.load(str(tmp_path / "model"))
    pairs = zip(old.lm.model.parameters(), new.lm.model.parameters(), strict=True)
    assert said == told == all(torch.equal(p, q) for p, q in pairs)


def test_an_interrupted_run_goes_on_from_its_last_state_and_doubles_no_update(
    tmp_path: Path, inputs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = Learner.update, []

    def interrupted(self: Learner, *args: Any, **kwargs: Any) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Learner, "update", interrupted)
    assert train(tmp_path, inputs) == 130
    assert [record["update"] for record in log_of(tmp_path)] == [1, 2, 3]
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["update-2"]
    assert train(tmp_path, inputs) == 0
    assert [record["update"] for record in log_of(tmp_path)] == [1, 2, 3, 4]
    assert len(calls) == 6, "updates 3 and 4 are done again, 1 and 2 are not"
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["update-4"]


def test_a_kill_while_saving_leaves_the_older_state_usable(
    tmp_path: Path, inputs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Policy.save

    def torn(self: Policy, path: Path, **options: str) -> None:
        if path.parent.name == "update-4.new":
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
    monkeypatch.setattr(Learner, "update", lambda *_, **__: {"skipped": 1.0, "mean_k": 0.0, "loss": float("nan")})
    assert train(tmp_path, inputs, "--updates", "9") == 2
    assert "6 updates in a row had a non-finite loss: lower --lr" in capsys.readouterr().err
    with pytest.raises(TrainingError):
        a2c_loop.train(config(tmp_path / "again", policy=inputs["policy"], updates=9))


def test_a_last_update_without_a_finite_loss_still_ends_in_a_readable_report(
    tmp_path: Path, inputs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Learner, "update", lambda *_, **__: {"skipped": 1.0, "mean_k": 0.0, "loss": float("nan")})
    assert train(tmp_path, inputs, "--updates", "1") == 0
    assert json.loads((tmp_path / "training.json").read_text())["metrics"]["updates"] == 1


@pytest.mark.parametrize("split", ["valid", "test", "valid_seen", "valid_unseen", "dev"])
def test_evaluation_splits_are_refused(
    tmp_path: Path, inputs: dict[str, str], capsys: pytest.CaptureFixture[str], split: str
) -> None:
    assert train(tmp_path / "out", inputs, "--split", split) == 2
    assert (
        f"--split {split} is for evaluation: reinforcement learning uses train (or give --force-split)"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cost", "free"], "--cost free is unknown: choose one of paper, per-token, annealed"),
        (["--envs", "0"], "--envs 0 is too small: give 1 or more"),
        (["--save-every", "0"], "--save-every 0 is too small: give 1 or more"),
        (["--limit", "win"], "--limit win is unknown: choose one of bootstrap, loss"),
        (["--irreversible-penalty", "-1"], "--irreversible-penalty -1.0 is negative: give 0 or more"),
        (["--history-steps", "0"], "--history-steps 0 is too small: give 1 or more"),
        (["--eval-every", "-1"], "--eval-every -1 is too small: give 0 or more"),
        (["--action", "guess"], "--action guess is unknown: choose one of score, generate"),
        (["--top-p", "0"], "--top-p 0.0 is not allowed: give a share above 0, up to 1"),
        (["--action", "constrained"], "--action constrained needs --avoid"),
        (["--action", "generate", "--proposals", "2"], "--proposals 2: give at least 1, and more only with --avoid"),
        (["--action", "generate", "--avoid", "x", "--proposals", "0"], "--proposals 0: give at least 1"),
        (["--action", "generate", "--action-entropy", "0.1"], "--action-entropy needs --action score"),
        (["--eval-every", "1", "--eval-episodes", "2000"], "--eval-episodes 2000 leaves no task to train on"),
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


def test_an_evaluation_split_can_be_forced(tmp_path: Path, inputs: dict[str, str]) -> None:
    assert train(tmp_path, inputs, "--split", "valid", "--force-split", "--updates", "1") == 0


def test_a_resumed_run_has_the_curve_of_an_uninterrupted_one(tmp_path: Path, inputs: dict[str, str]) -> None:
    """Killed without warning after its first saved state; see tests/integration for kill -9 of a real process."""
    words = ["--updates", "6", "--max-steps", "5", "--cost", "annealed"]
    assert train(tmp_path / "whole", inputs, *words) == 0
    with pytest.MonkeyPatch.context() as patch:
        original, calls = Learner.update, []

        def killed(self: Learner, *args: Any, **kwargs: Any) -> dict[str, float]:
            calls.append(1)
            if len(calls) == 6:
                raise KeyboardInterrupt
            return original(self, *args, **kwargs)

        patch.setattr(Learner, "update", killed)
        assert train(tmp_path / "cut", inputs, *words) == 130
    assert train(tmp_path / "cut", inputs, *words) == 0
    whole, cut = log_of(tmp_path / "whole"), log_of(tmp_path / "cut")
    assert [r["update"] for r in cut] == [1, 2, 3, 4, 5, 6]
    for one, two in zip(whole, cut, strict=True):
        assert one.keys() == two.keys()
        for name in one:
            assert one[name] == pytest.approx(two[name], rel=1e-3, abs=1e-4), (one["update"], name)


def test_an_environment_that_does_not_come_back_begins_a_new_episode() -> None:
    settings = config(rollout=3)
    player = make_actor(settings)
    player.collect()
    saved = player.state_dict()
    again = make_actor(settings)
    again.load_state_dict(saved)
    assert [slot.state for slot in again.slots.values()] == [slot.state for slot in player.slots.values()]
    broken = make_actor(settings)
    broken.envs = Answers(broken, lambda turn: Failure("no"))  # pyright: ignore[reportAttributeAccessIssue]
    broken.load_state_dict(saved)
    assert [slot.state.history for slot in broken.slots.values()] == [(), ()]


def test_the_return_counts_what_imagination_and_mistakes_cost() -> None:
    look = Decision("go", horizon=2, imagination_usage=Usage(50, 40, 2))
    steps = (Step(look, "seen"), Step(Decision("take"), "done", reward=1.0))
    won = replace(episodes()[0], steps=steps, stop=StopReason.WON, irreversible=False)
    paper = config(cost="paper", lambda_k=0.1, lambda_step=0.01, success_bonus=0.05)
    assert episode_return(won, paper) == pytest.approx(1.05 - 0.02 - 0.2)
    assert episode_return(won, replace(paper, cost="annealed")) == pytest.approx(1.05 - 0.02 - 0.2)
    assert episode_return(won, replace(paper, cost="per-token")) == pytest.approx(1.05 - 0.02 - 0.04)
    ruined = replace(won, steps=steps[:1], stop=StopReason.STEP_LIMIT, irreversible=True)
    assert episode_return(ruined, paper) == pytest.approx(-0.21)
    assert episode_return(ruined, replace(paper, irreversible_penalty=0.5)) == pytest.approx(-0.71)


def test_the_validation_cut_is_never_trained_on_and_the_best_checkpoint_is_kept(
    tmp_path: Path, inputs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    played: set[str] = set()
    begin = Actor._begin

    def recording(self: Actor, n: int, episode: Any = None) -> None:
        begin(self, n, episode)
        played.add(self.slots[n].episode.task_id)

    monkeypatch.setattr(Actor, "_begin", recording)
    found = iter([0.25, 0.5, 0.25])
    judged: list[list[str]] = []

    def evaluate(policy: Policy, world_model: Any, task_ids: list[str], config: Config) -> dict[str, float]:
        judged.append(list(task_ids))
        return {"eval_success": 0.5, "eval_return": next(found)}

    monkeypatch.setattr(a2c_loop, "evaluate", evaluate)
    words = ["--eval-every", "2", "--eval-episodes", "1990", "--max-steps", "1"]
    assert train(tmp_path, inputs, *words) == 0
    assert len(judged) == 3
    assert len({*judged[0]}) == 1990
    assert judged[0] == judged[1] == judged[2]
    assert played
    assert not played & {*judged[0]}
    assert [r["eval_return"] for r in log_of(tmp_path) if "eval_return" in r] == [0.25, 0.5, 0.25]
    best, last = Policy.load(str(tmp_path / "best")), Policy.load(str(tmp_path / "model"))
    assert any(
        not torch.equal(p, q) for p, q in zip(best.lm.model.parameters(), last.lm.model.parameters(), strict=True)
    )


def test_where_no_update_beats_the_start_the_best_weights_are_those_of_the_start(
    tmp_path: Path, inputs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([0.5, 0.25, 0.5])
    monkeypatch.setattr(a2c_loop, "evaluate", lambda *_: {"eval_success": 0.5, "eval_return": next(found)})
    assert train(tmp_path, inputs, "--eval-every", "2", "--eval-episodes", "1990", "--max-steps", "1") == 0
    start, best = Policy.load(inputs["policy"]), Policy.load(str(tmp_path / "best"))
    for p, q in zip(start.lm.model.parameters(), best.lm.model.parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_shorter_history_is_what_the_policy_reads_then_and_later(tmp_path: Path) -> None:
    policy = save_policy(tmp_path / "history", k_max=2, renderer="history-v1")
    out = tmp_path / "out"
    words = ["--policy", policy, "--world-model", "rules", "--envs", "2", "--rollout", "1", "--updates", "1"]
    assert main(["train", "a2c", *words, "--history-steps", "1", "--out", str(out)]) == 0
    state = State("a task", "a room.", (("look", "first"), ("go", "second")))
    text = Policy.load(str(out / "model")).prompts.control(state)
    assert "second" in text
    assert "first" not in text


def test_a_run_that_is_done_goes_on_when_it_is_given_more_updates(tmp_path: Path, inputs: dict[str, str]) -> None:
    assert train(tmp_path, inputs, "--updates", "3") == 0
    first = log_of(tmp_path)
    assert train(tmp_path, inputs, "--updates", "3") == 0
    assert log_of(tmp_path) == first
    assert train(tmp_path, inputs, "--updates", "5") == 0
    longer = log_of(tmp_path)
    assert longer[:3] == first
    assert [record["update"] for record in longer] == [1, 2, 3, 4, 5]
    assert json.loads((tmp_path / "training.json").read_text())["metrics"]["updates"] == 5
