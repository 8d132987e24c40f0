"""Prompts with a tree of continuations behind each, packed into one forward pass: scores with or without gradients.

A `TokenTrie` shares the beginnings of continuations; a mask lets each node see the prompt and its own ancestors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional

from itp.lm.base import Sampling
from itp.lm.forward import forward, logits
from itp.lm.trie import TokenTrie


def forward_trees(
    model: Any,
    prompts: Sequence[Sequence[int]],
    tries: Sequence[TokenTrie],
    positions: Sequence[int],
    sampling: Sampling | None = None,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """One differentiable pass over prompts and trees; see `itp.lm.decoding.Engine` for the pass without gradients.

    Args:
        model: a model that `itp.lm.forward.supports`.
        prompts: token ids, none of them empty.
        tries: the continuations of each prompt.
        positions: a token of each prompt whose hidden state is wanted.
        sampling: how tokens were drawn, when their log-probabilities are to be those of the draw.

    Returns:
        Last-layer hidden states [B, C] at `positions`, and log-probabilities [continuations] of every row.
    """
    nothing, lengths = [0] * len(prompts), [len(ids) for ids in prompts]
    masks = [tree_mask(n, trie, 0, model.device) for n, trie in zip(lengths, tries, strict=True)]
    sizes = [n + len(trie.tokens) for n, trie in zip(lengths, tries, strict=True)]

    def attend(layer: int, q_NHD: torch.Tensor, k_NHD: torch.Tensor, v_NHD: torch.Tensor) -> torch.Tensor:
        rows = zip(*(x.transpose(0, 1).split(sizes, dim=1) for x in (q_NHD, k_NHD, v_NHD)), masks, strict=True)
        return torch.cat([attend_row(q, k, v, mask) for q, k, v, mask in rows])

    hidden_NC = forward(model, *packed(prompts, tries, nothing, model.device), attend)
    last = last_tokens(lengths, tries, nothing)
    wanted = [end - n + 1 + at for end, n, at in zip(last, lengths, positions, strict=True)]
    logprobs = tree_logprobs(model, hidden_NC, last, tries, sampling)
    return hidden_NC[torch.tensor(wanted, device=hidden_NC.device)], logprobs


def packed(
    prompts: Sequence[Sequence[int]], tries: Sequence[TokenTrie], known: Sequence[int], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and positions [N] of all tokens to compute: each prompt behind its known part, then its tree."""
    ids: list[int] = []
    positions: list[int] = []
    for prompt, trie, start in zip(prompts, tries, known, strict=True):
        ids += [*prompt[start:], *trie.tokens]
        positions += [*range(start, len(prompt)), *(len(prompt) + depth for depth in trie.depths)]
    return torch.tensor(ids, device=device), torch.tensor(positions, device=device)


def last_tokens(lengths: Sequence[int], tries: Sequence[TokenTrie], known: Sequence[int]) -> list[int]:
    """Where in the packed batch the last token of each prompt is."""
    places, first = [], 0
    for length, trie, start in zip(lengths, tries, known, strict=True):
        places.append(first + length - start - 1)
        first += length - start + len(trie.tokens)
    return places


def tree_mask(length: int, trie: TokenTrie, known: int, device: torch.device) -> torch.Tensor | None:
    """Who sees whom, [new tokens, all tokens]; None for a plain causal prompt of which nothing is known."""
    if not known and not trie.tokens:
        return None
    nodes = len(trie.tokens)
    mask = torch.ones(length - known + nodes, length + nodes, dtype=torch.bool).tril(known)
    if nodes:
        mask[length - known :, length:] = torch.from_numpy(trie.ancestors())
    return mask.to(device)


def attend_row(
    q_HTD: torch.Tensor, k_HTD: torch.Tensor, v_HTD: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """Attention within one row: [T, heads, D]."""
    mixed_1HTD = functional.scaled_dot_product_attention(
        q_HTD[None],
        k_HTD[None],
        v_HTD[None],
        attn_mask=mask,
        is_causal=mask is None,
        enable_gqa=len(q_HTD) != len(k_HTD),
    )
    return mixed_1HTD[0].transpose(0, 1)


def tree_logprobs(
    model: Any,
    hidden_NC: torch.Tensor,
    last: Sequence[int],
    tries: Sequence[TokenTrie],
    sampling: Sampling | None = None,
) -> list[torch.Tensor]:
    """Log-probabilities of each row's continuations, from the final hidden states of the packed tokens."""
    return tree_logprobs_of(lambda places: logits(model, hidden_NC[places]), last, tries, hidden_NC.device, sampling)


def tree_logprobs_of(
    logits_at: Callable[[torch.Tensor], torch.Tensor],
    last: Sequence[int],
    tries: Sequence[TokenTrie],
    device: torch.device,
    sampling: Sampling | None = None,
) -> list[torch.Tensor]:
    """The same from logits: `logits_at` is asked once, for those packed tokens that have a node behind them."""
    read, tokens = [], []
    for place, trie in zip(last, tries, strict=True):
        read += [place + 1 + parent for parent in trie.parents]
        tokens += trie.tokens
    places, index = torch.unique(torch.tensor(read, device=device, dtype=torch.long), return_inverse=True)
    logprobs_PV = token_logprobs(logits_at(places), sampling or Sampling(temperature=1.0))
    nodes_N = logprobs_PV[index, torch.tensor(tokens, device=device, dtype=torch.long)]
    results, first = [], 0
    for trie in tries:
        own_N = nodes_N[first : first + len(trie.tokens)]
        results.append(torch.stack([own_N[path].sum() for path in trie.paths]) if trie.paths else own_N[:0])
        first += len(trie.tokens)
    return results


def token_logprobs(logits_NV: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Log-probabilities [N, V] of drawing each token; tokens outside `top_p`, never drawn, keep a finite value.

    A nucleus is found without gradient and the kept mass divided out: rounding at its border then costs nothing, where
    minus infinity would spoil a batch.
    """
    logprobs_NV = (logits_NV / (sampling.temperature or 1.0)).log_softmax(-1)
    if sampling.top_p >= 1:
        return logprobs_NV
    kept_NV = nucleus(logprobs_NV.detach(), sampling.top_p) > 0
    return logprobs_NV - logprobs_NV.masked_fill(~kept_NV, -torch.inf).logsumexp(-1, keepdim=True)


def nucleus(logprobs_NV: torch.Tensor, top_p: float) -> torch.Tensor:
    """Probabilities with all but the smallest set of tokens that reaches `top_p` set to zero."""
    probs_NV = logprobs_NV.exp()
    if top_p >= 1:
        return probs_NV
    sorted_NV, order_NV = probs_NV.sort(dim=-1, descending=True)
    beyond_NV = sorted_NV.cumsum(-1) - sorted_NV >= top_p
    return probs_NV.masked_fill(torch.zeros_like(beyond_NV).scatter(1, order_NV, beyond_NV), 0.0)
