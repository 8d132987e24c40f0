"""Real episodes in lockstep: one planner call serves a batch of running episodes.

Stands between planners and everything that needs episodes (evaluation, data collection, reinforcement learning). When
an episode ends its slot takes the next task, so that the batch stays full until the tasks run out.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from itp.envs.base import InfoDict, TextEnv
from itp.errors import ConfigError
from itp.planners.base import Planner
from itp.types import Decision, DecisionContext, State, Step, StopReason, Task, Trajectory


def run_episodes(
    make_env: Callable[[], TextEnv],
    planner: Planner,
    task_ids: Sequence[str],
    *,
    batch_size: int,
    max_steps: int | None,
    seed: int,
    on_episode: Callable[[Trajectory], None] | None = None,
) -> list[Trajectory]:
    """Play one episode for each task.

    An exception from an environment ends that episode with `StopReason.ERROR` and its message; an exception from the
    planner is a bug and is raised (`on_episode` has by then seen every finished episode). What a planner gets depends
    on `seed`, the task and the step only, never on the batch size.

    Args:
        make_env: creates one environment; called at most `batch_size` times, and again after an environment failed.
        planner: decides for all running episodes at once.
        task_ids: tasks to play, in order.
        batch_size: episodes that run side by side.
        max_steps: actions after which an episode ends with `StopReason.STEP_LIMIT`; None leaves it to the environment,
            which truncates.
        seed: of the run; each decision gets a seed derived from it.
        on_episode: called as each episode ends.

    Returns:
        The trajectories, in the order of `task_ids`.
    """
    if batch_size < 1 or (max_steps is not None and max_steps < 1):
        raise ConfigError(f"batch size {batch_size} and step limit {max_steps} must be at least 1")
    results: dict[int, Trajectory] = {}
    waiting = list(enumerate(task_ids))[::-1]
    slots = [_Slot(make_env) for _ in range(min(batch_size, len(waiting)))]
    running: list[_Slot] = []
    try:
        while True:
            for slot in slots:
                while slot.episode is None and waiting:
                    slot.start(*waiting.pop(), seed)
                    _collect(slot, results, on_episode)
            running = [slot for slot in slots if slot.episode is not None]
            if not running:
                return [results[index] for index in range(len(task_ids))]
            _advance(running, planner, max_steps, seed)
            for slot in running:
                _collect(slot, results, on_episode)
    finally:
        for slot in slots:
            slot.close()


def derive_seed(seed: int, task_id: str, step: int) -> int:
    """A seed in [0, 2**63) that depends on run seed, task and step alone; step -1 stands for the reset."""
    digest = hashlib.blake2b(f"{seed}\n{task_id}\n{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@dataclass(slots=True)
class _Episode:
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

    def finish(self) -> Trajectory:
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


class _Slot:
    """One place in the batch: an environment and the episode it plays."""

    def __init__(self, make_env: Callable[[], TextEnv]) -> None:
        self._make_env = make_env
        self._env: TextEnv | None = None
        self.episode: _Episode | None = None

    def start(self, index: int, task_id: str, seed: int) -> None:
        began = time.perf_counter()
        if self._env is None:
            self._env = self._make_env()
        episode = self.episode = _Episode(index, Task(task_id, ""))
        try:
            observation, info = self._env.reset(seed=derive_seed(seed, task_id, -1), options={"task_id": task_id})
            episode.task = Task(task_id, info["task"], info["task_type"])
            episode.state = State(info["task"], observation)
            episode.admissible = _admissible(info)
            episode.expert_plan = tuple(info.get("expert_plan", ()))
        except Exception as error:  # whatever an environment raises belongs to its episode
            self._fail(episode, error)
        episode.seconds += time.perf_counter() - began

    def act(self, decision: Decision, max_steps: int | None) -> None:
        episode, env = self.episode, self._env
        assert episode is not None
        assert env is not None
        began = time.perf_counter()
        try:
            observation, reward, terminated, truncated, info = env.step(decision.action)
            expert_action = episode.expert_plan[0] if episode.expert_plan else ""
            step = Step(decision, observation, float(reward), episode.admissible, expert_action)
            won, score, admissible = bool(info["won"]), float(info["score"]), _admissible(info)
        except Exception as error:
            self._fail(episode, error, f" (after action {decision.action!r})")
        else:
            episode.steps.append(step)
            episode.state = episode.state.extend(decision.action, observation)
            episode.score, episode.admissible = score, admissible
            episode.expert_plan = tuple(info.get("expert_plan", ()))
            episode.irreversible = bool(info.get("irreversible", False)) and not won
            at_limit = truncated or (max_steps is not None and len(episode.steps) >= max_steps)
            episode.stop = _stop_reason(won, terminated, at_limit)
        episode.seconds += time.perf_counter() - began

    def close(self) -> None:
        if self._env is not None:
            with contextlib.suppress(Exception):
                self._env.close()
            self._env = None

    def _fail(self, episode: _Episode, error: Exception, where: str = "") -> None:
        """End the episode. The environment may be in any state now, so the next episode gets a fresh one."""
        episode.stop = StopReason.ERROR
        episode.error = f"{type(error).__name__}: {error}{where}"
        self.close()


def _advance(running: Sequence[_Slot], planner: Planner, max_steps: int | None, seed: int) -> None:
    """One planner call, then one step in every running environment."""
    episodes = [slot.episode for slot in running if slot.episode is not None]
    contexts = [
        DecisionContext(
            episode.state,
            episode.admissible,
            derive_seed(seed, episode.task.task_id, len(episode.steps)),
            episode.expert_plan,
        )
        for episode in episodes
    ]
    began = time.perf_counter()
    decisions = planner.decide(contexts)
    share = (time.perf_counter() - began) / len(contexts)
    if len(decisions) != len(contexts):
        raise RuntimeError(f"planner {planner.name} gave {len(decisions)} decisions for {len(contexts)} episodes")
    for slot, episode, decision in zip(running, episodes, decisions, strict=True):
        episode.seconds += share
        slot.act(decision, max_steps)


def _collect(slot: _Slot, results: dict[int, Trajectory], on_episode: Callable[[Trajectory], None] | None) -> None:
    """Take a finished episode out of its slot."""
    episode = slot.episode
    if episode is None or episode.stop is None:
        return
    trajectory = results[episode.index] = episode.finish()
    slot.episode = None
    if on_episode is not None:
        on_episode(trajectory)


def _admissible(info: InfoDict) -> tuple[str, ...] | None:
    commands = info["admissible_commands"]
    return None if commands is None else tuple(commands)


def _stop_reason(won: bool, terminated: bool, at_limit: bool) -> StopReason | None:
    if won:
        return StopReason.WON
    if terminated:
        return StopReason.LOST
    return StopReason.STEP_LIMIT if at_limit else None
