"""`itp data alfworld`: unpack the ALFWorld games, or look at those that are there, and say exactly what was found.

    itp data alfworld                                        what ALFWORLD_DATA or ~/.cache/alfworld holds
    itp data alfworld --data FOLDER --deep                   parse every game, too
    itp data alfworld --archive alfworld.tar.xz --out data/alfworld

Exit code 2 when the games should not be used as they are: none playable, broken files, or a folder that was not
unpacked to the end. The public source of the games is `alfworld-download`, which comes with `pip install alfworld`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from itp.errors import ConfigError, DataError

if TYPE_CHECKING:
    from rich.table import Table

    from itp.envs.alfworld.inventory import SplitStock, Stock

SHORT = {
    "pick_and_place_simple": "pick",
    "look_at_obj_in_light": "look",
    "pick_clean_then_place_in_recep": "clean",
    "pick_heat_then_place_in_recep": "heat",
    "pick_cool_then_place_in_recep": "cool",
    "pick_two_obj_and_place": "two",
}
"""Heads of the table's columns."""
SOURCE = "get them again with `itp data alfworld --archive FILE --out FOLDER`, or publicly with `alfworld-download`"


@dataclass
class Config:
    """Unpack ALFWorld games, or look at those that are there, and say what was found."""

    data: Path | None = None
    """Folder to look at (default: the variable ALFWORLD_DATA, else ~/.cache/alfworld)."""
    archive: Path | None = None
    """Archive of games to unpack first: .tar.xz, .tar.gz, .tar or .zip."""
    out: Path | None = None
    """Folder to unpack into; it must not exist or be empty (default: ~/.cache/alfworld)."""
    deep: bool = False
    """Parse every playable game, and print a SHA-256 over the game files of each split."""
    part: bool = False
    """A part of the public release is meant to be here: do not complain about the rest."""


def run(config: Config) -> None:
    """Unpack if asked to, take stock, print, and refuse what cannot be used."""
    from itp.envs.alfworld.inventory import take_stock

    stock = take_stock(_folder(config), deep=config.deep, on_progress=_Meter("reading", "games"))
    _report(stock)
    problems = stock.problems(ignore_missing=config.part)
    if problems:
        raise DataError(f"{'; '.join(problems)}. {SOURCE}")
    print(f"\nTo use these games:\n    export ALFWORLD_DATA={_quoted(stock.root)}")


def _folder(config: Config) -> Path:
    """The folder to look at, freshly unpacked if so asked."""
    from itp.envs.alfworld.archive import unpack
    from itp.envs.alfworld.data import DEFAULT_DATA, data_folder, locate_data

    if config.archive is not None:
        if config.data is not None:
            raise ConfigError("--data and --archive exclude each other: an archive is unpacked into --out")
        out = config.out or DEFAULT_DATA
        root = unpack(config.archive, out, _Meter("unpacking", "MB", unit=1_000_000))
        print(f"unpacked {config.archive} into {root}")
        return root.resolve()
    if config.out is not None:
        raise ConfigError(f"--out {config.out} is where an archive is unpacked: add --archive FILE")
    if config.data is not None and (found := locate_data(config.data.expanduser())):
        return found.resolve()
    return data_folder(config.data).resolve()


def _quoted(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))


class _Meter:
    """Progress on one line of a terminal; nothing where stderr is a file or a pipe."""

    def __init__(self, verb: str, what: str, unit: int = 1) -> None:
        self.verb, self.what, self.unit = verb, what, unit
        self.shown = -1

    def __call__(self, done: int, total: int) -> None:
        percent = 100 * done // max(total, 1)
        if not sys.stderr.isatty() or percent == self.shown:
            return
        self.shown = percent
        end = "\n" if done >= total else ""
        amounts = f"{done / self.unit:,.0f} of {total / self.unit:,.0f} {self.what}"
        print(f"\r{self.verb} {percent:>3}%  {amounts} ", end=end, file=sys.stderr, flush=True)


def _report(stock: Stock) -> None:
    from itp.cli.console import wide_console

    size = sum(split.size for split in stock.splits)
    files = sum(split.files for split in stock.splits)
    print(f"ALFWorld games in {stock.root}: {files:,} game files, {size / 1e6:,.0f} MB")
    if stock.splits:
        wide_console().print(_table(stock))
    print(f"logic files: {', '.join(stock.logic) or 'none'}")
    for split in stock.splits:
        if split.sentences:
            print(f"human goals of {split.split}: {split.sentences:,} sentences for {split.with_goals:,} games")
    for split in stock.splits:
        if split.digest:
            print(f"sha256 of {split.split}: {split.digest}")
    for note in stock.notes():
        print(f"note: {note}")


def _table(stock: Stock) -> Table:
    from rich.table import Table

    from itp.envs.alfworld.inventory import families

    kinds = families(stock.splits)
    table = Table()
    heads = ["playable", *(SHORT.get(kind, kind) for kind in kinds), "unsolvable", "movable/Sliced", "broken"]
    table.add_column("split")
    for head in [*heads, "with human goals"]:
        table.add_column(head, justify="right")
    for split in stock.splits:
        table.add_row(split.split, *(f"{value:,}" for value in _cells(split, kinds)))
    return table


def _cells(split: SplitStock, kinds: list[str]) -> list[int]:
    by_family = [split.playable[kind] for kind in kinds]
    return [split.playable.total(), *by_family, split.unsolvable, split.excluded, len(split.broken), split.with_goals]
