"""One test for each known fault of the method's reference implementation, so that none of them comes back.

The list is that of METHOD.md ("Known faults of the reference implementation"), in its order.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from itp import make_env
from itp.cli.main import main
from itp.data.rows import IGNORE, policy_rows, world_model_rows
from itp.envs.alfworld.data import GameSource
from itp.envs.alfworld.env import AlfworldEnv
from itp.envs.base import TextEnv
from itp.envs.household import generate_game, seed_of
from itp.evaluation.metrics import summarize
from itp.lm.loading import encode
from itp.lm.tokens import ACT, CTRL
from itp.planners.horizon import FixedHorizon
from itp.planners.itp import ItpPlanner
from itp.planners.simple import RandomPlanner
from itp.policy.heads import PolicyHeads
from itp.rollout.lockstep import run_episodes
from itp.state_text.prompts import PromptBuilder
from itp.state_text.renderers import RENDERERS, get_renderer
from itp.training import a2c, a2c_loss
from itp.training.a2c_loss import Learner, a2c_losses
from itp.training.labels import LabelledState
from itp.training.sft import Optimisation, fit
from itp.training.warmup import Config as WarmupConfig
from itp.training.warmup import _train, warmup_rows
from itp.types import DecisionContext, StopReason
from itp.world_model.imagination import imagine
from models import (
    ScriptedPolicy,
    ScriptedWorldModel,
    episodes,
    imagined,
    lm,
    make_actor,
    make_policy,
    make_world_model,
    random_model,
    save_policy,
    some_states,
    tokenizer,
)

ENGINES = ("fast", "textworld")


def household(engine: str) -> TextEnv:
    if engine == "textworld":
        pytest.importorskip("textworld", reason="textworld is not installed: the official engine cannot be tested")
        pytest.importorskip("alfworld", reason="alfworld is not installed: the official engine cannot be tested")
    return make_env("household", engine=engine, max_steps=4)


@pytest.mark.parametrize("engine", ENGINES)
def test_success_is_not_read_as_bool_of_a_list(engine: str) -> None:
    """`bool([False])` is True: every episode counted as won."""
    env = household(engine)
    env.reset(options={"task_id": env.task_ids[0]})
    _, reward, terminated, _, info = env.step("look")
    assert info["won"] is False
    assert (reward, terminated) == (0.0, False)
    played = run_episodes(
        lambda: household(engine), RandomPlanner(), env.task_ids[:2], batch_size=2, max_steps=2, seed=0
    )
    assert [trajectory.stop for trajectory in played] == [StopReason.STEP_LIMIT] * 2
    results = summarize(played, env="household", split="train", planner="random", config={}, versions={})
    assert results["success_rate"] == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_infos_are_plain_values_not_dicts_of_lists(engine: str) -> None:
    """TextWorld's batch interface answers with a list for every value, which was never unwrapped."""
    env = household(engine)
    observation, info = env.reset(options={"task_id": env.task_ids[0]})
    for text, found in ((observation, info), (env.step("look")[0], env.step("inventory")[4])):
        assert isinstance(text, str)
        assert isinstance(found["task"], str)
        assert isinstance(found["won"], bool)
        assert isinstance(found["score"], float)
        commands = found["admissible_commands"]
        assert commands is not None
        assert "look" in commands
        assert all(isinstance(command, str) for command in commands)


def test_the_goal_is_read_from_the_game_not_from_its_path(tmp_path: Path) -> None:
    """A folder's name says what its author meant to put there; the game says what must be done."""
    game = generate_game(seed_of("train", 1))
    folder = tmp_path / "look_at_obj_in_light-CreditCard-None-DeskLamp-301" / "trial_1"
    folder.mkdir(parents=True)
    (folder / "game.tw-pddl").write_text(json.dumps(dict(game.data)))
    env = AlfworldEnv([GameSource.from_path(folder / "game.tw-pddl")])
    observation, info = env.reset(options={"task_id": env.task_ids[0]})
    original = make_env("household")
    expected, known = original.reset(options={"task_id": original.task_ids[1]})
    assert (observation, info["task"]) == (expected, known["task"])
    assert "credit" not in info["task"]


@pytest.mark.parametrize("split", ["valid", "test", "valid_seen", "valid_unseen"])
def test_reinforcement_learning_refuses_evaluation_splits(
    split: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--policy", "nowhere", "--world-model", "rules", "--split", split, "--out", str(tmp_path / "out")]
    assert main(["train", "a2c", *words]) == 2
    assert "reinforcement learning uses train" in capsys.readouterr().err


@pytest.mark.parametrize("renderer", list(RENDERERS))
def test_the_k_head_is_queried_on_the_prompt_it_was_trained_on(
    renderer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hidden states in warm-up, acting, and reinforcement learning, of the same state."""
    policy, shown = make_policy(renderer, k_max=2, fresh=True), []
    forward = PolicyHeads.forward

    def recording(self: PolicyHeads, hidden_BD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shown.append(hidden_BD.detach().clone())
        return forward(self, hidden_BD)

    monkeypatch.setattr(PolicyHeads, "forward", recording)
    state, foresight = some_states()[2], imagined(("look", "You see nothing."), ("look", "Nothing happens."))
    label = LabelledState(state, "look", foresight, (-1.0, -1.0, -0.1), 2)
    optim = Optimisation(epochs=1, batch_size=1, lr=0.0, bf16=False)
    config = WarmupConfig(out=tmp_path, labels=(tmp_path,), policy="", k_max=2, optim=optim)
    _train(policy, warmup_rows([label], policy, config), config)
    policy.control([state])
    policy.forward([state], [foresight], [policy.lm.trie(("look",))])
    warmup, acting, learning = shown
    torch.testing.assert_close(warmup, acting, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(learning, acting, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("renderer", list(RENDERERS))
def test_the_world_model_has_one_prompt_in_training_labelling_learning_and_acting(
    renderer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, state = make_world_model(renderer), some_states()[0]
    asked: list[str] = []
    generate = world.lm.generate
    monkeypatch.setattr(
        world.lm, "generate", lambda prompts, sampling: asked.extend(prompts) or generate(prompts, sampling)
    )
    trajectory = episodes()[0]
    step = trajectory.steps[3]
    world.predict([trajectory.states()[3]], [step.decision.action])
    world._known.clear()  # what is asked again would be remembered
    rows = list(world_model_rows([trajectory], lambda text: encode(tokenizer(), text), world.prompts))
    trained = [token for row in rows for token in row.input_ids]
    queried = lm().encode(asked[0])
    assert any(trained[i : i + len(queried)] == queried for i in range(len(trained)))
    asked.clear()
    policy = cast("Any", ScriptedPolicy(lambda _: "look"))
    imagine([state], [1], policy, world)
    world._known.clear()
    ItpPlanner(policy, world, FixedHorizon(1)).decide([DecisionContext(state, ("look",))])
    settings = a2c.Config(out=Path(), policy="", world_model="", envs=1, rollout=1)
    world._known.clear()
    actor = make_actor(settings, make_policy(k_max=1), world)
    actor._begin(0)
    actor.slots[0].state, actor.slots[0].commands = state, ("look", "inventory", "go to nowhere 1")
    actor.policy.propose = policy.propose  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(actor, "_draw", lambda probs: [1] if probs.shape[-1] == 2 else [0])
    actor._step()
    assert asked == [world.prompts.world_model(state, "look")] * 3


def test_every_imagined_observation_reaches_the_policy_not_only_the_last() -> None:
    policy, seen = make_policy(), []
    score = policy.lm.score
    policy.lm.score = lambda prompts, texts: seen.extend(prompts) or score(prompts, texts)  # type: ignore[method-assign]
    numbers = iter(range(100))
    world = ScriptedWorldModel(lambda state, action: f"observation number {next(numbers)} of the dream")
    ItpPlanner(policy, world, FixedHorizon(4)).decide([DecisionContext(some_states()[1], ("look", "inventory"))])
    for number in range(4):
        assert f"observation number {number} of the dream" in seen[0]


@pytest.mark.parametrize("budget", [1, 60, 300])
def test_truncation_never_drops_the_action_cue(budget: int) -> None:
    """Cutting a prompt on its right took the `Action:` cue away."""
    prompts = PromptBuilder(get_renderer("history"), lm().count_tokens, budget)
    for trajectory in episodes():
        state = trajectory.states()[-1]
        assert prompts.act(state, imagined(("look", "word " * 500))).endswith(ACT)
        assert prompts.control(state).endswith(CTRL)
        assert f"<TASK>{state.task}" in prompts.act(state)


def test_no_training_row_is_cut_on_its_right(tmp_path: Path) -> None:
    """Every token of every row goes through the trainer, however rows are batched."""
    prompts = PromptBuilder(get_renderer("history"))
    rows = list(policy_rows(episodes()[:2], lambda text: encode(tokenizer(), text), prompts))
    model, seen = copy.deepcopy(random_model()), []
    model.register_forward_pre_hook(
        lambda _, __, inputs: seen.append(int((inputs["input_ids"] != lm().pad_id).sum())),
        with_kwargs=True,
    )
    fit(
        model,
        tokenizer(),
        rows,
        [],
        out=tmp_path,
        settings=Optimisation(epochs=1, batch_size=len(rows), bf16=False),
        title="t",
    )
    assert sum(seen) == sum(len(row.input_ids) for row in rows)
    assert all(any(label != IGNORE for label in row.labels) for row in rows)


def test_the_log_probability_is_that_of_the_sampled_action_at_the_sampling_temperature() -> None:
    """It was taken of the projected action, at temperature 1, while sampling at 0.7."""
    settings = a2c.Config(out=Path(), policy="", world_model="", envs=3, rollout=2, temperature=0.7)
    policy = make_policy(k_max=2)
    actor, drawn = make_actor(settings, policy), []
    draw = actor._draw

    def recording(probs: torch.Tensor) -> list[int]:
        chosen = draw(probs)
        drawn.append(probs[range(len(chosen)), chosen])
        return chosen

    actor._draw = recording  # type: ignore[method-assign]
    steps = actor.collect()
    rows = [transition for step in steps for transition in step]
    sampled = torch.stack(
        [torch.stack([drawn[4 * t][n] * drawn[4 * t + 1 + n][0] for n in range(3)]) for t in range(2)]
    )
    with torch.no_grad():
        one_by_one = [
            float(a2c_losses([row], -torch.ones(1), torch.zeros(1), policy, settings)["policy_loss"]) for row in rows
        ]
    assert one_by_one == pytest.approx(sampled.flatten().log().tolist(), abs=1e-3)


def test_an_unparsable_answer_is_not_replaced_by_the_first_admissible_action() -> None:
    planner = ItpPlanner(
        cast("Any", ScriptedPolicy(lambda state: "I think I should look")),
        None,
        FixedHorizon(0),
        action_mode="generate",
    )
    played = run_episodes(
        lambda: make_env("household"), planner, make_env("household").task_ids[:1], batch_size=1, max_steps=2, seed=0
    )
    for step in played[0].steps:
        assert step.decision.action == step.decision.raw_text == "I think I should look"
        assert step.decision.parse == "unparsed"
        assert step.observation == "Nothing happens."
    results = summarize(played, env="household", split="train", planner="act", config={}, versions={})
    assert results["success_rate"] == 0


@pytest.mark.parametrize("horizon", [0, 5, 7])
def test_k_0_stays_0_and_k_7_is_not_clamped(horizon: int) -> None:
    world = ScriptedWorldModel()
    planner = ItpPlanner(cast("Any", ScriptedPolicy()), world, FixedHorizon(horizon))
    [decision] = planner.decide([DecisionContext(some_states()[0], ("look",))])
    assert decision.horizon == len(decision.foresight) == len(world.asked) == horizon


def test_bf16_training_keeps_full_precision_weights_and_optimiser_state(tmp_path: Path) -> None:
    """Claims of full precision stood beside half-precision training without loss scaling."""
    rows = list(policy_rows(episodes(), lambda text: encode(tokenizer(), text), PromptBuilder(get_renderer("memory"))))
    model = copy.deepcopy(random_model())
    before = [parameter.detach().clone() for parameter in model.parameters()]
    settings = Optimisation(epochs=1, batch_size=8, lr=1e-6, weight_decay=0.0, bf16=True, save_steps=1)
    fit(model, tokenizer(), rows[:16], [], out=tmp_path, settings=settings, title="test")
    moved = [(p.detach() - q).abs().max() for p, q in zip(model.parameters(), before, strict=True)]
    assert all(parameter.dtype is torch.float32 for parameter in model.parameters())
    # In bfloat16 a step of 1e-6 on a weight near 1 rounds to nothing.
    assert all(0 < float(step) < 1e-5 for step in moved)
    state = torch.load(next((tmp_path / "checkpoints").glob("*/optimizer.pt")), weights_only=True)
    moments = [value for slots in state["state"].values() for name, value in slots.items() if name != "step"]
    assert moments
    assert all(moment.dtype is torch.float32 for moment in moments)


def test_an_update_learns_from_many_environments_and_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """One environment and one step an update: the reference's gradient was that of a single action."""
    policy = make_policy(k_max=1, fresh=True)
    settings = a2c.Config(out=Path(), policy="", world_model="", envs=4, rollout=3)
    steps = make_actor(settings, policy).collect()
    assert len({transition.state.task for transition in steps[0]}) > 1
    used: list[int] = []
    losses: Callable[..., Any] = a2c_losses
    monkeypatch.setattr(a2c_loss, "a2c_losses", lambda rows, *rest: used.append(len(rows)) or losses(rows, *rest))
    Learner(policy, settings).update(steps, value_only=False)
    assert sum(used) == 12


def test_the_learned_horizon_can_be_evaluated(tmp_path: Path) -> None:
    """The reference had no evaluation of ITP-R at all. The full path is in test_pipeline.py."""
    words = ["--policy", save_policy(tmp_path / "policy", k_max=2), "--world-model", "rules", "--horizon", "learned"]
    assert main(["eval", *words, "--episodes", "2", "--max-steps", "2", "--out", str(tmp_path / "out")]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["planner"] == "itp learned"
    assert sum(results["k_histogram"].values()) > 0
    assert results["split"] == "valid"
