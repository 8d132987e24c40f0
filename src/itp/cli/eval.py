"""`itp eval`: play a split with one planner and judge it.

    itp eval --env household --split valid --planner expert --out out/eval-expert
    itp eval --env alfworld --split valid_seen --planner itp --horizon learned \\
        --policy out/a2c/model --world-model out/world-model/model --out out/eval-itp

Writes `config.yaml`, `traces.jsonl` (one line per episode, as it ends) and `results.json` into `--out`, and prints the
table. The same command again goes on where it stopped, or prints the table of a run that is complete; with
`--retry-errors` it also plays again what ended in an error. `--shard i/n` and `--executor ray` spread a run over
machines (docs/sweeps.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from itp.cli.eval_flags import Config, check, label, planner_spec
from itp.errors import ConfigError, EnvError

if TYPE_CHECKING:
    from itp.planners.base import Planner
    from itp.run_folder import RunFolder
    from itp.types import Trajectory

TRACES_NAME = "traces.jsonl"
RESULTS_NAME = "results.json"
MAY_DIFFER = (
    "out",
    "batch_size",
    "device",
    "policy_device",
    "wm_device",
    "workers",
    "step_timeout",
    "server",
    "prices",
    "retry_errors",
    "cluster",
)
"""Settings that a resumed run may change, since they do not change what is played."""


def run(config: Config) -> None:
    """Evaluate, resuming what `--out` already holds."""
    check(config)
    results, trajectories = evaluate(config)
    report(config, results, trajectories)


def evaluate(config: Config, planner: Planner | None = None) -> tuple[dict[str, Any], list[Trajectory]]:
    """Play what `--out` lacks and write `results.json`; returns its content and the episodes.

    Args:
        config: checked flags.
        planner: the planner of these flags, if the caller has built it already.
    """
    from itp.harness.shards import Shard
    from itp.run_folder import CONFIG_NAME, open_run

    tasks = Shard.parse(config.shard).take(all_tasks(config))
    if not tasks:
        raise ConfigError(f"--shard {config.shard} holds no task: make fewer shards")
    # On a fresh folder the planner comes first, so that a refused checkpoint leaves no half-made run behind.
    if planner is None and config.cluster.executor == "local" and not (config.out / CONFIG_NAME).is_file():
        planner = make_planner(config)
    with open_run(config.out, config, command="eval", ignore=MAY_DIFFER) as folder:
        trajectories = play(config, folder, tasks, planner)
        return write_results(config, folder, trajectories), trajectories


def all_tasks(config: Config) -> list[str]:
    """The tasks of the run, all shards together, in the split's order."""
    env = config.env_factory()()
    try:
        return choose_tasks(env.task_ids, config.episodes)
    finally:
        env.close()


def choose_tasks(task_ids: Sequence[str], episodes: int) -> list[str]:
    """The tasks to play, in the split's order.

    A subset is fixed by the task ids alone: every planner and seed gets the same tasks, and a smaller subset lies
    within a larger one. Splits list their tasks by family, so the first N would not do.
    """
    if episodes > len(task_ids):
        raise ConfigError(f"--episodes {episodes} exceeds the split's {len(task_ids)} tasks: lower it, or 0 for all")
    if episodes == 0:
        return list(task_ids)
    chosen = set(sorted(task_ids, key=lambda task: hashlib.sha256(task.encode()).digest())[:episodes])
    return [task for task in task_ids if task in chosen]


def make_planner(config: Config) -> Planner:
    """Build the planner; any checkpoint is loaded here."""
    from itp.planners.factory import build_planner

    return build_planner(planner_spec(config), config.env_factory())


def play(config: Config, folder: RunFolder, tasks: Sequence[str], planner: Planner | None) -> list[Trajectory]:
    """Play the tasks that the folder lacks; returns the episodes of all tasks, in the order of `tasks`."""
    from itp.cli.progress import EpisodeProgress
    from itp.harness.play import Play, play_episodes
    from itp.harness.retry import drop_errors
    from itp.trace.store import TraceStore

    store = TraceStore(folder / TRACES_NAME)
    if config.retry_errors:
        drop_errors(store.path)
    episodes = {trajectory.task.task_id: trajectory for trajectory in store}
    waiting = [task for task in tasks if task not in episodes]
    if waiting:
        with EpisodeProgress(f"eval {label(config)}", len(tasks)) as progress:
            progress.resume(list(episodes.values()))

            def keep(trajectory: Trajectory) -> None:
                store.append(trajectory)
                episodes[trajectory.task.task_id] = trajectory
                progress.episode(trajectory)

            how = Play(
                config.env_factory(),
                partial(make_planner, config),
                batch_size=config.batch_size,
                max_steps=config.max_steps,
                seed=config.seed,
                workers=config.workers,
                step_timeout=config.step_timeout,
            )
            play_episodes(how, waiting, keep, config.cluster, planner)
    return [episodes[task] for task in tasks]


def write_results(config: Config, folder: RunFolder, trajectories: Sequence[Trajectory]) -> dict[str, Any]:
    """Write `results.json`; an evaluation in which every episode failed is an error."""
    from itp.evaluation.metrics import summarize
    from itp.run_folder import plain

    results = summarize(
        trajectories,
        env=config.env,
        split=config.split,
        planner=label(config),
        config=plain(config),
        versions=folder.versions,
    )
    if config.prices is not None:
        results["cost_usd"] = cost(config, trajectories)
    folder.write_json(RESULTS_NAME, results)
    errors = [trajectory.error for trajectory in trajectories if trajectory.error]
    if errors and len(errors) == len(trajectories):
        raise EnvError(f"every episode failed; the first said: {errors[0]} (all are in {folder / TRACES_NAME})")
    return results


def report(config: Config, results: dict[str, Any], trajectories: Sequence[Trajectory]) -> None:
    """Print the tables of a run."""
    from itp.cli.console import wide_console
    from itp.evaluation.table import results_table, task_type_table

    errors = [trajectory.error for trajectory in trajectories if trajectory.error]
    console = wide_console()
    if len(results["by_task_type"]) > 1:
        console.print(task_type_table(results))
    console.print(results_table([results]))
    if errors:
        again = "; --retry-errors plays them again"
        console.print(f"{len(errors)} episodes ended in an error, the first: {errors[0]}{again}", markup=False)
    if "cost_usd" in results:
        console.print("cost: {policy:.4f} USD policy, {world_model:.4f} USD world model".format(**results["cost_usd"]))
    lost = ", ".join(f"{count} {category}" for category, count in results["failures"].items() if count)
    path = config.out / RESULTS_NAME
    console.print(f"{f'lost: {lost}. ' if lost else ''}results: {path}", markup=False, highlight=False)


def cost(config: Config, trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """US dollars by role and per episode, by the table of `--prices`. Raises ConfigError for a model it lacks."""
    from itp.evaluation.prices import load_prices
    from itp.types import Usage

    prices = load_prices(config.prices or "")
    policy = config.prompting.model or config.policy
    world_model = config.prompting.wm_model or config.world_model or policy
    decisions = [step.decision for trajectory in trajectories for step in trajectory.steps]
    spent: dict[str, float] = {}
    for role, model, usages in (
        ("policy", policy, [decision.policy_usage for decision in decisions]),
        ("world_model", world_model, [decision.world_model_usage for decision in decisions]),
    ):
        usage = sum(usages, Usage())
        if usage.tokens and model not in prices:
            raise ConfigError(f"--prices {config.prices} has no line for {model}: it has {', '.join(prices)}")
        spent[role] = prices[model].cost(usage) if usage.tokens else 0.0
    return {**spent, "per_episode": sum(spent.values()) / max(len(trajectories), 1)}
