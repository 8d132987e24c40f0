"""Tiny TextWorld games, compiled by textworld's own tools once per test session (about two seconds each)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

APPLE = "Put the apple into the chest; do not eat it."


def make_games(folder: Path) -> Path:
    """Fill a folder with `train/keep.z8` (can be lost), `train/rooms.z8` (generated) and their .json files."""
    reason = "textworld is not installed (extra 'textworld'): no games to make"
    textworld: Any = pytest.importorskip("textworld", reason=reason)
    parts: Any = pytest.importorskip("textworld.generator.game", reason=reason)
    maker = textworld.GameMaker()
    kitchen = maker.new_room("kitchen")
    maker.set_player(kitchen)
    apple, chest = maker.new(type="f", name="apple"), maker.new(type="c", name="chest")
    chest.add_property("open")
    kitchen.add(apple, chest)
    kept = parts.Event(conditions={maker.new_fact("in", apple, chest)}, actions=())
    eaten = parts.Event(conditions={maker.new_fact("eaten", apple)})
    maker.quests = [parts.Quest(win_events=[kept], fail_events=[eaten], reward=3)]
    game = maker.build()
    game.objective = APPLE
    for name, made in (("keep", game), ("rooms", None)):
        options = textworld.GameOptions()
        options.path = str(folder / "train" / f"{name}.z8")
        options.seeds, options.nb_rooms, options.nb_objects, options.quest_length = 7, 3, 4, 3
        textworld.generator.compile_game(made or textworld.generator.make_game(options), options)
    return folder
