"""From a Hugging Face folder, a LoRA adapter folder or a hub id to a model and its tokenizer.

`itp.lm.transformers` puts them to work; the training stages start from them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from itp.errors import CheckpointError, ConfigError
from itp.lm.tokens import SPECIAL_TOKENS

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a text, nothing added; fast tokenizers are called directly, much quicker on short texts."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return backend.encode(text, add_special_tokens=False).ids
    return tokenizer(text, add_special_tokens=False)["input_ids"]  # pyright: ignore[reportReturnType]


def encodes_in_parts(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a text's tokens are those of its parts between our special tokens, one after another.

    So it is where the special tokens are taken out of the text first, as it is, and nothing is put before a text.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or backend.normalizer is not None:
        return False
    added = {token.content: token for token in tokenizer.added_tokens_decoder.values()}
    cuts = [added.get(token) for token in SPECIAL_TOKENS]
    if any(cut is None or cut.lstrip or cut.rstrip or cut.single_word or cut.normalized for cut in cuts):
        return False
    before = backend.pre_tokenizer.__getstate__() if backend.pre_tokenizer is not None else b""
    return b'"Metaspace"' not in before and b'"add_prefix_space":true' not in before


def add_special_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Teach a foreign model the special tokens it lacks, in place; tells whether there were any.

    A `TransformersLM` reads its end token from the tokenizer when it is made: make a new one afterwards.
    """
    missing = [token for token in SPECIAL_TOKENS if token not in tokenizer.get_vocab()]
    if missing:
        tokenizer.add_special_tokens({"extra_special_tokens": missing}, replace_extra_special_tokens=False)
        _make_room(model, tokenizer)
    return bool(missing)


def load_pretrained(
    path: str, *, device: str = "cpu", dtype: str = "float32"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load model and tokenizer with `from_pretrained`; local folders are checked first, for a clear message.

    Args:
        path: a folder written by `save_pretrained`, a folder with a LoRA adapter (the base model that it names is
            loaded, and the adapter merged into its weights), or a hub id.
        device: as torch names it; "auto" lets accelerate spread the layers over all accelerators.
        dtype: one of `DTYPES`.

    Raises:
        CheckpointError: the folder is missing, incomplete or damaged.
        ConfigError: no such dtype.
    """
    from safetensors import SafetensorError

    if dtype not in DTYPES:
        raise ConfigError(f"--dtype {dtype} is unknown: choose one of {', '.join(DTYPES)}")
    _check_folder(path)
    try:
        model, tokenizer = _load(path, device, DTYPES[dtype])
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise CheckpointError(f"checkpoint {path} could not be loaded: {reason}") from error
    return (model if device == "auto" else model.to(device)), tokenizer  # pyright: ignore[reportArgumentType, reportCallIssue]


def _check_folder(path: str) -> None:
    folder = Path(path)
    if folder.exists() and not (folder / "config.json").is_file() and not _adapter(path):
        raise CheckpointError(
            f"{path} holds no config.json: give a folder written by save_pretrained, such as OUT/model"
        )
    if not folder.exists() and (folder.is_absolute() or path.startswith(".") or path.count("/") != 1):
        raise CheckpointError(
            f"checkpoint {path} does not exist: give a model folder or a Hugging Face id (owner/name)"
        )


def _adapter(path: str) -> bool:
    """Whether a folder holds an adapter without the model it belongs to."""
    return (Path(path) / "adapter_config.json").is_file() and not (Path(path) / "config.json").is_file()


def _load(path: str, device: str, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"device_map": "auto"} if device == "auto" else {}
    if not _adapter(path):
        tokenizer = AutoTokenizer.from_pretrained(path)
        return AutoModelForCausalLM.from_pretrained(path, dtype=dtype, **where), tokenizer
    from peft import PeftModel

    settings = json.loads((Path(path) / "adapter_config.json").read_text(encoding="utf-8"))
    base = settings["base_model_name_or_path"]
    own = (Path(path) / "tokenizer_config.json").is_file()
    tokenizer = AutoTokenizer.from_pretrained(path if own else base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, **where)
    _make_room(model, tokenizer)
    if not own and settings.get("trainable_token_indices"):
        add_special_tokens(model, tokenizer)  # as `itp.training.lora` did before it trained their rows
    return PeftModel.from_pretrained(model, path).merge_and_unload(), tokenizer  # pyright: ignore[reportReturnType, reportCallIssue]


def _make_room(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Rows in the embedding for tokens that were added to the tokenizer."""
    rows: Any = model.get_input_embeddings().weight
    if len(tokenizer) > len(rows):
        model.resize_token_embeddings(len(tokenizer))
