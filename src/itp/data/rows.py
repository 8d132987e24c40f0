"""From trajectories to training rows: token ids with labels, -100 wherever no loss is wanted.

One row holds as many labels as its prompt allows: with `history-v1` an episode is one sequence and every observation
(or every expert action) in it is a label; with `memory-v1` every step is a row of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from itp.lm.tokens import ACT, CTRL, END, OBS, strip_special
from itp.state_text.prompts import PromptBuilder
from itp.types import ImaginedTrajectory, State, Trajectory

IGNORE = -100


@dataclass(slots=True)
class Row:
    """One training sequence."""

    input_ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def add(self, ids: Sequence[int], *, learn: bool) -> None:
        """Append tokens, with or without loss on them."""
        self.input_ids.extend(ids)
        self.labels.extend(ids if learn else [IGNORE] * len(ids))


Encode = Callable[[str], list[int]]


def prompt_row(encode: Encode, prompt: str, completion: str) -> Row:
    """A prompt without loss and a completion, closed by the end token, with loss."""
    row = Row()
    row.add(encode(prompt), learn=False)
    row.add(encode(strip_special(completion) + END), learn=True)
    return row


def world_model_rows(
    trajectories: Iterable[Trajectory], encode: Encode, prompts: PromptBuilder, *, window: int = 24
) -> Iterator[Row]:
    """Rows for eq. 1 of Liu et al. 2026: loss on the tokens of real next observations only.

    Args:
        trajectories: expert and rollout episodes alike; a wrong action teaches as well as a right one.
        encode: the tokenizer.
        prompts: the world model's prompt builder.
        window: with a history renderer, at most this many labelled steps share a row; the steps before them stay in
            view as context.
    """
    for trajectory in trajectories:
        states = trajectory.states()
        if not prompts.renderer.droppable:
            for state, step in zip(states, trajectory.steps, strict=False):
                yield prompt_row(encode, prompts.world_model(state, step.decision.action), step.observation)
            continue
        for start in range(0, len(trajectory.steps), window):
            row = Row()
            row.add(encode(prompts.state(states[start])), learn=False)
            for step in trajectory.steps[start : start + window]:
                row.add(encode(f"{CTRL}{ACT}{strip_special(step.decision.action)}{END}{OBS}"), learn=False)
                row.add(encode(f"{strip_special(step.observation)}{END}"), learn=True)
            yield row


def policy_rows(
    trajectories: Iterable[Trajectory], encode: Encode, prompts: PromptBuilder, *, window: int = 24
) -> Iterator[Row]:
    """Rows for imitation: loss on the expert's action in every state, whatever was really done there.

    In a history, a step where the episode did something else than the expert carries no label (its continuation is not
    the expert's); the recovery after it does. With `memory-v1` such a step is labelled too.
    """
    for trajectory in trajectories:
        states = trajectory.states()
        if not prompts.renderer.droppable:
            for state, step in zip(states, trajectory.steps, strict=False):
                if step.expert_action:
                    yield prompt_row(encode, prompts.act(state), step.expert_action)
            continue
        for start in range(0, len(trajectory.steps), window):
            row = Row()
            row.add(encode(prompts.state(states[start])), learn=False)
            for step in trajectory.steps[start : start + window]:
                row.add(encode(CTRL + ACT), learn=False)
                action = strip_special(step.decision.action)
                row.add(encode(action + END), learn=action == step.expert_action)
                row.add(encode(f"{OBS}{strip_special(step.observation)}{END}"), learn=False)
            if any(label != IGNORE for label in row.labels):
                yield row


def unique(rows: Iterable[Row]) -> list[Row]:
    """Rows without repeats: games played at several noise levels share their beginnings."""
    return list({tuple(row.input_ids): row for row in rows}.values())


def foresight_row(
    encode: Encode, prompts: PromptBuilder, state: State, foresight: ImaginedTrajectory, action: str
) -> tuple[Row, int]:
    """A warm-up row (eq. 6) and the position of its `<CTRL>` token, where the heads read."""
    row = prompt_row(encode, prompts.act(state, foresight), action)
    return row, len(encode(prompts.control(state))) - 1
