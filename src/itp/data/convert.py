"""`itp data convert`: the authors' data formats and ETO conversations as trajectories that every stage reads.

    itp data convert --input alfworld_sft.json --out out/eto
    itp data convert --input expert.jsonl wm_train.jsonl --out out/theirs
    itp train policy --data out/eto --out out/policy

One file in gives one file of the same name out, an episode a line. `itp.data.formats` says which formats are known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from itp.data.formats import FORMATS, format_of, read_records, read_trajectories
from itp.errors import ConfigError, DataError


@dataclass
class Config:
    """Turn files in the authors' formats, or ETO conversations, into trajectories."""

    input: tuple[Path, ...]
    """Files to convert: JSON Lines, or a JSON list."""
    out: Path
    """Folder to write; one JSONL file of trajectories per input."""
    format: str = "auto"
    """What the files hold: expert, world-model, eto, itp (already ours), or auto (by the first record of each)."""


def run(config: Config) -> None:
    """Convert every file; the same command again does it anew."""
    from itp.run_folder import open_run

    if config.format != "auto" and config.format not in FORMATS:
        raise ConfigError(f"--format {config.format} is unknown: choose one of auto, {', '.join(FORMATS)}")
    if not config.input:
        raise ConfigError("--input names no file: give one or more")
    for path in config.input:
        if not path.is_file():
            raise DataError(f"--input {path} is no file: name a .jsonl or .json file")
    with open_run(config.out, config, command="data convert") as folder:
        for path, name in zip(config.input, _names(config.input), strict=True):
            convert(path, folder / name, config.format)


def convert(path: Path, target: Path, form: str = "auto", *, expert: bool = False) -> None:
    """Write the trajectories of a file to `target` in one piece, and print how many there are.

    Args:
        path: file in one of the known formats.
        target: JSONL file to write; one that exists is replaced.
        form: the format, or "auto".
        expert: an expert acted in rows of the world-model format too.

    Raises:
        ConfigError: a record does not follow the format; `target` is left as it was.
        DataError: the file is missing or empty.
    """
    from itp.run_folder import is_main
    from itp.trace.store import TraceStore

    draft = target.with_name(f".{target.name}.new")
    draft.unlink(missing_ok=True)
    episodes = steps = 0
    try:
        store = TraceStore(draft)
        for trajectory in read_trajectories(path, form, expert=expert):
            store.append(trajectory)
            episodes, steps = episodes + 1, steps + len(trajectory.steps)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    if is_main():
        print(f"{path}: {episodes} trajectories, {steps} steps -> {target}", flush=True)


def as_trajectories(path: Path, folder: Path, *, expert: bool) -> Path:
    """A file or folder that the stages read: `path` itself where it holds trajectories, else a file in `folder`.

    The file's name has a digest of what was converted, so that a run never goes on with data that have changed.

    Raises:
        ConfigError: a record follows no known format.
        DataError: there is nothing at `path`.
    """
    if path.is_dir():
        return path
    first = next(read_records(path), None)
    if first is not None and format_of(first) == "itp":
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    target = folder / f"{path.stem}-{digest[:8]}.jsonl"
    convert(path, target, expert=expert)
    return target


def _names(paths: Sequence[Path]) -> list[str]:
    """One file name per input; inputs of the same name are numbered."""
    names: list[str] = []
    for path in paths:
        count = 1
        while (name := f"{path.stem}{f'-{count}' if count > 1 else ''}.jsonl") in names:
            count += 1
        names.append(name)
    return names
