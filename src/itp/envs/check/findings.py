"""What a check of an environment found: `Problem` records, and the guard that turns exceptions into them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
LONGEST = 160
"""Characters of a found value that are shown."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One breach of the contract. `str(problem)` is one line."""

    method: str
    """Where: a method or attribute of the environment, "step", "info['won']", "task_ids" ..."""
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.method}: expected {self.expected}, found {self.found}"


class StopCheckError(Exception):
    """A problem that makes the rest of a part meaningless; raised by `Findings`, caught by `Findings.part`."""


class Findings:
    """Collects problems; the same expectation of the same method is reported once, as first found."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(self, method: str, expected: str, found: str) -> None:
        """Record a problem, unless it is known."""
        if not any((known.method, known.expected) == (method, expected) for known in self.problems):
            self.problems.append(Problem(method, expected, found))

    def need(self, holds: bool, method: str, expected: str, found: str) -> None:
        """Record a problem unless `holds`."""
        if not holds:
            self.add(method, expected, found)

    def demand(self, holds: bool, method: str, expected: str, found: str) -> None:
        """Record a problem unless `holds`, and end this part of the check."""
        if not holds:
            self.add(method, expected, found)
            raise StopCheckError

    def call(self, method: str, expected: str, function: Callable[[], T]) -> T:
        """The function's result; an exception becomes a problem and ends this part of the check."""
        try:
            return function()
        except (Exception, SystemExit) as error:
            self.add(method, expected, describe(error))
            raise StopCheckError from error

    def refused(self, method: str, expected: str, function: Callable[[], Any], found: str) -> BaseException | None:
        """The exception that the function raised; if it raised none, that is the problem and None is returned."""
        try:
            function()
        except (Exception, SystemExit) as error:
            return error
        self.add(method, expected, found)
        return None

    @contextlib.contextmanager
    def part(self) -> Iterator[None]:
        """A part of the check, which a `StopCheckError` ends early."""
        with contextlib.suppress(StopCheckError):
            yield


def describe(error: BaseException) -> str:
    """An exception as one line."""
    return shorten(f"{type(error).__name__}: {error}")


def show(value: object) -> str:
    """A value, with its type, as one line."""
    try:
        text = repr(value)
    except Exception as error:  # a faulty environment may return anything
        text = f"(its repr raises {describe(error)})"
    return shorten(f"{type(value).__name__} {text}")


def shorten(text: str) -> str:
    """One line of at most `LONGEST` characters."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
