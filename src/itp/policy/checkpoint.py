"""Checkpoints: a plain `save_pretrained` folder plus what this project adds beside it.

    FOLDER/config.json, model.safetensors, tokenizer files   loads with AutoModelForCausalLM
    (model-0000i-of-0000n.safetensors and their index instead of one file between 15 and 256 MB)
    FOLDER/itp_config.json                                   kind, renderer, K_max, prompt version, stage, parent
    FOLDER/itp_heads.safetensors                             K-head and value head (adaptive policies only)
    FOLDER/horizon_calibration.json, calibration.json        what was calibrated on these weights
    FOLDER/README.md                                         model card

A folder without `itp_config.json`, such as any Hugging Face model, loads with the defaults of `ItpConfig`.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itp.errors import CheckpointError
from itp.state_text.prompts import PROMPT_VERSION

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from itp.policy.heads import PolicyHeads

CONFIG_FILE = "itp_config.json"
HEADS_FILE = "itp_heads.safetensors"
WEIGHTS_FILE = "model.safetensors"
HORIZON_CUTS = "horizon_calibration.json"
"""Written by `itp policy calibrate`."""
CERTAINTY = "calibration.json"
"""Written by `itp world-model calibrate`."""
SHARD_BYTES = 15_000_000
"""Most bytes of one shard of a small model: what lends GPUs for minutes hands back files of up to 16 MB."""
SMALL_BYTES = 256_000_000
"""Larger models stay as transformers wrote them: nobody wants hundreds of shards."""


@dataclass(frozen=True)
class ItpConfig:
    """What a checkpoint remembers beyond the language model.

    Attributes:
        kind: "policy" or "world_model".
        renderer: name of the state text it was trained on.
        k_max: largest horizon of the K-head; 0 without heads.
        max_state_tokens: limit of the state part of a prompt.
        max_observation_tokens: limit of one imagined observation (192 in the paper).
        history_steps: latest steps that the state text tells; None is all that fit.
        stage: the training stage that wrote it.
        parent: checkpoint it was trained from.
    """

    kind: str = "policy"
    renderer: str = "history-v1"
    k_max: int = 0
    max_state_tokens: int = 1024
    max_observation_tokens: int = 192
    history_steps: int | None = None
    prompt_version: str = PROMPT_VERSION
    stage: str = "pretrained"
    parent: str = ""


def read_itp_config(path: str) -> ItpConfig:
    """Read `itp_config.json` of a checkpoint; defaults when the folder has none."""
    file = Path(path) / CONFIG_FILE
    if not file.is_file():
        return ItpConfig()
    try:
        data: dict[str, Any] = json.loads(file.read_text())
        config = ItpConfig(**data)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{file} is not readable as an itp checkpoint config: {error}") from error
    if config.prompt_version != PROMPT_VERSION:
        raise CheckpointError(
            f"{path} was trained with prompts {config.prompt_version}, this version writes {PROMPT_VERSION}: retrain it"
        )
    return config


def save_checkpoint(
    path: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    config: ItpConfig,
    *,
    heads: PolicyHeads | None = None,
    card: str = "",
) -> None:
    """Write a checkpoint folder; loading it needs no pickle."""
    path.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(path)
    complete_checkpoint(path, tokenizer, config, heads=heads, card=card)


def complete_checkpoint(
    path: Path,
    tokenizer: PreTrainedTokenizerBase,
    config: ItpConfig,
    *,
    heads: PolicyHeads | None = None,
    card: str = "",
) -> None:
    """Write what a checkpoint holds beside its weights, into a folder that has them already.

    What was calibrated on other weights there goes: its thresholds are not theirs.
    """
    from safetensors.torch import save_file

    for name in (HORIZON_CUTS, CERTAINTY):
        (path / name).unlink(missing_ok=True)
    split_weights(path)
    tokenizer.save_pretrained(path)
    (path / CONFIG_FILE).write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n")
    if heads is not None:
        save_file({name: tensor.contiguous() for name, tensor in heads.state_dict().items()}, path / HEADS_FILE)
    (path / "README.md").write_text(_model_card(config, card))


def split_weights(path: Path) -> None:
    """Turn the one weight file of a small model into shards of at most `SHARD_BYTES`, and the index that names them.

    A tensor that is larger than a shard gets one of its own. A killed process leaves a folder that loads.
    """
    from huggingface_hub import save_torch_state_dict
    from safetensors.torch import load_file

    file = path / WEIGHTS_FILE
    if not file.is_file() or not SHARD_BYTES < file.stat().st_size < SMALL_BYTES:
        return
    with tempfile.TemporaryDirectory(dir=path) as folder:
        save_torch_state_dict(load_file(file), folder, max_shard_size=SHARD_BYTES, metadata={"format": "pt"})
        for shard in Path(folder).iterdir():
            shard.replace(path / shard.name)
    file.unlink()


def _model_card(config: ItpConfig, body: str) -> str:
    lines = [
        "---",
        "library_name: transformers",
        "tags: [imagine-then-plan, world-model, text-environments]",
        "---",
        "",
    ]
    lines += [f"# {config.kind.replace('_', ' ')} ({config.stage})", ""]
    lines += [f"- {field.name}: {getattr(config, field.name)}" for field in dataclasses.fields(config)]
    return "\n".join([*lines, "", body, ""])
