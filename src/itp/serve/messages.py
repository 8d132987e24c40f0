"""What the server of decisions takes and gives, as pydantic models: its OpenAPI page is made from them.

A field that is not named here is refused. The same names as in `itp.Agent`, a history's pairs as objects.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from itp.agent.situation import Situation
from itp.types import Decision, HorizonChosen, ImaginedStep, ImaginedTrajectory, Usage

Count = Annotated[int, Field(ge=0)]
Commands = Annotated[
    list[str] | None, Field(description="What may be answered; null or left out where any text may be sent.")
]
Stream = Annotated[
    bool, Field(description="Answer with server-sent events: horizon, imagined (one for each step), decision.")
]


class Message(BaseModel):
    """Base of all requests: no unknown fields, no conversions."""

    model_config = ConfigDict(extra="forbid", strict=True)


class HistoryStep(Message):
    """One step: an action, and the observation that followed."""

    action: str
    observation: str


class DecideRequest(Message):
    """Where an episode stands: everything that a decision rests on."""

    task: Annotated[str, Field(min_length=1, description="The goal.")]
    first_observation: Annotated[str, Field(description="What was seen before the first action.")] = ""
    history: Annotated[list[HistoryStep], Field(description="Every step so far, oldest first.")] = []
    admissible_commands: Commands = None
    thoughts: Annotated[list[str], Field(description="`thought` of every step so far, for react.")] = []
    imagined_tokens: Annotated[Count, Field(description="Tokens imagined so far, for the horizon budget:N.")] = 0
    imagined_steps: Annotated[Count, Field(description="Steps imagined so far, for the same.")] = 0
    stream: Stream = False

    def situation(self) -> Situation:
        """The same as the agent sees it. Raises ConfigError."""
        fields = self.model_dump(exclude={"stream", "history"})
        return Situation(**fields, history=[(step.action, step.observation) for step in self.history])


class SessionRequest(Message):
    """Begin an episode that the server remembers."""

    task: Annotated[str, Field(min_length=1, description="The goal.")]
    observation: Annotated[str, Field(description="What is seen at its beginning.")] = ""


class ActRequest(Message):
    """Ask for the next action of a session."""

    admissible_commands: Commands = None
    stream: Stream = False


class ObserveRequest(Message):
    """Tell what the action led to."""

    observation: str
    action: Annotated[str | None, Field(description="What was really done, where that is another action.")] = None


class UsageAnswer(BaseModel):
    """Tokens, model calls and seconds of one role."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    calls: int
    seconds: float

    @classmethod
    def of(cls, usage: Usage) -> UsageAnswer:
        """The same of a decision."""
        return cls(**{name: getattr(usage, name) for name in cls.model_fields})


class RolesUsage(BaseModel):
    """Usage by role."""

    policy: UsageAnswer
    world_model: UsageAnswer
    imagination: Annotated[UsageAnswer, Field(description="The part of both that went into the foresight.")]


class DecisionAnswer(BaseModel):
    """One decision and how it came about."""

    action: str
    parse: Annotated[
        str,
        Field(
            description="How the action was read: exact, case, tag, closest, scored; unparsed is no admissible command."
        ),
    ]
    horizon: Annotated[int, Field(description="Steps that were really imagined.")]
    foresight: list[HistoryStep]
    passed_over: Annotated[
        list[list[HistoryStep]],
        Field(description="With --avoid: what was imagined of commands that were then not taken, in the order tried."),
    ]
    reflection: str
    thought: str
    raw_text: str
    horizon_parse: str
    horizon_probs: list[float]
    usage: RolesUsage

    @classmethod
    def of(cls, decision: Decision) -> DecisionAnswer:
        """A decision as it is sent."""
        own = ("action", "parse", "horizon", "reflection", "thought", "raw_text", "horizon_parse")
        return cls(
            **{name: getattr(decision, name) for name in own},
            horizon_probs=list(decision.horizon_probs),
            foresight=_steps(decision.foresight),
            passed_over=[_steps(tried) for tried in decision.passed_over],
            usage=RolesUsage(
                policy=UsageAnswer.of(decision.policy_usage),
                world_model=UsageAnswer.of(decision.world_model_usage),
                imagination=UsageAnswer.of(decision.imagination_usage),
            ),
        )


class SessionAnswer(BaseModel):
    """A session, shortly."""

    id: str
    steps: Annotated[int, Field(description="Actions that were carried out.")]


class SessionState(SessionAnswer):
    """A session in full."""

    task: str
    first_observation: str
    history: list[HistoryStep]
    decided: Annotated[str | None, Field(description="The action whose outcome is awaited.")]
    usage: UsageAnswer


class ClosedAnswer(BaseModel):
    """A session that has ended."""

    id: str
    closed: bool


class ErrorAnswer(BaseModel):
    """Every error."""

    error: Annotated[str, Field(description="One line for people.")]
    kind: Annotated[str, Field(description="A word for programs.")]


def _steps(foresight: ImaginedTrajectory) -> list[HistoryStep]:
    return [HistoryStep(**step_fields(step)) for step in foresight.steps]


def step_fields(step: ImaginedStep) -> dict[str, str]:
    """An imagined step as JSON."""
    return {"action": step.action, "observation": step.observation}


def event_of(event: HorizonChosen | ImaginedStep | Decision, imagined: int) -> tuple[str, dict[str, Any]]:
    """Name and data of a server-sent event; `imagined` counts the steps told before it."""
    if isinstance(event, HorizonChosen):
        return "horizon", {"horizon": event.horizon}
    if isinstance(event, ImaginedStep):
        return "imagined", {"step": imagined + 1, **step_fields(event)}
    return "decision", DecisionAnswer.of(event).model_dump()
