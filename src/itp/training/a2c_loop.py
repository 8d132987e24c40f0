"""The A2C loop: environments in lockstep, batched imagination, one optimiser step per rollout."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from itp.envs.base import TextEnv
from itp.errors import CheckpointError, EnvError, TrainingError
from itp.planners.factory import load_world_model
from itp.policy.model import Policy
from itp.training.a2c import Config
from itp.training.advantages import Rollout, explained_variance, generalized_advantages, horizon_cost
from itp.training.progress import Ticker
from itp.types import ImaginedTrajectory, State
from itp.world_model.base import WorldModel
from itp.world_model.imagination import imagine

STATE_FILE = "state.pt"
LOG_FILE = "metrics.jsonl"
MINIBATCH = 16
"""Decisions per backward pass; bounds memory, changes nothing else."""
MAX_BAD_UPDATES = 5


@dataclass(slots=True)
class Transition:
    """One decision of one environment, with all that the update needs to score it again."""

    state: State
    horizon: int
    foresight: ImaginedTrajectory
    candidates: tuple[str, ...]
    action: int
    reward: float
    value: float
    next_value: float = 0.0
    terminated: bool = False
    truncated: bool = False


class Actor:
    """Plays the policy in parallel environments and remembers how it did."""

    def __init__(self, config: Config, policy: Policy, world_model: WorldModel) -> None:
        self.config, self.policy, self.world_model = config, policy, world_model
        make_env = config.env_factory()
        self.envs: list[TextEnv] = [make_env() for _ in range(config.envs)]
        self.random = random.Random(config.seed)
        self.torch_random = torch.Generator().manual_seed(config.seed)
        self.wins: deque[bool] = deque(maxlen=100)
        self.progress = 0.0
        self.states, self.candidates = map(list, zip(*(self._reset(env) for env in self.envs), strict=True))

    def _reset(self, env: TextEnv) -> tuple[State, tuple[str, ...]]:
        observation, info = env.reset(options={"task_id": self.random.choice(env.task_ids)})
        return State(info["task"], observation), self._commands(info["admissible_commands"])

    def _commands(self, commands: Sequence[str] | None) -> tuple[str, ...]:
        if not commands:
            raise EnvError(f"A2C draws actions from admissible commands, and {self.config.env} lists none")
        return tuple(commands)

    def collect(self) -> list[list[Transition]]:
        """Play `rollout` steps in every environment: a list of steps, each a list over environments."""
        steps = [self._step() for _ in range(self.config.rollout)]
        last_values = self.policy.control(self.states).values_B.tolist()
        for t, step in enumerate(steps):
            for n, transition in enumerate(step):
                if not (transition.terminated or transition.truncated):
                    transition.next_value = steps[t + 1][n].value if t + 1 < len(steps) else last_values[n]
        return steps

    def _step(self) -> list[Transition]:
        control = self.policy.control(self.states)
        horizons = self._draw(control.horizon_logits_BK.softmax(-1))
        imagined = imagine(self.states, horizons, self.policy, self.world_model)
        foresights = [i.foresight for i in imagined]
        scores = self.policy.score_actions(self.states, foresights, self.candidates)
        transitions = []
        for n, env in enumerate(self.envs):
            logits = torch.tensor(scores[n].logprobs) / self.config.temperature
            action = self._draw(logits.softmax(-1)[None])[0]
            tokens = imagined[n].policy_usage.completion_tokens + imagined[n].world_model_usage.completion_tokens
            transition = Transition(
                self.states[n], horizons[n], foresights[n], self.candidates[n], action, 0.0, float(control.values_B[n])
            )
            self._act(n, env, transition, tokens)
            transitions.append(transition)
        return transitions

    def _act(self, n: int, env: TextEnv, transition: Transition, imagined_tokens: int) -> None:
        config, command = self.config, transition.candidates[transition.action]
        observation, reward, terminated, truncated, info = env.step(command)
        cost = horizon_cost(
            config.cost,
            config.lambda_k,
            horizon=transition.horizon,
            imagined_tokens=imagined_tokens,
            progress=self.progress,
        )
        bonus = config.success_bonus if info["won"] else 0.0
        transition.reward = float(reward) + bonus - cost - config.lambda_step
        transition.terminated, transition.truncated = terminated, truncated and not terminated
        self.states[n] = transition.state.extend(command, observation)
        if transition.truncated:
            transition.next_value = float(self.policy.control([self.states[n]]).values_B[0])
        if terminated or truncated:
            self.wins.append(info["won"])
            self.states[n], self.candidates[n] = self._reset(env)
        else:
            self.candidates[n] = self._commands(info["admissible_commands"])

    def _draw(self, probs: torch.Tensor) -> list[int]:
        return torch.multinomial(probs.float().cpu(), 1, generator=self.torch_random).squeeze(-1).tolist()


def train(config: Config) -> dict[str, float]:
    """Run all updates; resumes from the newest state in OUT. Returns the last metrics."""
    from torch.utils.tensorboard import SummaryWriter

    torch.manual_seed(config.seed)
    state = _read_state(config.out)
    first = state["update"] if state else 0
    policy = Policy.load(str(_saved(config.out, first)) if state else config.policy, device=config.device)
    if policy.heads is None:
        raise CheckpointError(f"--policy {config.policy} has no K-head and value head: run `itp train warmup` first")
    world_model = load_world_model(config.world_model, config.device, "float32")
    parameters = [*policy.lm.model.parameters(), *policy.heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=config.lr, weight_decay=0.0)
    if state:
        optimizer.load_state_dict(state["optimizer"])
    actor = Actor(config, policy, world_model)
    actor.random.seed(config.seed + 1_000_003 * first)
    actor.torch_random.manual_seed(config.seed + 1_000_003 * first)
    ticker, bad, metrics = Ticker("a2c"), 0, {}
    with SummaryWriter(str(config.out / "tensorboard")) as writer, (config.out / LOG_FILE).open("a") as log:
        for update in range(first, config.updates):
            actor.progress = update / config.updates
            metrics = _update(
                actor.collect(), policy, optimizer, parameters, config, value_only=update < config.value_warmup
            )
            bad = bad + 1 if metrics["skipped"] else 0
            if bad > MAX_BAD_UPDATES:
                raise TrainingError(f"{bad} updates in a row had a non-finite loss: lower --lr (now {config.lr})")
            metrics["success_rate"] = float(np.mean(actor.wins)) if actor.wins else 0.0
            log.write(json.dumps({"update": update + 1, **metrics}) + "\n")
            log.flush()
            for name, value in metrics.items():
                writer.add_scalar(f"a2c/{name}", value, update + 1)
            if (update + 1) % config.save_every == 0:
                _save(config.out, policy, optimizer, update + 1, config)
            note = f"won {metrics['success_rate']:.0%}  mean K {metrics['mean_k']:.2f}  loss {metrics['loss']:+.3f}"
            ticker.tick(update + 1, config.updates, note, base=first)
    policy.save(config.out / "model", stage="a2c", parent=config.policy)
    return {**{name: value for name, value in metrics.items() if np.isfinite(value)}, "updates": config.updates}


def _update(
    steps: list[list[Transition]],
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    parameters: list[torch.nn.Parameter],
    config: Config,
    *,
    value_only: bool,
) -> dict[str, float]:
    """One optimiser step on one rollout (Liu et al. 2026, eq. 8)."""
    advantages_TN, targets_TN = _advantages(steps, config)
    flat = [transition for step in steps for transition in step]
    advantages, targets = torch.tensor(advantages_TN).float().flatten(), torch.tensor(targets_TN).float().flatten()
    if config.normalize_advantages and len(flat) > 1:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-6)
    sums: Counter[str] = Counter()
    optimizer.zero_grad()
    order = sorted(range(len(flat)), key=lambda i: len(flat[i].candidates))
    for start in range(0, len(order), MINIBATCH):
        rows = order[start : start + MINIBATCH]
        losses = _losses([flat[i] for i in rows], advantages[rows], targets[rows], policy, config)
        loss = config.alpha * losses["value_loss"]
        if not value_only:
            loss = loss + losses["policy_loss"] - config.beta * losses["k_entropy"]
        (loss * len(rows) / len(flat)).backward()
        for name, value in {**losses, "loss": loss}.items():
            sums[name] += float(value.detach()) * len(rows) / len(flat)  # pyright: ignore[reportArgumentType]
    if value_only:
        _keep_gradients(parameters, policy.heads.value.parameters() if policy.heads else ())
    norm = torch.nn.utils.clip_grad_norm_(parameters, config.grad_clip)
    skipped = not (np.isfinite(sums["loss"]) and bool(torch.isfinite(norm)))
    if not skipped:
        optimizer.step()
    counts = Counter(t.horizon for t in flat)
    values = np.array([t.value for t in flat])
    return {
        **{name: float(value) for name, value in sums.items()},
        "skipped": float(skipped),
        "grad_norm": float(norm),
        "explained_variance": explained_variance(values, targets_TN.flatten()),
        "mean_k": float(np.mean([t.horizon for t in flat])),
        "mean_reward": float(np.mean([t.reward for t in flat])),
        **{f"k_{k}": counts[k] / len(flat) for k in sorted(counts)},
    }


def _keep_gradients(parameters: Iterable[torch.nn.Parameter], kept: Iterable[torch.nn.Parameter]) -> None:
    """Drop all other gradients: the optimiser leaves a parameter without one exactly as it is."""
    ids = {id(parameter) for parameter in kept}
    for parameter in parameters:
        if id(parameter) not in ids:
            parameter.grad = None


def _advantages(steps: list[list[Transition]], config: Config) -> tuple[np.ndarray, np.ndarray]:
    def grid(name: str, kind: Any) -> np.ndarray:
        return np.array([[getattr(t, name) for t in step] for step in steps], dtype=kind)

    rollout = Rollout(
        grid("reward", np.float64),
        grid("value", np.float64),
        grid("next_value", np.float64),
        grid("terminated", np.bool_),
        grid("truncated", np.bool_),
    )
    return generalized_advantages(rollout, gamma=config.gamma, gae_lambda=config.gae_lambda)


def _losses(
    rows: list[Transition], advantages: torch.Tensor, targets: torch.Tensor, policy: Policy, config: Config
) -> dict[str, torch.Tensor]:
    output = policy.forward([t.state for t in rows], [t.foresight for t in rows], [t.candidates for t in rows])
    device = output.values_B.device
    advantages, targets = advantages.to(device), targets.to(device)
    action_logprobs = torch.stack(
        [
            (logprobs / config.temperature).log_softmax(-1)[t.action]
            for logprobs, t in zip(output.action_logprobs, rows, strict=True)
        ]
    )
    k_logprobs_BK = output.horizon_logits_BK.log_softmax(-1)
    chosen = torch.tensor([t.horizon for t in rows], device=device)
    k_logprobs = k_logprobs_BK.gather(-1, chosen[:, None]).squeeze(-1)
    return {
        "policy_loss": -(advantages * (k_logprobs + action_logprobs)).mean(),
        "value_loss": (output.values_B - targets).square().mean(),
        "k_entropy": -(k_logprobs_BK.exp() * k_logprobs_BK).sum(-1).mean(),
    }


def _saved(out: Path, update: int) -> Path:
    return out / "checkpoints" / f"update-{update}"


def _save(out: Path, policy: Policy, optimizer: torch.optim.Optimizer, update: int, config: Config) -> None:
    """The state file names the update of its weights and is replaced in one piece, so that a kill spoils nothing."""
    policy.save(_saved(out, update), stage="a2c", parent=config.policy)
    torch.save({"update": update, "optimizer": optimizer.state_dict()}, out / f"{STATE_FILE}.new")
    (out / f"{STATE_FILE}.new").replace(out / STATE_FILE)
    for folder in _saved(out, update).parent.iterdir():
        if folder != _saved(out, update):
            shutil.rmtree(folder)


def _read_state(out: Path) -> dict[str, Any] | None:
    """The newest resumable state; log lines of updates after it go, since those will be done again."""
    if not (out / STATE_FILE).is_file():
        (out / LOG_FILE).unlink(missing_ok=True)
        return None
    state = torch.load(out / STATE_FILE, weights_only=True)
    lines = (out / LOG_FILE).read_text().splitlines(keepends=True)
    (out / LOG_FILE).write_text("".join(lines[: state["update"]]))
    return state
