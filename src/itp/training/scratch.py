"""Small models from scratch: a byte-level BPE tokenizer trained on collected text and a random Llama of a few million
parameters, in the layout that `from_pretrained` reads. Every later stage loads them as it would load an 8B model.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from itp.errors import ConfigError
from itp.lm.chat import PLAIN_TEMPLATE
from itp.lm.tokens import END, PAD, SPECIAL_TOKENS

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 3, "num_attention_heads": 4},
    "small": {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 6},
    "base": {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 8},
}
"""Transformer shapes; with a vocabulary of ~1,000 about 0.8M, 2M and 5M parameters."""

# Separators and articles between the names of a list are one piece each, words and numbers another: lists, which make
# up most of a household's text, then cost three tokens an entry, and a name is copied token by token.
_PIECES = r", and a(?= )|, a(?= )| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+"


def train_tokenizer(texts: Iterable[str], *, vocab_size: int = 2048) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer; any string can be encoded with it.

    Args:
        texts: rendered prompts and completions; special tokens in them are left out of the merges.
        vocab_size: upper limit; small corpora yield fewer tokens.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # pyright: ignore[reportAttributeAccessIssue]
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((_plain(text) for text in texts), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        chat_template=PLAIN_TEMPLATE,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[token for token in SPECIAL_TOKENS if token not in (PAD, END)],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def _plain(text: str) -> str:
    for token in SPECIAL_TOKENS:
        text = text.replace(token, "\n")
    return text


def fresh_model(tokenizer: PreTrainedTokenizerBase, size: str, *, max_length: int = 4096) -> PreTrainedModel:
    """A randomly initialised Llama for a tokenizer. Raises ConfigError for an unknown size. Seed torch first."""
    from transformers import LlamaConfig, LlamaForCausalLM

    if size not in SIZES:
        raise ConfigError(f"model size {size} is unknown: choose one of {', '.join(SIZES)}")
    vocabulary = -(-len(tokenizer) // 64) * 64
    config = LlamaConfig(
        vocab_size=vocabulary,
        max_position_embeddings=max_length,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,  # pyright: ignore[reportArgumentType]
        eos_token_id=tokenizer.eos_token_id,  # pyright: ignore[reportArgumentType]
        bos_token_id=None,
        **SIZES[size],
    )
    return LlamaForCausalLM(config)
