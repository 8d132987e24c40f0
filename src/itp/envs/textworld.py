"""TextWorld games (`.z8` files, made by `tw-make`) as a `TextEnv`: `make_env("textworld", data="games", split="all")`.

Wraps the `textworld` library, which plays the compiled game and, with the `.json` file that `tw-make` writes beside it,
lists admissible commands, goal and score. Other Z-machine games are played too, with an open action space.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from itp.envs.base import InfoDict, TextEnv, check_step
from itp.envs.textworld_games import EVERYTHING, copy_game, find_games, import_textworld, open_game
from itp.errors import ConfigError, EnvError

MAX_STEPS = 100
NO_OBJECTIVE = "Finish the game with as many points as you can."
REFUSED = "That's not a verb I recognise."
"""What the games themselves answer to an unknown verb, and we to one that talks to the interpreter."""
_META_VERBS = {"save", "restore", "restart", "quit", "q", "undo"}
_META_VERBS |= {"script", "noscript", "unscript", "transcript", "record", "recording", "replay"}
_LONGEST = 197
"""Bytes of a command that the interpreter reads."""
_BANNER = "________  ________  __    __  ________"
"""How the title of every TextWorld game begins: TEXT WORLD in letters made of dollar signs."""
_UNSENT = str.maketrans(dict.fromkeys([*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\\"], " "))
"""A second line would be read as the next command; backslashes and control characters crash the interpreter."""


def make_textworld_env(
    *, split: str = EVERYTHING, data: str | Path | None = None, max_steps: int | None = None, expert: bool = False
) -> TextEnv:
    """Create the environment of the games in a folder.

    Args:
        split: "all", or the name of a subfolder such as "train"; of no meaning when `data` is a single game.
        data: a game file, or a folder that is searched for games, with its subfolders.
        max_steps: steps before an episode is truncated; None means 100.
        expert: fill `info["expert_plan"]` with TextWorld's winning commands.

    Raises:
        ConfigError: no data given, unknown split, or textworld is not installed.
        DataError: the file or folder is missing or holds no games.
    """
    if data is None:
        raise ConfigError("textworld needs games: give --data FOLDER (or data=...), a folder of .z8 files from tw-make")
    root, games = find_games(Path(data), split)
    return TextWorldEnv(games, root=root, max_steps=MAX_STEPS if max_steps is None else max_steps, expert=expert)


class TextWorldEnv(TextEnv):
    """Z-machine games, a game a task; the task id is the file's path relative to `root`, the task type its
    folder (or "textworld").

    The observation is the game's own text. At reset, what comes before the room (the TextWorld banner and the
    objective) is left away: the objective is `info["task"]`. Reward is the change of the score, which is in the game's
    own points. Won or lost ends an episode, and lost counts as irreversible.

    Two kinds of commands do not reach the game, so that an episode stays one: those to the interpreter (save, restart,
    quit, undo, ...) and TextWorld's debugging commands (`tw-...`). Line breaks, other control
    characters and backslashes become blanks, since the interpreter stumbles over them, and it reads 197 bytes at most.

    Args:
        games: the game files, in order.
        root: folder that task ids are relative to.
        max_steps: steps before an episode is truncated.
        expert: fill `info["expert_plan"]`; about a fifth slower.

    Raises:
        ConfigError: no games, a limit below 1, or textworld is not installed.
    """

    metadata = {"render_modes": [], "thread_safe": False}  # noqa: RUF012 (gymnasium declares it so)

    def __init__(self, games: Iterable[Path], *, root: Path, max_steps: int = MAX_STEPS, expert: bool = False) -> None:
        super().__init__()
        self._games = {path.relative_to(root).as_posix(): path for path in games}
        if not self._games or not isinstance(max_steps, int) or max_steps < 1:
            raise ConfigError(f"{len(self._games)} games and max_steps={max_steps!r}: both must be at least 1")
        import_textworld()
        self.max_steps = max_steps
        self._expert = expert
        self._task_ids = tuple(self._games)
        self._game: Any = None
        self._state: Any = None
        self._task_id, self._text = "", ""
        self._steps, self._score = 0, 0.0
        self._running: bool | None = None

    @property
    def task_ids(self) -> Sequence[str]:
        """Paths of the games, relative to the folder."""
        return self._task_ids

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, InfoDict]:
        """Start the game that `options["task_id"]` names, or one drawn with the seed; see `TextEnv.reset`."""
        task_id = self.choose_task(seed, options)
        self._running = None
        if self._game is None or task_id != self._task_id:
            self._close_game()
            self._game, self._task_id = open_game(self._games[task_id], self._expert), task_id
        self._state = self._game.reset()
        self._steps, self._score, self._running = 0, self._points(), True
        self._text = _without_prompt(_after_objective(self._state.feedback, self._state.objective))
        return self._text, self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]:
        """Send a command to the game.

        Raises:
            EnvError: before reset, after the end, or with an action that is not a string.
        """
        check_step(self._running, action)
        command = _sendable(action)
        self._steps += 1
        reward, done = 0.0, False
        if _is_meta(command):
            self._text = REFUSED
        else:
            self._state, _, done = self._game.step(command)
            self._text = _without_prompt(self._state.feedback.strip())
            reward, self._score = self._points() - self._score, self._points()
        terminated = bool(done or self._state.won or self._state.lost)
        truncated = not terminated and self._steps >= self.max_steps
        self._running = not (terminated or truncated)
        return self._text, reward, terminated, truncated, self._info()

    def clone(self) -> Self:
        """A copy with an interpreter of its own, in the same state of the game."""
        if self._game is None:
            raise EnvError("there is no game to clone yet; call reset first")
        twin = copy.copy(self)
        twin._game, twin._np_random = copy_game(self._game), copy.deepcopy(self._np_random)
        return twin

    def close(self) -> None:
        """Stop the interpreter."""
        self._running = None
        self._close_game()

    def _close_game(self) -> None:
        game, self._game = self._game, None
        if game is not None:
            game.close()

    def _points(self) -> float:
        return float(self._state.score or 0)

    def _info(self) -> InfoDict:
        state = self._state
        commands = state.admissible_commands
        info = InfoDict(
            task=(state.objective or "").strip() or NO_OBJECTIVE,
            task_id=self._task_id,
            task_type=self._task_id.rpartition("/")[0] or "textworld",
            admissible_commands=None if commands is None else list(commands),
            won=bool(state.won),
            score=self._score,
            irreversible=bool(state.lost),
        )
        if state.max_score is not None:
            info["max_score"] = float(state.max_score)
        if self._expert:
            info["expert_plan"] = list(state.policy_commands or [])
        return info


def _without_prompt(text: str) -> str:
    """Without the prompt and status line that close the text of games that are not TextWorld's."""
    head, prompt, _ = text.rpartition("\n>")
    return head.rstrip() if prompt and "\n" not in text[len(head) + 1 :] else text


def _after_objective(text: str, objective: str | None) -> str:
    """The first text from the room on: the objective, word for word, ends what comes before; else the banner does."""
    _, found, rest = text.partition(objective) if objective and objective.strip() else ("", "", "")
    if not found and text.lstrip().startswith(_BANNER):
        rest = text[text.rindex("$$") :].partition("\n")[2]
        found = rest
    return (rest if found else text).strip()


def _sendable(action: str) -> str:
    """A command as the interpreter can read it."""
    line = " ".join(action.translate(_UNSENT).split())
    return line.encode(errors="replace")[:_LONGEST].decode(errors="ignore")


def _is_meta(command: str) -> bool:
    """Whether one of the commands of a line is for the interpreter; "look. quit" and "look then quit" hold two."""
    first_words = [part.split()[0] for part in re.split(r"[.,;]|\bthen\b", command.lower()) if part.split()]
    return any(word in _META_VERBS or word.startswith("tw-") for word in first_words)
