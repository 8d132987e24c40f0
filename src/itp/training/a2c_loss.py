"""A2C's update: eq. 8 of Liu et al. 2026 on the decisions of one rollout, and the optimiser step on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from itp.lm.base import Sampling
from itp.policy.model import Policy, PolicyOutput
from itp.training.a2c import Config
from itp.training.a2c_actor import Transition
from itp.training.advantages import Rollout, explained_variance, generalized_advantages
from itp.training.distributed import average_gradients, mean_over_processes

MINIBATCH = 32
"""Decisions per backward pass; bounds memory, changes nothing else."""


class Learner:
    """Policy, optimiser and the policy of the start.

    Args:
        policy: π with heads; trained in place.
        config: settings of the run.
        reference: the policy that KL is measured from, frozen; None where nobody asks for it.
    """

    def __init__(self, policy: Policy, config: Config, reference: Policy | None = None) -> None:
        assert policy.heads is not None
        self.policy, self.config, self.reference = policy, config, reference
        self.heads = policy.heads
        self.parameters = [*policy.lm.model.parameters(), *self.heads.parameters()]
        groups = [
            {"params": [*policy.lm.model.parameters()]},
            {"params": [*self.heads.parameters()], "lr": config.head_lr},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)

    def update(self, steps: list[list[Transition]], *, value_only: bool, progress: float = 0.0) -> dict[str, float]:
        """One optimiser step on one rollout; a non-finite loss or gradient is skipped and reported.

        Args:
            steps: decisions, a list of steps, each a list over environments.
            value_only: the value head alone learns.
            progress: share of the run that is over, for the learning rate.
        """
        config = self.config
        left = 1 - progress if config.lr_schedule == "linear" else 1.0
        for group, rate in zip(self.optimizer.param_groups, (config.lr, config.head_lr), strict=True):
            group["lr"] = rate * left
        advantages_TN, targets_TN = advantages_of(steps, config)
        flat = [transition for step in steps for transition in step]
        advantages, targets = (torch.tensor(x).float().flatten() for x in (advantages_TN, targets_TN))
        if config.normalize_advantages:
            advantages = _normalised(advantages)
        sums: Counter[str] = Counter()
        self.optimizer.zero_grad()
        order = sorted(range(len(flat)), key=lambda i: len(flat[i].actions.tokens))
        for start in range(0, len(order), MINIBATCH):
            rows = order[start : start + MINIBATCH]
            losses = self._losses([flat[i] for i in rows], advantages[rows], targets[rows], value_only)
            (losses["loss"] * len(rows) / len(flat)).backward()
            for name, value in losses.items():
                sums[name] += float(value.detach()) * len(rows) / len(flat)  # pyright: ignore[reportArgumentType]
        if value_only:
            _keep_gradients(self.parameters, self.heads.value.parameters())
        average_gradients(self.parameters)
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, config.grad_clip))
        figures = mean_over_processes(
            {**{name: float(value) for name, value in sums.items()}, **_figures(flat, targets_TN)}
        )
        skipped = not (np.isfinite(figures["loss"]) and np.isfinite(norm))
        if not skipped:
            self.optimizer.step()
        return {**figures, "skipped": float(skipped), "grad_norm": norm}

    def _losses(
        self, rows: Sequence[Transition], advantages: torch.Tensor, targets: torch.Tensor, value_only: bool
    ) -> dict[str, torch.Tensor]:
        if value_only:
            states = [row.state for row in rows]
            with torch.no_grad():
                hidden_BD, _ = self.policy.lm.hidden([self.policy.prompts.control(state) for state in states])
            values_B = self.heads(hidden_BD.clone())[1]
            value_loss = (values_B - targets.to(values_B.device)).square().mean()
            return {"value_loss": value_loss, "loss": self.config.alpha * value_loss}
        with torch.autocast(self.policy.lm.device.type, torch.bfloat16, enabled=self.config.bf16):
            return a2c_losses(rows, advantages, targets, self.policy, self.config, self.reference)


def a2c_losses(
    rows: Sequence[Transition],
    advantages: torch.Tensor,
    targets: torch.Tensor,
    policy: Policy,
    config: Config,
    reference: Policy | None = None,
) -> dict[str, torch.Tensor]:
    """The parts of the loss, each a mean over the rows, and their weighted sum `loss` (Liu et al. 2026, eq. 8).

    Args:
        rows: decisions.
        advantages: A [B].
        targets: V̂ [B].
        policy: π, p(K | s) and V, differentiable.
        config: weights and temperature.
        reference: with it, `kl` is KL(π and p(K | s) ‖ its own), estimated on the sampled action for generated text.
    """
    output = forward_rows(rows, policy, config)
    device = output.values_B.device
    action_logprobs = [_distribution(scores, config) for scores in output.action_logprobs]
    taken = torch.stack([logprobs[row.action] for logprobs, row in zip(action_logprobs, rows, strict=True)])
    k_logprobs_BK = output.horizon_logits_BK.log_softmax(-1)
    chosen = torch.tensor([row.horizon for row in rows], device=device)
    k_taken = k_logprobs_BK.gather(-1, chosen[:, None]).squeeze(-1)
    parts = {
        "policy_loss": -(advantages.to(device) * (k_taken + taken)).mean(),
        "value_loss": (output.values_B - targets.to(device)).square().mean(),
        "k_entropy": -(k_logprobs_BK.exp() * k_logprobs_BK).sum(-1).mean(),
    }
    loss = parts["policy_loss"] + config.alpha * parts["value_loss"] - config.beta * parts["k_entropy"]
    if not config.generates:
        parts["action_entropy"] = torch.stack([-(p.exp() * p).sum() for p in action_logprobs]).mean()
        loss = loss - config.action_entropy * parts["action_entropy"]
    if reference is not None:
        parts["kl"] = _divergence(rows, action_logprobs, k_logprobs_BK, reference, config)
        loss = loss + config.kl * parts["kl"]
    return {**parts, "loss": loss}


def forward_rows(rows: Sequence[Transition], policy: Policy, config: Config) -> PolicyOutput:
    """Scores, horizon logits and values of decisions, action scores in the distribution they were drawn from."""
    drawn = Sampling(temperature=config.temperature, top_p=config.top_p) if config.generates else None
    return policy.forward(
        [row.state for row in rows], [row.foresight for row in rows], [row.actions for row in rows], drawn
    )


def _distribution(scores: torch.Tensor, config: Config) -> torch.Tensor:
    """Log-probabilities of the candidates as sampled; a generated text's score is that already."""
    return scores if config.generates else (scores / config.temperature).log_softmax(-1)


def _divergence(
    rows: Sequence[Transition],
    action_logprobs: Sequence[torch.Tensor],
    k_logprobs_BK: torch.Tensor,
    reference: Policy,
    config: Config,
) -> torch.Tensor:
    with torch.no_grad():
        start = forward_rows(rows, reference, config)
        start_k_BK = start.horizon_logits_BK.log_softmax(-1)
        start_actions = [_distribution(scores, config) for scores in start.action_logprobs]
    parts = []
    for now, then in zip(action_logprobs, start_actions, strict=True):
        if not config.generates:
            parts.append((now.exp() * (now - then)).sum())
        else:  # one sample: the estimator exp(x) − x − 1 of x = log π_start − log π is never negative
            parts.append(((then - now).exp() - (then - now) - 1).sum())
    k_part = (k_logprobs_BK.exp() * (k_logprobs_BK - start_k_BK)).sum(-1)
    return torch.stack(parts).mean() + k_part.mean()


def advantages_of(steps: list[list[Transition]], config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Advantages and value targets [T, N] of a rollout."""

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


def _normalised(advantages: torch.Tensor) -> torch.Tensor:
    """To mean 0 and variance 1 over all processes."""
    moments = mean_over_processes({"mean": float(advantages.mean()), "square": float(advantages.square().mean())})
    variance = max(moments["square"] - moments["mean"] ** 2, 0.0)
    return (advantages - moments["mean"]) / (variance**0.5 + 1e-6) if len(advantages) > 1 else advantages


def _keep_gradients(parameters: Iterable[torch.nn.Parameter], kept: Iterable[torch.nn.Parameter]) -> None:
    """Drop all other gradients: the optimiser leaves a parameter without one exactly as it is."""
    ids = {id(parameter) for parameter in kept}
    for parameter in parameters:
        if id(parameter) not in ids:
            parameter.grad = None


def _figures(flat: Sequence[Transition], targets_TN: np.ndarray) -> dict[str, float]:
    counts = Counter(transition.horizon for transition in flat)
    return {
        "explained_variance": explained_variance(np.array([t.value for t in flat]), targets_TN.flatten()),
        "mean_k": float(np.mean([t.horizon for t in flat])),
        "mean_reward": float(np.mean([t.reward for t in flat])),
        "mean_value": float(np.mean([t.value for t in flat])),
        **{f"k_{k}": counts[k] / len(flat) for k in sorted(counts)},
    }
