"""Commands to try where all that a policy wrote is warned of.

A policy that is sure of itself writes the same command however often it is asked. What else it might do is told by the
environment's grammar: the same with another name in one place ("move lamp to blue box" for "move lamp to red box"), and
at last whatever the policy would write if it might not begin so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from itp.lm.base import Sampling
from itp.lm.constraint import Grammar
from itp.planners.proposals import Proposals, propose
from itp.policy.model import Policy
from itp.types import CommandGrammar, ImaginedTrajectory, State, Usage


def likeliest_alternatives(
    policy: Policy,
    states: Sequence[State],
    grammars: Sequence[CommandGrammar],
    tried: Sequence[Sequence[str]],
    n: int,
    sampling: Sampling,
) -> list[Proposals]:
    """For every state the `n` commands that the policy likes best of those that differ in one name from its first, and
    the one it would write by the grammar's other templates.

    Args:
        policy: π, which sees no foresight.
        states: where to act.
        grammars: what the environment understands there.
        tried: commands of each state that are tried already, at least one, the first the one to vary.
        n: most commands with another name to find for each.
        sampling: token budget of a command.
    """
    renamed = [_others(variations(g, commands[0]), commands) for g, commands in zip(grammars, tried, strict=True)]
    asked = [i for i, commands in enumerate(renamed) if commands]
    scores = policy.score_actions(
        [states[i] for i in asked], [ImaginedTrajectory()] * len(asked), [renamed[i] for i in asked]
    )
    held = [_without(g, commands[0]) for g, commands in zip(grammars, tried, strict=True)]
    found = propose(policy, states, [1] * len(states), [0] * len(states), sampling, held)
    for i, score in zip(asked, scores, strict=True):
        best = sorted(zip(score.logprobs, renamed[i], strict=True), key=lambda scored: -scored[0])[:n]
        found[i] = Proposals(
            (*(command for _, command in best), *found[i].commands),
            (*(logprob for logprob, _ in best), *found[i].logprobs),
            found[i].usage + Usage(score.prompt_tokens, score.continuation_tokens, 1),
        )
    return found


def variations(grammar: CommandGrammar, command: str) -> Iterator[str]:
    """The command with each other name of the grammar in the place of one of its own; nothing where it has none."""
    for match in _readings(grammar, command).values():
        for place in range(1, len(match.groups()) + 1):
            before, after = command[: match.start(place)], command[match.end(place) :]
            yield from (before + other + after for other in grammar.names if other != match[place])


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


def _others(commands: Iterator[str], tried: Sequence[str]) -> list[str]:
    return [command for command in dict.fromkeys(commands) if command not in tried]
