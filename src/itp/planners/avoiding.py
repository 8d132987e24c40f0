"""Look before you leap: `--planner itp --avoid TEXT`, for policies that were never taught to read a foresight.

The policy ranks the admissible commands as it does without imagination, or, where the environment lists none, the few
that it would write itself (`itp.planners.proposals`). Down that ranking, each command is tried in
imagination: the command itself, then K - 1 steps that the policy would take. The first is taken whose foresight tells
of none of the texts to avoid, and whose first step does not lead back to a situation in which the episode has been
before (`Renderer.situation`: with `memory-v1`, walking in circles; a text that tells the history never repeats). Where
all that it wrote is passed over, others may be tried (`itp.planners.alternatives`). With K = 0 this is `act`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from itp.lm.base import Sampling
from itp.lm.constraint import constraint_of
from itp.planners.alternatives import likeliest_alternatives
from itp.planners.horizon import HorizonChoice, HorizonSelector
from itp.planners.proposals import PROPOSALS, Proposals, propose
from itp.policy.model import Policy
from itp.types import Decision, DecisionContext, ImaginedTrajectory, State, Usage
from itp.world_model.base import WorldModel
from itp.world_model.imagination import imagine

CANDIDATES = 12
"""Commands that one decision tries in imagination at most."""
COMMAND = Sampling(max_new_tokens=32)
"""Token budget of a command that the policy writes itself."""


_NOTHING = ImaginedTrajectory()


@dataclass(slots=True)
class _Row:
    """One decision under way: its commands, best first, and what was foreseen of those tried so far."""

    context: DecisionContext
    choice: HorizonChoice
    commands: list[str]
    usage: Usage
    foresights: list[ImaginedTrajectory] = field(default_factory=list)
    warnings: list[int] = field(default_factory=list)
    returns: list[int] = field(default_factory=list)
    visited: Counter[str] = field(default_factory=Counter)
    policy_usage: Usage = field(default_factory=Usage)
    world_model_usage: Usage = field(default_factory=Usage)

    def undecided(self, candidates: int) -> bool:
        """Whether another command is to be tried."""
        return self.unsure() and len(self.foresights) < min(candidates, len(self.commands))

    def unsure(self) -> bool:
        """Whether it looks ahead and no command has been tried yet that nothing speaks against."""
        good = bool(self.warnings) and self.warnings[-1] == len(self.foresights[-1]) and not self.returns[-1]
        return self.choice.horizon > 0 and not good

    def chosen(self) -> int:
        """The command whose warning comes latest; of equals the one that leads to what was least seen, then by rank.

        A warning that never comes is later than all others.
        """

        def merit(i: int) -> tuple[bool, int, int, int]:
            safe = self.warnings[i] == len(self.foresights[i])
            return safe, 0 if safe else self.warnings[i], -self.returns[i], -i

        return max(range(len(self.warnings)), key=merit, default=0)


def likeliest_first(logprobs: Sequence[float]) -> list[int]:
    """Indices by falling log-probability."""
    return sorted(range(len(logprobs)), key=lambda i: -logprobs[i])


def first_warning(foresight: ImaginedTrajectory, avoid: Sequence[str], last_only: bool = False) -> int:
    """Steps before the first one that tells of what is to be avoided; all of them when none does.

    With `last_only` the steps before the last one are not read.
    """
    seen = list(enumerate(foresight.steps))[-1 if last_only else 0 :]
    told = (n for n, step in seen if any(text in step.observation for text in avoid))
    return next(told, len(foresight))


def situations(state: State, situation: Callable[[State], str]) -> Counter[str]:
    """How often the episode has been in each situation, from its start to `state`."""
    return Counter(situation(replace(state, history=state.history[:n])) for n in range(len(state.history) + 1))


def returns(
    state: State,
    foresight: ImaginedTrajectory,
    visited: Counter[str],
    situation: Callable[[State], str],
    last_only: bool = False,
) -> int:
    """How often the episode has been in the situation that the first imagined step leads to, or else the last one."""
    if not foresight.steps:
        return 0
    for step in foresight.steps if last_only else foresight.steps[:1]:
        state = state.extend(step.action, step.observation)
    return visited[situation(state)]


class AvoidingPlanner:
    """See the module. The foresight of a decision is that of the command it took; its cost counts all that were tried,
    and `passed_over` holds the others.

    Args:
        policy: ranks commands and acts in the imagination, without foresight in its prompt.
        world_model: foretells what follows.
        horizon: chooses K.
        avoid: texts; an imagined observation that contains one is a warning, whatever comes before it.
        candidates: most commands to try. Where all warn, the one whose warning comes latest is taken; where all lead
            back, the one that leads to the state that was seen the fewest times.
        sampling: token budget of a command that the policy writes itself.
        writes: have the policy write its commands even where the environment lists them.
        constrained: hold what it writes to the environment's list or grammar of commands.
        proposals: commands that it writes for a decision at least, the likeliest tried first; where K is not 0 it
            writes `PROPOSALS` anyway.
        alternatives: commands to try further where all that it wrote is passed over: the likeliest of the environment's
            list, or, by its grammar, of those that differ in one name from the likeliest that it wrote and then the one
            it would write if it might not begin so.
        avoid_returns: pass over commands that lead back; a learned world model that takes one place for another is
            better not believed in this.
        last_only: read the last imagined step alone (an ablation).
        rank: log-probabilities of a decision's commands to their order, the first to be tried first; by default the
            likeliest first. A2C draws it.
    """

    def __init__(
        self,
        policy: Policy,
        world_model: WorldModel,
        horizon: HorizonSelector,
        avoid: Sequence[str],
        *,
        candidates: int = CANDIDATES,
        sampling: Sampling = COMMAND,
        writes: bool = False,
        constrained: bool = False,
        proposals: int = 1,
        alternatives: int = 0,
        avoid_returns: bool = True,
        last_only: bool = False,
        rank: Callable[[Sequence[float]], list[int]] = likeliest_first,
    ) -> None:
        self.policy, self.world_model, self.horizon = policy, world_model, horizon
        self.rank = rank
        self.avoid = tuple(avoid)
        self.candidates = candidates
        self.sampling, self.writes, self.constrained = sampling, writes, constrained
        self.proposals, self.alternatives = proposals, alternatives
        self.avoid_returns, self.last_only = avoid_returns, last_only
        self.name = f"itp {horizon.name} avoid"

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """See `Planner.decide`."""
        rows = self._ranked(contexts)
        self._try_all(rows, self.candidates)
        if self.alternatives:
            self._try_others([row for row in rows if row.unsure()])
        return [self._decision(row) for row in rows]

    def _try_all(self, rows: Sequence[_Row], candidates: int) -> None:
        while open_rows := [row for row in rows if row.undecided(candidates)]:
            self._try_next(open_rows)

    def _try_others(self, rows: Sequence[_Row]) -> None:
        """Go on with commands that the policy did not write."""
        start = time.perf_counter()
        found = likeliest_alternatives(
            self.policy, [row.context for row in rows], [row.commands for row in rows], self.alternatives, self.sampling
        )
        seconds = Usage(seconds=(time.perf_counter() - start) / max(len(rows), 1))
        for row, (commands, usage) in zip(rows, found, strict=True):
            row.commands += commands
            row.policy_usage += usage + seconds
        self._try_all(rows, self.candidates + self.alternatives + 1)

    def _ranked(self, contexts: Sequence[DecisionContext]) -> list[_Row]:
        start = time.perf_counter()
        choices = self.horizon.select(contexts)
        proposals = self._proposals(contexts, choices)
        seconds = Usage(seconds=(time.perf_counter() - start) / max(len(contexts), 1))
        rows = []
        for context, choice, proposed in zip(contexts, choices, proposals, strict=True):
            order = self.rank(proposed.logprobs)
            usage = choice.usage + proposed.usage + seconds
            rows.append(_Row(context, choice, [proposed.commands[i] for i in order], usage))
        return rows

    def _proposals(self, contexts: Sequence[DecisionContext], choices: Sequence[HorizonChoice]) -> list[Proposals]:
        """The admissible commands with their scores; those that the policy writes, where there is no list."""
        found: dict[int, Proposals] = {}
        listed = [i for i, context in enumerate(contexts) if context.admissible and not self.writes]
        commands = [contexts[i].admissible or () for i in listed]
        if listed:
            states = [contexts[i].state for i in listed]
            scores = self.policy.score_actions(states, [_NOTHING] * len(states), commands)
            for i, score in zip(listed, scores, strict=True):
                usage = Usage(score.prompt_tokens, score.continuation_tokens, 1)
                found[i] = Proposals(tuple(contexts[i].admissible or ()), score.logprobs, usage)
        free = [i for i in range(len(contexts)) if i not in found]
        if free:
            counts = [max(PROPOSALS if choices[i].horizon > 0 else 1, self.proposals) for i in free]
            states, seeds = [contexts[i].state for i in free], [contexts[i].seed for i in free]
            held = [constraint_of(contexts[i]) for i in free] if self.constrained else None
            found.update(zip(free, propose(self.policy, states, counts, seeds, self.sampling, held), strict=True))
        return [found[i] for i in range(len(contexts))]

    def _try_next(self, rows: Sequence[_Row]) -> None:
        """Imagine what follows the next command of every row."""
        imaginations = imagine(
            [row.context.state for row in rows],
            [row.choice.horizon for row in rows],
            self.policy,
            self.world_model,
            limits=[row.choice.limits for row in rows],
            first=[row.commands[len(row.foresights)] for row in rows],
        )
        for row, imagination in zip(rows, imaginations, strict=True):
            row.foresights.append(imagination.foresight)
            row.warnings.append(first_warning(imagination.foresight, self.avoid, self.last_only))
            row.returns.append(self._returns(row, imagination.foresight))
            row.policy_usage += imagination.policy_usage
            row.world_model_usage += imagination.world_model_usage

    def _returns(self, row: _Row, foresight: ImaginedTrajectory) -> int:
        """How often the episode has been in the state that the first imagined step leads to."""
        if not self.avoid_returns:
            return 0
        if not row.visited:
            row.visited = situations(row.context.state, self._situation)
        return returns(row.context.state, foresight, row.visited, self._situation, self.last_only)

    def _situation(self, state: State) -> str:
        return self.policy.prompts.renderer.situation(state)

    def _decision(self, row: _Row) -> Decision:
        chosen = row.chosen()
        foresight = row.foresights[chosen] if row.foresights else ImaginedTrajectory()
        return Decision(
            action=row.commands[chosen],
            horizon=len(foresight),
            foresight=foresight,
            horizon_probs=row.choice.probs,
            policy_usage=row.usage + row.policy_usage,
            world_model_usage=row.world_model_usage,
            imagination_usage=row.policy_usage + row.world_model_usage,
            passed_over=tuple(tried for i, tried in enumerate(row.foresights) if i != chosen),
        )
