"""The official ALFWorld engine (textworld + alfworld) behind the same interface: the reference the fast one is held to.

Slow (seconds to load a game, tens of steps a second) and needs the `alfworld` extra; nothing imports it unless
`engine="textworld"` is asked for. Games are played as shipped, through textworld's own single-game interface.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from itp.envs.alfworld.data import DATA_VARIABLE, GameSource, task_type_of
from itp.envs.alfworld.env import AlfworldEnv, Engine
from itp.envs.alfworld.library import GameLibrary, at_least_one, split_first_text
from itp.errors import ConfigError


@contextmanager
def _process_settings_kept() -> Iterator[None]:
    """The libraries overwrite `sys.argv` and set ALFWORLD_DATA; neither is theirs to change."""
    argv, data = sys.argv, os.environ.get(DATA_VARIABLE)
    try:
        yield
    finally:
        sys.argv = argv
        if data is None:
            os.environ.pop(DATA_VARIABLE, None)


def _import_official() -> tuple[Any, Any]:
    """The module textworld and the class AlfredDemangler."""
    with _process_settings_kept():
        try:
            import textworld
            from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
        except ImportError as error:
            raise ConfigError(
                f"engine 'textworld' is not installed ({error}); pip install 'imagine-then-plan[alfworld]' "
                "or use engine 'fast'"
            ) from error
    return textworld, AlfredDemangler


class OfficialGame:
    """One game in play on the official engine; same methods as `engine.FastGame`, without `clone`.

    Args:
        path: a game file whose name ends in `.tw-pddl`.

    Attributes:
        won: whether the goal holds now.
    """

    def __init__(self, path: Path) -> None:
        textworld, demangler = _import_official()
        # textworld accepts wrapper classes and ready-made wrappers alike; only the demangler changes what is shown.
        infos = textworld.EnvInfos(won=True, admissible_commands=True)
        with _process_settings_kept():
            self._env: Any = textworld.start(str(path), request_infos=infos, wrappers=[demangler()])
        self._state: Any = None
        self.won = False

    def reset(self) -> str:
        """Start over and return the official first text."""
        with _process_settings_kept():
            self._state = self._env.reset()
        self.won = bool(self._state["won"])
        return self._state.feedback

    def step(self, command: str) -> str:
        """Carry out one command and return the feedback."""
        self._state, _, _ = self._env.step(command)
        self.won = bool(self._state["won"])
        return self._state.feedback

    def admissible_commands(self) -> list[str]:
        """Sorted commands that do something now."""
        return list(self._state["admissible_commands"])

    def close(self) -> None:
        """Free the planner's memory; the game cannot be played on."""
        if self._env is not None:
            # Unloading the library itself (fast_downward.close_lib) makes the process crash when it exits.
            self._env.unwrapped.downward_lib.cleanup()
            self._env = None


class OfficialEnv(AlfworldEnv):
    """ALFWorld (or household) games on the official engine. See `AlfworldEnv` for interface and further options.

    Args:
        games: the split's games; those held in memory are written to a temporary folder when played.
        max_steps: steps before an episode is truncated.
        cache_size: loaded games kept in memory (about 11 MB each).
        options: `goal`, `annotation` and `expert`, as for `AlfworldEnv`.

    Raises:
        ConfigError: textworld or alfworld is not installed, or an option is not allowed.
    """

    metadata = {"render_modes": [], "thread_safe": False}  # noqa: RUF012 (gymnasium declares it so)

    def __init__(
        self,
        games: Sequence[GameSource | str | Path] | GameLibrary,
        max_steps: int = 50,
        cache_size: int = 2,
        **options: Any,
    ) -> None:
        super().__init__(games, max_steps, **options)
        self._cache_size = at_least_one("cache_size", cache_size)
        _import_official()
        self._folder = tempfile.TemporaryDirectory(prefix="itp_games_")
        self._engines: OrderedDict[str, OfficialGame] = OrderedDict()

    def clone(self) -> Self:
        """The official engine keeps its state in a planner library that copies nothing.

        Raises:
            EnvError: always.
        """
        return super(AlfworldEnv, self).clone()

    def _begin(self, source: GameSource) -> tuple[Engine, str, str, str]:
        engine = self._loaded(source)
        observation, task = split_first_text(engine.reset())
        return engine, observation, task, task_type_of(source.task_id) or source.load().task_type

    def _loaded(self, source: GameSource) -> OfficialGame:
        engine = self._engines.pop(source.task_id, None) or OfficialGame(source.path or self._write(source))
        self._engines[source.task_id] = engine
        if len(self._engines) > self._cache_size:
            self._engines.popitem(last=False)[1].close()
        return engine

    def _write(self, source: GameSource) -> Path:
        path = Path(self._folder.name) / f"{self.task_ids.index(source.task_id)}.tw-pddl"
        path.write_text(json.dumps(dict(source.read())))
        return path

    def close(self) -> None:
        """Free all loaded games and the temporary folder."""
        while self._engines:
            self._engines.popitem()[1].close()
        self._engine = None
        self._running = False
        self._folder.cleanup()
