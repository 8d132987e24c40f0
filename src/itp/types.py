"""What flows between the parts of the package: frozen records, no heavy imports.

An agent sees a `State` (text only), may imagine an `ImaginedTrajectory`, returns a `Decision`, and the environment
turns that into a `Step`; the steps of one episode are a `Trajectory`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias


class StopReason(StrEnum):
    """Why an episode ended."""

    WON = "won"
    LOST = "lost"
    """The environment terminated the episode without success."""
    STEP_LIMIT = "step_limit"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a split. `task_id` is unique within (env, split); `task_type` names its family."""

    task_id: str
    goal: str
    task_type: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and time spent by one role (policy or world model). Seconds are wall-clock shares."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    seconds: float = 0.0
    cached_tokens: int = 0
    """Prompt tokens among them that a server or the response cache knew already."""

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.calls + other.calls,
            self.seconds + other.seconds,
            self.cached_tokens + other.cached_tokens,
        )


@dataclass(frozen=True, slots=True)
class State:
    """Everything the agent has seen: `s_t` in Liu et al. 2026. Real and imagined steps extend it in the same way.

    Args:
        task: goal text, for example "put a clean mug in desk."
        first_observation: text shown at reset, without the goal line.
        history: (action, observation that followed) pairs, oldest first.
        knowledge: what the agent was told about the task before it acted (WKM), else empty.
    """

    task: str
    first_observation: str
    history: tuple[tuple[str, str], ...] = ()
    knowledge: str = ""

    @property
    def observation(self) -> str:
        """The latest observation."""
        return self.history[-1][1] if self.history else self.first_observation

    def extend(self, action: str, observation: str) -> State:
        """The state after one more (real or imagined) step."""
        return State(self.task, self.first_observation, (*self.history, (action, observation)), self.knowledge)

    def latest(self, steps: int | None) -> State:
        """The same state with only the latest `steps` of its history; None keeps all."""
        if steps is None or len(self.history) <= steps:
            return self
        return State(self.task, self.first_observation, self.history[len(self.history) - steps :], self.knowledge)


@dataclass(frozen=True, slots=True)
class ImaginedStep:
    """One pair (â, ŝ) of a foresight; `observation` is the world model's text."""

    action: str
    observation: str


@dataclass(frozen=True, slots=True)
class ImaginedTrajectory:
    """A foresight τ̂^(K): K imagined steps from one state (Liu et al. 2026, eq. 2)."""

    steps: tuple[ImaginedStep, ...] = ()

    def __len__(self) -> int:
        return len(self.steps)

    def prefix(self, horizon: int) -> ImaginedTrajectory:
        """The first `horizon` imagined steps."""
        return ImaginedTrajectory(self.steps[:horizon])

    def last(self) -> ImaginedTrajectory:
        """The last imagined step alone."""
        return ImaginedTrajectory(self.steps[-1:])


@dataclass(frozen=True, slots=True)
class HorizonChosen:
    """K_t was chosen: so many steps will be imagined, or fewer where a limit ends them."""

    horizon: int


Watch: TypeAlias = Callable[[HorizonChosen | ImaginedStep], None]
"""Told, in the planner's thread, of one decision's horizon and of each of its imagined steps as they are made."""


@dataclass(frozen=True, slots=True)
class CommandGrammar:
    """What an environment's parser understands now, where its commands are too many to list.

    Args:
        templates: commands with OBJ in the place of each name: "use OBJ on OBJ".
        names: what may stand there, alone or one behind another with a joiner between: "thermometer in inventory".
        joiners: what joins two names.
    """

    templates: tuple[str, ...]
    names: tuple[str, ...]
    joiners: tuple[str, ...] = (" in ", " on ", " to ")


@dataclass(frozen=True, slots=True)
class DecisionContext:
    """What a planner is given for one running episode.

    `admissible` is None when the action space is open; `grammar` may then tell its commands. `seed` is derived from run
    seed, task and step: a planner that draws random numbers draws them from it, so that traces do not depend on how
    episodes are batched.
    """

    state: State
    admissible: tuple[str, ...] | None = None
    seed: int = 0
    expert_plan: tuple[str, ...] = ()
    """What the environment's own expert would do from here, where it tells; only the `expert` planner may read it."""
    thoughts: tuple[str, ...] = ()
    """What the planner itself thought at each step so far, for planners that go on from it (ReAct)."""
    imagined_tokens: int = 0
    """Tokens that this episode's decisions have spent on imagination so far, by policy and world model together."""
    imagined_steps: int = 0
    """Steps that they imagined."""
    grammar: CommandGrammar | None = None
    """What the environment's parser understands, where it tells."""
    watch: Watch | None = field(default=None, compare=False, repr=False)
    """Whoever wants to see this decision's imagination while it grows; planners may leave it unasked."""

    def tell(self, event: HorizonChosen | ImaginedStep) -> None:
        """Pass an event on to `watch`, where there is one."""
        if self.watch is not None:
            self.watch(event)


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision: the action and how it came about.

    `parse` says how the action was obtained: "scored" (best admissible command by log-probability), "exact", "unparsed"
    (the text was no admissible command and is sent as it stands), "random" ...
    """

    action: str
    horizon: int = 0
    foresight: ImaginedTrajectory = field(default_factory=ImaginedTrajectory)
    horizon_probs: tuple[float, ...] = ()
    reflection: str = ""
    thought: str = ""
    raw_text: str = ""
    parse: str = "scored"
    horizon_parse: str = ""
    """How K was read where the policy was asked for it: "exact", or "unparsed" (no integer from 0 to K_max: K is 0)."""
    policy_usage: Usage = field(default_factory=Usage)
    world_model_usage: Usage = field(default_factory=Usage)
    imagination_usage: Usage = field(default_factory=Usage)
    """The part of both that went into the foresight, steps that were dropped from it included."""
    prompt: str = ""
    """What the answer in `raw_text` was asked by, where prompts are kept."""
    passed_over: tuple[ImaginedTrajectory, ...] = ()
    """Foresights of the commands that were tried in imagination and not taken, in the order they were tried."""


@dataclass(frozen=True, slots=True)
class Step:
    """One real step: the decision taken and what the environment answered."""

    decision: Decision
    observation: str
    reward: float = 0.0
    admissible: tuple[str, ...] | None = None
    """Admissible commands *before* the action, when the environment lists them."""
    expert_action: str = ""
    """What the expert would have done in this state: the label for imitation, whatever was really done."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One real episode. `score` is in the environment's own unit (ALFWorld: 0 or 1)."""

    task: Task
    first_observation: str
    steps: tuple[Step, ...]
    stop: StopReason
    score: float = 0.0
    error: str = ""
    seconds: float = 0.0
    irreversible: bool = False
    """A mistake had made the goal impossible by the end (`info["irreversible"]`)."""

    @property
    def won(self) -> bool:
        """The goal was reached, not merely the episode ended."""
        return self.stop is StopReason.WON

    def states(self) -> Sequence[State]:
        """State before each step, plus the last one: `len(steps) + 1` states."""
        states = [State(self.task.goal, self.first_observation)]
        for step in self.steps:
            states.append(states[-1].extend(step.decision.action, step.observation))
        return states
