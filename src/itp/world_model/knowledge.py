"""A world knowledge model (WKM, Qiao et al. 2024) at play: what it says about tasks and states, and what to do there.

`KnowledgeModel` is a causal LM with two prompts: *task knowledge*, written once before acting and put in front of the
agent's prompt, and *state knowledge*, a short text about the current state. `KnowledgeBase` holds the state knowledge
of the training episodes with the expert actions that followed; the most similar entries vote on the next action.
`itp.data.knowledge` distils what both learn from; `itp train wkm` writes the folder they are loaded from.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from itp.errors import CheckpointError
from itp.lm.base import LanguageModel, Sampling
from itp.lm.transformers import TransformersLM
from itp.policy.checkpoint import ItpConfig, read_itp_config
from itp.run_folder import write_text
from itp.state_text.prompts import PromptBuilder
from itp.state_text.renderers import get_renderer
from itp.types import State, Usage

BASE_FILE = "knowledge.jsonl"
TASK_TOKENS, STATE_TOKENS = 192, 48
"""Token budgets of one task knowledge and one state knowledge."""
NEIGHBOURS = 30
"""Occurrences of state knowledge that vote on the next action."""
START = "start"
"""Stands for the action before the first."""
LINKS = frozenset(["to", "from", "with", "in", "on", "under", "at", "into", "onto", "in/on"])
"""Words that belong to a command's form and are none of its objects."""


@dataclass(frozen=True)
class Patterns:
    """Actions without what is particular to their game.

    Attributes:
        objects: every word that an action of the training episodes named, its verb and `LINKS` aside.
    """

    objects: frozenset[str]

    @classmethod
    def learn(cls, actions: Iterable[str]) -> Patterns:
        """Collect the objects of some actions."""
        return cls(frozenset(word for action in actions for word in words(action)[1:] if word not in LINKS))

    def goal_objects(self, goal: str) -> list[str]:
        """The objects that a goal names, in its order, each once."""
        return [word for word in dict.fromkeys(words(goal)) if word in self.objects]

    def of(self, action: str, goal: str) -> str:
        """Numbers go, and {n} stands for the n-th object of the goal.

        "clean apple 2 with sinkbasin 1" under "put a clean apple in fridge." is "clean {0} with sinkbasin".
        """
        places = {word: f"{{{n}}}" for n, word in enumerate(self.goal_objects(goal))}
        verb, *rest = words(action) or [""]
        return " ".join([verb, *(places.get(word, word) for word in rest)])


def words(text: str) -> list[str]:
    """Lower-case words of a text, without numbers and punctuation; "in/on" is one."""
    return re.findall(r"[a-z]+(?:/[a-z]+)*", text.lower())


@dataclass(frozen=True, slots=True)
class Knowledge:
    """One text of the knowledge model and what it cost."""

    text: str
    usage: Usage


def check_folder(folder: Path | str) -> ItpConfig:
    """What the knowledge model of a folder remembers. Raises CheckpointError when the folder holds none."""
    path = Path(folder) / "model"
    config = read_itp_config(str(path))
    if not path.is_dir() or config.kind != "knowledge":
        raise CheckpointError(f"--knowledge {folder} holds no knowledge model: give a folder of `itp train wkm`")
    return config


class KnowledgeModel:
    """The parametric part.

    Args:
        lm: a language model trained by `itp train wkm`.
        prompts: the prompt builder it was trained with.
    """

    def __init__(self, lm: LanguageModel, prompts: PromptBuilder) -> None:
        self.lm = lm
        self.prompts = prompts
        self._tasks: dict[str, Knowledge] = {}

    @classmethod
    def load(cls, folder: Path | str, *, device: str = "cpu", dtype: str = "float32") -> KnowledgeModel:
        """Load the model of a folder written by `itp train wkm`. Raises CheckpointError when it holds none."""
        config = check_folder(folder)
        lm = TransformersLM.load(str(Path(folder) / "model"), device=device, dtype=dtype)
        prompts = PromptBuilder(get_renderer(config.renderer), lm.count_tokens, config.max_state_tokens)
        return cls(lm, prompts)

    def task_knowledge(self, states: Sequence[State]) -> list[Knowledge]:
        """Knowledge about the task of each state, from its beginning alone; the same text at every step of a task."""
        prompts = [self.prompts.task_knowledge(State(state.task, state.first_observation)) for state in states]
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._tasks]
        self._tasks.update(zip(new, self._write(new, TASK_TOKENS), strict=True))
        return [self._tasks[prompt] for prompt in prompts]

    def state_knowledge(self, states: Sequence[State]) -> list[Knowledge]:
        """A short text about each state."""
        plain = [State(state.task, state.first_observation, state.history) for state in states]
        return self._write([self.prompts.state_knowledge(state) for state in plain], STATE_TOKENS)

    def _write(self, prompts: Sequence[str], tokens: int) -> list[Knowledge]:
        completions = self.lm.generate(prompts, Sampling(max_new_tokens=tokens)) if prompts else []
        return [Knowledge(c.text, Usage(c.prompt_tokens, c.completion_tokens, 1)) for c in completions]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the base: state knowledge, the action before it, and what experts did next, as action patterns."""

    state: str
    before: str
    actions: dict[str, int]


class KnowledgeBase:
    """State knowledge of the training episodes and the expert actions that followed.

    Args:
        entries: lines of the base.
        patterns: how its actions were abstracted.
        neighbours: occurrences that vote.
    """

    def __init__(self, entries: Iterable[Entry], patterns: Patterns, neighbours: int = NEIGHBOURS) -> None:
        self.entries = list(entries)
        self.patterns = patterns
        self.neighbours = neighbours
        self._votes: dict[tuple[str, str], Counter[str]] = {}

    @classmethod
    def load(cls, folder: Path | str) -> KnowledgeBase:
        """Read the base of a folder written by `itp train wkm`. Raises CheckpointError when it cannot be read."""
        file = Path(folder) / BASE_FILE
        try:
            head, *lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
            return cls([Entry(**line) for line in lines], Patterns(frozenset(head["objects"])))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CheckpointError(f"--knowledge {folder}: {file} cannot be read; run `itp train wkm` again") from error

    def save(self, folder: Path) -> None:
        """Write the base: a line with the objects, then one line for each entry."""
        lines = [{"objects": sorted(self.patterns.objects)}, *map(asdict, self.entries)]
        write_text(folder / BASE_FILE, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))

    def votes(self, state: str, before: str) -> Counter[str]:
        """How often each action pattern followed the entries most like a state knowledge.

        Entries after the same action pattern are compared (all entries, where there is none). They are ranked by the
        share of phrases in common with `state` (Jaccard index of what stands between commas; equal ones by text) and
        taken in this order until `neighbours` occurrences have voted.
        """
        key = (state, before)
        if key not in self._votes:
            found = Counter[str]()
            alike = [entry for entry in self.entries if entry.before == before] or self.entries
            for entry in sorted(alike, key=lambda entry: (-similarity(state, entry.state), entry.state)):
                if found.total() >= self.neighbours:
                    break
                found.update(entry.actions)
            self._votes[key] = found
        return self._votes[key]

    def probabilities(self, knowledge: str, state: State, commands: Sequence[str]) -> list[float] | None:
        """p_knowledge over admissible commands: votes for a pattern, shared evenly by the commands that have it.

        Args:
            knowledge: state knowledge of `state`.
            state: names the goal and the action before.
            commands: what is admissible.

        Returns:
            one probability for each command; None when none of them was voted for.
        """
        before = self.patterns.of(state.history[-1][0], state.task) if state.history else START
        votes = self.votes(knowledge, before)
        patterns = [self.patterns.of(command, state.task) for command in commands]
        sharing = Counter(patterns)
        shares = [votes[pattern] / sharing[pattern] for pattern in patterns]
        total = sum(shares)
        return [share / total for share in shares] if total else None


def similarity(left: str, right: str) -> float:
    """Jaccard index of two texts' phrases, the parts between commas; 0 to 1."""
    parts = [{phrase.strip() for phrase in text.split(",")} for text in (left, right)]
    return len(parts[0] & parts[1]) / len(parts[0] | parts[1])
