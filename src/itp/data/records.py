"""JSON files as records that know where they stand, so that a mistake in one is told by file and line.

Serves `itp.data.formats`, which makes trajectories of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itp.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class Record:
    """One JSON value of a file, and where it stands: "FILE:LINE", or "FILE item N" of a list."""

    value: Any
    where: str

    @property
    def fields(self) -> Mapping[str, Any]:
        """The value, which has to be an object. Raises ConfigError when it is none."""
        if not isinstance(self.value, Mapping):
            raise ConfigError(f"{self.where}: a {type(self.value).__name__}, expected an object with keys")
        return self.value

    def text(self, key: str) -> str:
        """The text under a key. Raises ConfigError when it is missing or no text."""
        if key not in self.fields:
            raise ConfigError(f"{self.where}: key {key!r} is missing; there are {', '.join(map(str, self.fields))}")
        if not isinstance(self.fields[key], str):
            raise ConfigError(f"{self.where}: {key} is {type(self.fields[key]).__name__}, expected text")
        return self.fields[key]


def read_records(path: Path) -> Iterator[Record]:
    """The records of a JSON Lines file or of a JSON list.

    Raises:
        DataError: there is no such file, or nothing in it.
        ConfigError: a line is no JSON, or the file no text.
    """
    if not path.is_file():
        raise DataError(f"{path} is no file: name a .jsonl or .json file")
    try:
        yield from _records(path)
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no UTF-8 text: name a .jsonl or .json file") from None


def _records(path: Path) -> Iterator[Record]:
    if (items := _json_list(path)) is not None:
        yield from (Record(item, f"{path} item {number}") for number, item in enumerate(items, start=1))
        return
    empty = True
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                empty = False
                yield Record(_parse(line, f"{path}:{number}"), f"{path}:{number}")
    if empty:
        raise DataError(f"{path} is empty: there is nothing to read")


def is_conversation(value: Any) -> bool:
    """Whether a value is a list of turns with a speaker each."""
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], Mapping)
        and {*value[0]} & {"from", "role"} != set()
    )


def _json_list(path: Path) -> list[Any] | None:
    """The items of a file that is one JSON list; None for any other."""
    with path.open(encoding="utf-8") as stream:
        if not stream.read(64).lstrip().startswith("["):
            return None
        stream.seek(0)
        try:
            items = json.loads(stream.read())
        except json.JSONDecodeError:
            return None  # JSON Lines whose lines are lists; a broken list will be told by its line
    return [items] if is_conversation(items) else items


def _parse(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{where}: no JSON ({error.msg} at column {error.colno})") from None
