"""The policy: a causal LM with the prompt builder it was trained with and, for ITP-R, a K-head and a value head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from itp.errors import CheckpointError
from itp.lm.base import Completion, Sampling, Scores
from itp.lm.constraint import Constraint
from itp.lm.loading import add_special_tokens
from itp.lm.transformers import TransformersLM
from itp.lm.trie import TokenTrie
from itp.policy.checkpoint import ItpConfig, read_itp_config, save_checkpoint
from itp.policy.heads import PolicyHeads, load_heads
from itp.state_text.prompts import PromptBuilder
from itp.state_text.renderers import get_renderer
from itp.types import ImaginedTrajectory, State


@dataclass(frozen=True, slots=True)
class PolicyOutput:
    """Differentiable outputs of one batch of decisions.

    Attributes:
        action_logprobs: one tensor [candidates] per row, log π(a | s, τ̂) before normalising over the candidates.
        horizon_logits_BK: [B, K_max + 1].
        values_B: [B].
    """

    action_logprobs: list[torch.Tensor]
    horizon_logits_BK: torch.Tensor
    values_B: torch.Tensor


@dataclass(frozen=True, slots=True)
class Control:
    """The heads' outputs: horizon logits [B, K_max + 1], values [B], and the prompt tokens read for each state."""

    horizon_logits_BK: torch.Tensor
    values_B: torch.Tensor
    prompt_tokens: list[int]

    def horizon_probs(self) -> list[list[float]]:
        """p(K | s) of every state, in double precision: a sure head's 1 - p is far below single precision's."""
        return self.horizon_logits_BK.cpu().double().softmax(-1).tolist()


class Policy:
    """π(a | s, τ̂), and with heads p(K | s) and V(s).

    Args:
        lm: the language model.
        config: renderer, K_max and provenance.
        heads: None for a reactive policy.
    """

    def __init__(self, lm: TransformersLM, config: ItpConfig, heads: PolicyHeads | None = None) -> None:
        self.lm = lm
        self.config = config
        self.heads = heads.to(lm.device) if heads is not None else None
        self.prompts = PromptBuilder(
            get_renderer(config.renderer), lm.count_tokens, config.max_state_tokens, config.history_steps
        )

    @classmethod
    def load(cls, path: str, *, k_max: int | None = None, device: str = "cpu", dtype: str = "float32") -> Policy:
        """Load a checkpoint. `k_max`, when given, must be the one of the checkpoint's heads."""
        config = read_itp_config(path)
        if config.kind != "policy":
            raise CheckpointError(f"{path} is a {config.kind} checkpoint: --policy needs a policy")
        lm = TransformersLM.load(path, device=device, dtype=dtype)
        heads = load_heads(path, lm.model.config.hidden_size, config.k_max if k_max is None else k_max)
        return cls(lm, config, heads)

    def with_history(self, steps: int) -> Policy:
        """The same policy, its state text telling the latest `steps` only; kept in its checkpoints."""
        return Policy(self.lm, replace(self.config, history_steps=steps), self.heads)

    def with_state_limit(self, tokens: int | None) -> Policy:
        """The same policy, the state part of its prompts cut to `tokens` where it took more; None changes nothing."""
        if tokens is None or tokens >= self.config.max_state_tokens:
            return self
        return Policy(self.lm, replace(self.config, max_state_tokens=tokens), self.heads)

    def save(self, path: Path, *, stage: str, parent: str, card: str = "") -> None:
        """Write a checkpoint folder."""
        config = replace(self.config, stage=stage, parent=parent, k_max=self.heads.k_max if self.heads else 0)
        save_checkpoint(path, self.lm.model, self.lm.tokenizer, config, heads=self.heads, card=card)

    def with_heads(self, k_max: int) -> Policy:
        """The same policy with fresh heads; special tokens it lacks are added to its vocabulary."""
        lm = self.lm
        if add_special_tokens(lm.model, lm.tokenizer):
            lm = TransformersLM(lm.model, lm.tokenizer, name=lm.name, max_batch_tokens=lm.max_batch_tokens)
        heads = PolicyHeads(lm.model.config.hidden_size, k_max)
        return Policy(lm, replace(self.config, k_max=k_max), heads)

    @torch.inference_mode()
    def control(self, states: Sequence[State]) -> Control:
        """Read both heads at `<CTRL>`."""
        heads = self._require_heads()
        hidden_BD, tokens = self.lm.hidden([self.prompts.control(state) for state in states])
        logits_BK, values_B = heads(hidden_BD)
        return Control(logits_BK, values_B, tokens)

    def propose(self, states: Sequence[State], sampling: Sampling) -> list[Completion]:
        """Generate one action text per state without foresight: the policy inside the imagination."""
        return self.lm.generate([self.prompts.act(state) for state in states], sampling)

    def generate_actions(
        self,
        states: Sequence[State],
        foresights: Sequence[ImaginedTrajectory],
        sampling: Sampling,
        seeds: Sequence[int] | None = None,
        constraints: Sequence[Constraint] | None = None,
    ) -> list[Completion]:
        """Generate one action text per state, foresight in view.

        Args:
            states: s.
            foresights: τ̂, empty for K = 0.
            sampling: how the text is decoded.
            seeds: one for each state, of what is sampled.
            constraints: what each text is held to.
        """
        prompts = [self.prompts.act(state, foresight) for state, foresight in zip(states, foresights, strict=True)]
        if constraints is None:
            return self.lm.generate(prompts, sampling, seeds)
        return self.lm.generate_held(prompts, sampling, constraints, seeds)

    def score_actions(
        self,
        states: Sequence[State],
        foresights: Sequence[ImaginedTrajectory],
        candidates: Sequence[Sequence[str]],
    ) -> list[Scores]:
        """log π(a | s, τ̂) for every candidate action."""
        prompts = [self.prompts.act(state, foresight) for state, foresight in zip(states, foresights, strict=True)]
        return self.lm.score(prompts, candidates)

    def score_horizons(
        self,
        states: Sequence[State],
        foresights: Sequence[ImaginedTrajectory],
        actions: Sequence[str],
        horizons: Sequence[Sequence[int]],
    ) -> list[tuple[float, ...]]:
        """log π(a | s, τ̂^(k)) of one action behind several prefixes of one foresight, for k in `horizons`.

        The prompts of one state share its text and each other's beginnings; one pass computes every token once.
        """
        rows = []
        for state, foresight, action, ks in zip(states, foresights, actions, horizons, strict=True):
            prompts = [self.lm.encode(self.prompts.act(state, foresight.prefix(k))) for k in ks]
            rows.append((prompts, self.lm.encode_continuation(action)))
        return self.lm.score_behind(rows)

    def forward(
        self,
        states: Sequence[State],
        foresights: Sequence[ImaginedTrajectory],
        actions: Sequence[TokenTrie],
        sampling: Sampling | None = None,
    ) -> PolicyOutput:
        """Differentiable scores, horizon logits and values from one pass: the act prompt holds the control prompt.

        Args:
            states: s.
            foresights: τ̂, empty for K = 0.
            actions: the candidates of each state; `lm.trie` makes them from texts.
            sampling: see `TransformersLM.forward`.
        """
        heads = self._require_heads()
        prompts = [
            self.lm.encode(self.prompts.act(state, foresight))
            for state, foresight in zip(states, foresights, strict=True)
        ]
        control = [len(self.lm.encode(self.prompts.control(state))) - 1 for state in states]
        hidden_BD, logprobs = self.lm.forward(prompts, actions, control, sampling)
        horizon_logits_BK, values_B = heads(hidden_BD)
        return PolicyOutput(logprobs, horizon_logits_BK, values_B)

    def _require_heads(self) -> PolicyHeads:
        if self.heads is None:
            raise CheckpointError(
                f"{self.lm.name} has no K-head: run `itp train warmup` first, or use --horizon fixed:K or random"
            )
        return self.heads
