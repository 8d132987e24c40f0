"""What tree searches by prompts share: nodes that carry their (imagined) state, and batched questions about them.

    candidates   which commands are worth trying in a state (template `candidates`); real, admissible ones at the root,
                 any text deeper down, where imagination may not peek at what is possible
    outcomes     what a command leads to (the world model)
    values       how close the task is to being done, 0 to 1 (template `value`)

All searches of a lockstep batch advance together, so that every question is asked for all episodes in one call.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from itp.lm.base import Completion, Sampling
from itp.planners.prompting import ask, decide_by_answers, question, usage_of
from itp.policy.parsing import ParsedAction, parse_actions, parse_integer
from itp.policy.prompted import PromptedPolicy, Question
from itp.types import Decision, DecisionContext, ImaginedStep, ImaginedTrajectory, State, Usage
from itp.world_model.base import WorldModel

BEST = 10
"""The value that stands for a task that is done; see template `value`."""
VALUE = Sampling(8)


@dataclass(slots=True)
class Node:
    """A state in a search tree. `reward` is the state's own value, in [0, 1]; `returns` sums what was backed up.

    `state` is None until the world model has told what the command leads to.
    """

    state: State | None
    action: ParsedAction | None = None
    parent: Node | None = None
    children: list[Node] | None = None
    reward: float = 0.0
    visits: int = 0
    returns: float = 0.0

    @property
    def mean(self) -> float:
        """Q: the mean of what was backed up; the state's own value before the first visit."""
        return self.returns / self.visits if self.visits else self.reward

    @property
    def depth(self) -> int:
        """Commands from the root."""
        return 0 if self.parent is None else self.parent.depth + 1

    def path(self) -> list[Node]:
        """From the first command on to this node."""
        return [] if self.parent is None else [*self.parent.path(), self]


@dataclass(slots=True)
class Tree:
    """The search of one episode's decision, and what it has cost so far."""

    context: DecisionContext
    root: Node = field(init=False)
    policy_usage: Usage = field(default_factory=Usage)
    world_model_usage: Usage = field(default_factory=Usage)

    def __post_init__(self) -> None:
        self.root = Node(self.context.state)


class Searcher:
    """Asks for many nodes at once.

    Args:
        policy: names candidates and judges states.
        world_model: tells outcomes; None for searches over bare plans (Tree of Thoughts).
        width: candidates of a state.
        short: how a command is decoded; `width` times its budget for a list of them.
    """

    def __init__(self, policy: PromptedPolicy, world_model: WorldModel | None, *, width: int, short: Sampling) -> None:
        self.policy, self.world_model, self.width, self.short = policy, world_model, width, short
        self.listing = replace(short, max_new_tokens=short.max_new_tokens * width)

    def expand(self, rows: Sequence[tuple[Tree, Node]]) -> None:
        """Give every node its children, without states. At the root they are admissible commands, deeper any text."""
        for at_root in (True, False):
            own = [(tree, node) for tree, node in rows if (node.parent is None) is at_root]
            questions = [self._candidates(tree, node) for tree, node in own]
            for (tree, node), answer in zip(own, self._ask(own, questions, self.listing), strict=True):
                named = parse_actions(answer.text, tree.context.admissible if at_root else None)
                node.children = [Node(None, action, node) for action in named[: self.width]]

    def _candidates(self, tree: Tree, node: Node) -> Question:
        context = replace(tree.context, state=_known(node))
        return question("candidates", context, count=str(self.width))

    def outcomes(self, rows: Sequence[tuple[Tree, Node]]) -> None:
        """Give every node the state that its command leads to."""
        waiting = [(tree, node) for tree, node in rows if node.state is None]
        if not waiting:
            return
        start = time.perf_counter()
        states = [_known(node.parent) for _, node in waiting]
        actions = [node.action.action if node.action else "" for _, node in waiting]
        if self.world_model is None:
            told, usages = [PLANNED] * len(waiting), [Usage()] * len(waiting)
        else:
            predictions = self.world_model.predict(states, actions)
            told, usages = [p.observation for p in predictions], [p.usage for p in predictions]
        seconds = (time.perf_counter() - start) / len(waiting)
        for (tree, node), state, action, text, usage in zip(waiting, states, actions, told, usages, strict=True):
            node.state = state.extend(action, text)
            tree.world_model_usage += replace(usage, seconds=seconds)

    def judge(self, rows: Sequence[tuple[Tree, Node]]) -> None:
        """Give every node its value. An answer without an integer from 0 to 10 counts as 0."""
        questions = [Question("value", _known(node)) for _, node in rows]
        for (_, node), answer in zip(rows, self._ask(rows, questions, VALUE), strict=True):
            node.reward = (parse_integer(answer.text, BEST) or 0) / BEST

    def propose(self, rows: Sequence[tuple[Tree, Node]]) -> list[Node]:
        """One more node behind each, by the policy's own next command; not entered among the children."""
        start = time.perf_counter()
        forms = [tree.context.admissible or () for tree, _ in rows]
        answers = self.policy.propose([_known(node) for _, node in rows], self.short, forms)
        seconds = (time.perf_counter() - start) / max(len(rows), 1)
        for (tree, _), answer in zip(rows, answers, strict=True):
            tree.policy_usage += usage_of(answer, seconds)
        pairs = zip(rows, answers, strict=True)
        return [Node(None, ParsedAction(answer.text, "exact"), node) for (_, node), answer in pairs]

    def _ask(
        self, rows: Sequence[tuple[Tree, Node]], questions: Sequence[Question], sampling: Sampling
    ) -> list[Completion]:
        answers, usages = ask(self.policy, questions, sampling, [tree.context for tree, _ in rows])
        for (tree, _), usage in zip(rows, usages, strict=True):
            tree.policy_usage += usage
        return answers

    def decide(self, trees: Sequence[Tree], chosen: Sequence[Node | None]) -> list[Decision]:
        """The first command towards each chosen node; a tree without a readable candidate asks for a command."""
        lost = [tree for tree, node in zip(trees, chosen, strict=True) if node is None]
        contexts = [tree.context for tree in lost]
        answers, usages = ask(self.policy, [question("act", context) for context in contexts], self.short, contexts)
        direct = iter(decide_by_answers(answers, usages, contexts))
        return [
            _decision(tree, node) if node is not None else _after(tree, next(direct))
            for tree, node in zip(trees, chosen, strict=True)
        ]


PLANNED = "(planned, not carried out yet)"
"""Stands for the observation of a command that no world model was asked about."""


def _known(node: Node | None) -> State:
    assert node is not None
    assert node.state is not None
    return node.state


def _decision(tree: Tree, node: Node) -> Decision:
    path = node.path()
    first = path[0].action
    assert first is not None
    steps = [
        ImaginedStep(step.action.action, step.state.observation)
        for step in path
        if step.action is not None and step.state is not None
    ]
    thought = "; ".join(f"{c.action.action}: {c.mean:.2f}" for c in tree.root.children or () if c.action is not None)
    return _after(
        tree, Decision(first.action, len(steps), ImaginedTrajectory(tuple(steps)), thought=thought, parse=first.parse)
    )


def _after(tree: Tree, decision: Decision) -> Decision:
    """A decision with the cost of the search before it."""
    return replace(
        decision,
        policy_usage=tree.policy_usage + decision.policy_usage,
        world_model_usage=tree.world_model_usage,
        imagination_usage=tree.policy_usage + tree.world_model_usage,
    )
