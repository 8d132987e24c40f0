"""From trajectories to training rows: token ids with labels, -100 wherever no loss is wanted.

One row holds as many labels as its prompt allows: with `history-v1` an episode is one sequence and every observation
(or every expert action) in it is a label; with `memory-v1` every step is a row of its own. Either way each label stands
behind exactly the tokens that inference would read there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from itp.lm.tokens import ACT, CTRL, END, OBS, strip_special
from itp.state_text.prompts import PromptBuilder
from itp.types import ImaginedTrajectory, State, Step, Trajectory

IGNORE = -100


@dataclass(slots=True)
class Row:
    """One training sequence."""

    input_ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    copies: int = 1
    """How often an epoch shows it."""

    def add(self, ids: Sequence[int], *, learn: bool) -> None:
        """Append tokens, with or without loss on them."""
        self.input_ids.extend(ids)
        self.labels.extend(ids if learn else [IGNORE] * len(ids))


Encode = Callable[[str], list[int]]
Tell = Callable[[Trajectory], str]
"""Task knowledge that the player of an episode was given; see `State.knowledge`."""


def prompt_row(encode: Encode, prompt: str, completion: str) -> Row:
    """A prompt without loss and a completion, closed by the end token, with loss."""
    row = Row()
    row.add(encode(prompt), learn=False)
    row.add(encode(strip_special(completion) + END), learn=True)
    return row


def world_model_rows(
    trajectories: Iterable[Trajectory],
    encode: Encode,
    prompts: PromptBuilder,
    *,
    window: int = 24,
    tell: Tell | None = None,
    tell_loss: str = "",
    copies: int = 1,
    copies_of: Sequence[str] = (),
) -> Iterator[Row]:
    """Rows for eq. 1 of Liu et al. 2026: loss on the tokens of real next observations only.

    An empty observation was written down by nobody (converted conversations end with an action), and is no label.

    Args:
        trajectories: expert and rollout episodes alike; a wrong action teaches as well as a right one.
        encode: the tokenizer.
        prompts: the world model's prompt builder.
        window: with a history renderer, at most this many labelled steps share a row; the steps before them stay in
            view as context, as many as inference would show.
        tell: task knowledge of each episode, where the model is given some.
        tell_loss: added to the last observation of an episode that ended beyond repair.
        copies: how often an epoch shows a step whose observation holds one of `copies_of`; in a history, the further
            copies are rows of their own.
        copies_of: those texts.
    """
    for played in trajectories:
        trajectory = _told(played, tell_loss)
        states = _states(trajectory, tell)
        told = int(prompts.renderer.droppable)  # a history has shown each step once
        if told:
            yield from _episode_rows(states, trajectory.steps, encode, prompts, window, observations=True)
        for state, step in zip(states, trajectory.steps, strict=False):
            wanted = copies if any(text in step.observation for text in copies_of) else 1
            if step.observation and wanted > told:
                row = prompt_row(encode, prompts.world_model(state, step.decision.action), step.observation)
                row.copies = wanted - told
                yield row


def policy_rows(
    trajectories: Iterable[Trajectory],
    encode: Encode,
    prompts: PromptBuilder,
    *,
    window: int = 24,
    tell: Tell | None = None,
    corrections: int = 0,
) -> Iterator[Row]:
    """Rows for imitation: loss on the expert's action in every state, whatever was really done there.

    In a history, a step where the episode did something else than the expert carries no label (its continuation is not
    the expert's); the recovery after it does. With `memory-v1` such a step is labelled too. Arguments as in
    `world_model_rows`, and `corrections`: in a history, at most so many mistakes of an episode, its first ones, are
    rows of their own, with the expert's action behind them. Noise is no mistake.
    """
    for trajectory in trajectories:
        states = _states(trajectory, tell)
        if prompts.renderer.droppable:
            yield from _episode_rows(states, trajectory.steps, encode, prompts, window, actions=True)
            yield from _corrections(states, trajectory.steps, encode, prompts, corrections)
            continue
        for state, step in zip(states, trajectory.steps, strict=False):
            if step.expert_action:
                yield prompt_row(encode, prompts.act(state), step.expert_action)


def joint_rows(
    trajectories: Iterable[Trajectory],
    encode: Encode,
    prompts: PromptBuilder,
    *,
    window: int = 24,
    tell: Tell | None = None,
    corrections: int = 0,
) -> Iterator[Row]:
    """Rows for implicit world modelling: the expert's actions and the next observations of all actions (IWM).

    In a history both kinds of label stand in one sequence, since the world model's prompt goes on where the policy's
    ends; with `memory-v1` each has a row of its own. Arguments as in `policy_rows`.
    """
    for trajectory in trajectories:
        if prompts.renderer.droppable:
            states, steps = _states(trajectory, tell), trajectory.steps
            yield from _episode_rows(states, steps, encode, prompts, window, actions=True, observations=True)
            yield from _corrections(states, steps, encode, prompts, corrections)
            continue
        yield from policy_rows([trajectory], encode, prompts, tell=tell)
        yield from world_model_rows([trajectory], encode, prompts, tell=tell)


def _corrections(
    states: Sequence[State], steps: Sequence[Step], encode: Encode, prompts: PromptBuilder, most: int
) -> Iterator[Row]:
    """A row for each of the first mistakes: what the expert would have done there."""
    wrong = (
        (state, step.expert_action)
        for state, step in zip(states, steps, strict=False)
        if step.expert_action not in ("", step.decision.action) and step.decision.parse != "random"
    )
    for state, action in islice(wrong, most):
        yield prompt_row(encode, prompts.act(state), action)


def _told(trajectory: Trajectory, loss: str) -> Trajectory:
    """The episode with its loss said in its last observation."""
    if not (loss and trajectory.irreversible and trajectory.steps):
        return trajectory
    *steps, last = trajectory.steps
    return replace(trajectory, steps=(*steps, replace(last, observation=f"{last.observation} {loss}")))


def _states(trajectory: Trajectory, tell: Tell | None) -> Sequence[State]:
    """The states of an episode, with what its player was told in front."""
    knowledge = tell(trajectory) if tell else ""
    return [replace(state, knowledge=knowledge) for state in trajectory.states()]


def _episode_rows(
    states: Sequence[State],
    steps: Sequence[Step],
    encode: Encode,
    prompts: PromptBuilder,
    window: int,
    *,
    actions: bool = False,
    observations: bool = False,
) -> Iterator[Row]:
    """Rows of one episode told as a history, with labels on its expert actions, its observations, or both.

    A row ends after `window` steps, and wherever inference would begin to drop (more of) the oldest steps: what is
    behind a label is then always the inference prompt. Long histories cost a row for each step beyond the limit.
    """
    row, start = Row(), 0
    for number, step in enumerate(steps):
        if number == 0 or number - start == window or not _fits(row, number, prompts):
            if any(label != IGNORE for label in row.labels):
                yield row
            row, start = Row(), number
            row.add(encode(prompts.state(states[number])), learn=False)
        action = strip_special(step.decision.action)
        row.add(encode(CTRL + ACT), learn=False)
        row.add(encode(action + END), learn=actions and action == step.expert_action)
        row.add(encode(OBS), learn=False)
        row.add(encode(strip_special(step.observation) + END), learn=observations and bool(step.observation))
    if any(label != IGNORE for label in row.labels):
        yield row


def _fits(row: Row, number: int, prompts: PromptBuilder) -> bool:
    """Whether inference, asked about step `number`, would still show every step that the row holds."""
    if prompts.history_steps is not None and number > prompts.history_steps:
        return False
    return prompts.count_tokens is None or len(row.input_ids) <= prompts.max_state_tokens


def unique(rows: Iterable[Row]) -> list[Row]:
    """Rows without repeats: games played at several noise levels share their beginnings.

    Labels count too: the same tokens with loss in different places are different rows.
    """
    return list({(tuple(row.input_ids), tuple(row.labels)): row for row in rows}.values())


def foresight_row(
    encode: Encode, prompts: PromptBuilder, state: State, foresight: ImaginedTrajectory, action: str
) -> tuple[Row, int]:
    """A warm-up row (eq. 6) and the position of its `<CTRL>` token, where the heads read."""
    row = prompt_row(encode, prompts.act(state, foresight), action)
    return row, len(encode(prompts.control(state))) - 1
