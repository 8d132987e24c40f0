"""Shows what each hardness knob of the household generator does to two players: the exploring expert and chance.

    python scripts/household_difficulty.py --games 400

Per setting, the first games of the valid split. The expert (50 steps) wins nearly always, so its number of steps is
what tells; with hazards it plays twice, reading the announcement and not ("heedless"). Chance draws uniformly among the
admissible commands (200 steps). Intervals are 95%: normal for mean steps, Wilson for shares.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from itp.envs.alfworld.belief import Belief
from itp.envs.alfworld.expert import Expert
from itp.envs.base import InfoDict, TextEnv
from itp.envs.household import make_household_env
from itp.evaluation.stats import wilson_interval

SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"receptacles": 6},
    {"receptacles": 12},
    {"receptacles": 20},
    {"receptacles": 28},
    {"receptacles": 12, "distractors": 0},
    {"receptacles": 12, "distractors": 12},
    {"receptacles": 12, "distractors": 24},
    {"hidden": False},
    {"hidden": True},
    {"hazards": "lock"},
    {"hazards": "swallow"},
    {"hazards": "charge"},
    {"hazards": "fragile"},
    {"hazards": "mixed"},
    {"hazards": "mixed", "hazard_count": 2},
    {"hazards": "mixed", "hazard_count": 3},
    {"hazards": "mixed", "size": "full"},
)
Player = Callable[[Belief, InfoDict, random.Random], str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one episode ended."""

    won: bool
    lost: bool
    steps: int


def play(env: TextEnv, task_id: str, player: Player, *, heeds: bool) -> Outcome:
    """One episode; a player that does not heed has not read the announcement of hazards."""
    observation, info = env.reset(options={"task_id": task_id})
    belief, rng, steps = Belief.start(info["task"], observation), random.Random(task_id), 0
    if not heeds:
        belief.hazards = None
    over = False
    while not over:
        action = player(belief, info, rng)
        observation, _, terminated, truncated, info = env.step(action)
        if player is not by_chance:
            belief.update(action, observation)
        over, steps = terminated or truncated, steps + 1
    return Outcome(info["won"], info.get("irreversible", False), steps)


def by_expert(belief: Belief, info: InfoDict, rng: random.Random) -> str:
    """The exploring expert's command."""
    return _EXPERT.act(belief, info["admissible_commands"])


def by_chance(belief: Belief, info: InfoDict, rng: random.Random) -> str:
    """Any admissible command."""
    return rng.choice(info["admissible_commands"] or ["look"])


_EXPERT = Expert()


def row(setting: dict[str, Any], games: int) -> str:
    """One line of the table."""
    short = make_household_env("valid", episodes=games, **setting)
    long = make_household_env("valid", episodes=games, max_steps=200, **setting)
    careful = [play(short, task_id, by_expert, heeds=True) for task_id in short.task_ids]
    chance = [play(long, task_id, by_chance, heeds=True) for task_id in long.task_ids]
    cells = [share([o.won for o in careful]), average([o.steps for o in careful if o.won])]
    if "hazards" in setting:
        heedless = [play(short, task_id, by_expert, heeds=False) for task_id in short.task_ids]
        cells += [share([o.lost for o in careful]), share([o.lost for o in heedless])]
    else:
        cells += ["", ""]
    cells += [share([o.won for o in chance]), share([o.lost for o in chance]) if "hazards" in setting else ""]
    name = ", ".join(f"{key}={value}" for key, value in setting.items()) or "small, no knob"
    return f"| {name} | {' | '.join(cells)} |"


def share(flags: Sequence[bool]) -> str:
    """A percentage with its 95% Wilson interval."""
    low, high = wilson_interval(sum(flags), len(flags))
    return f"{sum(flags) / len(flags):.1%} ({100 * low:.1f}-{100 * high:.1f})"


def average(values: Sequence[int]) -> str:
    """A mean with half the width of its 95% interval."""
    return f"{mean(values):.1f} ± {1.96 * stdev(values) / len(values) ** 0.5:.1f}" if len(values) > 1 else ""


def main() -> None:
    """Print the table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", type=int, default=400, help="games per setting")
    games = parser.parse_args().games
    print(f"{games} games of the valid split per row.\n")
    print(
        "| setting | expert wins | its steps | expert loses for good | heedless expert does | chance wins | it loses |"
    )
    print("|---|---|---|---|---|---|---|")
    for setting in SETTINGS:
        print(row(setting, games), flush=True)


if __name__ == "__main__":
    main()
