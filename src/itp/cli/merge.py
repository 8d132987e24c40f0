"""`itp merge`: the shards of an evaluation, or of a sweep, as one.

    itp merge out/shard1 out/shard2 out/shard3 out/shard4 --out out/whole

The result is what the run without `--shard` would have written: same episodes in the split's order, same results. Given
sweeps, every run of theirs is merged into `OUT/runs/NAME`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from itp.cli.eval import MAY_DIFFER, TRACES_NAME, all_tasks, report, write_results
from itp.cli.eval_flags import Config as EvalConfig
from itp.cli.flags import config_from
from itp.errors import ConfigError, DataError, RunFolderError

RUNS_NAME = "runs"


@dataclass
class Config:
    """Merge the run folders that `--shard i/n` filled into the folder of the whole run."""

    shards: tyro.conf.Positional[tuple[Path, ...]]
    """Folders written by `itp eval --shard i/n`, or by `itp sweep --shard i/n`: all n."""
    out: Path = Path("out/merged")
    """Folder to write."""


def run(config: Config) -> None:
    """Merge, and print the table of each merged run."""
    from itp.run_folder import open_run

    if not config.shards:
        raise ConfigError("itp merge needs the folders of all shards: itp merge SHARD... --out OUT")
    sweeps = [path for path in config.shards if (path / RUNS_NAME).is_dir()]
    if not sweeps:
        merge(config.shards, config.out)
        return
    if len(sweeps) < len(config.shards):
        odd = next(path for path in config.shards if path not in sweeps)
        raise ConfigError(f"{odd} is no sweep, and {sweeps[0]} is one: merge folders of one kind")
    names = {path: sorted(entry.name for entry in (path / RUNS_NAME).iterdir() if entry.is_dir()) for path in sweeps}
    every = sorted({name for found in names.values() for name in found})
    for path, found in names.items():
        if lacking := [name for name in every if name not in found]:
            raise DataError(f"{path} lacks the run {', '.join(lacking)}: play it there (`itp sweep` resumes)")
    with open_run(config.out, {"shard": ""}, command="sweep"):
        for name in every:
            print(name)
            merge([path / RUNS_NAME / name for path in sweeps], config.out / RUNS_NAME / name)


def merge(shards: tuple[Path, ...] | list[Path], out: Path) -> None:
    """Merge the shards of one run into `out`; what an interrupted merge has written already stays.

    Raises:
        ItpError: the shards have different settings, are not all there, or their episodes do not make the whole.
    """
    from itp.harness.shards import Shard, merge_episodes, missing_shards
    from itp.run_folder import open_run
    from itp.trace.store import TraceStore

    settings = {path: read_settings(path) for path in shards}
    config = _whole(settings, out)
    absent = missing_shards([Shard.parse(str(found.get("shard") or "")) for found in settings.values()])
    parts = {str(path): TraceStore(path / TRACES_NAME).read() for path in shards}
    tasks = all_tasks(config)
    if absent:
        given = {trajectory.task.task_id for part in parts.values() for trajectory in part}
        lost = [task for task in tasks if task not in given]
        few = ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
        raise DataError(f"shard {', '.join(absent)} is missing, with {len(lost)} episodes ({few}): name its folder too")
    episodes = merge_episodes(parts, tasks)
    with open_run(out, config, command="eval", ignore=MAY_DIFFER) as folder:
        store = TraceStore(folder / TRACES_NAME)
        there = {trajectory.task.task_id: trajectory for trajectory in store}
        for episode in episodes:
            known = there.get(episode.task.task_id)
            if known is None:
                store.append(episode)
            elif known != episode:
                raise RunFolderError(f"--out {out} holds another episode of {episode.task.task_id}: name a new folder")
        report(config, write_results(config, folder, episodes), episodes)


def read_settings(path: Path) -> dict[str, Any]:
    """The settings that an evaluation's folder remembers."""
    from itp.run_folder import read_config

    stored = read_config(path)
    if stored["command"] != "eval":
        raise RunFolderError(f"{path} holds a run of `itp {stored['command']}`: name folders of `itp eval --shard i/n`")
    return {key: value for key, value in stored["config"].items() if key not in MAY_DIFFER}


def _whole(settings: Mapping[Path, dict[str, Any]], out: Path) -> EvalConfig:
    """The flags of the whole run, which all shards must share."""
    flat = {path: _flat(found) for path, found in settings.items()}
    (first, ours), *others = flat.items()
    for path, theirs in others:
        differing = [k for k in {**ours, **theirs} if ours.get(k) != theirs.get(k) and k != "shard"]
        if differing:
            pairs = ", ".join(f"{key}: {ours.get(key)!r} and {theirs.get(key)!r}" for key in differing)
            raise ConfigError(f"{first} and {path} have other settings ({pairs}): merge shards of one run")
    values = {key: value for key, value in ours.items() if key != "shard" and value is not None}
    return dataclasses.replace(config_from(EvalConfig, {**values, "out": str(out)}, str(first), prog="itp eval"))


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value) if isinstance(value, Mapping) else {key: value}
    return flat
