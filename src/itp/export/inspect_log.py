"""inspect-ai `.eval` logs: `inspect view` then shows our episodes as conversations, with their scores.

A step is an assistant's message (what was imagined and thought, then the command) and the environment's answer a
user's. The score is 1 for a won episode; score, steps and mean K are the sample's metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itp.errors import ConfigError
from itp.export.runs import ExportRun
from itp.types import Decision, Trajectory

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample  # pyright: ignore[reportMissingImports]

SCORER = "won"


def write_inspect(run: ExportRun, out: Path) -> int:
    """Write one run as an inspect log; returns the number of samples.

    Raises:
        ConfigError: inspect-ai is missing.
    """
    try:
        from inspect_ai.log import write_eval_log  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ConfigError("--to inspect needs inspect-ai: pip install 'imagine-then-plan[inspect]'") from None
    log = inspect_log(run)
    write_eval_log(log, str(out), format="eval")
    return len(log.samples or [])


def inspect_log(run: ExportRun) -> EvalLog:
    """The run as inspect-ai's own record."""
    from inspect_ai.log import (  # pyright: ignore[reportMissingImports]
        EvalConfig,
        EvalDataset,
        EvalLog,
        EvalMetric,
        EvalResults,
        EvalScore,
        EvalSpec,
        EvalStats,
    )

    results = run.results
    samples = [_sample(episode) for episode in run.episodes()]
    written = datetime.fromtimestamp((run.path / "results.json").stat().st_mtime, UTC).isoformat()
    values = {"accuracy": results["success_rate"], "mean_steps": results["mean_steps"], "mean_k": results["mean_k"]}
    metrics = {name: EvalMetric(name=name, value=value) for name, value in values.items() if value is not None}
    spec = EvalSpec(
        created=written,
        task=f"{results['env']}/{results['split']}",
        dataset=EvalDataset(name=results["split"], samples=len(samples), sample_ids=[s.id for s in samples]),
        model=str(results["config"].get("policy") or results["planner"]),
        solver=results["planner"],
        config=EvalConfig(epochs=1),
        packages={name: str(version) for name, version in results["versions"].items() if version},
        metadata=_settings(results),
    )
    return EvalLog(
        status="success",
        eval=spec,
        results=EvalResults(
            total_samples=len(samples),
            completed_samples=len(samples) - results["errors"],
            scores=[EvalScore(name=SCORER, scorer=SCORER, metrics=metrics)],
        ),
        stats=EvalStats(started_at=written, completed_at=written),
        samples=samples,
    )


def _settings(results: Mapping[str, Any]) -> dict[str, Any]:
    return {"settings": dict(results["config"]), "success_ci95": results["success_ci95"]}


def _sample(episode: Trajectory) -> EvalSample:
    from inspect_ai.log import EvalError, EvalSample  # pyright: ignore[reportMissingImports]
    from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, ModelOutput  # pyright: ignore[reportMissingImports]
    from inspect_ai.scorer import Score  # pyright: ignore[reportMissingImports]

    begin = f"{episode.task.goal}\n\n{episode.first_observation}"
    messages: list[Any] = [ChatMessageUser(content=begin)]
    for step in episode.steps:
        messages.append(ChatMessageAssistant(content=_told(step.decision)))
        messages.append(ChatMessageUser(content=step.observation))
    horizons = [step.decision.horizon for step in episode.steps]
    last = episode.steps[-1].decision.action if episode.steps else ""
    return EvalSample(
        id=episode.task.task_id,
        epoch=1,
        input=begin,
        target="won",
        messages=messages,
        output=ModelOutput.from_content(model="itp", content=last),
        scores={SCORER: Score(value=int(episode.won), answer=last, explanation=episode.error or episode.stop.value)},
        metadata={
            "task_type": episode.task.task_type,
            "score": episode.score,
            "steps": len(episode.steps),
            "mean_k": sum(horizons) / len(horizons) if horizons else None,
            "irreversible": episode.irreversible,
        },
        total_time=episode.seconds,
        error=EvalError(message=episode.error, traceback="", traceback_ansi="") if episode.error else None,
    )


def _told(decision: Decision) -> str:
    """What was imagined and thought, and the command."""
    parts = [f"imagined {len(decision.foresight)} of K = {decision.horizon}"] if decision.horizon else []
    parts += [f"> {step.action}\n{step.observation}" for step in decision.foresight.steps]
    parts += [text for text in (decision.reflection, decision.thought) if text]
    return "\n\n".join([*parts, f"Action: {decision.action}"])
