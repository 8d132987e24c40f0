"""Make a set of checkpoints that `itp demo` plays out of trained run folders: what inference needs, and model cards.

    python scripts/ship.py --name household --policy out/a2c/best --world-model out/world_model/model \\
        --play play.yaml --card-policy policy.md --card-world-model world_model.md --out checkpoints
    itp demo --checkpoints checkpoints --only household --out out/shipped     # or itp eval on checkpoints/household
    python scripts/ship.py ... --results out/shipped/household/*/results.json  # the same again, with the figures

Weights are kept as float16, heads as float32, so the figures of a card have to be those of the shipped files: the
first call ships, the evaluations play what it wrote, the second call writes their figures into the cards. It refuses
figures of other files. A card is the text of `--card-...` (what it is; from a line `## Limits` on, its limits) around
the facts that are read from the run folders. No path of this machine gets into what ships.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from ship_card import Figures, card, named

from itp.cli.demo_sets import PLAY_FILE, load_set, read_play
from itp.cli.flags import parse_config
from itp.cli.main import guarded
from itp.errors import CheckpointError, ConfigError
from itp.policy.checkpoint import CONFIG_FILE, HEADS_FILE, HORIZON_CUTS, WEIGHTS_FILE, read_itp_config, split_weights

MOST_BYTES = 40_000_000
"""Of all sets together."""
COPIED = (
    "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "chat_template.jinja",
)  # fmt: skip
TEXTS = (".json", ".md", ".yaml", ".jinja", ".txt")
ABSOLUTE = re.compile(r"(?<![\w.:/~-])/(?:tmp|work|home|root|mnt|var|opt|usr|data|Users|private|content)/[\w.-]+")


@dataclass(kw_only=True)
class Config:
    """Write OUT/NAME: policy, world model, play.yaml and model cards."""

    name: str
    """Name of the set: household, alfworld, scienceworld."""
    policy: Path
    """Policy checkpoint inside the run folder that made it, such as out/a2c/best."""
    world_model: Path | None = None
    """World model checkpoint inside its run folder, where rows of play.yaml imagine with `world_model: learned`."""
    play: Path
    """How the set is played; see docs/demo.md."""
    card_policy: Path
    """Markdown: what the policy is, and from a line `## Limits` on what it cannot do."""
    card_world_model: Path | None = None
    """The same of the world model."""
    results: tuple[Path, ...] = ()
    """results.json files of evaluations that played the shipped files, or their run folders."""
    out: Path = Path("checkpoints")
    """Folder of all sets."""


def run(config: Config) -> None:
    """Ship, and print what was written."""
    play = read_play(config.play)
    if not re.fullmatch(r"[a-z][a-z0-9-]*", config.name):
        raise ConfigError(f"--name {config.name} must be small letters, digits and dashes")
    if play.learned != (config.world_model is not None):
        raise ConfigError(
            f"{config.play} says world_model: {play.world_model}: give --world-model with `learned` only, "
            "and rows that imagine"
        )
    if (config.world_model is None) != (config.card_world_model is None):
        raise ConfigError("--world-model and --card-world-model go together")
    config.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=config.out, prefix=".ship-") as folder:
        staged = Path(folder) / config.name
        staged.mkdir()
        shutil.copyfile(config.play, staged / PLAY_FILE)
        parts = {"policy": (config.policy, config.card_policy)}
        if config.world_model is not None and config.card_world_model is not None:
            parts["world_model"] = (config.world_model, config.card_world_model)
        sizes = {part: copy_model(source, staged / part, part) for part, (source, _) in parts.items()}
        results = read_results(config, staged)
        for part, (source, words) in parts.items():
            text = read_text(words)
            figures = Figures(config.name, part, sizes[part], results)
            (staged / part / "README.md").write_text(card(source, staged / part, text, figures), encoding="utf-8")
        load_set(staged)
        refuse_paths(staged)
        total = refuse_size(config.out, staged)
        shutil.rmtree(config.out / config.name, ignore_errors=True)
        staged.rename(config.out / config.name)
    shown = ", ".join(f"{part} {count:,} parameters" for part, count in sizes.items())
    print(f"{config.out / config.name}: {shown}; {len(results)} results in the cards")
    print(f"{config.out}: {total / 1e6:.1f} of {MOST_BYTES / 1e6:.0f} MB")


def copy_model(source: Path, target: Path, part: str) -> int:
    """Copy one checkpoint: weights as float16, heads as float32, texts without machine paths; its parameters."""
    if not (source / "config.json").is_file():
        raise CheckpointError(f"{source} is no checkpoint: give a folder such as out/a2c/best")
    itp_config = read_itp_config(str(source))
    if itp_config.kind != part:
        raise CheckpointError(f"{source} is a {itp_config.kind} checkpoint, not a {part}")
    target.mkdir()
    for name in COPIED:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    model: dict[str, Any] = json.loads((source / "config.json").read_text(encoding="utf-8"))
    model.pop("_name_or_path", None)
    write(target / "config.json", model | {"dtype": "float16"})
    settings = json.loads((source / CONFIG_FILE).read_text(encoding="utf-8"))
    write(target / CONFIG_FILE, settings | {"parent": named(settings.get("parent", ""), source)})
    tensors = {
        name: tensor for file in sorted(source.glob("model*.safetensors")) for name, tensor in load_file(file).items()
    }
    rounded = {name: half(name, tensor) for name, tensor in tensors.items()}
    save_file(rounded, target / WEIGHTS_FILE, metadata={"format": "pt"})
    split_weights(target)
    heads: dict[str, torch.Tensor] = {}
    if (source / HEADS_FILE).is_file():
        heads = {name: tensor.float().contiguous() for name, tensor in load_file(source / HEADS_FILE).items()}
        save_file(heads, target / HEADS_FILE)
    if (source / HORIZON_CUTS).is_file():
        write(target / HORIZON_CUTS, json.loads((source / HORIZON_CUTS).read_text("utf-8")) | {"config": {}})
    for file in target.iterdir():
        file.chmod(0o644)
    return sum(tensor.numel() for tensor in (*rounded.values(), *heads.values()))


def half(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """A tensor as float16. Raises CheckpointError where it does not fit into it."""
    rounded = tensor.half().contiguous() if tensor.is_floating_point() else tensor.contiguous()
    if not torch.isfinite(rounded).all():
        raise CheckpointError(f"{name} holds values that float16 cannot: train with weight decay, or ship nothing")
    return rounded


def read_results(config: Config, staged: Path) -> list[Mapping[str, Any]]:
    """The figures, if they are those of the files that are shipped now.

    Raises:
        ConfigError: a file is missing, was played with another checkpoint, or the shipped one has changed since.
    """
    results = []
    for path in config.results:
        file = path / "results.json" if path.is_dir() else path
        content = json.loads(read_text(file))
        played, shipped = str(content.get("config", {}).get("policy", "")), config.out / config.name / "policy"
        elsewhere = Path(played).exists() and Path(played).resolve() != shipped.resolve()
        if elsewhere or Path(played).parts[-2:] != shipped.parts[-2:]:  # it may have been played on another machine
            raise ConfigError(
                f"--results {file} played {played or 'no policy'}, not the shipped {shipped}: "
                "ship first, evaluate what was shipped, then ship again with --results"
            )
        results.append(content)
    for new in staged.rglob("*.safetensors") if results else ():
        old = config.out / config.name / new.relative_to(staged)
        if not old.is_file() or old.read_bytes() != new.read_bytes():
            raise ConfigError(f"{old} is not what ships now: ship without --results, evaluate that, then ship again")
    return results


def refuse_paths(folder: Path) -> None:
    """Raise ConfigError when a text file names a path of a machine."""
    for file in sorted(path for path in folder.rglob("*") if path.suffix in TEXTS):
        if found := ABSOLUTE.search(file.read_text(encoding="utf-8")):
            raise ConfigError(f"{file.relative_to(folder.parent)} would hold the path {found[0]}: take it out")


def refuse_size(out: Path, staged: Path) -> int:
    """Bytes of all sets with the new one; raises ConfigError when they are too many."""
    others = [path for path in out.iterdir() if path.name != staged.name and not path.name.startswith(".")]
    total = sum(path.stat().st_size for top in (*others, staged) for path in (top, *top.rglob("*")) if path.is_file())
    if total > MOST_BYTES:
        raise ConfigError(
            f"{out} would hold {total / 1e6:.1f} MB, and {MOST_BYTES / 1e6:.0f} MB is the most: ship smaller models"
        )
    return total


def read_text(file: Path) -> str:
    """A text file; ConfigError when there is none."""
    if not file.is_file():
        raise ConfigError(f"{file} does not exist")
    return file.read_text(encoding="utf-8")


def write(file: Path, content: Mapping[str, Any]) -> None:
    """Write JSON."""
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main(words: Sequence[str] | None = None) -> int:
    """Run; exit code 2 and one line for what a user can mend."""
    import sys

    given = sys.argv[1:] if words is None else words

    def call() -> int:
        run(parse_config(Config, given, prog="ship.py"))
        return 0

    return guarded(call)


if __name__ == "__main__":
    raise SystemExit(main())
