"""The record of one episode as plain JSON values, versioned, and back.

`traces.jsonl` holds one such record per line (`itp.trace.store`). The record repeats `itp.types.Trajectory` field by
field, so that nothing of a decision is lost: its horizon, its foresight, its reflection, its tokens by role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from itp.types import Decision, ImaginedStep, ImaginedTrajectory, Step, StopReason, Task, Trajectory, Usage

SCHEMA_VERSION = 1


class TraceFormatError(ValueError):
    """A record does not follow the schema; the message says where."""


def trajectory_to_dict(trajectory: Trajectory) -> dict[str, Any]:
    """A trajectory as JSON values, with its `schema_version`. `trajectory_from_dict` restores an equal one."""
    return {"schema_version": SCHEMA_VERSION, **asdict(trajectory), "stop": trajectory.stop.value}


def trajectory_from_dict(record: Mapping[str, Any]) -> Trajectory:
    """Restore a trajectory.

    Raises:
        TraceFormatError: another schema version, a missing or unknown key, or a value of the wrong kind.
    """
    version = record.get("schema_version")
    if version != SCHEMA_VERSION:
        raise TraceFormatError(f"schema version {version!r}, this itp reads {SCHEMA_VERSION}")
    fields = {key: value for key, value in record.items() if key != "schema_version"}
    try:
        return Trajectory(
            task=Task(**fields.pop("task")),
            steps=tuple(_step(step) for step in fields.pop("steps")),
            stop=StopReason(fields.pop("stop")),
            **fields,
        )
    except KeyError as error:
        raise TraceFormatError(f"key {error} is missing") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise TraceFormatError(str(error)) from error


def _step(record: Mapping[str, Any]) -> Step:
    fields = dict(record)
    admissible = fields.pop("admissible", None)
    return Step(
        decision=_decision(fields.pop("decision")),
        admissible=None if admissible is None else tuple(admissible),
        **fields,
    )


def _decision(record: Mapping[str, Any]) -> Decision:
    fields = dict(record)
    return Decision(
        foresight=_foresight(fields.pop("foresight")),
        horizon_probs=tuple(fields.pop("horizon_probs")),
        policy_usage=Usage(**fields.pop("policy_usage")),
        world_model_usage=Usage(**fields.pop("world_model_usage")),
        imagination_usage=Usage(**fields.pop("imagination_usage", {})),  # older traces lack it
        passed_over=tuple(_foresight(item) for item in fields.pop("passed_over", ())),  # and this
        **fields,
    )


def _foresight(record: Mapping[str, Any]) -> ImaginedTrajectory:
    return ImaginedTrajectory(tuple(ImaginedStep(**step) for step in record["steps"]))
