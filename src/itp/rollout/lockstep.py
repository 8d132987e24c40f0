"""Real episodes in lockstep: one planner call, then one call of the vector environment, for all running episodes.

Stands between planners and everything that needs episodes (evaluation, data collection). When an episode ends its slot
takes the next task, so that the batch stays full until the tasks run out.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from itp.envs.base import InfoDict, TextEnv
from itp.envs.vector import Episode, Failure, Outcome, Turn, VectorEnv, make_vector
from itp.errors import ConfigError, ServerError
from itp.planners.base import Planner
from itp.types import CommandGrammar, Decision, DecisionContext, State, Step, StopReason, Task, Trajectory


def run_episodes(
    make_env: Callable[[], TextEnv],
    planner: Planner,
    task_ids: Sequence[str],
    *,
    batch_size: int,
    max_steps: int | None,
    seed: int,
    on_episode: Callable[[Trajectory], None] | None = None,
    workers: int = 0,
    step_timeout: float | None = None,
) -> list[Trajectory]:
    """Play one episode for each task.

    An exception from an environment, or a worker that died or hung, ends its episodes with `StopReason.ERROR` and the
    message; so does a `ServerError` of the planner, for those episodes whose own decision fails, unless it is fatal.
    Any other exception from the planner is a bug and is raised (`on_episode` has by then seen every finished episode).
    What a planner gets depends on `seed`, the task and the step only, never on batch size or workers.

    Args:
        make_env: creates one environment; called at most `batch_size` times, and again after an environment failed.
        planner: decides for all running episodes at once.
        task_ids: tasks to play, in order.
        batch_size: episodes that run side by side.
        max_steps: actions after which an episode ends with `StopReason.STEP_LIMIT`; None leaves it to the environment,
            which truncates.
        seed: of the run; each decision gets a seed derived from it.
        on_episode: called as each episode ends.
        workers: processes that the environments are spread over; 0 steps them in this process.
        step_timeout: seconds that one reset or step may take in a worker.

    Returns:
        The trajectories, in the order of `task_ids`.
    """
    if batch_size < 1 or (max_steps is not None and max_steps < 1):
        raise ConfigError(f"batch size {batch_size} and step limit {max_steps} must be at least 1")
    if not task_ids:
        return []
    slots = min(batch_size, len(task_ids))
    with make_vector(make_env, slots, workers=workers, timeout=step_timeout) as envs:
        return _Run(envs, planner, max_steps, seed, on_episode).play(task_ids)


def derive_seed(seed: int, task_id: str, step: int) -> int:
    """A seed in [0, 2**63) that depends on run seed, task and step alone; step -1 stands for the reset."""
    digest = hashlib.blake2b(f"{seed}\n{task_id}\n{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@dataclass(slots=True)
class _Running:
    """An episode under way."""

    index: int
    task: Task
    state: State = field(default_factory=lambda: State("", ""))
    admissible: tuple[str, ...] | None = None
    steps: list[Step] = field(default_factory=list)
    score: float = 0.0
    seconds: float = 0.0
    stop: StopReason | None = None
    error: str = ""
    irreversible: bool = False
    expert_plan: tuple[str, ...] = ()
    grammar: CommandGrammar | None = None

    def started(self, outcome: Outcome) -> None:
        """Take in the answer to the reset."""
        self.seconds += outcome.seconds
        if isinstance(outcome, Failure):
            self.stop, self.error = StopReason.ERROR, outcome.message
            return
        info = outcome.info
        self.task = Task(self.task.task_id, info["task"], info["task_type"])
        self.state = State(info["task"], outcome.observation)
        self._notice(info)

    def stepped(self, decision: Decision, outcome: Outcome, max_steps: int | None) -> None:
        """Take in the answer to an action."""
        self.seconds += outcome.seconds
        if isinstance(outcome, Failure):
            self.stop, self.error = StopReason.ERROR, f"{outcome.message} (after action {decision.action!r})"
            return
        expert_action = self.expert_plan[0] if self.expert_plan else ""
        self.steps.append(Step(decision, outcome.observation, outcome.reward, self.admissible, expert_action))
        self.state = self.state.extend(decision.action, outcome.observation)
        self._notice(outcome.info)
        won = bool(outcome.info["won"])
        self.score = float(outcome.info["score"])
        self.irreversible = bool(outcome.info.get("irreversible", False)) and not won
        self.stop = _stop_reason(won, outcome, max_steps is not None and len(self.steps) >= max_steps)

    def _notice(self, info: InfoDict) -> None:
        commands = info["admissible_commands"]
        self.admissible = None if commands is None else tuple(commands)
        self.expert_plan = tuple(info.get("expert_plan", ()))
        self.grammar = info.get("command_grammar")

    def context(self, seed: int) -> DecisionContext:
        """What the planner is given."""
        own = derive_seed(seed, self.task.task_id, len(self.steps))
        thoughts = tuple(step.decision.thought for step in self.steps)
        return DecisionContext(
            self.state,
            self.admissible,
            own,
            self.expert_plan,
            thoughts,
            imagined_tokens=sum(step.decision.imagination_usage.tokens for step in self.steps),
            imagined_steps=sum(step.decision.horizon for step in self.steps),
            grammar=self.grammar,
        )

    def finish(self) -> Trajectory:
        """The record of the ended episode."""
        assert self.stop is not None
        return Trajectory(
            self.task,
            self.state.first_observation,
            tuple(self.steps),
            self.stop,
            self.score,
            self.error,
            self.seconds,
            self.irreversible,
        )


class _Run:
    """One call of `run_episodes`: which slot plays which episode, and what has ended."""

    def __init__(
        self,
        envs: VectorEnv,
        planner: Planner,
        max_steps: int | None,
        seed: int,
        on_episode: Callable[[Trajectory], None] | None,
    ) -> None:
        self._envs, self._planner, self._max_steps, self._seed = envs, planner, max_steps, seed
        self._on_episode = on_episode
        self._results: dict[int, Trajectory] = {}
        self._running: dict[int, _Running] = {}

    def play(self, task_ids: Sequence[str]) -> list[Trajectory]:
        waiting = list(enumerate(task_ids))[::-1]
        while True:
            while waiting and len(self._running) < self._envs.num_envs:
                self._fill(waiting)
            if not self._running:
                return [self._results[index] for index in range(len(task_ids))]
            self._advance()

    def _fill(self, waiting: list[tuple[int, str]]) -> None:
        """Give every free slot a task."""
        free = [slot for slot in range(self._envs.num_envs) if slot not in self._running]
        started: dict[int, _Running] = {}
        for slot in free[: len(waiting)]:
            index, task_id = waiting.pop()
            started[slot] = _Running(index, Task(task_id, ""))
        requests = {
            slot: Episode(episode.task.task_id, derive_seed(self._seed, episode.task.task_id, -1))
            for slot, episode in started.items()
        }
        outcomes = self._envs.reset(requests)
        for slot, episode in started.items():
            episode.started(outcomes[slot])
        self._running = dict(sorted({**self._running, **started}.items()))
        self._collect()

    def _advance(self) -> None:
        """One planner call, then one step in every running environment."""
        episodes = list(self._running.values())
        began = time.perf_counter()
        decisions = _decide(self._planner, [episode.context(self._seed) for episode in episodes])
        share = (time.perf_counter() - began) / len(episodes)
        if len(decisions) != len(episodes):
            raise RuntimeError(
                f"planner {self._planner.name} gave {len(decisions)} decisions for {len(episodes)} episodes"
            )
        chosen: dict[int, Decision] = {}
        for (slot, episode), decision in zip(self._running.items(), decisions, strict=True):
            episode.seconds += share
            if isinstance(decision, ServerError):
                episode.stop, episode.error = StopReason.ERROR, f"{type(decision).__name__}: {decision}"
            else:
                chosen[slot] = decision
        outcomes: Mapping[int, Outcome] = self._envs.step({slot: d.action for slot, d in chosen.items()})
        for slot, decision in chosen.items():
            self._running[slot].stepped(decision, outcomes[slot], self._max_steps)
        self._collect()

    def _collect(self) -> None:
        """Take the ended episodes out of their slots."""
        ended = {slot: episode for slot, episode in self._running.items() if episode.stop is not None}
        for slot, episode in ended.items():
            del self._running[slot]
            trajectory = self._results[episode.index] = episode.finish()
            if self._on_episode is not None:
                self._on_episode(trajectory)


def _decide(planner: Planner, contexts: Sequence[DecisionContext]) -> list[Decision | ServerError]:
    """One decision for each context. Where a model server fails, they are asked for one by one.

    What other episodes were answered is asked again: a response cache makes that free.
    """
    try:
        return [*planner.decide(contexts)]
    except ServerError as error:
        if error.fatal:
            raise
        if len(contexts) == 1:
            return [error]
    return [decision for context in contexts for decision in _decide(planner, [context])]


def _stop_reason(won: bool, turn: Turn, at_limit: bool) -> StopReason | None:
    if won:
        return StopReason.WON
    if turn.terminated:
        return StopReason.LOST
    return StopReason.STEP_LIMIT if turn.truncated or at_limit else None
