"""`itp demo`: an agent at work in a minute or two, with the checkpoints that lie in the repository.

    itp demo                       plays every shipped set that can be played here
    itp demo --only household      one of them
    itp demo --train               trains everything at its smallest size instead (itp.cli.demo_train)

A set is a folder `checkpoints/NAME` with a `play.yaml` that says what is played (docs/demo.md, itp.cli.demo_sets).
Every row is an evaluation like that of `itp eval`, in OUT/NAME/ROW; the same command again resumes, or just prints.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from itp.cli.demo_sets import PlaySet, choose_sets, find_checkpoints, fingerprint, why_not
from itp.cli.demo_train import TrainFlags
from itp.errors import ConfigError, RunFolderError

FINGERPRINT = "checkpoints.json"


@dataclass
class Config:
    """Play the shipped checkpoints and show what they do; with --train, train everything at demo size first."""

    out: Path | None = None
    """Folder of all runs; the same command again resumes (default: out/demo, and out/demo-train with --train)."""
    checkpoints: Path | None = None
    """Folder of the sets to play (default: checkpoints, here or beside the source code)."""
    only: tuple[str, ...] = ()
    """Names of the sets to play (default: all that can be played)."""
    episodes: int | None = None
    """Games that every row plays (default: as each set says; 60 with --train)."""
    train: bool = False
    """Train world model, policy, K-head and A2C from nothing first: about ten minutes on two cores."""
    training: TrainFlags = field(default_factory=TrainFlags)
    """Sizes of --train."""


def run(config: Config) -> None:
    """Play the sets, or train."""
    if config.episodes is not None and config.episodes < 1:
        raise ConfigError("--episodes must be at least 1")
    if config.train:
        from itp.cli import demo_train

        if config.checkpoints is not None or config.only:
            raise ConfigError("--train plays what it has trained itself: leave --checkpoints and --only out")
        out = config.out or Path("out/demo-train")
        demo_train.run(demo_train.Config(out, config.episodes or demo_train.EPISODES, config.training))
        return
    if config.training != TrainFlags():
        raise ConfigError("--tasks, --model-size, --label-states, --updates and --seed need --train: add it")
    play(config)


def play(config: Config) -> None:
    """Play every set that can be played, print what came out, and write the report over all of them."""
    from itp.cli.demo_show import write_page

    start = time.monotonic()
    out, folder = config.out or Path("out/demo"), find_checkpoints(config.checkpoints)
    sets = choose_sets(folder, config.only)
    print(f"checkpoints: {folder} ({', '.join(one.name for one in sets)})", flush=True)
    reasons = {one.name: _not_asked(one, config.only) or why_not(one) for one in sets}
    for name, reason in reasons.items():
        if reason:
            print(f"{name} is skipped: {reason}", flush=True)
    sets = [one for one in sets if not reasons[one.name]]
    if not sets:
        raise ConfigError(f"none of the sets in {folder} can be played here: see the lines above")
    if config.episodes is not None:
        sets = [replace(one, play=replace(one.play, episodes=config.episodes)) for one in sets]
    for one in sets:
        play_set(one, out, start)
    write_page([folder for one in sets for folder in one.row_folders(out)], out, "itp demo")
    print(f"\nAll of it took {time.monotonic() - start:.0f}s. Files: {out}")


def _not_asked(one: PlaySet, only: tuple[str, ...]) -> str:
    return f"it takes minutes: itp demo --only {one.name}" if one.play.asked and one.name not in only else ""


def play_set(one: PlaySet, out: Path, start: float) -> None:
    """Play what the folder lacks of every row of a set, then print table, K and one decision."""
    from itp.cli import eval as evaluation
    from itp.cli.demo_show import show_set
    from itp.training.progress import quiet_libraries

    quiet_libraries()
    _claim(one, out / one.name)
    print(f"\n{one.name}: {one.play.about}", flush=True)
    played = []
    for number, (row, settings) in enumerate(zip(one.play.rows, one.evaluations(out), strict=True), start=1):
        elapsed = time.monotonic() - start
        print(f"[{number}/{len(one.play.rows)}] {one.name}: {row.title}  ({elapsed:.0f}s so far)", flush=True)
        played.append((row, *evaluation.evaluate(settings)))
    show_set(one, played)


def _claim(one: PlaySet, folder: Path) -> None:
    """Note which files are played here, so that nobody reads old figures beside new checkpoints."""
    import json

    from itp.run_folder import write_json

    now, file = fingerprint(one), folder / FINGERPRINT
    played = file.is_file() and any(folder.glob("*/traces.jsonl"))
    if played and json.loads(file.read_text(encoding="utf-8")) != now:
        raise RunFolderError(
            f"{folder} was played with other files than {one.path} holds now: delete it, or give another --out"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(file, now)
