"""Compare the fast ALFWorld engine with the official one, game by game and byte by byte.

    python scripts/compare_engines.py --games 200 --split train --steps 40 --out compare.jsonl
    python scripts/compare_engines.py --out compare.jsonl          # all 3,694 games, several seconds each

Per game: the official first text, every feedback, the list of admissible commands with its order, and `won`, through a
random play, an expert's, a tour of rare states and one of odd commands. With --out, finished games are appended to a
JSONL file and skipped next time, so that a run can be stopped (Ctrl-C) and taken up again. Exit code 1 when there was
a difference.

Most of the official engine's time goes into parsing and copying the same few texts at every step. By default these are
kept (`hasten_official`), which changes no result; --untouched plays the engine as it comes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable
from copy import copy
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

from itp.envs.alfworld.data import GameSource, find_games
from itp.envs.alfworld.differential import (
    Player,
    compare_engines,
    expert_player,
    odd_tour,
    random_player,
    script_player,
    tour,
)
from itp.envs.alfworld.engine import FastGame
from itp.envs.alfworld.official import OfficialGame
from itp.errors import ConfigError, ItpError

Record = dict[str, Any]
SCRIPTS = {"tour": tour, "odd": odd_tour}
PLAYERS = ("random", "expert", "tour", "odd")


@cache
def hasten_official() -> None:
    """Let the official engine parse each text once and copy less; about ten times faster, with the same results.

    Its parsers are pure functions of text. The contexts its grammar deep-copies at each symbol hold names that nobody
    writes to, so that a shallow copy serves. The second translation of a problem is for a planner nobody asks for. A
    refused command changes no fact: what was admissible before it still is.
    """
    import fast_downward
    from textworld.envs.pddl import PddlEnv, logic, textgen
    from textworld.logic import Rule

    def copy_context(context: Record) -> Record:
        return {**context, "variables": dict(context["variables"]), "mapping": dict(context["mapping"])}

    official: Any = PddlEnv
    gather = official._gather_infos

    def gather_when_changed(env: Any) -> None:
        before = env.prev_state
        if env._last_action is None and before is not None:  # refused
            env.state.update({key: before[key] for key in before if key not in env.state})
        else:
            gather(env)

    official._gather_infos = gather_when_changed
    parse = cache(textgen._parse_and_convert)
    # The grammar writes a context into the symbols it is given: every caller gets its own.
    textgen._parse_and_convert = lambda text, **options: copy_symbol(parse(text, **options))
    textgen.copy_context = copy_context
    textgen.deepcopy = copy_symbol
    Rule.parse_conjunctive_query = cache(Rule.parse_conjunctive_query)
    # The grammar and the action templates are the same in all games but for the task line.
    logic._parse_and_convert = lru_cache(maxsize=2)(logic._parse_and_convert)
    translate = lru_cache(maxsize=1)(fast_downward.pddl2sas)
    fast_downward.pddl2sas = lambda domain, problem, verbose=False, optimize=False: translate(domain, problem, verbose)


def copy_symbol(symbol: Any) -> Any:
    """A copy of a grammar symbol, or of a list of them, that shares no symbol with the original."""
    if isinstance(symbol, list):
        return [copy_symbol(item) for item in symbol]
    result = copy(symbol)
    for field in ("symbol", "expression"):
        inner = getattr(symbol, field, None)
        if hasattr(inner, "context"):
            setattr(result, field, copy_symbol(inner))
    return result


def compare_game(source: GameSource, players: tuple[str, ...], steps: int, seed: int, untouched: bool) -> Record:
    """Play one game with each player on both engines; the record is one line of the output file."""
    if not untouched:
        hasten_official()
    if source.path is None:
        raise ConfigError(f"game {source.task_id!r} is not a file")
    start = time.perf_counter()
    official, fast = OfficialGame(source.path), FastGame(source.load())
    record: Record = {"task_id": source.task_id, "players": players, "steps": 0, "differences": []}
    covered: Counter[str] = Counter()
    for name in players:
        rng = random.Random(f"{seed}/{source.task_id}/{name}")
        script = SCRIPTS[name](fast.game) if name in SCRIPTS else []
        player = script_player(script) if script else make_player(name, fast, rng)
        result = compare_engines(source.task_id, fast, official, player, len(script) or steps)
        record["steps"] += result.steps
        covered += result.covered
        if result.difference:
            record["differences"].append(f"{name}: {result.difference}")
    official.close()
    return {**record, "covered": dict(covered), "seconds": round(time.perf_counter() - start, 2)}


def make_player(name: str, game: FastGame, rng: random.Random) -> Player:
    return random_player(rng) if name == "random" else expert_player(game.reset(), rng, noise=0.0)


def read_records(path: Path | None) -> list[Record]:
    """Records of an earlier run; a torn last line is dropped and its game is owed again."""
    records = []
    for line in path.read_text().splitlines() if path and path.exists() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def report(records: Iterable[Record]) -> int:
    """Print the summary and return the number of games that differ."""
    records = list(records)
    covered: Counter[str] = Counter()
    for record in records:
        covered.update(record["covered"])
    differing = [record for record in records if record["differences"]]
    families = Counter(record["task_id"].split("-")[0] for record in records)
    print(f"games compared   {len(records)}")
    print(f"steps compared   {sum(record['steps'] for record in records)}")
    print(f"games differing  {len(differing)}")
    print("families         " + ", ".join(f"{name} {number}" for name, number in sorted(families.items())))
    print("events           " + ", ".join(f"{name} {number}" for name, number in covered.most_common()))
    for record in differing:
        for difference in record["differences"]:
            print(f"DIFFERENCE {record['task_id']}: {difference}")
    return len(differing)


def ignore_interrupts() -> None:
    """Workers leave Ctrl-C to the main process, which reports what is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def select(args: argparse.Namespace) -> list[GameSource]:
    """The games asked for: all, or a sample that is the same for the same seed."""
    splits = ["train", "valid_seen"] if args.split == "all" else [args.split]
    games = [game for split in splits for game in find_games(args.data, split)]
    if args.games and args.games < len(games):
        games = random.Random(args.seed).sample(games, args.games)
    return games


def run(args: argparse.Namespace) -> list[Record]:
    games = select(args)
    wanted = {game.task_id for game in games}
    records = [record for record in read_records(args.out) if record["task_id"] in wanted]
    done = {record["task_id"] for record in records}
    todo = [game for game in games if game.task_id not in done]
    players = tuple(args.players.split(","))
    work = partial(compare_game, players=players, steps=args.steps, seed=args.seed, untouched=args.untouched)
    print(f"{len(games)} games, {len(done)} done before, {len(todo)} to do with {args.workers} workers", flush=True)
    # Each official game leaves some memory behind, hence fresh processes from time to time.
    context = multiprocessing.get_context("spawn")
    with context.Pool(args.workers, ignore_interrupts, maxtasksperchild=100) as pool:
        try:
            for number, record in enumerate(pool.imap_unordered(work, todo), 1):
                records.append(record)
                if args.out:
                    with args.out.open("a") as file:
                        file.write(json.dumps(record) + "\n")
                for difference in record["differences"]:
                    print(f"DIFFERENCE {record['task_id']}: {difference}", flush=True)
                if number % 20 == 0 or number == len(todo):
                    print(f"{number}/{len(todo)} games", flush=True)
        except KeyboardInterrupt:
            print("stopped; the same command with --out takes it up again", flush=True)
    return records


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with json_2.1.1 (default: ALFWORLD_DATA)")
    parser.add_argument("--split", default="all", choices=["all", "train", "valid_seen", "valid_unseen"])
    parser.add_argument("--games", type=int, default=0, help="how many games, drawn with the seed (0: all)")
    parser.add_argument("--steps", type=int, default=50, help="steps of a random play, and at most of an expert's")
    parser.add_argument("--players", default=",".join(PLAYERS), help=f"comma-separated, of {', '.join(PLAYERS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--untouched", action="store_true", help="the official engine as it comes: ten times slower")
    parser.add_argument("--out", type=Path, help="JSONL file to append to and to resume from")
    args = parser.parse_args()
    if unknown := set(args.players.split(",")) - set(PLAYERS):
        parser.error(f"--players: {sorted(unknown)} unknown; allowed are {', '.join(PLAYERS)}")
    try:
        return 1 if report(run(args)) else 0
    except ItpError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
