"""One episode of somebody else's loop, remembered: act, observe, act, ..."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from itp.agent.situation import Situation
from itp.errors import ConfigError, EnvError
from itp.types import Decision, HorizonChosen, ImaginedStep, Usage, Watch

if TYPE_CHECKING:
    from itp.agent.agent import Agent


class AgentSession:
    """Keeps what `Agent.decide` has to be told. `Agent.session` makes it; for one caller at a time.

    Args:
        agent: who decides.
        task: the goal.
        observation: what is seen at its beginning.

    Attributes:
        history: (action, observation that followed) so far.
        decisions: those that were carried out.
        decision: the one whose outcome is awaited; None before `act`, and after `observe`.
        usage: tokens and calls of both roles, decisions that were not carried out included.
    """

    def __init__(self, agent: Agent, task: str, observation: str) -> None:
        Situation(task=task, first_observation=observation)
        self.agent, self.task, self.first_observation = agent, task, observation
        self.history: list[tuple[str, str]] = []
        self.decisions: list[Decision] = []
        self.decision: Decision | None = None
        self.usage = Usage()
        self._thoughts: list[str] = []
        self._imagined_tokens = self._imagined_steps = 0

    def act(self, admissible_commands: Sequence[str] | None = None, *, watch: Watch | None = None) -> Decision:
        """Decide. A second time before `observe` decides anew: the same, where nothing else has changed."""
        return self.decided(self.agent.decide_at(self.situation(admissible_commands), watch))

    async def aact(self, admissible_commands: Sequence[str] | None = None) -> Decision:
        """`act` for coroutines, micro-batched with all others of the agent."""
        return self.decided(await self.agent.adecide_at(self.situation(admissible_commands)))

    def astream(
        self, admissible_commands: Sequence[str] | None = None
    ) -> AsyncIterator[HorizonChosen | ImaginedStep | Decision]:
        """`aact`, as it comes about; see `Agent.astream`."""
        return self._follow(self.agent.astream_at(self.situation(admissible_commands)))

    async def _follow(
        self, events: AsyncIterator[HorizonChosen | ImaginedStep | Decision]
    ) -> AsyncIterator[HorizonChosen | ImaginedStep | Decision]:
        async for event in events:
            yield self.decided(event) if isinstance(event, Decision) else event

    def observe(self, observation: str, action: str | None = None) -> None:
        """Tell what the action led to.

        Args:
            observation: what is seen now.
            action: what was really done, where that is not the decision's action.

        Raises:
            EnvError: nothing was decided, and no action is given.
            ConfigError: not a text.
        """
        for name, value in (("observation", observation), ("action", "" if action is None else action)):
            if not isinstance(value, str):
                raise ConfigError(f"{name} is {type(value).__name__}: give a text")
        if action is None and self.decision is None:
            raise EnvError("nothing was decided since the last observation: act first, or say which action was taken")
        decided = self.decision
        if decided is None or (action is not None and action != decided.action):
            decided = Decision(action or "", parse="given")
        self.history.append((decided.action, observation))
        self.decisions.append(decided)
        self._thoughts.append(decided.thought)
        self.decision = None

    def situation(self, admissible_commands: Sequence[str] | None = None) -> Situation:
        """What the agent is asked about now."""
        return Situation(
            task=self.task,
            first_observation=self.first_observation,
            history=tuple(self.history),
            admissible_commands=admissible_commands,
            thoughts=tuple(self._thoughts),
            imagined_tokens=self._imagined_tokens,
            imagined_steps=self._imagined_steps,
        )

    def decided(self, decision: Decision) -> Decision:
        """Take in a decision that was made for `situation`."""
        self.decision = decision
        self.usage += decision.policy_usage + decision.world_model_usage
        self._imagined_tokens += decision.imagination_usage.tokens
        self._imagined_steps += decision.horizon
        return decision
