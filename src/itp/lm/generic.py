"""The calls of `itp.lm.decoding.Engine` by `transformers` alone, for every architecture that it knows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch

from itp.lm.base import Sampling
from itp.lm.constraint import Allowed, hold
from itp.lm.decoding import Decoded
from itp.lm.tree import last_tokens, nucleus, tree_logprobs_of
from itp.lm.trie import TokenTrie


class GenericEngine:
    """Inference and training passes through a model's own `forward` and `generate`.

    Args:
        model: any causal LM of `transformers`.
        pad_id: fills rows; any token will do.
    """

    def __init__(self, model: Any, pad_id: int) -> None:
        self.model = model
        self.pad_id = pad_id

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
        """See `itp.lm.decoding.Engine.decode`. Rows with seeds of their own are sampled one by one."""
        if seeds is not None and sampling.temperature > 0:
            decoded = []
            for row, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
                torch.manual_seed(seed)
                own = None if allowed is None else [allowed[row]]
                decoded += self.decode([prompt], sampling, end_ids=end_ids, allowed=own)
            return decoded
        width = max(len(ids) for ids in prompts)
        ids_BT = torch.full((len(prompts), width), self.pad_id, dtype=torch.long)
        mask_BT = torch.zeros_like(ids_BT)
        for row, ids in enumerate(prompts):
            ids_BT[row, width - len(ids) :] = torch.tensor(ids)
            mask_BT[row, width - len(ids) :] = 1
        options: dict[str, Any] = {"do_sample": False}
        if sampling.temperature > 0:
            options = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        output = self.model.generate(
            input_ids=ids_BT.to(self.model.device),
            attention_mask=mask_BT.to(self.model.device),
            max_new_tokens=sampling.max_new_tokens,
            eos_token_id=sorted(end_ids),
            pad_token_id=self.pad_id,
            return_dict_in_generate=True,
            output_logits=True,
            logits_processor=[] if allowed is None else [_Held(allowed, width, end_ids, sampling)],
            **options,
        )
        logits_BNV = torch.stack(output.logits, dim=1).float() / (sampling.temperature or 1.0)
        new_BN = output.sequences[:, width:]
        logprob_BN = logits_BNV.log_softmax(-1).gather(-1, new_BN[..., None]).squeeze(-1)
        lengths = [
            next((n + 1 for n, token in enumerate(ids) if token in end_ids), len(ids)) for ids in new_BN.tolist()
        ]
        return [
            Decoded(new_BN[row, :length].tolist(), float(logprob_BN[row, :length].sum()))
            for row, length in enumerate(lengths)
        ]

    @torch.inference_mode()
    def score(self, prompts: Sequence[Sequence[int]], tries: Sequence[TokenTrie]) -> list[torch.Tensor]:
        """See `itp.lm.decoding.Engine.score`."""
        return self.forward(prompts, tries, [0] * len(prompts))[1]

    @torch.inference_mode()
    def hidden(self, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
        """See `itp.lm.decoding.Engine.hidden`."""
        return self.forward(prompts, [TokenTrie()] * len(prompts), [len(ids) - 1 for ids in prompts])[0]

    def forward(
        self,
        prompts: Sequence[Sequence[int]],
        tries: Sequence[TokenTrie],
        positions: Sequence[int],
        sampling: Sampling | None = None,
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """See `itp.lm.decoding.Engine.forward`."""
        ids_BT, positions_BT, mask_B1TT = self._tree_batch(prompts, tries)
        output = self.model(
            input_ids=ids_BT,
            position_ids=positions_BT,
            attention_mask=mask_B1TT,
            use_cache=False,
            output_hidden_states=True,
        )
        hidden_BTD, device = output.hidden_states[-1], ids_BT.device
        sizes = [_size(p, t) for p, t in zip(prompts, tries, strict=True)]
        own_NV = torch.cat([output.logits[row, :size] for row, size in enumerate(sizes)])
        last = last_tokens([len(ids) for ids in prompts], tries, [0] * len(prompts))
        rows = torch.arange(len(prompts), device=device)
        return hidden_BTD[rows, torch.tensor(positions, device=device)], tree_logprobs_of(
            lambda places: own_NV[places].float(), last, tries, device, sampling
        )

    def _tree_batch(
        self, prompts: Sequence[Sequence[int]], tries: Sequence[TokenTrie]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Token ids [B, T], positions [B, T] and attention mask [B, 1, T, T] of prompts with their trees."""
        width = max(_size(p, t) for p, t in zip(prompts, tries, strict=True))
        ids_BT = torch.full((len(prompts), width), self.pad_id, dtype=torch.long)
        positions_BT = torch.zeros_like(ids_BT)
        allowed_BTT = torch.eye(width, dtype=torch.bool).repeat(len(prompts), 1, 1)
        for row, (prompt, trie) in enumerate(zip(prompts, tries, strict=True)):
            start, stop = len(prompt), _size(prompt, trie)
            ids_BT[row, :stop] = torch.tensor([*prompt, *trie.tokens])
            positions_BT[row, :stop] = torch.tensor([*range(start), *(start + depth for depth in trie.depths)])
            allowed_BTT[row, :stop, :start] = torch.ones(stop, start, dtype=torch.bool).tril()
            allowed_BTT[row, start:stop, start:stop] = torch.from_numpy(trie.ancestors())
        dtype, device = self.model.dtype, self.model.device
        mask_BTT = torch.zeros(allowed_BTT.shape, dtype=dtype).masked_fill(~allowed_BTT, torch.finfo(dtype).min)
        return ids_BT.to(device), positions_BT.to(device), mask_BTT[:, None].to(device)


class _Held:
    """Leaves each row one token to choose: its own choice where that is allowed, else what `hold` finds."""

    def __init__(self, allowed: Sequence[Allowed], width: int, end_ids: Collection[int], sampling: Sampling) -> None:
        self._allowed, self._width, self._end_ids, self._sampling = allowed, width, frozenset(end_ids), sampling

    def __call__(self, ids_BT: torch.Tensor, logits_BV: torch.Tensor) -> torch.Tensor:
        held_BV = torch.full_like(logits_BV, -torch.inf)
        for row, (ids, logits_V) in enumerate(zip(ids_BT[:, self._width :].tolist(), logits_BV, strict=True)):
            token = self._choice(logits_V)
            if not self._end_ids & {*ids}:
                seed = int(torch.randint(2**62, (1,)))
                token = hold(
                    token, ids, logits_V, self._allowed[row], temperature=self._sampling.temperature, seed=seed
                )
            held_BV[row, token] = 0
        return held_BV

    def _choice(self, logits_V: torch.Tensor) -> int:
        if self._sampling.temperature == 0:
            return int(logits_V.argmax())
        logprobs_1V = (logits_V.float() / self._sampling.temperature).log_softmax(-1)[None]
        return int(torch.multinomial(nucleus(logprobs_1V, self._sampling.top_p)[0], 1))


def _size(prompt: Sequence[int], trie: TokenTrie) -> int:
    return len(prompt) + len(trie.tokens)
