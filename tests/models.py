"""What tests share: household episodes, tiny random models over a trained tokenizer, scripted stand-ins.

Everything is made once per process and must not be changed by a test; ask for a fresh copy to train one.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from itp import make_env
from itp.data.collect import NoisyPlanner, label_with_expert
from itp.envs.alfworld.expert import Expert
from itp.envs.vector import make_vector
from itp.lm.base import Completion, Sampling, Scores
from itp.lm.constraint import Constraint
from itp.lm.transformers import TransformersLM
from itp.planners.simple import ExpertPlanner
from itp.policy.checkpoint import ItpConfig, save_checkpoint
from itp.policy.heads import PolicyHeads
from itp.policy.model import Policy
from itp.rollout.lockstep import run_episodes
from itp.state_text.prompts import PromptBuilder
from itp.state_text.renderers import get_renderer
from itp.training.a2c import Config
from itp.training.a2c_actor import Actor
from itp.training.scratch import fresh_model, train_tokenizer
from itp.types import ImaginedStep, ImaginedTrajectory, State, Trajectory, Usage
from itp.world_model.base import Prediction, WorldModel
from itp.world_model.rules import RuleWorldModel
from itp.world_model.text import TextWorldModel

torch.set_num_threads(1)

HIDDEN = 128
"""Width of the tiny model."""


@cache
def episodes(count: int = 6, epsilon: float = 0.3, max_steps: int = 12) -> tuple[Trajectory, ...]:
    """Household episodes of the exploring expert with noise, each state labelled with the expert's action."""
    expert = Expert()
    env = make_env("household", split="train")
    played = run_episodes(
        lambda: make_env("household", split="train", max_steps=max_steps),
        NoisyPlanner(ExpertPlanner(expert), epsilon),
        list(env.task_ids)[:count],
        batch_size=count,
        max_steps=max_steps,
        seed=0,
    )
    return tuple(label_with_expert(trajectory, expert) for trajectory in played)


def some_states(count: int = 4) -> list[State]:
    """States of different length from different episodes."""
    return [trajectory.states()[3 * n] for n, trajectory in enumerate(episodes()[:count])]


def imagined(*pairs: tuple[str, str]) -> ImaginedTrajectory:
    """A foresight from (action, observation) pairs."""
    return ImaginedTrajectory(tuple(ImaginedStep(action, observation) for action, observation in pairs))


def decode(tokens: Sequence[int]) -> str:
    """The text of tokens, special tokens included."""
    return str(tokenizer().decode(list(tokens)))


@cache
def tokenizer() -> PreTrainedTokenizerBase:
    """A byte-level tokenizer trained on household prompts."""
    texts = []
    for name in ("history", "memory"):
        prompts = PromptBuilder(get_renderer(name))
        texts += [prompts.act(trajectory.states()[-1]) for trajectory in episodes()]
    return train_tokenizer(texts, vocab_size=400)


@cache
def random_model(seed: int = 0) -> PreTrainedModel:
    """A tiny random Llama whose weights are large enough for clear preferences between tokens."""
    torch.manual_seed(seed)
    model = fresh_model(tokenizer(), "tiny")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.mul_(4)
    return model.eval()


def lm(seed: int = 0, **options: Any) -> TransformersLM:
    """The random model as a language model."""
    return TransformersLM(random_model(seed), tokenizer(), name=f"random-{seed}", **options)


def make_policy(renderer: str = "memory-v1", *, k_max: int = 0, seed: int = 0, fresh: bool = False) -> Policy:
    """A random policy, with heads when `k_max` is given; `fresh` copies the weights, so that they may be trained."""
    model = copy.deepcopy(random_model(seed)) if fresh else random_model(seed)
    language_model = TransformersLM(model, tokenizer(), name=f"random-{seed}")
    heads = None
    if k_max:
        torch.manual_seed(seed)
        heads = PolicyHeads(HIDDEN, k_max)
        torch.nn.init.normal_(heads.value.weight, std=0.1)
    return Policy(language_model, ItpConfig(renderer=renderer, k_max=k_max), heads)


def make_world_model(renderer: str = "history-v1", *, seed: int = 1, max_new_tokens: int = 6) -> TextWorldModel:
    """A random text world model that says little."""
    language_model = lm(seed)
    prompts = PromptBuilder(get_renderer(renderer), language_model.count_tokens)
    return TextWorldModel(language_model, prompts, Sampling(max_new_tokens=max_new_tokens))


def make_actor(config: Config, policy: Policy | None = None, world_model: WorldModel | None = None) -> Actor:
    """A2C's actor in household games, with a random policy and the rule world model unless told otherwise."""
    envs = make_vector(config.env_factory(), config.envs)
    actor_policy = policy or make_policy(k_max=2)
    return Actor(config, actor_policy, world_model or RuleWorldModel(), envs, envs.task_ids, config.seed)


def save_policy(path: Path, *, k_max: int = 0, renderer: str = "memory-v1", seed: int = 0) -> str:
    """A random policy as a checkpoint folder."""
    make_policy(renderer, k_max=k_max, seed=seed).save(path, stage="warmup" if k_max else "policy", parent="test")
    return str(path)


def save_world_model(path: Path, *, renderer: str = "history-v1", seed: int = 1, **options: Any) -> str:
    """A random world model as a checkpoint folder; options go to its `ItpConfig`."""
    config = ItpConfig(kind="world_model", renderer=renderer, stage="world-model", **options)
    save_checkpoint(path, random_model(seed), tokenizer(), config)
    return str(path)


def foreign_lm() -> TransformersLM:
    """A model whose tokenizer was made elsewhere: no special token of ours, its own end token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    backend.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(special_tokens=["</s>"], initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(["go to the drawer"], trainer)
    foreign = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = LlamaConfig(vocab_size=len(foreign), max_position_embeddings=8192, **shape)
    return TransformersLM(LlamaForCausalLM(config), foreign, name="foreign")


class ScriptedPolicy:
    """Proposes what `act` says and scores actions with `score`; remembers every state it was asked about."""

    def __init__(
        self,
        act: Callable[[State], str] = lambda state: f"act {len(state.history)}",
        score: Callable[[State, ImaginedTrajectory, str], float] = lambda state, foresight, action: -len(action),
    ) -> None:
        self.act, self.score = act, score
        self.samples: list[tuple[str, float]] = []
        self.proposed: list[State] = []
        self.acted: list[tuple[State, ImaginedTrajectory]] = []

    def propose(self, states: Sequence[State], sampling: Sampling) -> list[Completion]:
        self.proposed += states
        return [Completion(self.act(state), -1.0, 10, 2) for state in states]

    def generate_actions(
        self,
        states: Sequence[State],
        foresights: Sequence[ImaginedTrajectory],
        sampling: Sampling,
        seeds: Sequence[int] | None = None,
        constraints: Sequence[Constraint] | None = None,
    ) -> list[Completion]:
        self.acted += zip(states, foresights, strict=True)
        if seeds is not None:
            drawn = [self.samples[seed % len(self.samples)] for seed in seeds]
            return [Completion(text, logprob, 10, 2) for text, logprob in drawn]
        return [Completion(self.act(state), -1.0, 10, 2) for state in states]

    def score_horizons(
        self,
        states: Sequence[State],
        foresights: Sequence[ImaginedTrajectory],
        actions: Sequence[str],
        horizons: Sequence[Sequence[int]],
    ) -> list[tuple[float, ...]]:
        rows = list(zip(states, foresights, actions, horizons, strict=True))
        self.acted += [(state, foresight.prefix(k)) for state, foresight, _, ks in rows for k in ks]
        return [tuple(self.score(s, f.prefix(k), a) for k in ks) for s, f, a, ks in rows]

    def score_actions(
        self, states: Sequence[State], foresights: Sequence[ImaginedTrajectory], candidates: Sequence[Sequence[str]]
    ) -> list[Scores]:
        rows = list(zip(states, foresights, candidates, strict=True))
        self.acted += [(state, foresight) for state, foresight, _ in rows]
        return [Scores(tuple(self.score(s, f, action) for action in actions), 10, 5) for s, f, actions in rows]


class ScriptedWorldModel:
    """Answers `observe(state, action)`; remembers every pair it was asked about."""

    name = "scripted"

    def __init__(self, observe: Callable[[State, str], str] = lambda state, action: f"saw {action}") -> None:
        self.observe = observe
        self.asked: list[tuple[State, str]] = []

    def predict(self, states: Sequence[State], actions: Sequence[str]) -> list[Prediction]:
        pairs = list(zip(states, actions, strict=True))
        self.asked += pairs
        return [Prediction(self.observe(state, action), -0.5, Usage(20, 5, 1)) for state, action in pairs]


def random_text(seed: int, length: int = 12) -> str:
    """Words of the household vocabulary in random order."""
    vocabulary = ["go", "to", "mug", "1", "drawer", "2", "open", "the", "fridge", "you", "see", "nothing", "put"]
    return " ".join(random.Random(seed).choices(vocabulary, k=length))
