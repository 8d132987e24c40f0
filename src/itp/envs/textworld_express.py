"""TextWorld-Express games as a `TextEnv`: `make_env("textworld-express", game="coin", split="train")`.

Eight families of small games, generated from seeds by the fast simulator of Jansen and Côté (2022), which needs Java.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

from itp.envs.base import InfoDict, TextEnv, check_step
from itp.envs.textworld_express_server import NOT_SHARED, Session
from itp.errors import ConfigError, EnvError

GAMES = ("cookingworld", "twc", "coin", "mapreader", "arithmetic", "sorting", "simonsays", "peckingorder")
SPLITS = {"train": "train", "dev": "dev", "valid": "dev", "test": "test"}
"""Our name of a split -> the simulator's; "valid" is a second name of "dev"."""
SEEDS = {"train": range(0, 1000), "dev": range(10_000, 11_000), "test": range(20_000, 21_000)}
"""The simulator's own seeds of each split."""
MAX_STEPS = 100
"""Step limit of the library."""
_gold_paths: dict[tuple[str, str, int, str], tuple[str, ...]] = {}
"""Computed once: the same game, asked again, gives another path."""


def make_textworld_express_env(
    *,
    split: str = "train",
    max_steps: int | None = None,
    game: str = "all",
    params: str = "",
    expert: bool = False,
) -> TextEnv:
    """Create the environment.

    Args:
        split: "train", "dev" (or "valid") or "test": 1,000 seeds of each game.
        max_steps: steps before an episode is truncated; None means 100.
        game: "all", or one or more of `GAMES` with commas between.
        params: the simulator's parameters of the game, such as "numLocations=3,includeDoors=0"; for one game only.
        expert: fill `info["expert_plan"]` with the gold path, as long as it is followed.

    Raises:
        ConfigError: an argument has a value that is not allowed, or Java or the library is missing.
    """
    if split not in SPLITS:
        raise ConfigError(f"split {split!r} is unknown; textworld-express has {', '.join(SPLITS)}")
    games = GAMES if game == "all" else tuple(part.strip() for part in game.split(","))
    if unknown := [part for part in games if part not in GAMES]:
        raise ConfigError(f"game {unknown[0]!r} is unknown; textworld-express has {', '.join(GAMES)}, and all")
    return TextWorldExpressEnv(
        games, SPLITS[split], max_steps=MAX_STEPS if max_steps is None else max_steps, params=params, expert=expert
    )


class TextWorldExpressEnv(TextEnv):
    """Games of TextWorld-Express. A task id is "GAME-SEED", the task type the game.

    The score goes up to 1; reward is its change. An episode ends when the simulator says that the task succeeded
    (won) or failed (`info["irreversible"]`, score -1 in some games). Admissible commands are sorted, because the
    simulator lists them in no fixed order.

    Args:
        games: out of `GAMES`, each once.
        split: "train", "dev" or "test".
        max_steps: steps before an episode is truncated.
        params: parameters of the game, with commas between.
        expert: fill `info["expert_plan"]` with what is left of the gold path; a command off the path empties it. The
            gold paths of coin and twc come from random walks: each process has its own.

    Raises:
        ConfigError: a limit below 1, a game twice, parameters for several games, or Java or the library is missing.
    """

    def __init__(
        self,
        games: Sequence[str],
        split: str = "train",
        *,
        max_steps: int = MAX_STEPS,
        params: str = "",
        expert: bool = False,
    ) -> None:
        super().__init__()
        if not games or len(set(games)) != len(games) or (params and len(games) > 1):
            raise ConfigError(
                f"games {', '.join(games) or 'none'} with params={params!r}: name one game to set its params"
            )
        if not isinstance(max_steps, int) or max_steps < 1:
            raise ConfigError(f"max_steps={max_steps!r} must be a whole number, at least 1")
        self.max_steps = max_steps
        self._split, self._params, self._expert = split, params, expert
        self._tasks = {f"{game}-{seed}": (game, seed) for game in games for seed in SEEDS[split]}
        self._task_ids = tuple(self._tasks)
        self._session: Session | None = None
        self._sessions: dict[bool, Session] = {}
        self._open_session(games[0])  # a missing Java is told now, not in the first episode
        self._task_id, self._task = "", ""
        self._answer: dict[str, Any] = {}
        self._commands: list[str] = []
        self._plan: list[str] = []
        self._running: bool | None = None

    @property
    def task_ids(self) -> Sequence[str]:
        """ "coin-0", "coin-1", ..., game after game."""
        return self._task_ids

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, InfoDict]:
        """Start the game that `options["task_id"]` names, or one drawn with the seed; see `TextEnv.reset`."""
        task_id = self.choose_task(seed, options)
        self._running, self._task_id = None, task_id
        self._plan = self._start()
        self._commands, self._running = [], True
        return self._answer["observation"].strip(), self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]:
        """Send a command to the game; `help` tells the task again, as in the library.

        Raises:
            EnvError: before reset, after the end, with an action that is not a string, or when the simulator died.
        """
        check_step(self._running, action)
        before = float(self._answer["score"])
        text = self._act(action)
        self._commands.append(action)
        self._plan = self._plan[1:] if self._plan[:1] == [action] else []
        reward = float(self._answer["score"]) - before
        terminated = bool(self._answer["tasksuccess"] or self._answer["taskfailure"])
        truncated = not terminated and len(self._commands) >= self.max_steps
        self._running = not (terminated or truncated)
        if terminated:
            self._plan = []  # the gold path of twc goes on after it has won
        return text, reward, terminated, truncated, self._info()

    def clone(self) -> Self:
        """A copy with a session of its own, brought into the same state by playing the same commands."""
        if not self._commands and not self._running:
            raise EnvError("there is no episode to clone yet; call reset first")
        twin = copy.copy(self)
        twin._np_random, twin._sessions = copy.deepcopy(self._np_random), {}
        twin._start()
        for command in self._commands:
            twin._act(command)
        twin._commands = list(self._commands)
        return twin

    def close(self) -> None:
        """Leave the sessions; a JVM that they share goes on for other environments and ends with this process."""
        for session in self._sessions.values():
            session.close()
        self._sessions, self._session, self._running = {}, None, None

    def _start(self) -> list[str]:
        """Begin the task's game; its gold path, if wanted."""
        game, seed = self._tasks[self._task_id]
        key = (game, self._params, seed, self._split)
        self._session = self._open_session(game)
        gold = self._expert and key not in _gold_paths
        self._answer, task = self._session.new_game(*key, gold)
        self._task = task.strip()
        if gold:
            _gold_paths[key] = tuple(self._session.gold_path())
        return list(_gold_paths[key]) if self._expert else []

    def _open_session(self, game: str) -> Session:
        """A session for a game: the last one, or a new one after a close, a fork or the death of its JVM."""
        shared = game not in NOT_SHARED
        session = self._sessions.get(shared)
        if session is None or not session.alive:
            session = self._sessions[shared] = Session(game)
        return session

    def _act(self, command: str) -> str:
        """Take a step in the session and return what it says."""
        if command == "help":
            return self._task
        if self._session is None:
            raise EnvError("the environment is closed; call reset first")
        self._answer = self._session.step(command)
        return self._answer["observation"].strip()

    def _info(self) -> InfoDict:
        answer = self._answer
        info = InfoDict(
            task=self._task,
            task_id=self._task_id,
            task_type=self._tasks[self._task_id][0],
            admissible_commands=sorted(set(answer["validActions"])),
            won=bool(answer["tasksuccess"]),
            score=float(answer["score"]),
            irreversible=bool(answer["taskfailure"]),
        )
        if self._expert:
            info["expert_plan"] = list(self._plan)
        return info
