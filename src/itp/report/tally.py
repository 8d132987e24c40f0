"""Figures of one run, summed episode by episode, so that a report needs no more memory than its totals.

Counts are those of `results.json` (`itp.evaluation.metrics`), plus what only the report shows: K by step and phase, how
often imagination changed the plan, and how true the imagined future was.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from itp.evaluation.failures import failure_category
from itp.evaluation.imagination import PHASES, imagined_outcomes, phase
from itp.evaluation.table import PARSES
from itp.report.episodes import plan_changed
from itp.types import Decision, StopReason, Trajectory


@dataclass(slots=True)
class Depth:
    """Comparisons of imagined with real observations at one depth: how many, how many equal, summed token-F1."""

    n: int = 0
    exact: int = 0
    f1: float = 0.0


@dataclass(slots=True)
class Spent:
    """Tokens and seconds by what they were spent on."""

    acting: float = 0.0
    imagining: float = 0.0
    """By the policy, inside imaginations."""
    world_model: float = 0.0

    @property
    def total(self) -> float:
        """All three together."""
        return self.acting + self.imagining + self.world_model


@dataclass(slots=True)
class Tally:
    """Sums over the episodes of one run; see `add`."""

    n: int = 0
    won: int = 0
    errors: int = 0
    irreversible: int = 0
    steps: int = 0
    score: float = 0.0
    graded: bool = False
    """Some score is neither 0 nor 1."""
    seconds: float = 0.0
    unparsed: int = 0
    answers: int = 0
    """Decisions whose action was read from text."""
    imagined: int = 0
    """Decisions with K >= 1."""
    changed: int = 0
    """Those among them whose plan the imagination changed."""
    tokens: Spent = field(default_factory=Spent)
    time: Spent = field(default_factory=Spent)
    families: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    """Family -> episodes, won."""
    endings: Counter[str] = field(default_factory=Counter)
    k_counts: Counter[int] = field(default_factory=Counter)
    k_by_step: list[list[int]] = field(default_factory=list)
    """For each step of the episode: summed K, decisions."""
    k_by_phase: list[Counter[int]] = field(default_factory=lambda: [Counter() for _ in PHASES])
    depths: list[Depth] = field(default_factory=list)

    def add(self, trajectory: Trajectory) -> None:
        """Take one episode in."""
        self.n += 1
        self.won += trajectory.won
        self.errors += trajectory.stop is StopReason.ERROR
        self.irreversible += trajectory.irreversible
        self.steps += len(trajectory.steps)
        self.score += trajectory.score
        self.graded |= trajectory.score not in (0, 1)
        self.seconds += trajectory.seconds
        family = self.families[trajectory.task.task_type or "unknown"]
        family[0] += 1
        family[1] += trajectory.won
        self.endings[_ending(trajectory)] += 1
        for number, step in enumerate(trajectory.steps):
            self._decision(step.decision, number, len(trajectory.steps))
        self._imagination(trajectory)

    def _decision(self, decision: Decision, number: int, steps: int) -> None:
        self.k_counts[decision.horizon] += 1
        self.k_by_phase[phase(number, steps)][decision.horizon] += 1
        if number == len(self.k_by_step):
            self.k_by_step.append([0, 0])
        self.k_by_step[number][0] += decision.horizon
        self.k_by_step[number][1] += 1
        self.unparsed += decision.parse == "unparsed"
        self.answers += decision.parse in PARSES
        self.imagined += bool(decision.foresight.steps)
        self.changed += plan_changed(decision)
        policy, model, both = decision.policy_usage, decision.world_model_usage, decision.imagination_usage
        _spend(self.tokens, policy.tokens, model.tokens, both.tokens)
        _spend(self.time, policy.seconds, model.seconds, both.seconds)

    def _imagination(self, trajectory: Trajectory) -> None:
        for depth, outcome in imagined_outcomes(trajectory):
            if depth > len(self.depths):
                self.depths.append(Depth())
            found = self.depths[depth - 1]
            found.n, found.exact, found.f1 = found.n + 1, found.exact + outcome.exact, found.f1 + outcome.f1


def _spend(spent: Spent, policy: float, model: float, both: float) -> None:
    imagining = min(max(both - model, 0), policy)  # traces from before `imagination_usage` say 0
    spent.acting += policy - imagining
    spent.imagining += imagining
    spent.world_model += model


def _ending(trajectory: Trajectory) -> str:
    if trajectory.won:
        return "won"
    return "irreversible mistake" if trajectory.irreversible else str(failure_category(trajectory)).replace("_", " ")
