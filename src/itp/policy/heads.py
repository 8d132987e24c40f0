"""The two linear heads of ITP-R: p(K | s) and V(s), read at the `<CTRL>` token, kept in fp32."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from itp.errors import CheckpointError
from itp.policy.checkpoint import HEADS_FILE


class PolicyHeads(nn.Module):
    """K-head and value head over one hidden state.

    Args:
        hidden_size: width of the language model.
        k_max: horizons are 0..k_max.
    """

    def __init__(self, hidden_size: int, k_max: int) -> None:
        super().__init__()
        self.k_max = k_max
        self.horizon = nn.Linear(hidden_size, k_max + 1, dtype=torch.float32)
        self.value = nn.Linear(hidden_size, 1, dtype=torch.float32)
        nn.init.zeros_(self.value.weight)
        nn.init.zeros_(self.value.bias)

    def forward(self, hidden_BD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return horizon logits [B, K_max + 1] and values [B]."""
        hidden_BD = hidden_BD.float()
        with torch.autocast(hidden_BD.device.type, enabled=False):
            return self.horizon(hidden_BD), self.value(hidden_BD).squeeze(-1)


def load_heads(path: str, hidden_size: int, k_max: int) -> PolicyHeads | None:
    """Load the heads of a checkpoint, or None when it has none. Raises CheckpointError when K_max differs.

    A damaged file is a CheckpointError, too.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = Path(path) / HEADS_FILE
    if not file.is_file():
        return None
    try:
        weights = load_file(file)
        stored = weights["horizon.weight"].shape[0] - 1
    except (SafetensorError, KeyError) as error:
        raise CheckpointError(f"{file} holds no readable heads: {error}") from error
    if stored != k_max:
        raise CheckpointError(
            f"{file} has a K-head for K_max={stored}, but K_max={k_max} is asked for: pass --k-max {stored}"
        )
    heads = PolicyHeads(hidden_size, k_max)
    try:
        heads.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{file} does not fit its language model: {reason}") from error
    return heads
