"""What a world knowledge model learns from (WKM): knowledge about tasks and states, distilled from trajectories.

Qiao et al. 2024 let an LLM write both: task knowledge by comparing expert with rejected trajectories, state knowledge
by summing up states. Here no large model is at hand, so both are computed from the episodes:

- task knowledge says in which order experts did things in tasks of this type, with which objects most often, and what
  rollouts did instead that experts never do;
- state knowledge says, for games in ALFWorld's language, what is held, where one is and what of the goal is in reach;
  elsewhere it is the last action and the beginning of what followed.

Only training episodes are counted; a goal that they do not hold gets the figures of its task type.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from itp.data.rows import Encode, Row, prompt_row
from itp.envs.alfworld.belief import Belief
from itp.envs.alfworld.commonsense import DEVICE, QUALITY, type_of
from itp.state_text.prompts import PromptBuilder
from itp.types import State, Trajectory
from itp.world_model.knowledge import LINKS, START, Entry, KnowledgeBase, Patterns, words

MOST = 3
"""Objects named with one action, and actions to avoid."""
OFTEN = 0.5
"""Share of the experts' won episodes that must hold an action for it to be part of the way."""
ENOUGH = 3
"""Times an action was seen with this very object before its figures count; those of the task type otherwise."""
OPENING = 8
"""Words of an observation that state knowledge keeps where the game's language is unknown."""

_DEVICE_FOR = {quality: DEVICE[verb] for verb, quality in QUALITY.items() if verb in DEVICE}


class TaskKnowledge:
    """Writes task knowledge; see the module.

    Args:
        trajectories: training episodes, expert and rollout.
        patterns: abstraction of their actions.
    """

    def __init__(self, trajectories: Sequence[Trajectory], patterns: Patterns) -> None:
        self.patterns = patterns
        self._places: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self._games: Counter[str] = Counter()
        self._with: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        self._mistakes: dict[str, Counter[str]] = defaultdict(Counter)
        self._right: dict[str, set[str]] = defaultdict(set)
        for trajectory in trajectories:
            self._count(trajectory)

    def _count(self, trajectory: Trajectory) -> None:
        kind, goal, steps = trajectory.task.task_type, trajectory.task.goal, trajectory.steps
        expert = trajectory.won and all(step.decision.action == step.expert_action for step in steps)
        self._games[kind] += expert
        seen: set[str] = set()
        for number, step in enumerate(steps):
            action = step.decision.action
            pattern, rest = self._split(action, goal)
            if not pattern:  # an answer such as "0", to a game that asked which one was meant
                continue
            if action == step.expert_action:
                self._right[kind].add(pattern)
                for key in ((kind, pattern), self._very(pattern, goal)):
                    self._with[key].update(rest)
            elif step.expert_action:
                self._mistakes[kind][pattern] += 1
            if expert and pattern not in seen:
                seen.add(pattern)
                self._places[kind][pattern].append(number / len(steps))

    def text(self, goal: str, task_type: str) -> str:
        """Task knowledge in one line, such as "do: go to desk/bed, take pen from desk; avoid: look"."""
        places = {p: at for p, at in self._places[task_type].items() if len(at) >= OFTEN * self._games[task_type]}
        way = sorted(places, key=lambda pattern: (sum(places[pattern]) / len(places[pattern]), pattern))
        mistakes = self._mistakes[task_type]
        wrong = sorted(mistakes.keys() - self._right[task_type], key=lambda pattern: (-mistakes[pattern], pattern))
        parts = []
        if way:
            parts.append(f"do: {', '.join(self._told(pattern, goal, task_type) for pattern in way)}")
        if wrong:
            parts.append(f"avoid: {', '.join(self._filled(pattern, goal) for pattern in wrong[:MOST])}")
        return "; ".join(parts) or "nothing known"

    def _split(self, action: str, goal: str) -> tuple[str, list[str]]:
        """An action's pattern with no object but the goal's, and the objects left out."""
        verb, *rest = self.patterns.of(action, goal).split() or [""]
        kept = [word for word in rest if word in LINKS or word.startswith("{")]
        return " ".join([verb, *kept]), [word for word in rest if word not in kept]

    def _filled(self, pattern: str, goal: str) -> str:
        """A pattern with the goal's own objects."""
        objects = self.patterns.goal_objects(goal)
        return " ".join(
            objects[int(word[1:-1])] if word.startswith("{") and int(word[1:-1]) < len(objects) else word
            for word in pattern.split()
        )

    def _very(self, pattern: str, goal: str) -> tuple[str, ...]:
        """Key of the figures for these very objects: those of the action, or of the whole goal if it names none."""
        filled = self._filled(pattern, goal)
        return ("", filled) if "{" in pattern else ("", filled, *self.patterns.goal_objects(goal))

    def _told(self, pattern: str, goal: str, task_type: str) -> str:
        very = self._with[self._very(pattern, goal)]
        found = very if very.total() >= ENOUGH else self._with[task_type, pattern]
        best = sorted(found, key=lambda word: (-found[word], word))[:MOST]
        return f"{self._filled(pattern, goal)} {'/'.join(best)}".strip()


def state_texts(trajectory: Trajectory, patterns: Patterns) -> Iterator[tuple[State, str]]:
    """Every state of an episode with its state knowledge, the last one left out."""
    belief = Belief.start(trajectory.task.goal, trajectory.first_observation)
    for state, step in zip(trajectory.states(), trajectory.steps, strict=False):
        yield state, _of_belief(belief) if belief.goal.target else _of_text(state, patterns)
        belief.update(step.decision.action, step.observation)


def _of_belief(belief: Belief) -> str:
    goal, held, place = belief.goal, belief.holding, belief.location
    phrases = [goal.family]
    if held is None:
        phrases.append("hold nothing")
    else:
        kind = "target" if type_of(held) == goal.target else "other"
        ready = " ready" if kind == "target" and goal.quality and belief.has_quality(held) else ""
        phrases.append(f"hold {kind}{ready}")
    phrases.append(f"at {type_of(place) if place else 'start'}")
    if place in belief.doors:
        phrases.append("open" if belief.doors[place] else "closed")
    if place and type_of(place) == goal.destination:
        phrases.append("destination here")
    if place and type_of(place) == _DEVICE_FOR.get(goal.quality):
        phrases.append("device here")
    placed = belief.placed()
    waiting = [where for name, where in belief.find(goal.target) if (name, where) not in placed]
    if waiting:
        phrases.append("target here" if any(belief.here(where) for where in waiting) else "target known")
    if goal.family == "look" and belief.find(goal.destination):
        near = any(belief.here(where) for _, where in belief.find(goal.destination))
        phrases.append("lamp here" if near else "lamp known")
    if placed:
        phrases.append(f"{len(placed)} placed")
    return ", ".join(phrases)


def _of_text(state: State, patterns: Patterns) -> str:
    after = patterns.of(state.history[-1][0], state.task) if state.history else START
    return f"after {after}, {' '.join(words(state.observation)[:OPENING])}"


def knowledge_base(trajectories: Iterable[Trajectory], patterns: Patterns) -> KnowledgeBase:
    """State knowledge of every labelled state, with the action before it and the expert's next one."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for trajectory in trajectories:
        goal, before = trajectory.task.goal, START
        for (_, text), step in zip(state_texts(trajectory, patterns), trajectory.steps, strict=True):
            if step.expert_action:
                found[text, before][patterns.of(step.expert_action, goal)] += 1
            before = patterns.of(step.decision.action, goal)
    return KnowledgeBase([Entry(*key, dict(counts)) for key, counts in found.items()], patterns)


def knowledge_rows(
    trajectories: Iterable[Trajectory], encode: Encode, prompts: PromptBuilder, *, tasks: TaskKnowledge
) -> Iterator[Row]:
    """Rows of the knowledge model: one for each task, one for each state with an action of the expert.

    Args:
        trajectories: episodes.
        encode: the tokenizer.
        prompts: the knowledge model's prompt builder.
        tasks: writes the task knowledge, from training episodes alone.
    """
    for trajectory in trajectories:
        task = trajectory.task
        start = prompts.task_knowledge(State(task.goal, trajectory.first_observation))
        yield prompt_row(encode, start, tasks.text(task.goal, task.task_type))
        for (state, text), step in zip(state_texts(trajectory, tasks.patterns), trajectory.steps, strict=True):
            if step.expert_action:
                yield prompt_row(encode, prompts.state_knowledge(state), text)
