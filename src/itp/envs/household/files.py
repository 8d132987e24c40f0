"""Writes generated games to disk in ALFWorld's own layout, so that anything that plays ALFWorld plays them.

`write_games("out", "train", 100)`; then `itp eval --env alfworld --data out --split train`, or set ALFWORLD_DATA=out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from itp.envs.household.generator import HouseholdGame, check_split, generate_game, seed_of
from itp.envs.household.knobs import Knobs
from itp.envs.household.layout import NO_KNOBS
from itp.errors import ConfigError

OFFICIAL_SPLIT = {"train": "train", "valid": "valid_seen", "test": "valid_unseen"}
"""Folder of each of our splits: ALFWorld's loaders know only these names."""


def write_games(folder: str | Path, split: str, n: int, size: str = "small", knobs: Knobs = NO_KNOBS) -> list[Path]:
    """Write the first games of a split as `json_2.1.1/SPLIT/TASK/TRIAL/{game.tw-pddl,traj_data.json}`.

    Args:
        folder: created when absent; games of the same name are overwritten with the same content.
        split: "train", "valid" (written as valid_seen) or "test" (written as valid_unseen).
        n: number of games.
        size: "small" or "full".
        knobs: hardness, without hazards: ALFWorld's files cannot tell of them.

    Returns:
        Paths of the `game.tw-pddl` files, in the split's order.

    Raises:
        ConfigError: an argument has a value that is not allowed, or the folder cannot be written.
    """
    if n < 1:
        raise ConfigError(f"n={n} games is not allowed: choose at least 1")
    if knobs.hazards != "none":
        raise ConfigError(f"hazards={knobs.hazards}: ALFWorld's files cannot tell of hazards; leave them away")
    root = Path(folder) / "json_2.1.1" / OFFICIAL_SPLIT[check_split(split)]
    games = (generate_game(seed_of(split, index), size=size, knobs=knobs) for index in range(n))
    try:
        return [_write_game(root, game) for game in games]
    except OSError as error:
        raise ConfigError(f"{root} cannot be written ({error.strerror or error}): name another folder") from error


def _write_game(root: Path, game: HouseholdGame) -> Path:
    params = game.traj["pddl_params"]
    place = params["parent_target"] or params["toggle_target"]
    trial = root / f"{game.task_type}-{params['object_target']}-None-{place}-{game.seed}" / game.task_id
    trial.mkdir(parents=True, exist_ok=True)
    _write_json(trial / "traj_data.json", game.traj)
    _write_json(trial / "game.tw-pddl", game.data)
    return trial / "game.tw-pddl"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
