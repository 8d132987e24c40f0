"""Errors a user can act on: one line saying what was given, what is allowed and what to change.

Every class is also a standard-library error, so callers that know nothing of `itp` can catch it. The command line
prints the message alone and exits with code 2; anything that is not an `ItpError` is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence


class ItpError(Exception):
    """Base of every error raised on purpose by this package."""


class ConfigError(ItpError, ValueError):
    """A flag, a YAML key or an argument has a value that is not allowed."""


class DataError(ItpError, FileNotFoundError):
    """Data named by the user is missing."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class GameFileError(ItpError, ValueError):
    """A game file exists but cannot be read as a game."""


class CheckpointError(ItpError, ValueError):
    """A checkpoint is missing, incomplete or does not fit the request."""


class RunFolderError(ItpError, ValueError):
    """An output folder holds another run, or a run that cannot be resumed."""


class EnvError(ItpError, RuntimeError):
    """An environment was used out of order, or broke its contract."""


class TrainingError(ItpError, RuntimeError):
    """Training cannot go on, for example after too many non-finite losses."""


class ServerError(ItpError, RuntimeError):
    """A model server refused a request, or gave no usable answer however often it was asked.

    Attributes:
        status: HTTP status of the last answer; None when there was none.
        fatal: every other request would fail alike (key, address, model name): the run should end, not the episode.
        results: one entry for each prompt of the batch: its answer, or the `ServerError` of this prompt alone.
    """

    def __init__(
        self, message: str, *, status: int | None = None, fatal: bool = False, results: Sequence[object] = ()
    ) -> None:
        super().__init__(message)
        self.status, self.fatal, self.results = status, fatal, tuple(results)


class ScoringUnsupported(ItpError, RuntimeError):  # noqa: N818 - named after what is missing, not after a mishap
    """A backend gives no log-probabilities of a given text: choose by generation instead."""


class Overloaded(ItpError, RuntimeError):  # noqa: N818 - a state that passes, not a mishap
    """More decisions are waiting than is allowed, or nobody answers any more: ask again later."""
