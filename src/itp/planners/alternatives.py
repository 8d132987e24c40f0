"""Commands to try where all that a policy wrote is warned of: the same command with another name in one place.

A policy that is sure of itself writes the same command however often it is asked. What else may stand in its place is
told by the environment's grammar: "move lamp to red box" may as well be "move lamp to blue box".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from itp.lm.constraint import Grammar
from itp.planners.proposals import Proposals
from itp.policy.model import Policy
from itp.types import CommandGrammar, ImaginedTrajectory, State, Usage


def likeliest_alternatives(
    policy: Policy, states: Sequence[State], grammars: Sequence[CommandGrammar], tried: Sequence[Sequence[str]], n: int
) -> list[Proposals]:
    """For every state the `n` commands that the policy likes best of those that differ in one name from its first.

    Args:
        policy: π, which sees no foresight.
        states: where to act.
        grammars: what the environment understands there.
        tried: commands of each state that are tried already, at least one, the first the one to vary.
        n: most commands to find for each.
    """
    others = [
        [command for command in dict.fromkeys(variations(grammar, commands[0])) if command not in commands]
        for grammar, commands in zip(grammars, tried, strict=True)
    ]
    asked = [i for i, commands in enumerate(others) if commands]
    scores = policy.score_actions(
        [states[i] for i in asked], [ImaginedTrajectory()] * len(asked), [others[i] for i in asked]
    )
    found = [Proposals((), (), Usage())] * len(states)
    for i, score in zip(asked, scores, strict=True):
        best = sorted(zip(score.logprobs, others[i], strict=True), key=lambda scored: -scored[0])[:n]
        usage = Usage(score.prompt_tokens, score.continuation_tokens, 1)
        found[i] = Proposals(tuple(command for _, command in best), tuple(logprob for logprob, _ in best), usage)
    return found


def variations(grammar: CommandGrammar, command: str) -> Iterator[str]:
    """The command with each other name of the grammar in the place of one of its own; nothing where it has none."""
    name = Grammar(replace(grammar, templates=("OBJ",)))
    for template in grammar.templates:
        words = template.split("OBJ")
        for gap in ("(.+)", "(.+?)"):  # "use jug in sink on cup on table": the first name ends late, or early
            match = re.fullmatch(gap.join(map(re.escape, words)), command)
            if match is None or not all(map(name.whole, match.groups())):
                continue
            for place in range(1, len(words)):
                before, after = command[: match.start(place)], command[match.end(place) :]
                yield from (before + other + after for other in grammar.names if other != match[place])
