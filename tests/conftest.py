"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing that earlier versions of the code found out is believed."""
    os.environ["ITP_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def alfworld_data() -> Path:
    """Folder of the real ALFWorld games, or a skip with the reason."""
    value = os.environ.get("ALFWORLD_DATA")
    if not value:
        pytest.skip("ALFWORLD_DATA is not set: real ALFWorld games are absent")
    root = Path(value)
    if not (root / "json_2.1.1").is_dir():
        pytest.skip(f"ALFWORLD_DATA={value} holds no json_2.1.1 folder")
    return root


@pytest.fixture(scope="session")
def textworld_games(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of two tiny TextWorld games, compiled once, or a skip with the reason."""
    from textworld_games import make_games

    return make_games(tmp_path_factory.mktemp("textworld"))
