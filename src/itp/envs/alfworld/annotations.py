"""Human goal sentences: what people who watched the task done wrote beside the game, in `traj_data.json`.

ALFRED had at least three people describe each trial ("Place the two newsletters in a tv drawer.") where the game's own
goal follows a template ("put two newspaper in drawer."). `AlfworldEnv(goal="human")` shows these sentences instead.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from itp.envs.alfworld.data import GameSource
from itp.errors import ConfigError, DataError, GameFileError

GOALS = ("template", "human")
RANDOM = "random"
TRAJECTORY_NAME = "traj_data.json"


def check_goal(goal: Any, annotation: Any) -> None:
    """Refuse values of the options `goal` and `annotation` that are not allowed.

    Raises:
        ConfigError: with what is allowed.
    """
    if goal not in GOALS:
        raise ConfigError(f"goal={goal!r} is unknown; allowed are {', '.join(GOALS)}")
    is_index = isinstance(annotation, int) and not isinstance(annotation, bool) and annotation >= 0
    if not is_index and annotation != RANDOM:
        raise ConfigError(f"annotation={annotation!r} is not allowed; give 0, 1, 2, or {RANDOM}")
    if goal == "template" and annotation != 0:
        raise ConfigError(f"annotation={annotation!r} chooses among human goals; add goal=human")


def human_goal(source: GameSource, annotation: int | str, rng: np.random.Generator) -> str:
    """One human sentence for a game.

    Args:
        source: the game; it must be a file.
        annotation: which sentence, from 0, or "random" to draw one.
        rng: what it is drawn with.

    Raises:
        DataError: there is no `traj_data.json` beside the game.
        GameFileError: it is damaged, or has no such sentence.
    """
    if source.path is None:
        raise DataError(f"game {source.task_id!r} is held in memory and has no human goals; use goal=template")
    path = source.path.with_name(TRAJECTORY_NAME)
    sentences = read_sentences(path)
    index = int(rng.integers(len(sentences))) if isinstance(annotation, str) else annotation
    if index >= len(sentences):
        raise GameFileError(f"{path}: annotation {index} is asked for and there are {len(sentences)}, numbered from 0")
    return sentences[index]


@lru_cache(maxsize=4096)
def read_sentences(path: Path) -> tuple[str, ...]:
    """All human sentences of a trial, in the order of the file, white space tidied. The real games have 3 to 6 each.

    Raises:
        DataError: the file is missing.
        GameFileError: the file is damaged, or holds no sentence.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}); human goals come from it: "
            "unpack the games with their traj_data.json, or use goal=template"
        ) from error
    except ValueError as error:
        raise GameFileError(f"{path}: not valid JSON ({error}); the file is truncated or damaged") from error
    try:
        texts = [annotation["task_desc"] for annotation in content["turk_annotations"]["anns"]]
        sentences = tuple(filter(None, (" ".join(text.split()) for text in texts)))
    except (KeyError, TypeError, AttributeError) as error:
        raise GameFileError(f"{path}: turk_annotations.anns[].task_desc is missing; use goal=template") from error
    if not sentences:
        raise GameFileError(f"{path}: turk_annotations holds no sentence; use goal=template")
    return sentences
