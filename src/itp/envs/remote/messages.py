"""The requests an environment server understands, as pydantic models; a field that is not named here is refused.

`id` may also be called `env_idx`, as in some of AgentGym's servers.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
"""A split: no path, since some environments keep splits in folders."""
MAX_STEPS = 1_000_000
MAX_TASKS = 10_000
"""Task ids in one answer."""

SessionId = Annotated[str | int, Field(validation_alias=AliasChoices("id", "env_idx"))]
Key = Annotated[str, Field(min_length=16, max_length=128)]
Seq = Annotated[int, Field(ge=1)]


class Message(BaseModel):
    """Base of all requests: no unknown fields, no conversions."""

    model_config = ConfigDict(extra="forbid", strict=True)


class CreateRequest(Message):
    """Make an environment; without a body, as the server's own flags say."""

    split: Annotated[str, Field(pattern=NAME)] | None = None
    max_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] | None = None
    key: Key | None = None
    """Asking again with the same key gives the same session."""


class ResetRequest(Message):
    """Start an episode of `options["task_id"]`, of a task by its index, or of a task drawn with the seed."""

    id: SessionId
    seed: int | None = None
    options: dict[str, Any] | None = None
    game: int | None = None
    """AgentGym's ALFWorld: index of the task; the observation then ends with the goal, as there."""
    data_idx: int | None = None
    """AgentGym's ScienceWorld: index of the task."""
    world_type: Literal["Text", "Embody", "Hybrid"] | None = None
    """AgentGym's ALFWorld, where it changes nothing either."""
    seq: Seq | None = None


class StepRequest(Message):
    """Take an action."""

    id: SessionId
    action: str
    seq: Seq | None = None


class CloneRequest(Message):
    """Make a second session in the same state."""

    id: SessionId
    key: Key | None = None


class CloseRequest(Message):
    """End a session."""

    id: SessionId
