"""Play the episodes of one run wherever the user says: in this process, or over a Ray cluster.

`itp eval` and `itp collect` describe what all episodes of a run share as a `Play` and hand it to `play_episodes`. What
comes back depends on `Play` and the tasks alone, never on the executor: draws are seeded by run seed, task and step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from itp.errors import ConfigError

if TYPE_CHECKING:
    from itp.envs.base import TextEnv
    from itp.planners.base import Planner
    from itp.types import Trajectory

EXECUTORS = ("local", "ray")


@dataclass(kw_only=True)
class ExecutorFlags:
    """Where episodes are played."""

    executor: str = "local"
    """Where episodes are played: local (this machine), or ray (a Ray cluster; docs/sweeps.md)."""
    ray_address: str = ""
    """Ray cluster to join: auto, HOST:PORT or ray://HOST:PORT (default: RAY_ADDRESS, else one on this machine)."""
    ray_actors: int = 0
    """Processes of the cluster that play, each with models of its own; 0 is as many as it has room for."""
    ray_cpus: float = 1.0
    """CPUs that one of them takes."""
    ray_gpus: float = 0.0
    """GPUs that one of them takes; fractions share a GPU."""
    ray_chunk: int = 0
    """Episodes handed out at a time; 0 is --batch-size."""
    ray_retries: int = 3
    """Times that an episode is played again after its process or machine was lost, before it counts as an error."""

    def check(self) -> None:
        """Raise ConfigError for a value that is not allowed."""
        if self.executor not in EXECUTORS:
            raise ConfigError(f"--executor {self.executor} is unknown: choose one of {', '.join(EXECUTORS)}")
        for flag, value in (
            ("--ray-actors", self.ray_actors),
            ("--ray-cpus", self.ray_cpus),
            ("--ray-gpus", self.ray_gpus),
            ("--ray-chunk", self.ray_chunk),
            ("--ray-retries", self.ray_retries),
        ):
            if value < 0:
                raise ConfigError(f"{flag} {value:g} is too small: give at least 0")
        if self.executor == "local" and self != ExecutorFlags():
            raise ConfigError("the --ray-... flags do nothing with --executor local: add --executor ray")


@dataclass(frozen=True)
class Play:
    """What all episodes of a run share; both functions must be picklable for `--executor ray`.

    Attributes:
        make_env: makes one environment.
        make_planner: builds the planner, with its models; called once in each process that plays.
        batch_size, max_steps, seed, workers, step_timeout: see `itp.rollout.lockstep.run_episodes`.
    """

    make_env: Callable[[], TextEnv]
    make_planner: Callable[[], Planner]
    batch_size: int
    max_steps: int | None
    seed: int
    workers: int = 0
    step_timeout: float | None = None

    def run(
        self, planner: Planner, tasks: Sequence[str], on_episode: Callable[[Trajectory], None] | None = None
    ) -> list[Trajectory]:
        """Play tasks in this process."""
        from itp.rollout.lockstep import run_episodes

        return run_episodes(
            self.make_env,
            planner,
            tasks,
            batch_size=self.batch_size,
            max_steps=self.max_steps,
            seed=self.seed,
            on_episode=on_episode,
            workers=self.workers,
            step_timeout=self.step_timeout,
        )


def play_episodes(
    play: Play,
    tasks: Sequence[str],
    on_episode: Callable[[Trajectory], None],
    flags: ExecutorFlags,
    planner: Planner | None = None,
) -> None:
    """Play one episode for each task; `on_episode` is told of each, in this process, as they end.

    Args:
        play: what the episodes share.
        tasks: task ids, each once.
        on_episode: called once for each task.
        flags: where to play.
        planner: one that exists already, for `--executor local`.
    """
    if not tasks:
        return
    if flags.executor == "local":
        play.run(planner or play.make_planner(), tasks, on_episode)
        return
    from itp.harness.cluster import play_on_ray

    play_on_ray(play, tasks, on_episode, flags)
