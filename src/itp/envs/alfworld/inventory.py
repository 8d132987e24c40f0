"""Take stock of a folder of ALFWorld games: what is there, what is broken, what is missing.

`itp data alfworld` prints it. Nothing here raises for a bad file: every fault is counted and named.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from itp.envs.alfworld.annotations import TRAJECTORY_NAME, read_sentences
from itp.envs.alfworld.data import GAMES_FOLDER, SPLITS, counts, is_solvable, task_type_of
from itp.envs.alfworld.problem import load_game, task_id_of
from itp.errors import DataError, GameFileError

SHIPPED = {"train": 3553, "valid_seen": 140, "valid_unseen": 134}
"""Playable games of the public release (Shridhar et al. 2021). Some copies have one more in train."""
LOGIC = ("alfred.pddl", "alfred.twl2")
"""Domain and grammar for ALFWorld's own loader. The game files hold both; neither engine here reads these."""
OTHER = "other"

Progress = Callable[[int, int], None]
"""(games looked at, games)"""


@dataclass(slots=True)
class SplitStock:
    """What one split holds.

    Args:
        split: its name.
        playable: games that count, by task family.
        unsolvable: games that their own file calls unsolvable.
        excluded: games that ALFWorld's loader leaves out by name: "movable" and "Sliced".
        broken: one line for each game file that cannot be read.
        with_goals: playable games with human goals.
        sentences: human goals in all.
        without_goals: one line for each playable game without.
        without_game: trial folders without a game file.
        official: game files named as in the public release ("trial_T2019...").
        size: bytes of all game files.
        digest: SHA-256 over names and contents of the game files, "" unless they were read.
    """

    split: str
    playable: Counter[str] = field(default_factory=Counter)
    unsolvable: int = 0
    excluded: int = 0
    broken: list[str] = field(default_factory=list)
    with_goals: int = 0
    sentences: int = 0
    without_goals: list[str] = field(default_factory=list)
    without_game: int = 0
    official: int = 0
    size: int = 0
    digest: str = ""

    @property
    def files(self) -> int:
        """Game files found, good or bad."""
        return self.playable.total() + self.unsolvable + self.excluded + len(self.broken)

    @property
    def missing(self) -> int:
        """Playable games that the public release has beyond these; 0 for a split of anybody's own games."""
        if not self.official:
            return 0
        return max(0, SHIPPED[self.split] - self.playable.total() - len(self.broken))


@dataclass(slots=True)
class Stock:
    """What a data folder holds.

    Args:
        root: the folder that holds `json_2.1.1`; what ALFWORLD_DATA has to name.
        splits: the splits that are there.
        logic: the logic files that are there.
    """

    root: Path
    splits: list[SplitStock]
    logic: list[str]

    @property
    def absent(self) -> list[str]:
        """Splits that are not there."""
        present = {stock.split for stock in self.splits}
        return [split for split in SPLITS if split not in present]

    def problems(self, *, ignore_missing: bool = False) -> list[str]:
        """Why the folder should not be used as it is, one line each; none when it is good.

        Args:
            ignore_missing: do not count games that the public release has beyond these.
        """
        if not any(stock.playable for stock in self.splits):
            found = sum(stock.files for stock in self.splits)
            return [f"no playable game among {found} game files in {self.root / GAMES_FOLDER}"]
        lines = []
        for stock in self.splits:
            if stock.broken:
                lines.append(f"{stock.split}: {len(stock.broken)} broken game files, the first {stock.broken[0]}")
            if stock.missing and not ignore_missing:
                lines.append(
                    f"{stock.split}: {stock.playable.total():,} playable games, and the public release has "
                    f"{SHIPPED[stock.split]:,}: the folder was not unpacked to the end"
                )
        return lines

    def notes(self) -> list[str]:
        """What a user should know and can live with, one line each."""
        lines = [f"{split}: not here; the public release has it ({SHIPPED[split]:,} games)" for split in self.absent]
        for stock in self.splits:
            if stock.without_goals:
                lines.append(
                    f"{stock.split}: {len(stock.without_goals):,} games have no human goals and play with "
                    f"goal=template only; the first: {stock.without_goals[0]}"
                )
            if stock.without_game:
                lines.append(f"{stock.split}: {stock.without_game:,} trial folders hold no game.tw-pddl")
        if gone := [name for name in LOGIC if name not in self.logic]:
            lines.append(f"logic: {', '.join(gone)} not here; only ALFWorld's own loader asks for them")
        return lines


def take_stock(root: Path, *, deep: bool = False, on_progress: Progress | None = None) -> Stock:
    """Look through a data folder.

    Args:
        root: folder that holds `json_2.1.1`.
        deep: also parse every playable game and compute the digests (about two milliseconds a game).
        on_progress: called after each game.
    """
    found = {split: sorted((root / GAMES_FOLDER / split).glob("*/*/")) for split in SPLITS}
    total, done = sum(len(trials) for trials in found.values()), 0
    splits = []
    for split, trials in found.items():
        if not trials:
            continue
        stock, digest = SplitStock(split), hashlib.sha256()
        for trial in trials:
            _look_at(stock, trial, digest if deep else None)
            done += 1
            if on_progress is not None:
                on_progress(done, total)
        stock.digest = digest.hexdigest() if deep else ""
        splits.append(stock)
    return Stock(root, splits, [name for name in LOGIC if (root / "logic" / name).is_file()])


def _look_at(stock: SplitStock, trial: Path, digest: hashlib._Hash | None) -> None:
    """Count one trial folder."""
    path = trial / "game.tw-pddl"
    if not path.is_file():
        stock.without_game += 1
        return
    task_id = task_id_of(path)
    stock.size += path.stat().st_size
    stock.official += trial.name.startswith("trial_T")
    try:
        solvable = is_solvable(path)
        if digest is not None:
            digest.update(f"{task_id}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
            if solvable and counts(task_id):
                load_game(path)
    except (GameFileError, OSError) as error:
        stock.broken.append(str(error))
        return
    if not counts(task_id):
        stock.excluded += 1
    elif not solvable:
        stock.unsolvable += 1
    else:
        stock.playable[task_type_of(task_id) or OTHER] += 1
        _count_goals(stock, trial)


def _count_goals(stock: SplitStock, trial: Path) -> None:
    try:
        stock.sentences += len(read_sentences(trial / TRAJECTORY_NAME))
        stock.with_goals += 1
    except (DataError, GameFileError) as error:
        stock.without_goals.append(str(error))


def families(splits: Sequence[SplitStock]) -> list[str]:
    """The families that occur, in ALFWorld's order."""
    from itp.envs.alfworld.problem import TASK_TYPES

    return [name for name in (*TASK_TYPES, OTHER) if any(stock.playable[name] for stock in splits)]
