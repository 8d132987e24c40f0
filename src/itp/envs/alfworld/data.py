"""Find ALFWorld games on disk and name them: where a split's list of tasks comes from.

The folder is the official layout, `json_2.1.1/SPLIT/TASKFOLDER/TRIALFOLDER/game.tw-pddl`. Only games that count are
listed: solvable, and neither "movable" nor "Sliced" in their path, as in ALFWorld's own loader.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itp.envs.alfworld.problem import TASK_TYPES, Game, load_game, parse_game, task_id_of
from itp.errors import ConfigError, DataError, GameFileError

SPLITS = ("train", "valid_seen", "valid_unseen")
GAMES_FOLDER = "json_2.1.1"
DATA_VARIABLE = "ALFWORLD_DATA"
DEFAULT_DATA = Path("~/.cache/alfworld")
"""Where `alfworld-download` puts the games unless told otherwise."""

GameData = Mapping[str, Any]
_SOLVABLE_TAIL = re.compile(rb'"solvable"\s*:\s*(true|false)\s*\}\s*\Z')


@dataclass(frozen=True, slots=True)
class GameSource:
    """Where one game comes from: a file, or the content of one held in memory.

    Args:
        task_id: name of the task, unique within a split.
        path: game file.
        data: content of a game file, or a function that makes it when the game is first played. Exactly one of `path`
            and `data` is given.
    """

    task_id: str
    path: Path | None = None
    data: GameData | Callable[[], GameData] | None = None

    def __post_init__(self) -> None:
        if (self.path is None) == (self.data is None):
            raise ConfigError(f"game {self.task_id!r} needs exactly one of path and data; give one of them")

    @classmethod
    def from_path(cls, path: str | Path) -> GameSource:
        """Source of a game file, named after its last two folders."""
        return cls(task_id_of(Path(path)), path=Path(path))

    def read(self) -> GameData:
        """Content of a game held in memory.

        Raises:
            ConfigError: the game is a file.
        """
        if self.data is None:
            raise ConfigError(f"game {self.task_id!r} is the file {self.path}, not held in memory")
        return self.data() if callable(self.data) else self.data

    def load(self) -> Game:
        """Parse the game.

        Raises:
            GameFileError: it is not a game; the message names the file or the task.
        """
        if self.path is not None:
            return load_game(self.path, self.task_id)
        try:
            return parse_game(self.read(), self.task_id)
        except GameFileError as error:
            raise GameFileError(f"game {self.task_id!r}: {error.args[0]}") from error


def data_folder(data: str | Path | None = None) -> Path:
    """Folder that holds `json_2.1.1`: the argument, else the variable ALFWORLD_DATA, else `~/.cache/alfworld`.

    Raises:
        DataError: there is no such folder; the message names one further down where there is one.
    """
    given = data or os.environ.get(DATA_VARIABLE) or DEFAULT_DATA
    root = Path(given).expanduser()
    found = locate_data(root)
    if found in (root, root.parent):
        return found
    origin = "data" if data else DATA_VARIABLE if os.environ.get(DATA_VARIABLE) else "the default folder"
    remedy = (
        f"it lies in {found}" if found else "`itp data alfworld --archive FILE` or `alfworld-download` puts it there"
    )
    raise DataError(
        f"ALFWorld games not found: {origin} is {root}, which has no folder {GAMES_FOLDER}; {remedy}; "
        f"name the folder with --data or {DATA_VARIABLE}"
    )


def locate_data(folder: Path) -> Path | None:
    """The folder that holds `json_2.1.1`: this one, its parent when it is `json_2.1.1` itself, or one just below it."""
    if (folder / GAMES_FOLDER).is_dir():
        return folder
    if folder.name == GAMES_FOLDER and folder.is_dir():
        return folder.parent
    below = sorted(path.parent for path in folder.glob(f"*/{GAMES_FOLDER}") if path.is_dir())
    return below[0] if below else None


def find_games(data: str | Path | None, split: str) -> list[GameSource]:
    """Games of a split that count, sorted by task id.

    Args:
        data: folder that holds `json_2.1.1`; None reads ALFWORLD_DATA, then the default folder.
        split: one of `SPLITS`.

    Raises:
        ConfigError: unknown split.
        DataError: the folder or the split is missing or empty.
        GameFileError: a game file is truncated.
    """
    if split not in SPLITS:
        raise ConfigError(f"split {split!r} is unknown; alfworld has {', '.join(SPLITS)}")
    root = data_folder(data) / GAMES_FOLDER
    games = []
    for path in (root / split).glob("*/*/game.tw-pddl"):
        task_id = task_id_of(path)
        if counts(task_id) and is_solvable(path):
            games.append(GameSource(task_id, path=path))
    if not games:
        present = ", ".join(name for name in SPLITS if (root / name).is_dir()) or "none"
        raise DataError(
            f"no games of split {split!r} in {root}; splits there: {present}; `itp data alfworld` lists what was found"
        )
    return sorted(games, key=lambda game: game.task_id)


def task_type_of(task_id: str) -> str:
    """Task family of a shipped game, from the beginning of its folder name; "" when it is none of the six."""
    return next((name for name in TASK_TYPES if task_id.startswith(f"{name}-")), "")


def counts(task_id: str) -> bool:
    """Whether a game counts by its name: neither "movable" nor "Sliced" occurs in it."""
    return "movable" not in task_id and "Sliced" not in task_id


def is_solvable(path: Path) -> bool:
    """The flag at the end of a game file; files are read whole only where it is not the last key.

    Raises:
        GameFileError: the file is truncated or cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 64))
            tail = _SOLVABLE_TAIL.search(file.read())
        return tail[1] == b"true" if tail else bool(json.loads(path.read_bytes()).get("solvable", False))
    except OSError as error:
        raise GameFileError(f"{path}: cannot be read ({error.strerror or error}); mend its permissions") from error
    except (ValueError, AttributeError) as error:
        raise GameFileError(f"{path}: not valid JSON ({error}); the file is truncated or damaged") from error
