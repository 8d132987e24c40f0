"""Speed and memory of ALFWorld on the fast engine beside the official one, in one run on the same games.

    ALFWORLD_DATA=... python benchmarks/alfworld_engine.py                  # about two minutes on one core
    ALFWORLD_DATA=... python benchmarks/alfworld_engine.py --runs 9 --official-steps 20

One process on one core. Both engines are played through `TextEnv`, as users do: one call of `step` with a random
admissible command gives observation, reward, flags, and the list of admissible commands. Only the calls are timed.
The official engine is textworld as it comes, asked for `won` and the admissible commands; it gets one
environment and one for each band of room sizes, since 256 of them would take tens of minutes to load. The engines take
turns, so that what else the machine does hits both; figures are medians over the runs, with the lowest and the highest.
Memory is the growth of a fresh process, divided by the number of environments.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from itp.envs.alfworld.data import GameSource, find_games
from itp.envs.alfworld.engine import FastGame
from itp.envs.alfworld.env import AlfworldEnv
from itp.envs.alfworld.library import GameLibrary
from itp.envs.alfworld.official import OfficialEnv
from itp.envs.base import TextEnv
from itp.envs.vector import Episode, Failure, SerialVectorEnv
from itp.errors import ConfigError, EnvError, ItpError

BANDS = ((1, 12), (13, 19), (20, 29), (30, 99))
"""Receptacles of a room, from and to."""
NO_LIMIT = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Room:
    """One game and how large its room is."""

    source: GameSource
    receptacles: int
    objects: int


# ---- what is timed ---------------------------------------------------------------------------------------------------


def steps_per_second(envs: Sequence[TextEnv], steps: int, seed: int) -> float:
    """Random play, all environments in turns; only the calls of `step` count, and a won game is started over."""
    draw = random.Random(seed).random
    commands = [env.reset(seed=seed)[1]["admissible_commands"] or [] for env in envs]
    clock, seconds = time.perf_counter, 0.0
    for _ in range(steps):
        for index, env in enumerate(envs):
            listed = commands[index]
            command = listed[int(draw() * len(listed))]
            start = clock()
            _, _, terminated, _, info = env.step(command)
            seconds += clock() - start
            commands[index] = (env.reset()[1] if terminated else info)["admissible_commands"] or []
    return steps * len(envs) / seconds


def vector_steps_per_second(envs: Sequence[TextEnv], steps: int, seed: int) -> float:
    """The same through one call of a vector environment for all of them."""
    draw = random.Random(seed).random
    unused = iter(envs)
    vector = SerialVectorEnv(lambda: next(unused), len(envs))
    tasks = vector.task_ids
    outcomes = vector.reset({slot: Episode(tasks[slot % len(tasks)], seed) for slot in range(len(envs))})
    clock, seconds = time.perf_counter, 0.0
    for _ in range(steps):
        actions: dict[int, str] = {}
        for slot, turn in outcomes.items():
            if isinstance(turn, Failure):
                raise EnvError(turn.message)
            listed = turn.info["admissible_commands"] or []
            actions[slot] = listed[int(draw() * len(listed))]
        before = outcomes  # Freed when the clock has stopped, as where they are played in turns.
        start = clock()
        outcomes = vector.step(actions)
        seconds += clock() - start
        del before
        won = [slot for slot, turn in outcomes.items() if not isinstance(turn, Failure) and turn.terminated]
        outcomes |= vector.reset({slot: Episode(tasks[slot % len(tasks)], seed) for slot in won})
    return steps * len(envs) / seconds


def engine_steps_per_second(engines: Sequence[FastGame], steps: int, seed: int) -> float:
    """The bare engine with its list of commands, without the environment around it."""
    draw = random.Random(seed).random
    clock, seconds = time.perf_counter, 0.0
    for engine in engines:
        engine.reset()
        listed = engine.admissible_commands()
        for _ in range(steps):
            command = listed[int(draw() * len(listed))]
            start = clock()
            engine.step(command)
            listed = engine.admissible_commands()
            seconds += clock() - start
    return steps * len(engines) / seconds


def seconds_of(task: Callable[[], object], repeats: int = 1) -> float:
    """Mean time of one call."""
    start = time.perf_counter()
    for _ in range(repeats):
        task()
    return (time.perf_counter() - start) / repeats


# ---- memory ----------------------------------------------------------------------------------------------------------


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def memory_per_env(kind: str, sources: Sequence[GameSource], count: int) -> float:
    """Bytes that each further environment takes, in this process; each is reset and stepped a few times."""
    shared = GameLibrary(sources, cache_size=len(sources))
    kept: list[TextEnv] = []

    def add(index: int) -> None:
        source = sources[index % len(sources)]
        env = OfficialEnv([source]) if kind == "official" else AlfworldEnv(shared)
        env.reset(options={"task_id": source.task_id})
        for _ in range(3):
            env.step("look")
        kept.append(env)

    add(0)  # Imports and first allocations belong to none of them.
    before = resident_bytes()
    for index in range(1, count + 1):
        add(index)
    return (resident_bytes() - before) / count


def memory_in_fresh_process(kind: str, sources: Sequence[GameSource], count: int) -> float:
    """`memory_per_env` where nothing was allocated before."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(memory_per_env, (kind, sources, count))


# ---- the tables ------------------------------------------------------------------------------------------------------


def row(what: str, unit: str, fast: Sequence[float], official: Sequence[float] = (), *, rate: bool = False) -> None:
    """Print one line: medians with their range, and how many times better the fast engine is."""
    ratio = ""
    if official:
        ours, theirs = statistics.median(fast), statistics.median(official)
        ratio = f"{ours / theirs if rate else theirs / ours:,.0f}x"
    print(f"{what:<45}{unit:<4}{cell(fast):<34}{cell(official):<30}{ratio:>9}", flush=True)


def cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    middle = statistics.median(values)
    digits = 0 if middle >= 1000 else 1 if middle >= 10 else 2 if middle >= 0.1 else 4
    shown = [f"{value:,.{digits}f}" for value in (middle, min(values), max(values))]
    return shown[0] if len(values) == 1 else f"{shown[0]} ({shown[1]}-{shown[2]})"


def choose(games: Sequence[GameSource], per_band: int) -> list[list[Room]]:
    """Games of each band of room sizes, drawn at random; the first of a band is its middle one by objects."""
    order = random.Random(0).sample(list(games), len(games))
    bands: list[list[Room]] = [[] for _ in BANDS]
    for source in order:
        if all(len(band) >= per_band for band in bands):
            break
        game = source.load()
        number = next(i for i, (low, high) in enumerate(BANDS) if low <= len(game.receptacle_names) <= high)
        if len(bands[number]) < per_band:
            bands[number].append(Room(source, len(game.receptacle_names), len(game.object_names)))
    for band in bands:
        band.sort(key=lambda room: room.objects)
        band.insert(0, band.pop(len(band) // 2))
    if not all(bands):
        raise ConfigError("the games do not cover all room sizes; name the whole data with --data")
    return bands


def speed_table(args: argparse.Namespace, bands: Sequence[Sequence[Room]]) -> dict[str, list[float]]:
    """Print fast beside official; returns the official steps/s of each of its games."""
    rooms = [room for band in bands for room in band]
    library = GameLibrary([room.source for room in rooms], cache_size=len(rooms))
    alone = [AlfworldEnv([room.source], max_steps=NO_LIMIT) for room in rooms]
    many = [AlfworldEnv(library, max_steps=NO_LIMIT) for _ in range(args.envs)]
    games = [FastGame(room.source.load()) for room in rooms]
    chosen = [band[0].source for band in bands]
    official = [OfficialEnv([source], max_steps=NO_LIMIT) for source in chosen]
    load = [seconds_of(env.reset) * 1000 for env in official]
    print(f"{len(rooms)} games, fast; {len(official)} of them, official; {args.runs} runs in turns\n")
    print(f"{'':<49}{'fast: median (min-max)':<34}{'official: median (min-max)':<30}{'ratio':>9}")
    one: tuple[list[float], list[float]] = ([], [])
    turns: tuple[list[float], list[float]] = ([], [])
    vector: list[float] = []
    bare: list[float] = []
    resets: tuple[list[float], list[float]] = ([], [])
    by_game: dict[str, list[float]] = {source.task_id: [] for source in chosen}
    for run in range(args.runs):
        one[0].append(harmonic([steps_per_second([env], args.steps, run) for env in alone]))
        turns[0].append(steps_per_second(many, args.steps // 4, run))
        vector.append(vector_steps_per_second(many, args.steps // 4, run))
        bare.append(engine_steps_per_second(games, args.steps, run))
        resets[0].append(1 / statistics.mean(seconds_of(lambda env=env: env.reset(seed=0), 50) for env in alone))
        rates = [steps_per_second([env], args.official_steps, run) for env in official]
        for source, rate in zip(chosen, rates, strict=True):
            by_game[source.task_id].append(rate)
        one[1].append(harmonic(rates))
        turns[1].append(steps_per_second(official, args.official_steps, run))
        resets[1].append(1 / statistics.mean(seconds_of(lambda env=env: env.reset(seed=0)) for env in official))
    few = len(official)
    row("step, 1 environment", "/s", one[0], one[1], rate=True)
    row(f"step, {args.envs} in turns (official: {few})", "/s", turns[0], turns[1], rate=True)
    row(f"step, {args.envs} in one call of SerialVectorEnv", "/s", vector, turns[1], rate=True)
    row("engine alone, with its commands", "/s", bare)
    row("reset of a game played before", "/s", resets[0], resets[1], rate=True)
    row("load a game and reset", "ms", [seconds_of(lambda s=s: AlfworldEnv([s]).reset()) * 1000 for s in chosen], load)
    for env in alone:
        env.step("look")
    row("clone in the middle of an episode", "us", [seconds_of(env.clone, 200) * 1e6 for env in alone])
    for env in official:
        env.close()
    return by_game


def memory_table(args: argparse.Namespace, games: Sequence[GameSource], chosen: Sequence[GameSource]) -> None:
    """Print what an environment takes, with games of its own and with a game that all share."""
    count = min(args.envs, len(games))
    official = memory_in_fresh_process("official", chosen, len(chosen))
    different = memory_in_fresh_process("fast", games[:count], count - 1)
    same = memory_in_fresh_process("fast", chosen[:1], count)
    row(f"memory, {count} different games (official: {len(chosen)})", "KB", [different / 1e3], [official / 1e3])
    row(f"memory, {count} times the same game", "KB", [same / 1e3])


def growth_table(args: argparse.Namespace, bands: Sequence[Sequence[Room]], official: dict[str, list[float]]) -> None:
    """Cost of a step, a reset and a load by size of the room, and a straight line through the steps."""
    print(f"\n{'receptacles':<13}{'games':>6}{'objects':>9}{'us/step':>10}{'us/reset':>10}{'ms/load':>9}", end="")
    print(f"{'official ms/step':>18}{'ratio':>9}")
    sizes, costs = [], []
    for (low, high), band in zip(BANDS, bands, strict=True):
        measured = [cost_of(room, args.steps, args.runs) for room in band]
        sizes += [(1.0, room.receptacles, room.objects) for room in band]
        costs += [step for step, _, _ in measured]
        step, reset, load = (statistics.median(values) for values in zip(*measured, strict=True))
        objects = statistics.median(room.objects for room in band)
        theirs = 1e6 / statistics.median(official[band[0].source.task_id])
        print(
            f"{f'{low}-{high}':<13}{len(band):>6}{objects:>9.0f}{step:>10.2f}{reset:>10.1f}{load / 1000:>9.2f}", end=""
        )
        print(f"{theirs / 1000:>18.1f}{theirs / step:>8,.0f}x", flush=True)
    (base, per_receptacle, per_object), *_ = np.linalg.lstsq(np.array(sizes), np.array(costs), rcond=None)
    print(
        f"least squares over {len(costs)} games: us/step = {base:.2f} + {per_receptacle:.3f} x receptacles "
        f"+ {per_object:.3f} x objects"
    )


def cost_of(room: Room, steps: int, runs: int) -> tuple[float, float, float]:
    """Microseconds of a step, of a reset, and of loading."""
    env = AlfworldEnv([room.source], max_steps=NO_LIMIT)
    step = statistics.median(1e6 / steps_per_second([env], steps, run) for run in range(runs))
    reset = statistics.median(seconds_of(lambda: env.reset(seed=0), 50) for _ in range(runs))
    return step, reset * 1e6, seconds_of(room.source.load) * 1e6


def harmonic(rates: Sequence[float]) -> float:
    """Rate of playing the same number of steps at each of these rates."""
    return statistics.harmonic_mean(rates)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with json_2.1.1 (default: ALFWORLD_DATA)")
    parser.add_argument("--split", default="train")
    parser.add_argument("--games", type=int, default=10, help="games of each band of room sizes, on the fast engine")
    parser.add_argument("--envs", type=int, default=256, help="environments side by side, on the fast engine")
    parser.add_argument("--steps", type=int, default=400, help="steps of each environment and run, on the fast engine")
    parser.add_argument("--official-steps", type=int, default=10, help="the same on the official engine")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    try:
        games = find_games(args.data, args.split)
        bands = choose(games, args.games)
        official = speed_table(args, bands)
        memory_table(args, random.Random(0).sample(games, len(games)), [band[0].source for band in bands])
        growth_table(args, bands, official)
    except ItpError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
