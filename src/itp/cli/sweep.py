"""`itp sweep`: many evaluations from one YAML file: tasks x planners x checkpoints x seeds.

    itp sweep configs/sweeps/household.yaml --out out/sweep --dry-run           # the list of runs
    itp sweep configs/sweeps/household.yaml --out out/sweep --jobs 4
    itp sweep configs/sweeps/household.yaml --out out/shard1 --shard 1/4        # a quarter of the episodes of each run

Every run is an ordinary `itp eval` folder, `OUT/runs/NAME`. The same command again plays what is missing. The file's
shape is told in `itp.harness.grid` and docs/sweeps.md; everything in it is checked before anything is played.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from itp.cli.eval import all_tasks, evaluate, make_planner
from itp.cli.eval_flags import Config as EvalConfig
from itp.cli.eval_flags import check, planner_spec
from itp.cli.flags import closest, config_from
from itp.errors import ConfigError, DataError, EnvError, ItpError
from itp.harness.play import ExecutorFlags

if TYPE_CHECKING:
    from itp.harness.pool import Outcome
    from itp.planners.base import Planner

RUNS_NAME, LOGS_NAME, TABLE_NAME = "runs", "logs", "table.md"
RESERVED = ("out", "shard", "retry_errors", *(field.name for field in dataclasses.fields(ExecutorFlags)))
"""Flags of `itp eval` that `itp sweep` sets for all runs."""


@dataclass(kw_only=True)
class Config:
    """Evaluate every combination that a YAML file names; print the table of all runs."""

    sweep: tyro.conf.Positional[Path]
    """YAML file: common, runs, grid, seeds; see docs/sweeps.md."""
    out: Path
    """Folder of the sweep; its runs are run folders in OUT/runs. The same command again resumes."""
    only: tuple[str, ...] = ()
    """Play these runs only: names, or patterns such as "itp_*"."""
    shard: str = ""
    """i/n: play every n-th task of each run only, from the i-th; `itp merge` puts the n sweeps together."""
    jobs: int = 1
    """Runs played side by side, each in a process with models of its own."""
    dry_run: bool = False
    """Print the runs and play nothing."""
    retry_errors: bool = False
    """Play the episodes again that ended in an error."""
    cluster: ExecutorFlags = field(default_factory=ExecutorFlags)
    """Where episodes are played."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep: its name, its flags, and a log for what it prints where several runs print."""

    name: str
    config: EvalConfig
    log: Path | None = None


def run(config: Config) -> None:
    """Check everything, play what is missing, print the comparison."""
    from itp.run_folder import open_run

    runs = plan(config)
    if config.dry_run:
        print("\n".join([*describe(runs), f"{len(runs)} runs, {sum(map(len, _task_lists(runs)))} episodes"]))
        return
    _task_lists(runs)
    with open_run(config.out, {"shard": config.shard}, command="sweep", ignore=()):
        _check_folders(runs)
        failed = _play(runs, config.jobs)
        _print_table(runs, config.out)
    if failed:
        said = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise EnvError(f"{len(failed)} of {len(runs)} runs failed ({said}); the same command tries them again")


def plan(config: Config) -> list[PlannedRun]:
    """The runs that the flags ask for, every one of them checked.

    Raises:
        ItpError: with the run and the key to change.
    """
    from itp.harness.grid import expand
    from itp.harness.shards import Shard

    if config.jobs < 1:
        raise ConfigError(f"--jobs {config.jobs} is too small: give at least 1")
    Shard.parse(config.shard)
    config.cluster.check()
    if config.jobs > 1 and config.cluster.executor != "local":
        raise ConfigError("--jobs works with --executor local: a cluster plays one run at a time, on all machines")
    runs = expand(_read(config.sweep), str(config.sweep))
    planned = [_planned(name, flags, config) for name, flags in runs.items()]
    return _chosen(planned, config.only)


def _planned(name: str, flags: Mapping[str, Any], config: Config) -> PlannedRun:
    where = f"{config.sweep}: run {name}"
    if taken := sorted(set(flags) & set(RESERVED)):
        raise ConfigError(f"{where}: {', '.join(taken)} belongs to all runs: give it to `itp sweep` as a flag")
    out = config.out / RUNS_NAME / name
    found = config_from(EvalConfig, {**flags, "out": str(out)}, where, prog="itp eval")
    found = dataclasses.replace(
        found, shard=config.shard, retry_errors=config.retry_errors, cluster=dataclasses.replace(config.cluster)
    )
    try:
        check(found)
        found.env_factory()
    except ItpError as error:
        raise ConfigError(f"{where}: {error}") from error
    log = config.out / LOGS_NAME / f"{name}.log" if config.jobs > 1 else None
    return PlannedRun(name, found, log)


def describe(runs: list[PlannedRun]) -> Iterator[str]:
    """One line for each run: its name, and the `itp eval` flags in which it differs from the defaults."""
    from itp.run_folder import plain

    usual = plain(EvalConfig(out=Path()))
    width = max(len(planned.name) for planned in runs)
    for planned in runs:
        given = {key: value for key, value in plain(planned.config).items() if value != usual[key] and key != "out"}
        nested = [key for key, value in given.items() if isinstance(value, dict)]
        for key in nested:
            given |= {k: v for k, v in given.pop(key).items() if v != usual[key][k]}
        yield f"{planned.name:<{width}}  {' '.join(f'{key}={value}' for key, value in given.items())}"


def play_one(planned: PlannedRun) -> dict[str, Any]:
    """Play one run in this process; a planner of the same description, left by the run before, plays on."""
    with _logged(planned.log):
        results, _ = evaluate(planned.config, _planner_for(planned))
    return results


def _play(runs: list[PlannedRun], jobs: int) -> dict[str, str]:
    """Play all runs; returns the errors of those that failed, by name."""
    from itp.harness.pool import Outcome, run_all

    number = {planned.name: f"[{index}/{len(runs)}] {planned.name}" for index, planned in enumerate(runs, start=1)}
    failed: dict[str, str] = {}

    def ended(outcome: Outcome[PlannedRun]) -> None:
        name = outcome.item.name
        if outcome.error:
            failed[name] = f"{outcome.error} (log: {outcome.item.log})" if outcome.item.log else outcome.error
            print(f"{outcome.bug}{number[name]}: failed: {outcome.error}", flush=True)
        else:
            print(f"{number[name]}: {_line(outcome.value)}", flush=True)

    def started(planned: PlannedRun) -> None:
        print(f"{number[planned.name]}: starts", flush=True)

    if jobs > 1:
        run_all(play_one, runs, jobs=jobs, alike=_alike, on_start=started, on_end=ended)
        return failed
    for planned in runs:
        started(planned)
        try:
            ended(Outcome(planned, play_one(planned)))
        except ItpError as error:
            ended(Outcome(planned, error=str(error)))
    return failed


def _line(results: Mapping[str, Any]) -> str:
    from itp.evaluation.table import interval, percent

    errors = f", {results['errors']} errors" if results["errors"] else ""
    rate = f"{percent(results['success_rate'])}% won ({interval(results['success_ci95'])})"
    return f"{results['n']} episodes, {rate}{errors}"


def _print_table(runs: list[PlannedRun], out: Path) -> None:
    """The comparison of all runs that have results, on the screen and as `table.md`."""
    from itp.cli.compare import fill_budgets, read_results
    from itp.cli.console import wide_console
    from itp.evaluation.table import markdown_table, results_table
    from itp.run_folder import write_text

    done = [planned for planned in runs if (planned.config.out / "results.json").is_file()]
    results = fill_budgets([read_results(planned.config.out) for planned in done])
    named = [{**result, "planner": planned.name} for planned, result in zip(done, results, strict=True)]
    if named:
        wide_console().print(results_table(named))
        path = write_text(out / TABLE_NAME, markdown_table(named))
        print(f"table: {path}; with tests: itp compare {out / RUNS_NAME}/*")


def _read(path: Path) -> Any:
    import yaml

    if not path.is_file():
        raise DataError(f"{path}: there is no such file: name the sweep's YAML file")
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error


def _chosen(runs: list[PlannedRun], only: tuple[str, ...]) -> list[PlannedRun]:
    names = [planned.name for planned in runs]
    for pattern in only:
        if not any(fnmatchcase(name, pattern) for name in names):
            near = closest(pattern, names)
            hint = f"did you mean {near}? " if near else ""
            raise ConfigError(f"--only {pattern} fits no run: {hint}there are {', '.join(names)}")
    return [planned for planned in runs if not only or any(fnmatchcase(planned.name, pattern) for pattern in only)]


def _task_lists(runs: list[PlannedRun]) -> list[list[str]]:
    """The tasks of each run, which shows that its environment can be made; each environment is made once."""
    from itp.harness.shards import Shard

    known: dict[str, list[str]] = {}
    lists = []
    for planned in runs:
        key = repr((_env_of(planned.config), planned.config.episodes))
        try:
            tasks = known[key] if key in known else known.setdefault(key, all_tasks(planned.config))
        except ItpError as error:
            raise ConfigError(f"run {planned.name}: {error}") from error
        lists.append(Shard.parse(planned.config.shard).take(tasks))
    return lists


def _check_folders(runs: list[PlannedRun]) -> None:
    """Refuse, before anything is played, run folders that other settings have filled."""
    from itp.cli.eval import MAY_DIFFER
    from itp.run_folder import CONFIG_NAME, open_run

    for planned in runs:
        if (planned.config.out / CONFIG_NAME).is_file():
            open_run(planned.config.out, planned.config, command="eval", ignore=MAY_DIFFER).close()


_last: list[tuple[PlannedRun, Planner]] = []
"""The planner that this process built last, and for which run."""


def _planner_for(planned: PlannedRun) -> Planner | None:
    """The planner of the run before, where it fits; a new one, kept for the next run; None to leave it to `itp eval`.

    A run that began earlier may have nothing left to play: `itp eval` finds out before it loads anything.
    """
    from itp.run_folder import CONFIG_NAME

    if _last and _alike(_last[0][0], planned):
        return _last[0][1]
    if planned.config.cluster.executor != "local" or (planned.config.out / CONFIG_NAME).is_file():
        return None
    _last.clear()  # before the next one is loaded: two may not fit
    _last.append((planned, make_planner(planned.config)))
    return _last[0][1]


def _alike(first: PlannedRun, second: PlannedRun) -> bool:
    """Whether one planner can play both runs."""
    a, b = first.config, second.config
    return planner_spec(a) == planner_spec(b) and (a.world_model != "exact" or _env_of(a) == _env_of(b))


def _env_of(config: EvalConfig) -> list[Any]:
    from itp.envs.spec import EnvFlags

    return [getattr(config, field.name) for field in dataclasses.fields(EnvFlags)]


@contextlib.contextmanager
def _logged(path: Path | None) -> Iterator[None]:
    """Send what is printed to a run's log."""
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("a", encoding="utf-8", buffering=1) as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        yield
