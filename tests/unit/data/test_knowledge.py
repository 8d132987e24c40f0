"""What the world knowledge model learns from: patterns of actions, task knowledge, state knowledge, the base."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from itp.data.knowledge import TaskKnowledge, knowledge_base, knowledge_rows, state_texts
from itp.data.rows import IGNORE
from itp.errors import CheckpointError
from itp.lm.loading import encode
from itp.lm.tokens import END
from itp.state_text.prompts import PromptBuilder
from itp.state_text.renderers import RENDERERS, get_renderer
from itp.types import Decision, State, Step, StopReason, Task, Trajectory
from itp.world_model.knowledge import BASE_FILE, START, Entry, KnowledgeBase, Patterns, similarity
from models import decode, episodes, tokenizer

PATTERNS = Patterns.learn(step.decision.action for t in episodes() for step in t.steps)
MADE = Patterns(frozenset({"apple", "fridge", "mug", "shelf", "desk", "drawer", "sinkbasin"}))


def played(goal: str, *steps: tuple[str, str], kind: str = "pick", won: bool = True) -> Trajectory:
    """An episode from (action, expert's action) pairs; observations say nothing."""
    made = tuple(Step(Decision(action), "Nothing happens.", expert_action=expert) for action, expert in steps)
    stop = StopReason.WON if won else StopReason.STEP_LIMIT
    return Trajectory(Task(goal, goal, kind), "A room.", made, stop)


def expert(goal: str, *actions: str, kind: str = "pick") -> Trajectory:
    return played(goal, *[(action, action) for action in actions], kind=kind)


@pytest.mark.parametrize(
    ("action", "goal", "pattern"),
    [
        ("clean apple 2 with sinkbasin 1", "put a clean apple in fridge.", "clean {0} with sinkbasin"),
        ("move apple 2 to fridge 1", "clean some apple and put it in fridge.", "move {0} to {1}"),
        ("go to fridge 1", "put a clean apple in fridge.", "go to {1}"),
        ("put mug 1 in/on shelf 3", "put a mug in desk.", "put {0} in/on shelf"),
        ("look", "put a mug in desk.", "look"),
        ("", "put a mug in desk.", ""),
    ],
)
def test_patterns_drop_numbers_and_name_the_goals_objects_by_place(action: str, goal: str, pattern: str) -> None:
    assert MADE.of(action, goal) == pattern


def test_objects_are_what_actions_name() -> None:
    assert Patterns.learn(["take mug 1 from desk 2", "look", "put mug 1 in/on shelf 1"]).objects == {
        "mug",
        "desk",
        "shelf",
    }


def test_task_knowledge_tells_the_experts_order_the_usual_places_and_what_only_rollouts_did() -> None:
    way = ["go to desk 1", "take mug 1 from desk 1", "go to shelf 1", "put mug 1 in/on shelf 1"]
    data = [expert("put a mug in shelf.", *way) for _ in range(4)]
    data.append(expert("put a mug in shelf.", "go to drawer 1", "take mug 1 from drawer 1", *way[2:]))
    data.append(played("put a mug in shelf.", ("inventory", way[0]), *[(a, a) for a in way]))
    tasks = TaskKnowledge(data, Patterns.learn(s.decision.action for t in data for s in t.steps))
    assert tasks.text("put a mug in shelf.", "pick") == (
        "do: go to desk/drawer, take mug from desk/drawer, go to shelf, put mug in/on shelf; avoid: inventory"
    )


def test_task_knowledge_prefers_figures_of_the_very_object_and_falls_back_to_the_task_type() -> None:
    data = [expert("put a mug in shelf.", "take mug 1 from desk 1", "put mug 1 in/on shelf 1") for _ in range(5)]
    data += [expert("put a apple in shelf.", "take apple 1 from fridge 1", "put apple 1 in/on shelf 1")] * 3
    tasks = TaskKnowledge(data, Patterns.learn([s.decision.action for t in data for s in t.steps] + ["take pen 1"]))
    assert "take apple from fridge," in tasks.text("put a apple in shelf.", "pick")
    assert "take mug from desk," in tasks.text("put a mug in shelf.", "pick")
    assert "take pen from desk/fridge," in tasks.text("put a pen in shelf.", "pick")


def test_answers_without_words_are_no_part_of_the_way() -> None:
    assert TaskKnowledge([expert("x", "look", "0", "wait")], MADE).text("x", "pick") == "do: look, wait"


def test_a_task_type_without_episodes_is_not_made_up() -> None:
    assert TaskKnowledge([], MADE).text("put a mug in shelf.", "pick") == "nothing known"


def test_lost_and_noisy_episodes_are_no_ones_way() -> None:
    data = [played("put a mug in shelf.", ("look", "look"), won=False), played("x", ("look", "go to desk 1"))]
    assert TaskKnowledge(data, MADE).text("put a mug in shelf.", "pick") == "nothing known"


def test_state_knowledge_of_household_games_is_read_from_what_was_seen() -> None:
    for trajectory in episodes():
        for (state, text), step in zip(state_texts(trajectory, PATTERNS), trajectory.steps, strict=True):
            phrases = text.split(", ")
            assert not any(character.isdigit() for phrase in phrases[1:3] for character in phrase)
            assert ("at start" in phrases) == (not any(a.startswith("go to") for a, _ in state.history))
            assert step.observation not in text
        first = next(iter(state_texts(trajectory, PATTERNS)))[1]
        assert first.endswith("hold nothing, at start")


def test_state_knowledge_elsewhere_is_the_last_action_and_what_followed() -> None:
    trajectory = expert("boil water", "open door 1", "wait")
    patterns = Patterns.learn(["open door", "wait"])
    assert [text for _, text in state_texts(trajectory, patterns)] == [
        "after start, a room",
        "after open door, nothing happens",
    ]


def test_the_base_counts_every_labelled_step_once(tmp_path: Path) -> None:
    base = knowledge_base(episodes(), PATTERNS)
    labels = Counter(
        PATTERNS.of(step.expert_action, t.task.goal) for t in episodes() for step in t.steps if step.expert_action
    )
    counted = Counter[str]()
    for entry in base.entries:
        counted.update(entry.actions)
    assert counted == labels
    base.save(tmp_path)
    loaded = KnowledgeBase.load(tmp_path)
    assert (loaded.entries, loaded.patterns) == (base.entries, base.patterns)
    (tmp_path / BASE_FILE).write_text("{}\n")
    with pytest.raises(CheckpointError, match="cannot be read; run `itp train wkm` again"):
        KnowledgeBase.load(tmp_path)


ENTRIES = (
    Entry("hold nothing, at desk, target here", "go to desk", {"take {0} from desk": 4}),
    Entry("hold nothing, at desk", "go to desk", {"go to shelf": 2, "go to {1}": 1}),
    Entry("hold target, at desk", "take {0} from desk", {"go to {1}": 5}),
    Entry("hold nothing, at start", START, {"go to desk": 3}),
)


@pytest.mark.parametrize(
    ("state", "before", "neighbours", "votes"),
    [
        ("hold nothing, at desk, target here", "go to desk", 3, {"take {0} from desk": 4}),
        (
            "hold nothing, at desk, target here",
            "go to desk",
            5,
            {"take {0} from desk": 4, "go to shelf": 2, "go to {1}": 1},
        ),
        ("hold nothing, at desk", "go to desk", 1, {"go to shelf": 2, "go to {1}": 1}),
        ("at desk, hold target", "look", 1, {"go to {1}": 5}),
    ],
    ids=["nearest", "until enough have voted", "exact", "an action never seen searches all"],
)
def test_retrieval(state: str, before: str, neighbours: int, votes: dict[str, int]) -> None:
    assert KnowledgeBase(ENTRIES, MADE, neighbours).votes(state, before) == votes
    assert KnowledgeBase(ENTRIES[::-1], MADE, neighbours).votes(state, before) == votes


def test_similarity_is_the_jaccard_index_of_phrases() -> None:
    assert similarity("a b, c, d", "a b, d, e") == 2 / 4
    assert similarity("a", "a") == 1.0
    assert similarity("", "a") == 0.0


def test_votes_for_a_pattern_are_shared_by_the_commands_that_have_it_and_sum_to_one() -> None:
    base = KnowledgeBase(ENTRIES, MADE, 3)
    state = State("put a mug in drawer.", "").extend("go to desk 2", "")
    commands = ["go to shelf 1", "go to shelf 2", "go to drawer 1", "look", "take mug 1 from desk 2"]
    assert base.probabilities("hold nothing, at desk", state, commands) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0, 0])
    assert base.probabilities("hold nothing, at desk", state, ["look", "inventory"]) is None


@pytest.mark.parametrize("renderer", list(RENDERERS))
def test_rows_of_the_knowledge_model_learn_the_texts_behind_its_own_prompts(renderer: str) -> None:
    prompts, ids = PromptBuilder(get_renderer(renderer)), partial(encode, tokenizer())
    tasks = TaskKnowledge(episodes(), PATTERNS)
    for trajectory in episodes():
        wanted = [
            (
                prompts.task_knowledge(trajectory.states()[0]),
                tasks.text(trajectory.task.goal, trajectory.task.task_type),
            )
        ]
        wanted += [
            (prompts.state_knowledge(state), text)
            for (state, text), step in zip(state_texts(trajectory, PATTERNS), trajectory.steps, strict=True)
            if step.expert_action
        ]
        rows = list(knowledge_rows([trajectory], ids, prompts, tasks=tasks))
        assert len(rows) == len(wanted)
        for row, (prompt, text) in zip(rows, wanted, strict=True):
            learnt = [label for label in row.labels if label != IGNORE]
            assert row.input_ids[: -len(learnt)] == ids(prompt)
            assert decode(learnt) == text + END


def test_what_is_told_about_a_held_out_task_comes_from_the_training_episodes_alone() -> None:
    held_out = replace(episodes()[5], task=replace(episodes()[5].task, task_type="never seen"))
    tasks = TaskKnowledge(episodes()[:5], PATTERNS)
    assert tasks.text(held_out.task.goal, held_out.task.task_type) == "nothing known"
