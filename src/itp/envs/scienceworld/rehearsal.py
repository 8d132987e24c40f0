"""The tidiest plan of a task that wins: every change of a gold path is played before it is believed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from itp.envs.scienceworld.moved import moved_starts
from itp.envs.scienceworld.patience import FOCUS, OPEN, by_sight, unbroken, unwatched
from itp.envs.scienceworld.plain import by_full_name, first_listed
from itp.envs.scienceworld.plan_store import TidyPlan
from itp.envs.scienceworld.plans import CAUTION, LOOK, WAIT_TEN, direct, room_in, tidy
from itp.envs.scienceworld.simulator import Simulator

WON = 100
REFUSED = "No known action matches that input"
_ROUNDS = 6


class Rehearsal:
    """A task on a stage of its own.

    Args:
        simulator: what the task is played on, again and again; it is left in no state in particular.
        name: of the task.
        variation: of the task.
        simplifications: see `make_scienceworld_env`.
    """

    def __init__(self, simulator: Simulator, name: str, variation: int, simplifications: str) -> None:
        self._simulator, self._name, self._variation = simulator, name, variation
        self._simplifications = simplifications
        self._prelude: list[str] = []
        self._played: dict[tuple[str, ...], list[str] | None] = {}

    def plan(self) -> TidyPlan:
        """The tidiest plan that wins; the gold path where none does."""
        return TidyPlan([], self._tidiest())

    def moved(self, plan: list[str], number: int) -> TidyPlan:
        """The plan where something is moved, with no more commands refused than the plan where nothing is.

        Args:
            plan: what wins where nothing is moved; it comes out again where nothing can be moved.
            number: draws what is moved and where to, other than 0.
        """
        start, refused = room_in(self._load()), _refusals(self._texts(plan))
        draw = random.Random(f"{self._name}/{self._variation} {number}")
        for prelude, search in moved_starts(plan, self._simulator.task_description(), start, draw):
            self._prelude, self._played = prelude, {}
            texts = self._texts(search)
            if texts is not None and _refusals(texts) <= refused:
                return TidyPlan(prelude, search[: len(texts)])
        self._prelude, self._played = [], {}
        return TidyPlan([], plan)

    def _tidiest(self) -> list[str]:
        self._load(gold=True)
        gold = self._simulator.gold_path()
        task = self._simulator.task_description()
        seen = by_sight(tidy(gold), task)
        for plan in [*([self._awaited(seen)] if seen else []), *(tidy(gold, how) for how in CAUTION)]:
            texts = self._texts(plan)
            if texts is not None:
                break
        else:
            return list(gold)
        better = self._first([first_listed(plan, texts, task)], plan)
        better = self._first(by_full_name(better, task), better)
        better = self._first(unwatched(better, task), better)
        if seen is None:
            better = self._first([unbroken(better)], better)
        better = self._first([direct(better)], better)
        return self._first([self._looked(better)], better)

    def _first(self, plans: Iterable[Sequence[str]], otherwise: Sequence[str]) -> list[str]:
        """The first plan that wins and has no more commands refused than the other one, cut where it wins."""
        refused = _refusals(self._texts(otherwise))
        for plan in plans:
            texts = None if list(plan) == list(otherwise) else self._texts(plan)
            if texts is not None and _refusals(texts) <= refused:
                return list(plan[: len(texts)])
        return list(otherwise)

    def _load(self, gold: bool = False) -> str:
        text = self._simulator.load(self._name, self._variation, self._simplifications, gold)
        return after(self._simulator, self._prelude) or text

    def _texts(self, plan: Sequence[str]) -> list[str] | None:
        """What is read before each step of a plan, up to the one that wins; None where none does."""
        key = tuple(plan)
        if key not in self._played:
            self._played[key] = self._play(plan)
        return self._played[key]

    def _play(self, plan: Sequence[str]) -> list[str] | None:
        texts = [self._load()]
        for action in plan:
            answer = self._simulator.step(action)
            if answer.score >= WON:
                return texts
            texts.append(answer.text)
        return None

    def _awaited(self, plan: Sequence[str]) -> list[str]:
        """The plan, with a wait and a look in front of every focus for as long as it is refused."""
        self._load()
        out: list[str] = []
        for step in plan:
            rounds = _ROUNDS if step.startswith(FOCUS) else 0
            while REFUSED in self._simulator.step(step).text and rounds:
                rounds -= 1
                for wait in (WAIT_TEN, LOOK):
                    self._simulator.step(wait)
                    out.append(wait)
            out.append(step)
        return out

    def _looked(self, plan: Sequence[str]) -> list[str]:
        """The plan, with a look around where it names what opening something has only now brought in sight."""
        texts = self._texts(plan) or []
        out: list[str] = []
        for place, step in enumerate(plan):
            name = step.removeprefix(FOCUS)
            if out and out[-1].startswith(OPEN) and name != step and not any(name in text for text in texts[:place]):
                out.append(LOOK)
            out.append(step)
        return out


def after(simulator: Simulator, prelude: Sequence[str]) -> str:
    """What is seen when an episode begins with commands before it; "" without any."""
    for command in prelude:
        simulator.step(command)
    return simulator.step(LOOK).text if prelude else ""


def _refusals(texts: Sequence[str] | None) -> int:
    return sum(REFUSED in text for text in texts or ())
