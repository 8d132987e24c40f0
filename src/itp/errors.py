"""Errors a user can act on: one line saying what was given, what is allowed and what to change.

Every class is also a standard-library error, so callers that know nothing of `itp` can catch it. The command line
prints the message alone and exits with code 2; anything that is not an `ItpError` is a bug and keeps its traceback.
"""

from __future__ import annotations


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
