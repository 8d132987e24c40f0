"""Drafts for speculative decoding without a second model: what followed the last few tokens before.

Text worlds repeat themselves: an observation names what the prompt named, in sentences that earlier observations used.
Each row looks its last tokens up in its own prompt first and then in what was decoded before, whoever asked; the model
checks a whole draft in one step and keeps what it would have written itself.
"""

from __future__ import annotations

from collections.abc import Sequence

ORDER = 3
"""Tokens that must agree for a continuation to be proposed."""
MAX_KNOWN = 200_000
"""N-grams remembered over all calls; when there are more, they are learnt anew."""

Follows = dict[tuple[int, ...], int]


class NgramDrafts:
    """What was decoded before, as n-grams and the token that followed each last."""

    def __init__(self) -> None:
        self._follows: Follows = {}

    def learn(self, ids: Sequence[int]) -> None:
        """Remember a decoded text with the tokens before it."""
        if len(self._follows) > MAX_KNOWN:
            self._follows.clear()
        add(self._follows, ids)

    def propose(self, own: Follows, ids: Sequence[int], most: int) -> list[int]:
        """At most `most` tokens that may follow `ids`.

        Args:
            own: n-grams of the row's prompt, made by `add`.
            ids: the row so far; its last tokens are read.
            most: length limit.
        """
        window, draft = tuple(ids[-ORDER:]), []
        while len(draft) < most:
            token = own.get(window)
            if token is None:
                token = self._follows.get(window)
                if token is None:
                    break
            draft.append(token)
            window = (*window[1:], token)
        return draft


def add(follows: Follows, ids: Sequence[int]) -> None:
    """Enter every n-gram of a text; a later one replaces an earlier."""
    for end in range(ORDER, len(ids)):
        follows[tuple(ids[end - ORDER : end])] = ids[end]
