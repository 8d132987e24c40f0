"""The seed of each prompt of a batch, for backends where every prompt is drawn by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from itp.lm.base import Sampling
from itp.lm.chat import Prompt


def row_seeds(prompts: Sequence[Prompt], sampling: Sampling, seeds: Sequence[int] | None) -> list[int | None]:
    """One seed for each prompt; None where nothing is drawn, or where the draw shall not be repeatable.

    Without `seeds` of their own, equal prompts count up from `sampling.seed`, so that their answers may differ.
    """
    if sampling.temperature == 0 or (seeds is None and sampling.seed is None):
        return [None] * len(prompts)
    if seeds is not None:
        if len(seeds) != len(prompts):
            raise ValueError(f"{len(seeds)} seeds for {len(prompts)} prompts")
        return list(seeds)
    seen: Counter[Prompt] = Counter()
    found: list[int | None] = []
    for prompt in prompts:
        found.append((sampling.seed or 0) + seen[prompt])
        seen[prompt] += 1
    return found
