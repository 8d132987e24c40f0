"""The method as one writes it down first: one environment, one prompt at a time, nothing shared, `transformers` only.

The baseline of `benchmarks/speed.py`. Prompts, token limits, weights and algorithms are those of the package; what is
left out is everything that makes it fast (batches, shared prefixes, packed passes, our own decoding loop, memory).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from itp.envs.base import TextEnv
from itp.lm.base import Sampling
from itp.lm.transformers import TransformersLM
from itp.policy.model import Policy
from itp.types import ImaginedStep, ImaginedTrajectory, State
from itp.world_model.text import TextWorldModel

IMAGINED, ACTION = Sampling(max_new_tokens=12), Sampling(max_new_tokens=16)


def generate(lm: TransformersLM, prompt: str, sampling: Sampling) -> tuple[str, list[int]]:
    """One prompt through `transformers.generate`: text and token ids."""
    ids = lm.encode(prompt)
    options: dict[str, Any] = {"do_sample": False}
    if sampling.temperature > 0:
        options = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
    with torch.inference_mode():
        output = lm.model.generate(  # pyright: ignore[reportCallIssue]
            input_ids=torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=sampling.max_new_tokens,
            eos_token_id=lm.end_id,
            pad_token_id=lm.pad_id,
            **options,
        )
    new = output[0, len(ids) :].tolist()
    return str(lm.tokenizer.decode([token for token in new if token != lm.end_id])).strip(), new


def imagine(state: State, horizon: int, policy: Policy, world_model: TextWorldModel) -> ImaginedTrajectory:
    """Eq. 2, two generations a step."""
    steps = []
    for _ in range(horizon):
        action, _ = generate(policy.lm, policy.prompts.act(state), IMAGINED)
        assert isinstance(world_model.lm, TransformersLM)
        observation, _ = generate(world_model.lm, world_model.prompts.world_model(state, action), world_model.sampling)
        steps.append(ImaginedStep(action, observation))
        state = state.extend(action, observation)
    return ImaginedTrajectory(tuple(steps))


def token_logprobs(policy: Policy, prompt: str, continuation: Sequence[int], temperature: float = 1.0) -> torch.Tensor:
    """Log-probabilities of a continuation: the whole sequence in a pass of its own, all logits of it."""
    ids = policy.lm.encode(prompt)
    logits = policy.lm.model(input_ids=torch.tensor([[*ids, *continuation]])).logits[0, len(ids) - 1 : -1]  # pyright: ignore[reportCallIssue]
    return (logits / temperature).log_softmax(-1).gather(1, torch.tensor([continuation]).T).squeeze(1)


def heads(policy: Policy, state: State) -> tuple[torch.Tensor, torch.Tensor]:
    """K logits and value, from a pass of their own."""
    assert policy.heads is not None
    ids = policy.lm.encode(policy.prompts.control(state))
    output = policy.lm.model(input_ids=torch.tensor([ids]), output_hidden_states=True)  # pyright: ignore[reportCallIssue]
    return policy.heads(output.hidden_states[-1][:, -1])


def label(state: State, action: str, k_max: int, policy: Policy, world_model: TextWorldModel) -> list[float]:
    """Eq. 5: the expert's action behind each foresight, one pass for each."""
    foresight = imagine(state, k_max, policy, world_model)
    continuation = policy.lm.encode_continuation(action)
    with torch.inference_mode():
        return [
            float(token_logprobs(policy, policy.prompts.act(state, foresight.prefix(k)), continuation).sum())
            for k in range(k_max + 1)
        ]


def decide(
    state: State, commands: Sequence[str], horizon: int, policy: Policy, world_model: TextWorldModel, action: str
) -> str:
    """Eqs. 2-3: read the K-head, imagine, act: the best-scored command, or free generation."""
    with torch.inference_mode():
        heads(policy, state)
        foresight = imagine(state, horizon, policy, world_model)
        if action == "generate":
            return generate(policy.lm, policy.prompts.act(state, foresight), ACTION)[0]
        scores = score(state, foresight, commands, policy)
    return commands[int(scores.argmax())]


def score(state: State, foresight: ImaginedTrajectory, commands: Sequence[str], policy: Policy) -> torch.Tensor:
    """Each command behind its own copy of the prompt."""
    prompt = policy.prompts.act(state, foresight)
    return torch.stack([token_logprobs(policy, prompt, policy.lm.encode_continuation(c)).sum() for c in commands])


@dataclass
class A2C:
    """Eqs. 7-8 with one environment and one update a step, as the reference has it.

    Args:
        horizon: K of every step, so that both sides do the same work.
    """

    env: TextEnv
    policy: Policy
    world_model: TextWorldModel
    horizon: int
    action: str
    temperature: float = 0.7
    lr: float = 1e-5

    def __post_init__(self) -> None:
        assert self.policy.heads is not None
        parameters = [*self.policy.lm.model.parameters(), *self.policy.heads.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=self.lr)
        self.parameters = parameters
        observation, info = self.env.reset()
        self.state, self.commands = State(info["task"], observation), info["admissible_commands"] or []

    def step(self) -> None:
        """Read K, imagine, act, observe, update."""
        state, sampling = self.state, Sampling(16, self.temperature, 0.9)
        with torch.inference_mode():
            heads(self.policy, state)
        foresight = imagine(state, self.horizon, self.policy, self.world_model)
        commands, chosen_number = self.commands, 0
        if self.action == "generate":
            action, ids = generate(self.policy.lm, self.policy.prompts.act(state, foresight), sampling)
        else:
            with torch.inference_mode():
                probs = (score(state, foresight, commands, self.policy) / self.temperature).softmax(-1)
            chosen_number = int(torch.multinomial(probs, 1))
            action, ids = commands[chosen_number], []
        observation, reward, terminated, truncated, info = self.env.step(action)
        following = state.extend(action, observation)
        with torch.no_grad():
            target = reward - 0.01 + (0.0 if terminated else 0.99 * float(heads(self.policy, following)[1][0]))
        k_logits, value = heads(self.policy, state)
        if self.action == "generate":
            chosen = token_logprobs(self.policy, self.policy.prompts.act(state, foresight), ids, self.temperature).sum()
        else:
            chosen = (score(state, foresight, commands, self.policy) / self.temperature).log_softmax(-1)[chosen_number]
        k_logprobs = k_logits[0].log_softmax(-1)
        advantage = target - float(value[0])
        loss = -advantage * (k_logprobs[self.horizon] + chosen) + (value[0] - target) ** 2
        loss = loss + 0.01 * (k_logprobs.exp() * k_logprobs).sum()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.state, self.commands = following, info["admissible_commands"] or []
        if terminated or truncated:
            observation, info = self.env.reset()
            self.state, self.commands = State(info["task"], observation), info["admissible_commands"] or []
