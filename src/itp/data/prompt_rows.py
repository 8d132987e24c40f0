"""Training rows for the prompted planners: a small model learns to answer every prompt that `itp.policy.templates` has.

    itp train policy --objective prompts --prompts configs/prompts/short --data out/data --out out/talker

What an LLM brings along, a model from scratch must be taught: the expert's command where a command is asked for, the
real next observation where an outcome is, what it remembers as its thought, whether the next command changes anything
as its horizon, and the share of the episode that is done as the value of a state. Feedback and choices are made from
the expert's command and others that were possible. It is a model to test planners with, not one that reasons.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from itp.data.rows import Encode, Row
from itp.lm.scripted import ScriptedLM
from itp.policy.prompted import PromptedPolicy, Question, listed, tell_foresight
from itp.policy.templates import PromptTemplate
from itp.state_text.memory import memory_fields
from itp.types import ImaginedStep, ImaginedTrajectory, State, Trajectory

MAX_K = 3
"""Longest foresight in the rows, and the K_max that the horizon prompt names."""
MOVES = ("go", "look", "examine", "inventory", "help")
"""First words of commands that change nothing: not worth imagining."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """One labelled step of an episode, with what came after it."""

    state: State
    action: str
    observation: str
    follows_expert: bool
    commands: tuple[str, ...]
    future: ImaginedTrajectory
    done: float
    rng: random.Random


def prompt_rows(
    trajectories: Iterable[Trajectory],
    encode: Encode,
    prompts: object,
    *,
    templates: Mapping[str, PromptTemplate],
    per_step: int,
    end: str,
) -> Iterator[Row]:
    """Rows of conversations: for every labelled step the command itself, and some of the other prompts.

    Args:
        trajectories: episodes with expert labels; admissible commands are used where they were kept.
        encode: the tokenizer.
        prompts: unused; rows are made from templates.
        templates: by name.
        per_step: prompts drawn for each step besides `act`.
        end: the end token.
    """
    asker = PromptedPolicy(ScriptedLM([]), templates, max_prompt_tokens=10**9)
    for trajectory in trajectories:
        rng = random.Random(trajectory.task.task_id)
        for moment in _moments(trajectory, rng):
            for name in ["act", *rng.sample(sorted(_ANSWERS), per_step)]:
                made = _ANSWERS[name](moment) if name != "act" else (_commands(moment), f"Action: {moment.action}")
                if made is None:
                    continue
                values, answer = made
                chat = asker.chat(Question(name, moment.state, values, _thoughts(moment.state)))
                row = Row()
                row.add(encode(chat.plain()), learn=False)
                row.add(encode(answer + end), learn=True)
                yield row


def _moments(trajectory: Trajectory, rng: random.Random) -> Iterator[_Moment]:
    states, steps = trajectory.states(), trajectory.steps
    known = tuple(dict.fromkeys(step.decision.action for step in steps))
    for number, step in enumerate(steps):
        if not step.expert_action:
            continue
        follows = step.decision.action == step.expert_action
        window = steps[number : number + MAX_K]
        future = ImaginedTrajectory(tuple(ImaginedStep(s.decision.action, s.observation) for s in window))
        commands = step.admissible or tuple(
            sorted({step.expert_action, *rng.sample(known, min(len(known), 6))}, key=lambda _: rng.random())
        )
        done = (number + 1) / len(steps) if trajectory.won else 0.0
        yield _Moment(states[number], step.expert_action, step.observation, follows, commands, future, done, rng)


def _thoughts(state: State) -> tuple[str, ...]:
    """What was remembered at each step so far."""
    history = state.history
    return tuple(
        memory_fields(State(state.task, state.first_observation, history[:n])) for n in range(max(0, len(history)))
    )


def _commands(moment: _Moment) -> dict[str, str]:
    return {"commands": listed(moment.commands)}


def _thought(moment: _Moment) -> str:
    return memory_fields(moment.state)


def _others(moment: _Moment) -> list[str]:
    return [command for command in moment.commands if command != moment.action]


Answer = tuple[dict[str, str], str] | None


def _reasoned(moment: _Moment) -> Answer:
    return _commands(moment), f"Thought: {_thought(moment)}\nAction: {moment.action}"


def _horizon(moment: _Moment) -> Answer:
    k = 0 if moment.action.split()[0] in MOVES else 1
    return {**_commands(moment), "k_max": str(MAX_K)}, str(k)


def _forms(moment: _Moment) -> dict[str, str]:
    return {"forms": listed(moment.commands)}


def _propose(moment: _Moment) -> Answer:
    return _forms(moment), f"Action: {moment.action}"


def _predict(moment: _Moment) -> Answer:
    step = moment.future.steps[0]
    return {"action": step.action}, step.observation


def _imagine(moment: _Moment) -> Answer:
    if not moment.follows_expert:
        return None
    lines = [f"Action: {step.action}\nObservation: {step.observation}" for step in moment.future.steps]
    return {**_forms(moment), "horizon": str(len(lines))}, "\n".join(lines)


def _reflect(moment: _Moment) -> Answer:
    foresight = moment.future.prefix(moment.rng.randint(1, MAX_K))
    verdict = "it helps" if moment.follows_expert else "it does not help"
    answer = f"Reflection: {verdict}\nThought: {_thought(moment)}\nAction: {moment.action}"
    return {**_commands(moment), "foresight": tell_foresight(foresight)}, answer


def _draft(moment: _Moment) -> str:
    others = _others(moment)
    return moment.rng.choice(others) if others and moment.rng.random() < 0.5 else moment.action


def _critique(moment: _Moment) -> Answer:
    draft = _draft(moment)
    feedback = "none" if draft == moment.action else f"better: {moment.action}"
    return {**_commands(moment), "draft": draft}, f"Feedback: {feedback}"


def _refine(moment: _Moment) -> Answer:
    others = _others(moment)
    if not others:
        return None
    feedback = f"better: {moment.action}"
    values = {**_commands(moment), "draft": moment.rng.choice(others), "feedback": feedback}
    return values, f"Action: {moment.action}"


def _candidates(moment: _Moment) -> Answer:
    others = _others(moment)
    named = [moment.action, *moment.rng.sample(others, min(len(others), MAX_K - 1))]
    values = {**_commands(moment), "count": str(MAX_K)}
    return values, "\n".join(f"Action: {command}" for command in named)


def _choose(moment: _Moment) -> Answer:
    others = _others(moment)
    named = [moment.action, *moment.rng.sample(others, min(len(others), MAX_K - 1))]
    moment.rng.shuffle(named)
    values = {**_commands(moment), "candidates": listed(named)}
    return values, f"Thought: {_thought(moment)}\nAction: {moment.action}"


def _value(moment: _Moment) -> Answer:
    return {}, str(round(10 * moment.done))


_ANSWERS: Mapping[str, Callable[[_Moment], Answer]] = {
    "cot": _reasoned,
    "react": _reasoned,
    "horizon": _horizon,
    "propose": _propose,
    "predict": _predict,
    "imagine": _imagine,
    "reflect": _reflect,
    "critique": _critique,
    "refine": _refine,
    "candidates": _candidates,
    "choose": _choose,
    "value": _value,
}


def prompt_names() -> Sequence[str]:
    """Every template that rows are made for."""
    return ("act", *sorted(_ANSWERS))
