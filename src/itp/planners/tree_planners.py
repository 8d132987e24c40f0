"""Tree searches by prompts, from papers that lookahead is compared with; docs/prompting.md tells them apart.

tot     breadth-first search over plans, the best few kept at each depth; no world model (Yao et al. 2023)
mcts    UCT with rollouts by the policy through the world model, judged at their end (Kocsis & Szepesvári 2006)
rap     UCT in which every imagined state is judged, and greedy rollouts by these rewards (Hao et al. 2023)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from itp.planners.search import Node, Searcher, Tree
from itp.types import Decision, DecisionContext

SEARCHES = ("tot", "mcts", "rap")
EXPLORATION = 1.0
"""UCT's constant for values in [0, 1]; Hao et al. use 1, the theory has the square root of 2."""

Rows = list[tuple[Tree, Node]]


class TotPlanner:
    """Tree of Thoughts: plans grow by one command a level, `beam` survive, the best one's first command is given.

    Args:
        searcher: without a world model: a plan is a list of commands whose outcomes nobody has told.
        depth: commands of a plan.
        beam: plans kept at each level.
    """

    name = "tot"

    def __init__(self, searcher: Searcher, *, depth: int, beam: int) -> None:
        self.searcher, self.depth, self.beam = searcher, depth, beam

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """See `Planner.decide`."""
        trees = [Tree(context) for context in contexts]
        fronts = [[tree.root] for tree in trees]
        for _ in range(self.depth):
            grown: Rows = [(tree, node) for tree, front in zip(trees, fronts, strict=True) for node in front]
            self.searcher.expand(grown)
            children: Rows = [(tree, child) for tree, node in grown for child in node.children or ()]
            self.searcher.outcomes(children)
            self.searcher.judge(children)
            fronts = [self._survivors(front) for front in fronts]
        return self.searcher.decide(trees, [_front_best(front) for front in fronts])

    def _survivors(self, front: Sequence[Node]) -> list[Node]:
        """The best plans of the next level; a plan that nothing could be added to stays as it is."""
        grown = [child for node in front for child in node.children or [node]]
        return sorted(grown, key=lambda node: -node.reward)[: self.beam]


class MctsPlanner:
    """UCT in imagination, one simulation after another, those of all episodes side by side.

    Args:
        searcher: with a world model.
        simulations: passes through the tree.
        depth: how far from the root a simulation goes.
        judged: judge every imagined state (`rap`), or the end of each rollout only (`mcts`).
    """

    def __init__(self, searcher: Searcher, *, simulations: int, depth: int, judged: bool) -> None:
        self.searcher, self.simulations, self.depth, self.judged = searcher, simulations, depth, judged
        self.name = "rap" if judged else "mcts"

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """See `Planner.decide`. The command with the most visits is given, of equals the one with the higher mean."""
        trees = [Tree(context) for context in contexts]
        for _ in range(self.simulations):
            self._simulate(trees)
        return self.searcher.decide(trees, [_principal(tree.root) for tree in trees])

    def _simulate(self, trees: Sequence[Tree]) -> None:
        leaves: Rows = [(tree, select(tree.root)) for tree in trees]
        self._reach(leaves)
        growing = [(tree, node) for tree, node in leaves if node.depth < self.depth and node.children is None]
        self._grow(growing)
        ends = self._greedy(leaves) if self.judged else self._rollout(leaves)
        for (_, leaf), (_, end) in zip(leaves, ends, strict=True):
            if self.judged:
                back_up_rewards(end)
            else:
                back_up(leaf, end.reward)

    def _reach(self, rows: Rows) -> None:
        """Imagine the states of nodes that are entered for the first time."""
        self.searcher.outcomes(rows)

    def _grow(self, rows: Rows) -> None:
        self.searcher.expand(rows)
        if self.judged:
            children: Rows = [(tree, child) for tree, node in rows for child in node.children or ()]
            self.searcher.outcomes(children)
            self.searcher.judge(children)

    def _greedy(self, leaves: Rows) -> Rows:
        """Follow the best-judged children to the depth limit, growing the tree on the way."""
        ends = [(tree, _best_child(node) or node) for tree, node in leaves]
        while True:
            shallow = [(t, n) for t, n in ends if n.depth < self.depth and n.children is None]
            if not shallow:
                return ends
            self._grow(shallow)
            ends = [(tree, _best_child(node) or node) for tree, node in ends]

    def _rollout(self, leaves: Rows) -> Rows:
        """The policy's own next commands to the depth limit, then the value of where they lead."""
        ends = list(leaves)
        while True:
            rows = [i for i, (_, node) in enumerate(ends) if node.depth < self.depth]
            if not rows:
                break
            steps = self.searcher.propose([ends[i] for i in rows])
            for i, step in zip(rows, steps, strict=True):
                ends[i] = (ends[i][0], step)
            self.searcher.outcomes([ends[i] for i in rows])
        self.searcher.judge(ends)
        return ends


def select(root: Node) -> Node:
    """The leaf that UCT leads to: a node that was never visited, or one without children."""
    node = root
    while node.children:
        node = max(node.children, key=upper_confidence)
        if not node.visits:
            break
    return node


def upper_confidence(node: Node) -> float:
    """UCT: mean return, and a bonus for what was tried seldom; among the untried the better judged comes first."""
    assert node.parent is not None
    if not node.visits:
        return math.inf if not node.reward else 1e6 + node.reward
    return node.mean + EXPLORATION * math.sqrt(math.log(node.parent.visits) / node.visits)


def back_up(leaf: Node, value: float) -> None:
    """Count one visit with this return for the leaf and everything above it."""
    node: Node | None = leaf
    while node is not None:
        node.visits += 1
        node.returns += value
        node = node.parent


def back_up_rewards(end: Node) -> None:
    """Count one visit for every node of the path to `end`, with the mean reward from that node on (Hao et al. 2023)."""
    total, length = 0.0, 0
    for node in reversed(end.path()):
        total, length = total + node.reward, length + 1
        node.visits += 1
        node.returns += total / length
    root = end.path()[0].parent if end.parent is not None else end
    assert root is not None
    root.visits += 1
    root.returns += total / max(length, 1)


def _best_child(node: Node) -> Node | None:
    return max(node.children, key=lambda child: child.reward) if node.children else None


def _principal(root: Node) -> Node | None:
    """The end of the most visited line; None where the root has no child."""
    node = root
    while node.children:
        best = max(node.children, key=lambda child: (child.visits, child.mean))
        if not best.visits:
            break
        node = best
    return node if node is not root else None


def _front_best(front: Sequence[Node]) -> Node | None:
    best = max(front, key=lambda node: node.reward)
    return best if best.parent is not None else None
