"""Batched inference for small models: a static key-value cache that begins with what is known of each prompt.

`generate`, `score` and reading a hidden state all start the same way: the prompts' known beginnings come from a
`PrefixCache`, the rest is computed packed, one prompt after another without padding. Decoding then adds one token per
row and step; rows that have ended leave the batch. `TransformersLM` uses it for the models that
`itp.lm.forward.supports`, and `itp.lm.generic` for all others.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from itp.lm.base import Sampling
from itp.lm.cache import BatchCache, Scratch
from itp.lm.constraint import Allowed, hold
from itp.lm.drafts import ORDER, Follows, NgramDrafts, add
from itp.lm.forward import forward, logits
from itp.lm.prefix_cache import PrefixCache
from itp.lm.tree import forward_trees, nucleus, packed, tree_logprobs
from itp.lm.trie import TokenTrie

MAX_DRAFT = 7
"""Drafted tokens a step for a single row."""
_SHRINK_AT = 0.75
DRAFTED_TOKENS = 96
"""Tokens of a step, over the batch, up to which drafts are used."""


@dataclass(slots=True)
class Decoded:
    """New tokens of one prompt and the sum of their log-probabilities; the end token is included when it came."""

    ids: list[int]
    logprob: float


class Engine:
    """Inference with one model for which `supports` holds; its prompts' keys and values are kept for later calls."""

    def __init__(self, model: Any, *, prefix_bytes: int | None = None) -> None:
        self.model = model
        self.drafts = NgramDrafts()
        self._scratch = Scratch()
        self.prefixes = PrefixCache(model) if prefix_bytes is None else PrefixCache(model, prefix_bytes)

    @torch.inference_mode()
    def decode(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        end_ids: Collection[int],
        seeds: Sequence[int] | None = None,
        allowed: Sequence[Allowed] | None = None,
    ) -> list[Decoded]:
        """Continue a batch of prompts, greedily or by sampling at `sampling.temperature` within `top_p`.

        Greedy decoding checks several drafted tokens a step (`itp.lm.drafts`); the result is that of one at a time.
        Rows that are held to a constraint are decoded without drafts.

        Args:
            prompts: token ids, none of them empty; best of similar length.
            sampling: its seed is not read; seed torch before the call.
            end_ids: a row stops after any of these tokens.
            seeds: of each row's own draws, which then do not depend on the batch; without them torch's generator draws.
            allowed: what each row's new tokens are held to.

        Returns:
            One `Decoded` per prompt. Log-probabilities are those of the whole vocabulary at the sampling temperature.
        """
        drafting = sampling.temperature == 0 and allowed is None
        longest = self._longest_draft(len(prompts)) if drafting else 0
        cache, hidden_NC = self._start(prompts, [TokenTrie()] * len(prompts), sampling.max_new_tokens + longest)
        rows = [_Row(ids, sampling.max_new_tokens, end_ids) for ids in prompts]
        for row, own in zip(rows, seeds or (), strict=bool(seeds)):
            row.random = random.Random(own)
        for row, judge in zip(rows, allowed or (), strict=bool(allowed)):
            row.allowed = judge
        if longest:
            for row in rows:
                add(row.follows, row.ids)
        last_BC = hidden_NC[torch.tensor(cache.last, device=hidden_NC.device)]
        chosen = _choose(logits(self.model, last_BC), sampling, rows)
        for row, token, logprob in zip(rows, *(x.tolist() for x in chosen), strict=True):
            row.take([], [token], [logprob])
        running = self._leave(cache, rows)
        while running:
            drafts = [self.drafts.propose(row.follows, row.ids, min(longest, row.left - 1)) for row in running]
            tokens, logprobs = self._step(cache, running, drafts, sampling)
            for row, draft, own_tokens, own_logprobs in zip(running, drafts, tokens, logprobs, strict=True):
                if row.left:
                    row.take(draft, own_tokens, own_logprobs)
            running = self._leave(cache, running)
        cache.release()
        if longest:
            for row in rows:
                self.drafts.learn(row.ids[max(0, row.start - ORDER) :])
        return [Decoded(row.ids[row.start :], row.logprob) for row in rows]

    def _longest_draft(self, batch: int) -> int:
        """Tokens worth checking at once: computing more of them costs little until the batch fills the processor."""
        return max(1, min(MAX_DRAFT, DRAFTED_TOKENS // batch - 1))

    def _step(
        self, cache: BatchCache, running: Sequence[_Row], drafts: Sequence[Sequence[int]], sampling: Sampling
    ) -> tuple[list[list[int]], list[list[float]]]:
        """Next tokens and log-probabilities [B, G]: behind each row's last token and behind each token of its draft."""
        width, device = 1 + max(map(len, drafts)), self.model.device
        fed = [[row.ids[-1], *draft] for row, draft in zip(running, drafts, strict=True)]
        ids = [row + row[:1] * (width - len(row)) for row in fed]
        first_B1 = torch.tensor([[len(row.ids) - 1] for row in running], device=device)
        positions_BG = first_B1 + torch.arange(width, device=device)
        cache.expect(positions_BG)
        ids_N = torch.tensor(ids, device=device).flatten()
        hidden_NC = forward(self.model, ids_N, positions_BG.flatten(), cache.attend_next)
        next_N, logprob_N = _choose(logits(self.model, hidden_NC), sampling, running if width == 1 else ())
        return next_N.unflatten(0, (-1, width)).tolist(), logprob_N.unflatten(0, (-1, width)).tolist()

    def _leave(self, cache: BatchCache, running: list[_Row]) -> list[_Row]:
        """The rows that go on; ended ones are computed along until enough have ended to be worth a copy of the rest."""
        live = [place for place, row in enumerate(running) if row.left]
        if not live:
            return []
        if len(live) > _SHRINK_AT * len(running):
            return running
        cache.keep(torch.tensor(live, device=self.model.device))
        return [running[place] for place in live]

    @torch.inference_mode()
    def score(self, prompts: Sequence[Sequence[int]], tries: Sequence[TokenTrie]) -> list[torch.Tensor]:
        """Log-probabilities [continuations] for the tree behind each prompt."""
        cache, hidden_NC = self._start(prompts, tries)
        cache.release()
        return tree_logprobs(self.model, hidden_NC, cache.last, tries)

    def forward(
        self,
        prompts: Sequence[Sequence[int]],
        tries: Sequence[TokenTrie],
        positions: Sequence[int],
        sampling: Sampling | None = None,
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Differentiable: hidden states [B, C] at one position of each prompt, and the scores of its tree."""
        return forward_trees(self.model, prompts, tries, positions, sampling)

    @torch.inference_mode()
    def hidden(self, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
        """Last-layer hidden states [B, C] at the last token of each prompt."""
        cache, hidden_NC = self._start(prompts, [TokenTrie()] * len(prompts))
        cache.release()
        return hidden_NC[torch.tensor(cache.last, device=hidden_NC.device)]

    def _start(
        self, prompts: Sequence[Sequence[int]], tries: Sequence[TokenTrie], room: int = 0
    ) -> tuple[BatchCache, torch.Tensor]:
        """Compute what is not known of the prompts, and all of the trees; returns final hidden states [N, C]."""
        self.prefixes.refresh()
        room = max(room, max(len(trie.tokens) for trie in tries))
        cache = BatchCache(self.model, prompts, tries, room, self.prefixes, self._scratch)
        ids_N, positions_N = packed(prompts, tries, cache.known, self.model.device)
        hidden_NC = forward(self.model, ids_N, positions_N, cache.attend_prompts)
        for row, ids in enumerate(prompts):
            self.prefixes.store(ids, cache.keys[:, row], cache.values[:, row])
        return cache, hidden_NC


class _Row:
    """One prompt being continued."""

    __slots__ = ("_end_ids", "_most", "allowed", "follows", "ids", "logprob", "random", "start")

    def __init__(self, prompt: Sequence[int], most: int, end_ids: Collection[int]) -> None:
        self.ids, self.start = [*prompt], len(prompt)
        self.logprob = 0.0
        self.follows: Follows = {}
        self.random: random.Random | None = None
        self.allowed: Allowed | None = None
        self._most, self._end_ids = most, end_ids

    @property
    def left(self) -> int:
        """Tokens that may still come; 0 once it has ended."""
        decoded = len(self.ids) - self.start
        return 0 if decoded and self.ids[-1] in self._end_ids else self._most - decoded

    def take(self, draft: Sequence[int], tokens: Sequence[int], logprobs: Sequence[float]) -> None:
        """Append the model's own tokens: one, and one more for each drafted token that it agreed with."""
        for drafted, token, logprob in zip([*draft, None], tokens, logprobs, strict=False):
            self.ids.append(token)
            self.logprob += logprob
            if not self.left or drafted != token:
                return


def _draws(rows: Sequence[_Row]) -> list[float] | None:
    """A number in [0, 1) from each row's own generator; None where rows have none."""
    return [row.random.random() for row in rows if row.random is not None] or None


def _choose(logits_BV: torch.Tensor, sampling: Sampling, rows: Sequence[_Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Next token of each row and its log-probability; `rows` is empty where several tokens of a row are checked."""
    if sampling.temperature == 0:
        logprobs_BV = logits_BV.log_softmax(-1)
        next_B = logits_BV.argmax(-1)
    else:
        logprobs_BV = (logits_BV / sampling.temperature).log_softmax(-1)
        next_B = draw(nucleus(logprobs_BV, sampling.top_p), _draws(rows))
    for at, row in enumerate(rows):
        if row.allowed is not None and row.left:
            seed = row.random.getrandbits(62) if row.random is not None else len(row.ids)
            token, before = int(next_B[at]), row.ids[row.start :]
            next_B[at] = hold(token, before, logits_BV[at], row.allowed, temperature=sampling.temperature, seed=seed)
    return next_B, logprobs_BV.gather(1, next_B[:, None]).squeeze(1)


def draw(weights_BV: torch.Tensor, draws: Sequence[float] | None) -> torch.Tensor:
    """One token a row in proportion to its weights: by the rows' own numbers in [0, 1), or torch's generator."""
    if draws is None:
        return torch.multinomial(weights_BV, 1).squeeze(1)
    cumulated_BV = weights_BV.double().cumsum(-1)
    wanted_B1 = torch.tensor(draws, dtype=torch.float64, device=weights_BV.device)[:, None] * cumulated_BV[:, -1:]
    return torch.searchsorted(cumulated_BV, wanted_B1, right=True).squeeze(1).clamp_max(weights_BV.shape[-1] - 1)
