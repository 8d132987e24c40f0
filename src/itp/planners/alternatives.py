"""Commands to try where all that a policy wrote is warned of.

A policy that is sure of itself writes the same command however often it is asked. What else it might do the environment
tells: another command of its list; or, by its grammar, the same with another name in one place ("move lamp to blue box"
for "move lamp to red box"), and at last whatever the policy would write if it might not begin so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from itp.lm.base import Sampling
from itp.lm.constraint import Grammar
from itp.planners.proposals import propose
from itp.policy.model import Policy
from itp.types import CommandGrammar, DecisionContext, ImaginedTrajectory, Usage


def likeliest_alternatives(
    policy: Policy, contexts: Sequence[DecisionContext], tried: Sequence[Sequence[str]], n: int, sampling: Sampling
) -> list[tuple[list[str], Usage]]:
    """For every decision the `n` commands that the policy likes best of the environment's list, or of those that differ
    in one name from its first and then the one it would write by the grammar's other templates; and what finding them
    cost.

    Args:
        policy: π, which sees no foresight.
        contexts: where to act; where neither list nor grammar is told, nothing is found.
        tried: commands of each decision that are tried already, at least one, the first the one to vary.
        n: most commands to score for each.
        sampling: token budget of a command.
    """
    found: list[tuple[list[str], Usage]] = [([], Usage()) for _ in contexts]
    others = [_others(context, commands) for context, commands in zip(contexts, tried, strict=True)]
    asked = [i for i, commands in enumerate(others) if commands]
    states = [contexts[i].state for i in asked]
    scores = policy.score_actions(states, [ImaginedTrajectory()] * len(asked), [others[i] for i in asked])
    for i, score in zip(asked, scores, strict=True):
        ranked = sorted(zip(score.logprobs, others[i], strict=True), key=lambda scored: -scored[0])
        found[i] = [command for _, command in ranked[:n]], Usage(score.prompt_tokens, score.continuation_tokens, 1)
    told = [(i, context.grammar) for i, context in enumerate(contexts) if context.grammar is not None]
    held = [_without(grammar, tried[i][0]) for i, grammar in told]
    states = [contexts[i].state for i, _ in told]
    for (i, _), written in zip(
        told, propose(policy, states, [1] * len(told), [0] * len(told), sampling, held), strict=True
    ):
        commands, usage = found[i]
        found[i] = [*commands, *(c for c in written.commands if c not in tried[i])], usage + written.usage
    return found


def variations(grammar: CommandGrammar, command: str) -> Iterator[str]:
    """The command with each other name of the grammar in the place of one of its own; nothing where it has none."""
    for match in _readings(grammar, command).values():
        for place in range(1, len(match.groups()) + 1):
            before, after = command[: match.start(place)], command[match.end(place) :]
            yield from (before + other + after for other in grammar.names if other != match[place])


def _others(context: DecisionContext, tried: Sequence[str]) -> list[str]:
    known = variations(context.grammar, tried[0]) if context.grammar is not None else context.admissible or ()
    return [command for command in dict.fromkeys(known) if command not in tried]


def _readings(grammar: CommandGrammar, command: str) -> dict[tuple[str, str], re.Match[str]]:
    """By which templates the command may have been written, its names as groups."""
    name = Grammar(replace(grammar, templates=("OBJ",)))
    found = {}
    for template in grammar.templates:
        for gap in ("(.+)", "(.+?)"):  # "use jug in sink on cup on table": the first name ends late, or early
            match = re.fullmatch(gap.join(map(re.escape, template.split("OBJ"))), command)
            if match is not None and all(map(name.whole, match.groups())):
                found[template, gap] = match
    return found


def _without(grammar: CommandGrammar, command: str) -> Grammar:
    """The grammar without the templates of a command; all of it where nothing would be left."""
    used = {template for template, _ in _readings(grammar, command)}
    left = tuple(template for template in grammar.templates if template not in used)
    return Grammar(replace(grammar, templates=left or grammar.templates))
