"""The engine itself as the world model: `--world-model exact`. A measuring tool, not an agent's model.

With it every foresight is true, so that what a planner gains by looking ahead can be told apart from what a learned
model gets wrong. It has engines of its own, made by `make_env` and branched with `clone()`; the running episode is
never touched. A `State` is text only, so its game is found by that text and its actions are replayed.
"""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from itp.envs.base import TextEnv
from itp.errors import ConfigError, EnvError
from itp.types import State, Usage
from itp.world_model.base import Prediction

MAX_NODES = 20_000
"""Remembered engine states; a household game takes about 5 KB."""
AFTER_THE_END = "Nothing happens."
"""Answer to an action that comes after the end of its episode."""


@dataclass(frozen=True, slots=True)
class _Node:
    """An engine after some actions of a game, what each of them was answered, and whether the episode is over."""

    env: TextEnv
    observations: tuple[str, ...]
    over: bool


class ExactWorldModel:
    """Predicts what the real engine answers, for environments that can be cloned and draw nothing at random.

    A state's game is the one that begins with its task and first observation. Where several do, all are replayed and
    those that contradict the state's history are dropped; of what is left, the first in the order of `task_ids`
    answers. Listing the beginnings resets every task of the split once, at the first prediction (ALFWorld's 3,554
    training games take some seconds).

    Args:
        make_env: makes an environment with the very games, options and step limit of the states to come.

    Raises:
        ConfigError: the environment cannot be cloned.
    """

    name = "exact"

    def __init__(self, make_env: Callable[[], TextEnv]) -> None:
        self._env = make_env()
        self._env.reset(options={"task_id": self._env.task_ids[0]})
        try:
            self._env.clone()
        except EnvError as error:
            raise ConfigError(
                f"--world-model exact needs an environment that can be cloned, and {type(self._env).__name__} cannot: "
                "use household or alfworld with --engine fast, or another world model"
            ) from error
        self._games: dict[tuple[str, str], list[str]] = {}
        self._nodes: OrderedDict[tuple[str, tuple[str, ...]], _Node] = OrderedDict()

    def predict(self, states: Sequence[State], actions: Sequence[str]) -> list[Prediction]:
        """See `WorldModel.predict`. After the end of an episode the answer is `AFTER_THE_END`.

        Raises:
            EnvError: a state is of no game of this environment.
        """
        return [self._answer(state, action) for state, action in zip(states, actions, strict=True)]

    def _answer(self, state: State, action: str) -> Prediction:
        start = time.perf_counter()
        taken = tuple(action for action, _ in state.history)
        game = self._game(state, taken)
        node = self._node(game, (*taken, action))
        return Prediction(node.observations[-1], usage=Usage(0, 0, 1, time.perf_counter() - start), ended=node.over)

    def _game(self, state: State, taken: tuple[str, ...]) -> str:
        """The first game that begins and goes on as the state tells."""
        told = tuple(observation for _, observation in state.history)
        candidates = self._beginnings().get((state.task, state.first_observation), [])
        for game in candidates:
            if self._node(game, taken).observations == told:
                return game
        what = "goes on" if candidates else "begins"
        raise EnvError(
            f"--world-model exact: no game of this environment {what} as a state of task {state.task!r} does: "
            "it must play the same environment, split and options as the episodes"
        )

    def _beginnings(self) -> dict[tuple[str, str], list[str]]:
        """Game ids by (task, first observation), in the order of the split."""
        if not self._games:
            games = defaultdict(list)
            for game in self._env.task_ids:
                observation, info = self._env.reset(options={"task_id": game})
                games[info["task"], observation].append(game)
            self._games = dict(games)
        return self._games

    def _node(self, game: str, actions: tuple[str, ...]) -> _Node:
        """The engine after these actions, grown from the longest beginning of them that is remembered."""
        known = len(actions)
        while (node := self._recall(game, actions[:known])) is None:
            known -= 1
        for number in range(known, len(actions)):
            node = self._step(node, actions[number])
            self._remember(game, actions[: number + 1], node)
        return node

    def _recall(self, game: str, actions: tuple[str, ...]) -> _Node | None:
        node = self._nodes.get((game, actions))
        if node is not None:
            self._nodes.move_to_end((game, actions))
        elif not actions:
            self._env.reset(options={"task_id": game})
            node = _Node(self._env.clone(), (), over=False)
            self._remember(game, actions, node)
        return node

    def _remember(self, game: str, actions: tuple[str, ...], node: _Node) -> None:
        self._nodes[game, actions] = node
        if len(self._nodes) > MAX_NODES:
            self._nodes.popitem(last=False)

    @staticmethod
    def _step(node: _Node, action: str) -> _Node:
        if node.over:
            return _Node(node.env, (*node.observations, AFTER_THE_END), over=True)
        env = node.env.clone()
        observation, _, terminated, truncated, _ = env.step(action)
        return _Node(env, (*node.observations, observation), over=terminated or truncated)
