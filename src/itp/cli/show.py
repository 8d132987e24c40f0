"""`itp show`: read a run's traces: all episodes, one episode, or one decision in full.

itp show out/eval-itp                           the episodes
itp show out/eval-itp --episode 3               one episode, step by step (a number of that list, or a task id)
itp show out/eval-itp --episode 3 --step 5      one decision: state, imagined future, action, what really happened
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from itp.errors import ConfigError, DataError

if TYPE_CHECKING:
    from itp.types import Decision, State, Step, Trajectory, Usage

INDENT = "    "


@dataclass
class Config:
    """Print the episodes of a run, one episode, or one decision in full."""

    run: tyro.conf.Positional[Path]
    """Run folder with a traces.jsonl, or any JSONL file of episodes."""
    episode: str | None = None
    """Episode to print: its number in the list, or its task id."""
    step: int | None = None
    """Decision to print in full: the step's number, from 1. Needs --episode."""


def run(config: Config) -> None:
    """Print what the flags ask for."""
    from itp.trace.store import TraceStore

    if config.step is not None and config.episode is None:
        raise ConfigError("--step needs --episode: say which episode's step to print")
    trajectories = TraceStore(trace_file(config.run)).read()
    if not trajectories:
        raise DataError(f"{config.run} holds no whole episode yet")
    if config.episode is None:
        lines = list_episodes(trajectories)
    else:
        trajectory = find_episode(trajectories, config.episode)
        lines = show_episode(trajectory) if config.step is None else show_decision(trajectory, config.step)
    for line in lines:
        print(line)


def trace_file(path: Path) -> Path:
    """The JSONL file meant by a run folder or a file."""
    file = path / "traces.jsonl" if path.is_dir() else path
    if file.is_file():
        return file
    others = ", ".join(sorted(entry.name for entry in path.glob("*.jsonl"))) if path.is_dir() else ""
    hint = f"; it has {others}: name one of these files" if others else ": name a folder written by `itp eval`"
    raise DataError(f"{file} does not exist{hint}")


def find_episode(trajectories: Sequence[Trajectory], name: str) -> Trajectory:
    """The episode with that number (from 1, in file order) or task id (or a part that only one task id has)."""
    if name.isdecimal() and 1 <= int(name) <= len(trajectories):
        return trajectories[int(name) - 1]
    exact = [trajectory for trajectory in trajectories if trajectory.task.task_id == name]
    matches = exact or [trajectory for trajectory in trajectories if name and name in trajectory.task.task_id]
    if len({trajectory.task.task_id for trajectory in matches}) == 1:
        return matches[0]
    problem = f"fits {len(matches)} episodes" if matches else "is none of them"
    raise ConfigError(f"--episode {name} {problem}: give a number from 1 to {len(trajectories)}, or a whole task id")


def list_episodes(trajectories: Sequence[Trajectory]) -> Iterator[str]:
    """One line for each episode."""
    for number, trajectory in enumerate(trajectories, start=1):
        steps = len(trajectory.steps)
        mean_k = sum(step.decision.horizon for step in trajectory.steps) / max(steps, 1)
        yield (
            f"{number:>4}  {trajectory.stop.value:<10}  {steps:>3} steps  K {mean_k:.2f}  "
            f"{trajectory.task.goal or trajectory.error}  [{trajectory.task.task_id}]"
        )


def show_episode(trajectory: Trajectory) -> Iterator[str]:
    """An episode step by step: action and observation, and how far each decision looked ahead."""
    yield from _heading(trajectory)
    yield trajectory.first_observation
    for number, step in enumerate(trajectory.steps, start=1):
        yield ""
        reward = f"  reward {step.reward:g}" if step.reward else ""
        yield f"{number:>3}. K={step.decision.horizon}  > {step.decision.action}  ({step.decision.parse}){reward}"
        yield from _block(step.observation)
    yield ""
    yield _ending(trajectory)


def show_decision(trajectory: Trajectory, number: int) -> Iterator[str]:
    """One decision in full: what the agent knew, imagined and chose, and what really happened."""
    if not 1 <= number <= len(trajectory.steps):
        raise ConfigError(f"--step {number} is not in this episode: give a number from 1 to {len(trajectory.steps)}")
    step, state = trajectory.steps[number - 1], trajectory.states()[number - 1]
    yield from _heading(trajectory)
    yield f"decision {number} of {len(trajectory.steps)}"
    yield from _state(state)
    if step.admissible is not None:
        yield f"\nadmissible commands ({len(step.admissible)})"
        yield from _block(", ".join(step.admissible))
    yield from _passed_over(step.decision)
    yield from _lookahead(step.decision)
    for title, text in (("reflection", step.decision.reflection), ("thought", step.decision.thought)):
        if text:
            yield f"\n{title}"
            yield from _block(text)
    yield from _outcome(step)
    yield ""
    yield f"policy: {_usage(step.decision.policy_usage)}; world model: {_usage(step.decision.world_model_usage)}"


def _heading(trajectory: Trajectory) -> Iterator[str]:
    yield f"task: {trajectory.task.goal}"
    yield f"id:   {trajectory.task.task_id}  ({trajectory.task.task_type or 'no type'})"
    yield ""


def _ending(trajectory: Trajectory) -> str:
    reason = f": {trajectory.error}" if trajectory.error else ""
    return f"{trajectory.stop.value}{reason}  (score {trajectory.score:g}, {trajectory.seconds:.2f} s)"


def _state(state: State) -> Iterator[str]:
    yield "\nstate"
    yield from _block(state.first_observation)
    for action, observation in state.history:
        yield f"{INDENT}> {action}"
        yield from _block(observation)


def _lookahead(decision: Decision) -> Iterator[str]:
    yield f"\nimagined future (K = {decision.horizon})"
    if decision.horizon_probs:
        yield INDENT + "  ".join(f"p(K={k}) {p:.2f}" for k, p in enumerate(decision.horizon_probs))
    if not decision.foresight.steps:
        yield f"{INDENT}none: the agent acted at once"
    for imagined in decision.foresight.steps:
        yield f"{INDENT}> {imagined.action}"
        yield from _block(imagined.observation)


def _passed_over(decision: Decision) -> Iterator[str]:
    """Commands that were tried in imagination before the one that was taken, or instead of it."""
    if decision.passed_over:
        yield "\ntried in imagination and passed over"
    for foresight in decision.passed_over:
        for depth, imagined in enumerate(foresight.steps):
            yield f"{INDENT}{'  ' * depth}> {imagined.action}"
            yield from (f"{INDENT}{'  ' * depth}{line}" for line in imagined.observation.splitlines())


def _outcome(step: Step) -> Iterator[str]:
    decision = step.decision
    yield f"\naction ({decision.parse})"
    yield f"{INDENT}> {decision.action}"
    if decision.raw_text and decision.raw_text != decision.action:
        yield f"{INDENT}from the text: {decision.raw_text!r}"
    if step.expert_action:
        yield f"{INDENT}the expert would: {step.expert_action}"
    yield "\nwhat really happened"
    yield from _block(step.observation)
    first = decision.foresight.steps[0] if decision.foresight.steps else None
    if first is None:
        return
    if first.action != decision.action:
        yield f"{INDENT}(the imagination began with another action: {first.action})"
    else:
        yield f"{INDENT}({'as imagined' if first.observation == step.observation else 'not as imagined'})"


def _block(text: str) -> Iterator[str]:
    yield from (INDENT + line for line in text.splitlines() or [""])


def _usage(usage: Usage) -> str:
    return f"{usage.prompt_tokens} + {usage.completion_tokens} tokens, {usage.calls} calls, {usage.seconds:.3f} s"
