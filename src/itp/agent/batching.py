"""Concurrent askers, one batch: decisions that are asked for within a few milliseconds are made by one planner call.

Askers may be coroutines of any event loop, or threads. A batch that fails is asked about again one by one, so that an
error reaches only those whose own decision fails.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError

from itp.errors import ConfigError, Overloaded, ServerError
from itp.planners.base import Planner
from itp.types import Decision, DecisionContext

CLOSED = "the agent is closed: it decides no more"
Asked = tuple[DecisionContext, "Future[Decision]"]


class Batcher:
    """A queue before a planner, and the threads that empty it.

    Args:
        planner: decides for a batch at once.
        max_batch: most decisions of one call.
        window: seconds that the first of a batch waits for others.
        max_waiting: decisions that may wait; more are refused.
        parallel: planner calls under way at the same time; more than one only for planners that are safe in threads.

    Attributes:
        batches, decided: planner calls so far, and decisions that they made.
        closed: nothing more is decided.
    """

    def __init__(self, planner: Planner, *, max_batch: int, window: float, max_waiting: int, parallel: int) -> None:
        for name, value in (("max_batch", max_batch), ("max_waiting", max_waiting), ("parallel", parallel)):
            if value < 1:
                raise ConfigError(f"{name} {value} is not allowed: give 1 or more")
        if not 0 <= window <= 10:
            raise ConfigError(f"batch_window {window:g} is not allowed: give seconds, from 0 to 10")
        self._planner = planner
        self._max_batch, self._window, self._max_waiting, self._parallel = max_batch, window, max_waiting, parallel
        self._slots = threading.Semaphore(parallel)
        self._queue: deque[Asked] = deque()
        self._changed = threading.Condition()
        self._collecting = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._under_way: set[Future[Decision]] = set()
        self.closed = False
        self.batches = self.decided = 0

    @property
    def waiting(self) -> int:
        """Decisions that no planner call has taken up yet, and somebody still wants."""
        with self._changed:
            self._drop_cancelled()
            return len(self._queue)

    def submit(self, context: DecisionContext) -> Future[Decision]:
        """Ask for a decision. Cancelling the future takes it out of the queue; one under way is made, and dropped.

        Raises:
            Overloaded: too many are waiting, or the batcher is closed.
        """
        future: Future[Decision] = Future()
        with self._changed:
            self._refuse_if_closed()
            if len(self._queue) >= self._max_waiting:
                self._drop_cancelled()
            if len(self._queue) >= self._max_waiting:
                raise Overloaded(f"{len(self._queue)} decisions are waiting already, and no more may: ask again later")
            self._queue.append((context, future))
            if not self._threads:
                self._start()
            self._changed.notify_all()
        return future

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """One planner call of the caller's own, in its thread; it takes its turn with the batches.

        Raises:
            Overloaded: the batcher is closed.
        """
        self._refuse_if_closed()
        with self._slots:
            decisions = self._planner.decide(contexts) if contexts else []
        if len(decisions) != len(contexts):
            raise RuntimeError(f"the planner gave {len(decisions)} decisions for {len(contexts)} situations")
        with self._changed:
            self.batches, self.decided = self.batches + 1, self.decided + len(decisions)
        return decisions

    def close(self, *, abandon: bool = False) -> None:
        """Refuse what is waiting and whatever comes; what is under way is still answered.

        Args:
            abandon: do not wait for that either: whoever does gets an `Overloaded`, and its answer is dropped.
        """
        with self._changed:
            self.closed = True
            waiting, self._queue = self._queue, deque()
            dropped = self._under_way.copy() if abandon else set()
            self._changed.notify_all()
        for _, future in waiting:
            if future.set_running_or_notify_cancel():
                _set(future, Overloaded(CLOSED))
        for future in dropped:
            _set(future, Overloaded("the agent was closed before this decision was made"))

    def _refuse_if_closed(self) -> None:
        if self.closed:
            raise Overloaded(CLOSED)

    def _drop_cancelled(self) -> None:
        self._queue = deque(asked for asked in self._queue if not asked[1].cancelled())

    def _start(self) -> None:
        # Daemons: a model that never answers must not keep the process from ending.
        names = [f"itp-decide-{number}" for number in range(self._parallel)]
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for name in names]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while not self.closed:
            self._answer(self._collect())

    def _collect(self) -> list[Asked]:
        """The next batch; empty once closed, or when all of it was cancelled.

        One thread collects at a time, or small batches would be torn apart.
        """
        with self._collecting, self._changed:
            while not self._queue and not self.closed:
                self._changed.wait()
            until = time.monotonic() + self._window
            while len(self._queue) < self._max_batch and not self.closed and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            return [self._queue.popleft() for _ in range(min(self._max_batch, len(self._queue)))]

    def _answer(self, batch: Sequence[Asked]) -> None:
        live = [(context, future) for context, future in batch if future.set_running_or_notify_cancel()]
        if live:
            futures = {future for _, future in live}
            with self._changed:
                self._under_way |= futures
            self._settle(live)
            with self._changed:
                self._under_way -= futures

    def _settle(self, asked: Sequence[Asked]) -> None:
        """Decide, and hand everybody its own decision or error."""
        try:
            decisions = self.decide([context for context, _ in asked])
        except BaseException as error:
            if len(asked) == 1 or self.closed or (isinstance(error, ServerError) and error.fatal):
                for _, future in asked:
                    _set(future, error)
                return
            for one in asked:
                self._settle([one])
            return
        for (_, future), decision in zip(asked, decisions, strict=True):
            _set(future, decision)


def _set(future: Future[Decision], outcome: Decision | BaseException) -> None:
    with contextlib.suppress(InvalidStateError):
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
