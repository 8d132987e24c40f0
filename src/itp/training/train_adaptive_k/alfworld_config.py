"""ALFWorld's own YAML (`base_config.yaml`): what of it concerns a game played in text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from itp.errors import ConfigError, DataError

FAMILIES = {1, 2, 3, 4, 5, 6}


def environment(config: Path | None, data: Path | None) -> tuple[Path | None, bool]:
    """Data folder (None for the default one), and whether goals are human sentences.

    Args:
        config: the YAML file, if one is given.
        data: the folder that the user named, if any; it goes before that of the file.

    Raises:
        DataError: a file or folder does not exist.
        ConfigError: the file holds no settings.
    """
    from itp.cli.authors import warn

    if data is not None and not data.exists():
        raise DataError(f"--env_data_path {data} does not exist: name the folder of json_2.1.1")
    if config is None:
        return data, False
    settings = _read_yaml(config)
    game, dataset = settings.get("env") or {}, settings.get("dataset") or {}
    if data is None and dataset.get("data_path"):
        data = Path(os.path.expandvars(dataset["data_path"])).expanduser()
        data = next((p.parent for p in (data, *data.parents) if p.name == "json_2.1.1"), data)
        if not data.exists():
            raise DataError(f"{config}: dataset.data_path {data} does not exist: give --env_data_path")
    if set(game.get("task_types") or FAMILIES) != FAMILIES:
        warn(f"{config}: env.task_types is not heeded: every family of the split is played")
    share = game.get("goal_desc_human_anns_prob") or 0
    if 0 < share < 1:
        warn(f"{config}: goal_desc_human_anns_prob {share} is between 0 and 1: goals are templates")
    return data, share == 1


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    if not path.is_file():
        raise DataError(f"--alfworld_config {path} does not exist: name ALFWorld's base_config.yaml, or leave it out")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"--alfworld_config {path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"--alfworld_config {path} holds no settings: name ALFWorld's base_config.yaml")
    return content
