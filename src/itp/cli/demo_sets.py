"""Shipped checkpoints: which sets there are, and how each is to be played.

    checkpoints/NAME/policy/        a policy checkpoint, with heads where a row's horizon is learned
    checkpoints/NAME/world_model/   a world model checkpoint; absent where the rows imagine without one
    checkpoints/NAME/play.yaml      a `PlayFile`

`itp demo` plays them; `scripts/ship.py` writes them.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from itp.cli import eval as evaluation
from itp.cli.flags import check_values
from itp.errors import CheckpointError, ConfigError, DataError, EnvError

PLAY_FILE = "play.yaml"
FOLDER = "checkpoints"
WORLD_MODELS = ("learned", "rules", "exact")
SCIENCEWORLD_NEEDS = "Java (on Debian: apt install default-jre-headless) and the package (pip install scienceworld)"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a set's table."""

    title: str
    """Its name in the table."""
    planner: str = "itp"
    """As `itp eval --planner`."""
    horizon: str = ""
    """As `itp eval --horizon`."""

    @property
    def folder(self) -> str:
        """Name of the row's run folder: "itp-fixed-3"."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.planner} {self.horizon}".lower()).strip("-")


@dataclass(frozen=True, kw_only=True)
class PlayFile:
    """What `play.yaml` says: the same tasks for every row."""

    about: str
    """One line: what these checkpoints are and do."""
    env: str
    """Environment, as `itp eval --env`."""
    split: str
    """Its split."""
    episodes: int
    """Tasks that each row plays."""
    env_option: tuple[str, ...] = ()
    """KEY=VALUE options of the environment."""
    max_steps: int | None = None
    """Step limit; absent: the environment's own."""
    seed: int = 0
    """Of every random draw."""
    batch_size: int = 16
    """Episodes side by side."""
    workers: int = 0
    """Processes that step the environments."""
    action: str = ""
    """As `itp eval --action`, for every row."""
    action_tokens: int = 16
    """As `itp eval --action-tokens`."""
    proposals: int = 1
    """As `itp eval --proposals`."""
    asked: bool = False
    """Played only where --only names the set, since it takes minutes."""
    avoid: tuple[str, ...] = ()
    """Texts that the rows which imagine avoid, as `itp eval --avoid`."""
    world_model: str = "learned"
    """learned (the set's own), rules, or exact (the engine itself)."""
    rows: tuple[Row, ...] = ()
    """The table, top down; the first is the one that the others are held against."""

    @property
    def learned(self) -> bool:
        """Whether a row imagines with the set's own world model."""
        return self.world_model == "learned" and any(map(_imagines, self.rows))


@dataclass(frozen=True)
class PlaySet:
    """One folder of shipped checkpoints."""

    path: Path
    play: PlayFile

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    @property
    def policy(self) -> Path:
        """Its policy."""
        return self.path / "policy"

    def row_folders(self, out: Path) -> list[Path]:
        """Run folder of every row."""
        return [out / self.name / row.folder for row in self.play.rows]

    def evaluations(self, out: Path) -> list[evaluation.Config]:
        """What `itp eval` would be told for every row."""
        play = self.play
        world_model = str(self.path / "world_model") if play.world_model == "learned" else play.world_model
        return [
            evaluation.Config(
                out=folder,
                env=play.env,
                split=play.split,
                env_option=play.env_option,
                max_steps=play.max_steps,
                planner=row.planner,
                horizon=row.horizon,
                policy=str(self.policy),
                world_model=world_model if _imagines(row) else "",
                avoid=play.avoid if _imagines(row) else (),
                episodes=play.episodes,
                batch_size=play.batch_size,
                workers=play.workers,
                action=play.action,
                action_tokens=play.action_tokens,
                proposals=play.proposals,
                seed=play.seed,
            )
            for row, folder in zip(play.rows, self.row_folders(out), strict=True)
        ]


def find_checkpoints(given: Path | None) -> Path:
    """The folder of sets: the one given, else `checkpoints` in the working folder or beside the source tree.

    Raises:
        CheckpointError: there is none, or no set in it.
    """
    beside = Path(__file__).resolve().parents[3] / FOLDER
    places = [given] if given is not None else [Path(FOLDER), beside]
    for place in places:
        if any(place.glob(f"*/{PLAY_FILE}")):
            return place
    where = " or ".join(map(str, places))
    raise CheckpointError(
        f"no shipped checkpoints in {where} (folders with a {PLAY_FILE}): name their folder with --checkpoints, "
        "or train your own with `itp demo --train`"
    )


def choose_sets(folder: Path, only: Sequence[str] = ()) -> list[PlaySet]:
    """The sets of a folder, household first, checked as far as can be done without loading a model.

    Raises:
        CheckpointError: a set lacks a file.
        ConfigError: `only` names no set, or a play.yaml cannot be used.
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if unknown := [name for name in only if name not in names]:
        raise ConfigError(f"--only {unknown[0]} is no set of {folder}: choose from {', '.join(names)}")
    names = [name for name in names if not only or name in only]
    return [load_set(folder / name) for name in sorted(names, key=lambda name: (name != "household", name))]


def load_set(path: Path) -> PlaySet:
    """Read and check one set; see `choose_sets`."""
    one = PlaySet(path, read_play(path / PLAY_FILE))
    for row, settings in zip(one.play.rows, one.evaluations(Path()), strict=True):
        try:
            evaluation.check(settings)
        except ConfigError as error:
            raise ConfigError(f"{path / PLAY_FILE}, row {row.title!r}: {error}") from error
    for part in (one.policy, path / "world_model") if one.play.learned else (one.policy,):
        _check_files(part)
    return one


def read_play(file: Path) -> PlayFile:
    """Read a play.yaml; unknown keys, wrong types and missing ones are refused. Raises ConfigError, CheckpointError."""
    import yaml

    if not file.is_file():
        raise CheckpointError(f"{file} is missing: a set of checkpoints says there how it is played (docs/demo.md)")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not isinstance(content.get("rows"), list) or not content["rows"]:
        raise ConfigError(f"{file} must hold `key: value` lines, and a list `rows`: see docs/demo.md")
    rows = tuple(_read(Row, row, f"{file}, rows") for row in content.pop("rows"))
    play = _read(PlayFile, content, str(file), rows=rows)
    positive = ("episodes", "batch_size", "action_tokens", "proposals")
    for least, key in (*((1, key) for key in positive), (0, "workers"), (0, "seed")):
        if getattr(play, key) < least:
            raise ConfigError(f"{file}: {key} must be at least {least}")
    if play.world_model not in WORLD_MODELS:
        raise ConfigError(f"{file}: world_model is {play.world_model!r}, expected one of {', '.join(WORLD_MODELS)}")
    if len({row.folder for row in rows}) < len(rows) or len({row.title for row in rows}) < len(rows):
        raise ConfigError(f"{file}: two rows have the same title, or the same planner and horizon: leave one away")
    return play


def why_not(one: PlaySet) -> str:
    """Why a set cannot be played on this machine, and how to mend it; "" when it can."""
    play = one.play
    if play.env == "scienceworld" and (shutil.which("java") is None or find_spec("scienceworld") is None):
        return f"it needs {SCIENCEWORLD_NEEDS}"
    try:
        env = one.evaluations(Path())[0].env_factory()()
        try:
            count = len(env.task_ids)
        finally:
            env.close()
    except (DataError, EnvError) as error:
        return str(error)
    except ModuleNotFoundError as error:
        return f"it needs the package {error.name}: pip install {error.name}"
    except ConfigError as error:
        raise ConfigError(f"{one.path / PLAY_FILE}: {error}") from error
    if play.episodes > count:
        raise ConfigError(f"{one.path / PLAY_FILE}: episodes is {play.episodes}, but {play.split} has {count} tasks")
    return ""


def fingerprint(one: PlaySet) -> dict[str, str]:
    """A hash of everything that is played: all files of the set but its cards."""
    files = (path for path in sorted(one.path.rglob("*")) if path.is_file() and path.name != "README.md")
    return {str(path.relative_to(one.path)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _check_files(part: Path) -> None:
    weights = ("model.safetensors", "model.safetensors.index.json")
    missing = [name for name in ("config.json", "itp_config.json", "tokenizer.json") if not (part / name).is_file()]
    if not any((part / name).is_file() for name in weights):
        missing.append(weights[0])
    if missing:
        raise CheckpointError(f"{part} is incomplete, {missing[0]} is missing: fetch it again, or leave the set out")


def _imagines(row: Row) -> bool:
    return row.planner == "itp" and row.horizon != "fixed:0"


def _read(kind: type[T], content: Any, where: str, **given: Any) -> T:
    """A dataclass from a YAML mapping; `given` are fields that were read already."""
    if not isinstance(content, Mapping):
        raise ConfigError(f"{where} must hold `key: value` lines, not {content!r}")
    checked = check_values(kind, content, where)
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in checked.items()} | given
    missing = [f.name for f in fields(kind) if f.default is MISSING and f.name not in values]  # pyright: ignore
    if missing:
        raise ConfigError(f"{where}: {', '.join(missing)} is missing")
    return kind(**values)
