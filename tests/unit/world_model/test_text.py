"""Greedy predictions are remembered, as long as the weights stay."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from itp.lm.base import Completion, Sampling, Scores
from itp.lm.chat import Prompt
from itp.state_text.prompts import PromptBuilder
from itp.state_text.renderers import get_renderer
from itp.world_model.text import TextWorldModel
from models import lm, make_policy, some_states


class Asked:
    """A language model that counts what it is asked."""

    name = "asked"

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, seeds: Sequence[int] | None = None
    ) -> list[Completion]:
        self.prompts += map(str, prompts)
        return [Completion(str(prompt)[-9:], -1.0, 7, 3) for prompt in prompts]

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]) -> list[Scores]:
        raise NotImplementedError

    def count_tokens(self, text: Prompt) -> int:
        return len(str(text))


def model_of(language_model: Asked, temperature: float = 0.0) -> TextWorldModel:
    return TextWorldModel(language_model, PromptBuilder(get_renderer("history")), Sampling(8, temperature))


def test_equal_questions_are_computed_once_and_cost_their_tokens_each_time() -> None:
    asked, states = Asked(), some_states(2)
    world_model = model_of(asked)
    first = world_model.predict([states[0], states[1], states[0]], ["look", "look", "look"])
    again = world_model.predict(states, ["look", "open fridge 1"])
    assert len(asked.prompts) == 3
    assert [p.observation for p in first] == [again[0].observation, first[1].observation, again[0].observation]
    assert [p.usage.tokens for p in [*first, *again]] == [10] * 5
    assert again[0].usage.seconds == 0.0


def test_samples_are_drawn_anew() -> None:
    asked, state = Asked(), some_states(1)[0]
    world_model = model_of(asked, temperature=0.7)
    world_model.predict([state, state], ["look", "look"])
    world_model.predict([state], ["look"])
    assert len(asked.prompts) == 3


def test_other_weights_are_asked_again() -> None:
    policy, state = make_policy("history-v1", fresh=True), some_states(1)[0]
    world_model = TextWorldModel(policy.lm, policy.prompts, Sampling(8))
    before = world_model.predict([state], ["look"])[0]
    with torch.no_grad():
        policy.lm.model.model.layers[0].self_attn.v_proj.weight.mul_(-2)  # pyright: ignore[reportCallIssue]
    after = world_model.predict([state], ["look"])[0]
    assert before.logprob != after.logprob
    assert model_of(Asked()).predict([], []) == []
    assert lm().version != policy.lm.version
