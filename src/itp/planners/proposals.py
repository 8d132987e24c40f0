"""Commands to choose among where an environment lists none: what the policy would write, and what it might.

Written token by token, a command that is held to a grammar can be an unlikely one: where the likeliest word may not
stand, the nearest that may is taken, and nothing takes back the words before it (grammar-aligned decoding, Park et al.
2024). Of several whole commands the likeliest is what the policy meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from itp.lm.base import Completion, Sampling
from itp.lm.constraint import Constraint
from itp.policy.model import Policy
from itp.types import ImaginedTrajectory, State, Usage

PROPOSALS = 5
"""Commands that a policy writes at least for a decision that looks ahead."""


@dataclass(frozen=True, slots=True)
class Proposals:
    """Distinct commands of one decision with their log-probabilities in nats; the greedy one first, the others by
    falling log-probability. `usage` is what all of them cost, repeats too."""

    commands: tuple[str, ...]
    logprobs: tuple[float, ...]
    usage: Usage

    @property
    def likeliest(self) -> str:
        """The command with the highest log-probability as a whole; of equals the greedy one."""
        return self.commands[max(range(len(self.commands)), key=self.logprobs.__getitem__)]


def propose(
    policy: Policy,
    states: Sequence[State],
    counts: Sequence[int],
    seeds: Sequence[int],
    sampling: Sampling,
    constraints: Sequence[Constraint] | None = None,
    foresights: Sequence[ImaginedTrajectory] | None = None,
) -> list[Proposals]:
    """Write commands for every state: one greedily, the others sampled at temperature 1.

    Args:
        policy: π.
        states: where to act.
        counts: commands to write for each state, at least 1; equal ones are merged.
        seeds: of each state's samples.
        sampling: token budget of a command; its temperature and seed do not matter.
        constraints: what the commands of each state are held to.
        foresights: what the policy is shown of the future, default nothing.
    """
    shown = foresights or [ImaginedTrajectory()] * len(states)
    greedy = policy.generate_actions(
        states, shown, replace(sampling, temperature=0.0, seed=None), constraints=constraints
    )
    rows = [row for row, count in enumerate(counts) for _ in range(count - 1)]
    offsets = [offset for count in counts for offset in range(1, count)]
    drawn = policy.generate_actions(
        [states[row] for row in rows],
        [shown[row] for row in rows],
        replace(sampling, temperature=1.0, seed=None),
        [(seeds[row] + offset) % 2**63 for row, offset in zip(rows, offsets, strict=True)],
        None if constraints is None else [constraints[row] for row in rows],
    )
    written = [[completion] for completion in greedy]
    for row, completion in zip(rows, drawn, strict=True):
        written[row].append(completion)
    return [_merged(completions) for completions in written]


def _merged(completions: Sequence[Completion]) -> Proposals:
    first, *others = completions
    others.sort(key=lambda completion: -completion.logprob)
    distinct = {c.text: c.logprob for c in reversed([first, *others])}
    order = dict.fromkeys(c.text for c in [first, *others])
    usage = Usage(
        sum(c.prompt_tokens for c in completions), sum(c.completion_tokens for c in completions), len(completions)
    )
    return Proposals(tuple(order), tuple(distinct[text] for text in order), usage)
