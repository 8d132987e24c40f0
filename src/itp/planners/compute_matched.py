"""Prompted planners that spend more on a decision without any world model: what lookahead has to be compared with.

self-refine     draft, feedback on it, revision, until the feedback finds nothing (Madaan et al. 2023)
multi-attempt   several sampled chains of thought; the commonest command wins (self-consistency, Wang et al. 2023)
k-candidates    several candidates are named, then compared and one is chosen
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from itp.lm.base import Sampling
from itp.planners.prompting import ask, decide_by_answers, question
from itp.policy.parsing import field, parse_actions
from itp.policy.prompted import PromptedPolicy, listed
from itp.types import Decision, DecisionContext, Usage

COMPUTE_MATCHED = ("self-refine", "multi-attempt", "k-candidates")
SATISFIED = ("none", "nothing", "no flaw", "no problem", "")


class SelfRefinePlanner:
    """Draft, criticise, revise.

    Args:
        policy: the model that does all three.
        rounds: most revisions of one decision.
        short: how an answer that is one command is decoded.
        long: how the feedback is decoded.
    """

    name = "self-refine"

    def __init__(self, policy: PromptedPolicy, *, rounds: int, short: Sampling, long: Sampling) -> None:
        self.policy, self.rounds, self.short, self.long = policy, rounds, short, long

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """See `Planner.decide`."""
        answers, usages = ask(self.policy, [question("act", context) for context in contexts], self.short, contexts)
        decisions = decide_by_answers(answers, usages, contexts)
        open_rows = list(range(len(contexts)))
        for _ in range(self.rounds):
            open_rows = self._revise(contexts, decisions, open_rows)
        return decisions

    def _revise(self, contexts: Sequence[DecisionContext], decisions: list[Decision], rows: list[int]) -> list[int]:
        """One round for the rows whose feedback is not satisfied yet; returns those that were revised."""
        own = [contexts[i] for i in rows]
        drafts = [decisions[i].action for i in rows]
        questions = [question("critique", c, draft=draft) for c, draft in zip(own, drafts, strict=True)]
        answers, usages = ask(self.policy, questions, self.long, own)
        feedback = [field(answer.text, "Feedback") or answer.text.strip() for answer in answers]
        for i, text, usage in zip(rows, feedback, usages, strict=True):
            spent = decisions[i].policy_usage + usage
            decisions[i] = replace(decisions[i], policy_usage=spent, reflection=text)
        flawed = [n for n, text in enumerate(feedback) if text.casefold().strip(" .!") not in SATISFIED]
        again = [own[n] for n in flawed]
        questions = [question("refine", own[n], draft=drafts[n], feedback=feedback[n]) for n in flawed]
        answers, usages = ask(self.policy, questions, self.short, again)
        for n, revised in zip(flawed, decide_by_answers(answers, usages, again), strict=True):
            before = decisions[rows[n]]
            spent = before.policy_usage + revised.policy_usage
            decisions[rows[n]] = replace(revised, policy_usage=spent, reflection=before.reflection)
        return [rows[n] for n in flawed]


class MultiAttemptPlanner:
    """Several independent attempts at the decision; the commonest readable command wins, the earliest of equals.

    Args:
        policy: the model that is asked.
        attempts: how many answers are sampled.
        sampling: with a temperature above 0, or all attempts are alike.
    """

    name = "multi-attempt"

    def __init__(self, policy: PromptedPolicy, *, attempts: int, sampling: Sampling) -> None:
        self.policy, self.attempts, self.sampling = policy, attempts, sampling

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """See `Planner.decide`."""
        many = [context for context in contexts for _ in range(self.attempts)]
        answers, usages = ask(self.policy, [question("cot", context) for context in many], self.sampling, contexts)
        tried = decide_by_answers(answers, usages, many)
        groups = [tried[start : start + self.attempts] for start in range(0, len(tried), self.attempts)]
        return [_commonest(group) for group in groups]


class KCandidatesPlanner:
    """Name candidates, then choose among them with all of them in view.

    Args:
        policy: the model that is asked.
        count: candidates to name.
        short: how the list is decoded, a budget for each candidate.
        long: how the choice is decoded.
    """

    name = "k-candidates"

    def __init__(self, policy: PromptedPolicy, *, count: int, short: Sampling, long: Sampling) -> None:
        self.policy, self.count, self.long = policy, count, long
        self.short = replace(short, max_new_tokens=short.max_new_tokens * count)

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """See `Planner.decide`. With fewer than two readable candidates the list is all there is to choose from."""
        questions = [question("candidates", context, count=str(self.count)) for context in contexts]
        answers, usages = ask(self.policy, questions, self.short, contexts)
        named = [
            [found.action for found in parse_actions(answer.text, context.admissible)[: self.count]]
            for answer, context in zip(answers, contexts, strict=True)
        ]
        questions = [
            question("choose", context, candidates=listed(candidates or context.admissible))
            for context, candidates in zip(contexts, named, strict=True)
        ]
        answers, spent = ask(self.policy, questions, self.long, contexts)
        decisions = decide_by_answers(answers, spent, contexts)
        return [
            replace(decision, policy_usage=usage + decision.policy_usage)
            for decision, usage in zip(decisions, usages, strict=True)
        ]


def _commonest(group: Sequence[Decision]) -> Decision:
    readable = [decision for decision in group if decision.parse != "unparsed"] or list(group)
    (winner, _), *_ = Counter(decision.action for decision in readable).most_common(1)
    chosen = next(decision for decision in readable if decision.action == winner)
    return replace(chosen, policy_usage=sum((decision.policy_usage for decision in group), Usage()))
