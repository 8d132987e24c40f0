"""Continuations of one prompt merged into a prefix tree, so that shared beginnings are computed once.

The tree is laid out as one token sequence behind the prompt; an attention mask lets each node see the prompt and its
own ancestors only. One forward pass then yields the log-probability of every continuation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class TokenTrie:
    """A prefix tree in depth-first insertion order.

    Attributes:
        tokens: token id of each node.
        parents: index of each node's parent; -1 hangs on the prompt.
        depths: 0 for children of the prompt.
        paths: for each continuation, the node indices from first to last token.
    """

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)

    @classmethod
    def build(cls, continuations: Sequence[Sequence[int]]) -> TokenTrie:
        """Merge token sequences; an empty sequence has an empty path (log-probability 0)."""
        trie = cls()
        children: dict[tuple[int, int], int] = {}
        for continuation in continuations:
            node, path = -1, []
            for token in continuation:
                key = (node, token)
                if key not in children:
                    children[key] = len(trie.tokens)
                    trie.tokens.append(token)
                    trie.parents.append(node)
                    trie.depths.append(len(path))
                node = children[key]
                path.append(node)
            trie.paths.append(path)
        return trie

    def ancestors(self) -> NDArray[np.bool_]:
        """[nodes, nodes]: row i is True at node i and at every node on the way to it."""
        seen = np.eye(len(self.tokens), dtype=np.bool_)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                seen[node] |= seen[parent]
        return seen
