"""A2C on a problem whose best horizon is known: one arm of two pays, and one imagined step tells which.

The observation shows a number drawn anew for each episode; no policy can know which arm it stands for, but the world
model does. Acting at once wins half of the time, one imagined step wins always, further steps only cost. So the best K
is 1 while a step costs less than the half win it buys, and 0 beyond.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from itp.data.rows import foresight_row
from itp.envs.base import InfoDict, TextEnv
from itp.envs.vector import make_vector
from itp.lm.transformers import TransformersLM
from itp.policy.checkpoint import ItpConfig
from itp.policy.heads import PolicyHeads
from itp.policy.model import Policy
from itp.training.a2c import Config
from itp.training.a2c_actor import Actor
from itp.training.a2c_loss import Learner
from itp.training.scratch import train_tokenizer
from itp.training.warmup_trainer import collate
from itp.types import State
from models import ScriptedWorldModel, imagined

ARMS = ("left", "right")
K_MAX = 3
TASK = "win."


def paying_arm(number: int) -> str:
    return ARMS[random.Random(number).randrange(2)]


def state_of(number: int) -> State:
    return State(TASK, f"number {number}.")


def number_in(state: State) -> int:
    return int(state.first_observation.split()[1].rstrip("."))


def told(state: State, action: str = "") -> str:
    """What the world model answers to any action: which arm pays."""
    return {"left": "gold glows.", "right": "silver rings."}[paying_arm(number_in(state))]


class TwoArms(TextEnv):
    """One pull, then the episode is over."""

    @property
    def task_ids(self) -> Sequence[str]:
        return [str(number) for number in range(1000, 1400)]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, InfoDict]:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.number = int((options or {})["task_id"])
        return state_of(self.number).first_observation, self._info(False)

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]:  # pyright: ignore[reportIncompatibleMethodOverride]
        won = action == paying_arm(self.number)
        return "done.", float(won), True, False, self._info(won)

    def _info(self, won: bool) -> InfoDict:
        return InfoDict(
            task=TASK,
            task_id=str(self.number),
            task_type="",
            admissible_commands=list(ARMS),
            won=won,
            score=float(won),
        )


def row_of(policy: Policy, draw: random.Random) -> dict[str, Any]:
    state = state_of(draw.randrange(1000, 9999))
    foresight = imagined(*((draw.choice(ARMS), told(state)) for _ in range(draw.randint(0, K_MAX))))
    row, control = foresight_row(policy.lm.encode, policy.prompts, state, foresight, paying_arm(number_in(state)))
    return {"input_ids": row.input_ids, "labels": row.labels, "control": control, "horizon": 0, "value": 0.0}


@pytest.fixture(scope="module")
def reader() -> Policy:
    """A small policy that acts on what a foresight says, and guesses without one."""
    texts = [f"{TASK} number {n}. gold glows. silver rings. left right done." for n in range(1000, 1100)]
    tokenizer = train_tokenizer(texts, vocab_size=300)
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    config = LlamaConfig(vocab_size=320, max_position_embeddings=128, tie_word_embeddings=True, **shape)
    policy = Policy(TransformersLM(LlamaForCausalLM(config), tokenizer, name="toy"), ItpConfig(renderer="history-v1"))
    optimizer, draw = torch.optim.AdamW(policy.lm.model.parameters(), lr=3e-3), random.Random(0)
    for _ in range(120):
        rows = [row_of(policy, draw) for _ in range(32)]
        batch = collate(rows, policy.lm.pad_id)
        loss = policy.lm.model(**{name: batch[name] for name in ("input_ids", "labels", "attention_mask")}).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return policy


@pytest.mark.parametrize(("price", "best"), [(0.1, 1), (0.8, 0)])
def test_a2c_finds_the_best_horizon(reader: Policy, price: float, best: int) -> None:
    torch.manual_seed(1)
    heads = PolicyHeads(48, K_MAX)
    torch.nn.init.zeros_(heads.horizon.weight)
    torch.nn.init.zeros_(heads.horizon.bias)
    policy = Policy(reader.lm, ItpConfig(renderer="history-v1", k_max=K_MAX), heads)
    config = Config(
        out=Path(),
        policy="",
        world_model="",
        envs=48,
        rollout=1,
        cost="paper",
        lambda_k=price,
        lr=0.0,
        head_lr=2e-2,
        beta=0.01,
    )
    envs = make_vector(TwoArms, config.envs)
    actor = Actor(config, policy, ScriptedWorldModel(told), envs, envs.task_ids, seed=0)
    learner = Learner(policy, config)
    first = learner.update(actor.collect(), value_only=True)
    last = [learner.update(actor.collect(), value_only=False) for _ in range(40)][-1]
    probs_BK = policy.control([state_of(number) for number in range(10_000, 10_050)]).horizon_logits_BK.softmax(-1)
    assert first["mean_k"] == pytest.approx(K_MAX / 2, abs=0.5), "it began undecided"
    assert set(probs_BK.argmax(-1).tolist()) == {best}
    assert float(probs_BK[:, best].mean()) > 0.8
    assert last["mean_reward"] > first["mean_reward"] + 0.1
