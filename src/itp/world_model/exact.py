"""The engine itself as the world model: `--world-model exact`. A measuring tool, not an agent's model.

With it every foresight is true, so that what a planner gains by looking ahead can be told apart from what a learned
model gets wrong. It has engines of its own, made by `make_env` and branched with `clone()`, or one that replays where
that cannot be done or is dear; the running episode is never touched. A `State` is text only, so its game is found by
that text and its actions are replayed.
"""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

from itp.envs.base import InfoDict, TextEnv
from itp.errors import EnvError
from itp.types import State, Usage
from itp.world_model.base import Prediction

MAX_NODES = 20_000
"""Remembered engine states; a household game takes about 5 KB."""
AFTER_THE_END = "Nothing happens."
"""Answer to an action that comes after the end of its episode."""
LOST = "All is lost."
"""Added to what a step is answered that ends an episode beyond repair: not every environment's text tells."""


class _Branch(Protocol):
    """A game under way that can be branched."""

    def clone(self) -> Self: ...

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]: ...


@dataclass(frozen=True, slots=True)
class _Node:
    """An engine after some actions of a game, what each of them was answered, and whether the episode is over."""

    env: _Branch
    observations: tuple[str, ...]
    over: bool = False
    lost: bool = False


class _Replayer:
    """One engine for all branches: before a step it replays their actions, unless it stands there already.

    Whoever walks ahead of an episode and takes the step it looked at replays nothing.
    """

    def __init__(self, env: TextEnv) -> None:
        self._env = env
        self.at: tuple[str, tuple[str, ...]] | None = None

    def step(self, game: str, taken: tuple[str, ...], action: str) -> tuple[str, float, bool, bool, InfoDict]:
        if self.at != (game, taken):
            self.at = None
            self._env.reset(options={"task_id": game})
            for step in taken:
                self._env.step(step)
        self.at = None
        answer = self._env.step(action)
        self.at = game, (*taken, action)
        return answer


@dataclass(slots=True)
class _Replayed:
    """A branch that is only its actions."""

    engine: _Replayer
    game: str
    taken: tuple[str, ...] = ()

    def clone(self) -> Self:
        return replace(self)

    def step(self, action: str) -> tuple[str, float, bool, bool, InfoDict]:
        answer = self.engine.step(self.game, self.taken, action)
        self.taken = (*self.taken, action)
        return answer


class ExactWorldModel:
    """Predicts what the real engine answers, for environments that draw nothing at random.

    A state's game is the one that begins with its task and first observation. Where several do, all are replayed and
    those that contradict the state's history are dropped; of what is left, the first in the order of `task_ids`
    answers. To find it every task of the split is reset once, up to the one that is played (0.05 to 0.2 s a task of
    ScienceWorld, longer for ALFWorld's official engine).

    An environment that cannot be cloned, or whose clones are dear (`TextEnv.dear_clones`), is kept once and replays
    the actions itself wherever a prediction is not the next step of the one before: fast where few episodes run.

    Args:
        make_env: makes an environment with the very games, options and step limit of the states to come.
    """

    name = "exact"

    def __init__(self, make_env: Callable[[], TextEnv]) -> None:
        self._env = make_env()
        self._env.tells_plans = False
        self._replayer = _Replayer(self._env) if _must_replay(self._env) else None
        self._games: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self._unlisted = iter(self._env.task_ids)
        self._nodes: OrderedDict[tuple[str, tuple[str, ...]], _Node] = OrderedDict()

    def predict(self, states: Sequence[State], actions: Sequence[str]) -> list[Prediction]:
        """See `WorldModel.predict`. After the end of an episode the answer is `AFTER_THE_END`; a step that ends it
        beyond repair tells `LOST` as well.

        Raises:
            EnvError: a state is of no game of this environment.
        """
        return [self._answer(state, action) for state, action in zip(states, actions, strict=True)]

    def _answer(self, state: State, action: str) -> Prediction:
        start = time.perf_counter()
        taken = tuple(action for action, _ in state.history)
        game = self._game(state, taken)
        node = self._node(game, (*taken, action))
        observation = f"{node.observations[-1]} {LOST}" if node.lost else node.observations[-1]
        return Prediction(observation, usage=Usage(0, 0, 1, time.perf_counter() - start), ended=node.over)

    def _game(self, state: State, taken: tuple[str, ...]) -> str:
        """The first game that begins and goes on as the state tells."""
        told = tuple(observation for _, observation in state.history)
        beginning = state.task, state.first_observation
        for game in self._candidates(beginning):
            known = self._remembered(game, taken).observations
            if known == told[: len(known)] and self._node(game, taken).observations == told:
                return game
        what = "goes on" if self._games[beginning] else "begins"
        raise EnvError(
            f"--world-model exact: no game of this environment {what} as a state of task {state.task!r} does: "
            "it must play the same environment, split and options as the episodes"
        )

    def _candidates(self, beginning: tuple[str, str]) -> Iterator[str]:
        """The games with this task and first observation, in the order of the split, listed as far as need be."""
        yield from tuple(self._games[beginning])
        for game in self._unlisted:
            if self._replayer is not None:
                self._replayer.at = None  # it is the same environment
            observation, info = self._env.reset(options={"task_id": game})
            found = info["task"], observation
            self._games[found].append(game)
            if found == beginning:
                yield game

    def _begin(self, game: str) -> _Branch:
        if self._replayer is not None:
            return _Replayed(self._replayer, game)
        self._env.reset(options={"task_id": game})
        return self._env.clone()

    def _node(self, game: str, actions: tuple[str, ...]) -> _Node:
        """The engine after these actions, grown from the longest beginning of them that is remembered."""
        node = self._remembered(game, actions)
        for number in range(len(node.observations), len(actions)):
            node = self._step(node, actions[number])
            self._remember(game, actions[: number + 1], node)
        return node

    def _remembered(self, game: str, actions: tuple[str, ...]) -> _Node:
        """The engine after the longest beginning of these actions that is remembered."""
        known = len(actions)
        while (node := self._recall(game, actions[:known])) is None:
            known -= 1
        return node

    def _recall(self, game: str, actions: tuple[str, ...]) -> _Node | None:
        node = self._nodes.get((game, actions))
        if node is not None:
            self._nodes.move_to_end((game, actions))
        elif not actions:
            node = _Node(self._begin(game), ())
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
        observation, _, terminated, truncated, info = env.step(action)
        lost = terminated and info.get("irreversible", False)
        return _Node(env, (*node.observations, observation), terminated or truncated, lost)


def _must_replay(env: TextEnv) -> bool:
    if env.dear_clones:
        return True
    env.reset(options={"task_id": env.task_ids[0]})
    try:
        env.clone()
    except EnvError:
        return True
    return False
