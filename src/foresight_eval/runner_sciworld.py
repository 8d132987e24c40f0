"""`python -m foresight_eval.runner_sciworld`: the authors' ScienceWorld evaluation over `itp eval`."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foresight_eval.common import EvalFlags, play
from itp.cli import authors
from itp.errors import DataError

SPLITS = {
    "test": "test_unseen", "dev": "test_seen", "unseen": "test_unseen", "seen": "test_seen", "train": "train"
}  # fmt: skip
"""The authors' names (after ETO) -> ours."""


@dataclass(kw_only=True)
class Config(EvalFlags):
    """Evaluate a policy with a world model on ScienceWorld; the authors' flags."""

    split: str = "test"
    """test (the unseen variations), dev (the seen ones) or train."""
    jar_path: Path | None = None
    """The simulator; that of the installed scienceworld plays, and this one is compared with it."""


def run(config: Config) -> None:
    """Evaluate; the same command again resumes."""
    authors.check_choice("--split", config.split, tuple(SPLITS))
    if config.jar_path is not None:
        _compare_jar(config.jar_path)
    play(config, idle={}, env="scienceworld", split=SPLITS[config.split])


def _compare_jar(path: Path) -> None:
    """Warn when the given simulator is another than the installed one. Raises DataError when there is none."""
    if not path.is_file():
        raise DataError(f"--jar_path {path} does not exist: name scienceworld.jar, or leave the flag out")
    import scienceworld

    installed = Path(scienceworld.__file__).parent / "scienceworld.jar"
    digests = [hashlib.sha256(file.read_bytes()).digest() for file in (path, installed)]
    if digests[0] != digests[1]:
        authors.warn(f"--jar_path {path} is another version: {installed} plays, which fits the installed scienceworld")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    return authors.run_entry("foresight_eval.runner_sciworld", words, prog="python -m foresight_eval.runner_sciworld")


if __name__ == "__main__":
    sys.exit(main())
