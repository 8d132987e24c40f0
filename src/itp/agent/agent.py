"""`itp.Agent`: lookahead for somebody else's loop.

    agent = itp.Agent(policy="openai:http://127.0.0.1:8000/v1", planner="itp-i", max_k=5)
    decision = agent.decide(task=..., first_observation=..., history=[(action, observation), ...],
                            admissible_commands=[...])

Stateless: all that a decision rests on is given with it. `session` remembers an episode for those who would rather not.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self

from itp.agent.batching import Batcher
from itp.agent.build import make_planner, serves_threads
from itp.agent.session import AgentSession
from itp.agent.situation import Situation
from itp.agent.stream import Relay
from itp.errors import ConfigError
from itp.planners.base import Planner
from itp.types import Decision, HorizonChosen, ImaginedStep, Watch

if TYPE_CHECKING:
    from itp.agent.build import PolicyLike, WorldModelLike

MANY = 8
"""Batches under way side by side where all models are behind servers."""


class Agent:
    """Decides for a running episode; from any thread, and from any event loop.

    Args:
        policy: who acts. A name as on the command line (`openai:URL`, `transformers:PATH_OR_ID`, `scripted:FILE.json`,
            a checkpoint folder), a `LanguageModel`, a `PromptedPolicy`, a trained `Policy`, or a function
            `(messages) -> answer`, messages being `[{"role": ..., "content": ...}, ...]`.
        world_model: who foretells. A name (the same, or `rules`), a `WorldModel`, a `LanguageModel`, or a function
            `(state, action) -> observation`. None is the policy's own model for prompted planners.
        planner: one of `itp.agent.build.OFFERED`, or an object with `decide(contexts)`.
        max_k: most steps that are imagined; None is the checkpoint's, else 5.
        horizon: see docs/horizons.md; "" is the planner's own (`prompted` for itp-i, `learned` for itp).
        seed: of what is drawn. A decision depends on it, on the situation, and on nothing that was asked before.
        max_batch: most decisions of one planner call.
        batch_window: seconds that the first of concurrent decisions waits for others.
        max_waiting: concurrent decisions that may wait; more raise `itp.errors.Overloaded`.
        parallel: planner calls at the same time; 0 is 8 where all models are behind servers, else 1.
        options: `model`, `key_env`, `cache`, `answer_tokens`, `device` ...: the flags of `itp eval` of the same names
            (`itp.agent.build.OPTIONS`).

    Raises:
        ConfigError, CheckpointError, ServerError: whatever does not fit, on one line.
    """

    def __init__(
        self,
        policy: PolicyLike | None = None,
        world_model: WorldModelLike | None = None,
        planner: str | Planner = "itp-i",
        *,
        max_k: int | None = None,
        horizon: str = "",
        seed: int = 0,
        max_batch: int = 32,
        batch_window: float = 0.005,
        max_waiting: int = 1024,
        parallel: int = 0,
        **options: Any,
    ) -> None:
        if max_k is not None and max_k < 1:
            raise ConfigError(f"max_k={max_k} is too small: give at least 1 (planner='act' imagines nothing)")
        if parallel < 0:
            raise ConfigError(f"parallel={parallel} is not allowed: give 0 or more")
        if isinstance(planner, str):
            self.planner = make_planner(policy, world_model, planner, horizon=horizon, max_k=max_k, options=options)
        else:
            self.planner = _own_planner(planner, policy, world_model, max_k, horizon, options)
        self.seed = seed
        safe = isinstance(planner, str) and policy is not None and serves_threads(policy, world_model)
        self.parallel = parallel or (MANY if safe else 1)
        self._batcher = Batcher(
            self.planner, max_batch=max_batch, window=batch_window, max_waiting=max_waiting, parallel=self.parallel
        )

    def decide(
        self,
        *,
        task: str,
        first_observation: str = "",
        history: Sequence[tuple[str, str]] = (),
        admissible_commands: Sequence[str] | None = None,
        watch: Watch | None = None,
        **more: Any,
    ) -> Decision:
        """One decision, now, in this thread.

        Args:
            task, first_observation, history, admissible_commands: see `Situation`, as `more` (`thoughts`,
                `imagined_tokens`, `imagined_steps`).
            watch: called with a `HorizonChosen` and then each `ImaginedStep`, as they are made by `itp` and `itp-i`; at
                the end, all at once, by other planners. An error of its own ends the decision.

        Raises:
            ConfigError: the situation has a mistake, or the planner cannot decide in it.
            ServerError: a model server failed.
            Overloaded: the agent is closed.
        """
        return self.decide_at(_situation(task, first_observation, history, admissible_commands, more), watch)

    def decide_at(self, situation: Situation, watch: Watch | None = None) -> Decision:
        """`decide`, for a situation."""
        relay = Relay(watch) if watch is not None else None
        [decision] = self._batcher.decide([situation.context(self.seed, relay)])
        if relay is not None:
            relay.finish(decision)
        return decision

    def decide_batch(self, situations: Sequence[Situation | Mapping[str, Any]]) -> list[Decision]:
        """Decisions for many situations (or dicts of their fields) by one planner call, in order."""
        return self._batcher.decide([Situation.of(given).context(self.seed) for given in situations])

    async def adecide(
        self,
        *,
        task: str,
        first_observation: str = "",
        history: Sequence[tuple[str, str]] = (),
        admissible_commands: Sequence[str] | None = None,
        **more: Any,
    ) -> Decision:
        """`decide` for coroutines: those that ask within `batch_window` seconds are answered by one planner call.

        An error reaches only the coroutine whose own decision fails. A cancelled one leaves the queue.
        """
        return await self.adecide_at(_situation(task, first_observation, history, admissible_commands, more))

    async def adecide_at(self, situation: Situation) -> Decision:
        """`adecide`, for a situation."""
        return await asyncio.wrap_future(self._batcher.submit(situation.context(self.seed)))

    def astream(
        self,
        *,
        task: str,
        first_observation: str = "",
        history: Sequence[tuple[str, str]] = (),
        admissible_commands: Sequence[str] | None = None,
        **more: Any,
    ) -> AsyncIterator[HorizonChosen | ImaginedStep | Decision]:
        """A decision as it comes about: `HorizonChosen`, each `ImaginedStep`, and in the end the `Decision`.

        `itp` and `itp-i` tell each step when it is made, other planners all of them at the end. Micro-batched as
        `adecide` is. The decision's own `foresight` is what counts: a step may be told that an error then undoes.
        """
        return self.astream_at(_situation(task, first_observation, history, admissible_commands, more))

    def astream_at(self, situation: Situation) -> AsyncIterator[HorizonChosen | ImaginedStep | Decision]:
        """`astream`, for a situation. It is asked for at once, not when the first event is."""
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[HorizonChosen | ImaginedStep | None] = asyncio.Queue()
        relay = Relay(lambda event: _tell(loop, events, event))
        future = self._batcher.submit(situation.context(self.seed, relay))
        future.add_done_callback(lambda _: _tell(loop, events, None))
        return _read(events, future, relay)

    def submit(self, situation: Situation) -> Future[Decision]:
        """A micro-batched decision for programs with threads of their own."""
        return self._batcher.submit(situation.context(self.seed))

    def session(self, *, task: str, observation: str) -> AgentSession:
        """An episode that is remembered here.

        Args:
            task: the goal.
            observation: what is seen at its beginning.
        """
        return AgentSession(self, task, observation)

    @property
    def statistics(self) -> dict[str, int]:
        """Planner calls, decisions made by them, and decisions that wait."""
        return {
            "batches": self._batcher.batches,
            "decisions": self._batcher.decided,
            "waiting": self._batcher.waiting,
        }

    @property
    def closed(self) -> bool:
        """Whether it decides no more."""
        return self._batcher.closed

    def close(self, *, abandon: bool = False) -> None:
        """Decide no more; what waits is refused. Models stay loaded as long as the agent is referred to.

        Args:
            abandon: raise `Overloaded` at once for concurrent decisions under way, too; else they are still answered.
        """
        self._batcher.close(abandon=abandon)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _own_planner(
    planner: Planner, policy: object, world_model: object, max_k: object, horizon: str, options: Mapping[str, Any]
) -> Planner:
    """A planner of the user's own, which takes no other settings."""
    if not callable(getattr(planner, "decide", None)):
        raise ConfigError(f"planner is {type(planner).__name__}: give a name, or an object with decide(contexts)")
    settings = {"policy": policy, "world_model": world_model, "max_k": max_k, "horizon": horizon or None, **options}
    if given := [name for name, value in settings.items() if value is not None]:
        raise ConfigError(f"{given[0]} is given beside a planner object, which has its own: leave it out")
    return planner


def _situation(
    task: str,
    first_observation: str,
    history: Sequence[tuple[str, str]],
    admissible_commands: Sequence[str] | None,
    more: Mapping[str, Any],
) -> Situation:
    fields = {
        "task": task,
        "first_observation": first_observation,
        "history": history,
        "admissible_commands": admissible_commands,
    }
    return Situation.of({**fields, **more})


async def _read(
    events: asyncio.Queue[HorizonChosen | ImaginedStep | None], future: Future[Decision], relay: Relay
) -> AsyncIterator[HorizonChosen | ImaginedStep | Decision]:
    """Events until the future is done, then what it holds."""
    try:
        while (event := await events.get()) is not None:
            yield event
        decision = await asyncio.wrap_future(future)
        for event in relay.rest(decision):
            yield event
        yield decision
    finally:
        future.cancel()


def _tell(loop: asyncio.AbstractEventLoop, events: asyncio.Queue[Any], event: object) -> None:
    """Hand an event over to an event loop; nobody listens any more where that has ended."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(events.put_nowait, event)
