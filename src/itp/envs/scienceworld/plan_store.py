"""Tidy plans that were found before, by any process on this machine: each takes seconds of rehearsal in the simulator.

They are a function of the task, of this package's code and of the simulator, and so is the file that holds them:
ITP_CACHE/scienceworld-plans-HASH.jsonl, with one plan a line (ITP_CACHE is ~/.cache/itp unless it is set).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

CACHE_VARIABLE = "ITP_CACHE"


class TidyPlan(NamedTuple):
    """Commands before the episode that the plan counts on, and the commands that win then."""

    prelude: list[str]
    plan: list[str]


class PlanStore:
    """Plans by task. What cannot be read or written is found again each time.

    Args:
        folder: where the file lies; None takes what ITP_CACHE says when a plan is first asked for.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._plans: dict[str, TidyPlan] | None = None

    @property
    def path(self) -> Path:
        """The file of this code and this simulator."""
        folder = self._folder or Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/itp").expanduser()
        return folder / f"scienceworld-plans-{_code_hash()}.jsonl"

    def find(self, task: str, simplifications: str, moved: int, rehearse: Callable[[], TidyPlan]) -> TidyPlan:
        """The plan of a task, rehearsed where it is not known yet.

        Args:
            task: "NAME/VARIATION".
            simplifications: see `make_scienceworld_env`.
            moved: see `make_scienceworld_env`.
            rehearse: finds the plan.
        """
        if self._plans is None:
            self._plans = self._read()
        key = json.dumps([task, simplifications, moved])
        if key not in self._plans:
            self._plans[key] = rehearse()
            self._append(key, self._plans[key])
        return self._plans[key]

    def _read(self) -> dict[str, TidyPlan]:
        plans = {}
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return {}
        for line in lines:
            try:
                key, prelude, plan = json.loads(line)
                plans[key] = TidyPlan(list(prelude), list(plan))
            except (ValueError, TypeError):
                continue  # a line that was cut off
        return plans

    def _append(self, key: str, found: TidyPlan) -> None:
        line = json.dumps([key, *found]) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:  # one write, so that processes do not mix their lines
                file.write(line)
        except OSError:
            return


def _code_hash() -> str:
    try:
        simulator = version("scienceworld")
    except PackageNotFoundError:
        simulator = ""
    code = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join([simulator.encode(), *(file.read_bytes() for file in code)])).hexdigest()[:12]
