"""Files of Z-machine games: find them, refuse what cannot be played, open them on the `textworld` library.

Serves `itp.envs.textworld`.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from itp.errors import ConfigError, DataError, GameFileError

GAME_SUFFIXES = tuple(f".z{version}" for version in range(1, 9))
EVERYTHING = "all"
"""The split that holds every game of a folder, whatever its subfolders are called."""
_SEED = 20_220
"""Of the interpreter's random numbers; the same in every episode, so that a game is one task."""


def find_games(data: Path, split: str = EVERYTHING) -> tuple[Path, list[Path]]:
    """The folder that task ids are relative to, and its games in the order of their paths.

    Raises:
        ConfigError: `split` is neither "all" nor a subfolder.
        DataError: nothing there, or no games.
        GameFileError: a single file that is no Z-machine game.
    """
    if data.is_file():
        _check_suffix(data)
        return data.parent, [data]
    if not data.is_dir():
        raise DataError(f"data={str(data)!r} does not exist: name a .z8 game, or a folder of them")
    root = data if split == EVERYTHING else data / split
    if not root.is_dir():
        folders = ", ".join(sorted(path.name for path in data.glob("[!.]*") if path.is_dir())) or "none"
        raise ConfigError(f"split {split!r} is no folder in {data}; there are {folders}, and 'all' takes every game")
    games = sorted(path for path in root.rglob("*.z*") if path.suffix in GAME_SUFFIXES and path.is_file())
    if not games:
        glulx = next(root.rglob("*.ulx"), None)
        if glulx is not None:
            _check_suffix(glulx)
        raise DataError(f"{root} holds no games (.z1 to .z8): make some with `tw-make`, or name another folder")
    return root, games


def import_textworld() -> Any:
    """The module textworld.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import textworld
    except ImportError as error:
        raise ConfigError(
            f"textworld is not installed ({error}); pip install 'imagine-then-plan[textworld]'"
        ) from error
    return textworld


def open_game(path: Path, expert: bool) -> Any:
    """A game on textworld's engine; goal, score and admissible commands come from the .json file beside it.

    Args:
        path: the game.
        expert: have winning commands computed, `state.policy_commands`.

    Raises:
        GameFileError: one of the two files is damaged.
    """
    textworld = import_textworld()
    _check_story(path)
    described = path.with_suffix(".json").is_file()
    infos = textworld.EnvInfos(
        won=True,
        lost=True,
        score=True,
        max_score=True,
        objective=described,
        admissible_commands=described,
        policy_commands=described and expert,
    )
    try:
        with _quietly():
            game = textworld.start(str(path), request_infos=infos)
    except Exception as error:  # the libraries raise whatever comes up while they read the two files
        raise GameFileError(f"{path} cannot be read as a game ({type(error).__name__}: {error})") from error
    game.seed(_SEED)
    return game


def copy_game(game: Any) -> Any:
    """An opened game once more, in the same state, with an interpreter of its own."""
    with _quietly():
        return game.copy()


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """The interpreter warns that it does not know the game by its hash, which is so for every game of TextWorld."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _check_suffix(path: Path) -> None:
    if path.suffix == ".ulx":
        raise GameFileError(f"{path}: textworld 1.7 cannot play Glulx games; make it again with tw-make --format z8")
    if path.suffix not in GAME_SUFFIXES:
        raise GameFileError(f"{path} is no Z-machine game: name a file that ends in .z1 to .z8, such as tw-make writes")


def _check_story(path: Path) -> None:
    """Refuse a damaged file here: the interpreter would end the whole process.

    By the Z-Machine Standards Document 1.1, section 11: version in byte 0; length (in units of 2, 4 or 8 bytes) and
    checksum (sum of the bytes after the header) in the words at 26 and 28.
    """
    story = path.read_bytes()
    version = story[0] if len(story) >= 64 else 0
    if not 1 <= version <= 8:
        raise GameFileError(f"{path} is no Z-machine game: its header is missing or damaged; make it again")
    length = int.from_bytes(story[26:28], "big") * (2 if version <= 3 else 4 if version <= 5 else 8)
    checksum = int.from_bytes(story[28:30], "big")
    if length and (len(story) < length or sum(story[64:length]) % 0x10000 != checksum):
        raise GameFileError(f"{path} is damaged: {len(story)} bytes do not match length and checksum in its header")
