"""LoRA (Hu et al. 2021) through peft: small adapters beside frozen weights, merged into a plain checkpoint afterwards.

The paper trains its world model so: rank 8, alpha 16, dropout 0.05, merged after. Special tokens that a foreign
tokenizer lacked have embeddings that nobody trained; their rows learn beside the adapters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itp.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass
class Lora:
    """Which adapters to train, if any."""

    lora_r: int = 0
    """Rank of LoRA adapters (the paper: 8); 0 trains every weight."""
    lora_alpha: float = 16.0
    """Scale of the adapters: their output is multiplied by alpha / rank."""
    lora_dropout: float = 0.05
    """Dropout before the adapters."""
    lora_targets: tuple[str, ...] = ("all-linear",)
    """Names of the layers that get adapters, such as q_proj v_proj; all-linear takes every one but the head."""

    def check(self, base: str) -> None:
        """Raise ConfigError for values that cannot work with the model to start from."""
        if self.lora_r < 0:
            raise ConfigError(
                f"--lora-r {self.lora_r} is not allowed: give a rank of 1 or more, or 0 for full training"
            )
        if not 0 <= self.lora_dropout < 1:
            raise ConfigError(f"--lora-dropout {self.lora_dropout} is not allowed: give a share from 0 to below 1")
        if self.lora_r and base.startswith("scratch:"):
            raise ConfigError(
                f"--lora-r adapts trained weights, and --base {base} has none: give --lora-r 0 or a model"
            )


def add_adapters(model: PreTrainedModel, settings: Lora, new_tokens: Sequence[int]) -> Any:
    """Freeze a model and give it adapters.

    Args:
        model: a causal LM, changed in place.
        settings: rank and so on.
        new_tokens: ids whose embeddings (and output rows) are to be trained too.

    Returns:
        the peft model around it.

    Raises:
        ConfigError: `--lora-targets` names layers that the model does not have.
    """
    from peft import LoraConfig, get_peft_model

    targets = "all-linear" if settings.lora_targets == ("all-linear",) else list(settings.lora_targets)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.lora_r,
        lora_alpha=settings.lora_alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=settings.lora_dropout,
        target_modules=targets,
        trainable_token_indices=_token_rows(model, new_tokens),
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        if "arget modules" not in str(error):
            raise
        linears = sorted({name.rpartition(".")[2] for name, part in model.named_modules() if hasattr(part, "weight")})
        raise ConfigError(
            f"--lora-targets {' '.join(settings.lora_targets)}: no such layer in the model; it has {', '.join(linears)}"
        ) from None


def _token_rows(model: PreTrainedModel, new_tokens: Sequence[int]) -> dict[str, list[int]] | None:
    """Rows to train by layer name; tied weights share theirs through the embedding."""
    if not new_tokens:
        return None
    layers: list[Any] = [model.get_input_embeddings()]
    head = model.get_output_embeddings()
    if head is not None and head.weight is not layers[0].weight:
        layers.append(head)
    names = {id(part): name for name, part in model.named_modules()}
    return {names[id(layer)].rpartition(".")[2]: list(new_tokens) for layer in layers}


def merge(base: str, adapter: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base model with the adapter's changes added into its weights, and its tokenizer.

    The sum is made in fp32 and then rounded to what the base is stored in, usually bf16.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoConfig

    from itp.lm.loading import add_special_tokens, load_pretrained

    model, tokenizer = load_pretrained(base, dtype="float32")
    add_special_tokens(model, tokenizer)
    merged: Any = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()  # pyright: ignore[reportCallIssue]
    return merged.to(AutoConfig.from_pretrained(base).dtype or torch.float32), tokenizer
