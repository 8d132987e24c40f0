"""`itp label`: the horizon that helps most, for states where the expert's action is known (Liu et al. 2026, eq. 5).

    itp label --data out/data --policy out/policy/model --world-model out/world_model/model --out out/labels

One imagination of K_max steps serves every k: its prefixes are the shorter foresights. Every score is written, so
that λ_K can be chosen again without recomputing.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itp.errors import ConfigError, DataError

if TYPE_CHECKING:
    from itp.policy.model import Policy
    from itp.types import ImaginedTrajectory, State, Trajectory
    from itp.world_model.base import WorldModel

FORESIGHTS = ("policy", "teacher-forced")
LABEL_FILE = "labels.jsonl"


@dataclass
class Config:
    """Score the expert's action under foresights of every length and write pseudo-labels for K."""

    out: Path
    """Run folder; labels go to OUT/labels.jsonl."""
    data: tuple[Path, ...]
    """Folders or files written by `itp collect`."""
    policy: str
    """π_0: the checkpoint that scores (and, by default, imagines)."""
    world_model: str
    """World model checkpoint, or rules."""
    foresight: str = "policy"
    """Who acts in the imagination: policy (what the agent will see) or teacher-forced (the paper's expert actions)."""
    reuse: Path | None = None
    """Labels of an earlier run over the same data whose foresights are scored again instead of imagined anew."""
    k_max: int = 5
    """Largest horizon."""
    lambda_k: float = 0.05
    """Price of one imagined step in nats; the paper uses 0.2."""
    states: int = 3000
    """States to label, drawn evenly from the data; 0 takes all."""
    batch_size: int = 64
    """States imagined side by side."""
    device: str = "cpu"
    """Torch device."""
    seed: int = 0
    """Of the draw of states."""


@dataclass(frozen=True, slots=True)
class LabelledState:
    """One state with its foresight, the score of the expert's action at every k, and the chosen k."""

    state: State
    action: str
    foresight: ImaginedTrajectory
    scores: tuple[float, ...]
    horizon: int


def best_horizon(scores: Sequence[float], lambda_k: float) -> int:
    """argmax over k of log π_0(a* | s, τ̂^(k)) − λ_K · k; the shortest horizon wins ties (Liu et al. 2026, eq. 5)."""
    return max(range(len(scores)), key=lambda k: (scores[k] - lambda_k * k, -k))


def run(config: Config) -> None:
    """Label, resuming after the states that are done."""
    from itp.planners.factory import load_world_model
    from itp.policy.model import Policy
    from itp.run_folder import open_run
    from itp.training.stage import read_trajectories

    if config.foresight not in FORESIGHTS:
        raise ConfigError(f"--foresight {config.foresight} is unknown: choose one of {', '.join(FORESIGHTS)}")
    if config.k_max < 1:
        raise ConfigError(f"--k-max {config.k_max} leaves nothing to label: give 1 or more")
    with open_run(config.out, config, command="label") as folder:
        policy = Policy.load(config.policy, device=config.device)
        world_model = load_world_model(config.world_model, config.device, "float32")
        work = _draw(read_trajectories(config.data), config)
        reused = _reused(config, work) if config.reuse else None
        _label_all(folder / LABEL_FILE, work, reused, policy, world_model, config)
    report(config.out)


def _reused(config: Config, work: Sequence[tuple[Trajectory, int]]) -> list[LabelledState]:
    """The labels of `--reuse`. Raises ConfigError when they are of other states or look less far ahead."""
    assert config.reuse is not None
    reused = read_labels(config.reuse)
    if [(label.state, label.action) for label in reused] != [(t.states()[i], _label(t, i)) for t, i in work]:
        raise ConfigError(f"--reuse {config.reuse} labels other states: give the same --data, --states and --seed")
    longest = max(len(label.foresight) for label in reused)
    if longest < config.k_max:
        raise ConfigError(f"--reuse {config.reuse} imagined {longest} steps, not --k-max {config.k_max}: lower --k-max")
    return reused


def _label_all(
    file: Path,
    work: list[tuple[Trajectory, int]],
    reused: list[LabelledState] | None,
    policy: Policy,
    world_model: WorldModel,
    config: Config,
) -> None:
    from itp.training.progress import Ticker

    done = len(read_labels(file)) if file.is_file() else 0
    ticker, base = Ticker("label"), done
    with file.open("a") as stream:
        while done < len(work):
            batch = work[done : done + config.batch_size]
            if reused is not None:
                foresights = [label.foresight.prefix(config.k_max) for label in reused[done : done + len(batch)]]
            else:
                foresights = _foresights(batch, policy, world_model, config)
            for label in score_states(batch, foresights, policy, config):
                stream.write(json.dumps(_to_dict(label)) + "\n")
            stream.flush()
            done += len(batch)
            ticker.tick(done, len(work), base=base)


def score_states(
    batch: Sequence[tuple[Trajectory, int]],
    foresights: Sequence[ImaginedTrajectory],
    policy: Policy,
    config: Config,
) -> Iterator[LabelledState]:
    """Score the expert's action after every prefix of each foresight."""
    states = [trajectory.states()[index] for trajectory, index in batch]
    actions = [_label(trajectory, index) for trajectory, index in batch]
    rows = [(i, foresights[i].prefix(k)) for i in range(len(batch)) for k in range(len(foresights[i]) + 1)]
    scored = policy.score_actions([states[i] for i, _ in rows], [f for _, f in rows], [[actions[i]] for i, _ in rows])
    for i, (state, action) in enumerate(zip(states, actions, strict=True)):
        scores = tuple(s.logprobs[0] for (row, _), s in zip(rows, scored, strict=True) if row == i)
        yield LabelledState(state, action, foresights[i], scores, best_horizon(scores, config.lambda_k))


def _foresights(
    batch: Sequence[tuple[Trajectory, int]], policy: Policy, world_model: WorldModel, config: Config
) -> list[ImaginedTrajectory]:
    from itp.world_model.imagination import imagine

    if config.foresight == "teacher-forced":
        return _teacher_forced(batch, world_model, config.k_max)
    states = [trajectory.states()[index] for trajectory, index in batch]
    return [i.foresight for i in imagine(states, [config.k_max] * len(states), policy, world_model)]


def _teacher_forced(
    batch: Sequence[tuple[Trajectory, int]], world_model: WorldModel, k_max: int
) -> list[ImaginedTrajectory]:
    """Expert actions with one-step predictions from real states. It leaks a*'s own outcome into every k >= 1."""
    from itp.types import ImaginedStep, ImaginedTrajectory

    spans = [(trajectory, range(index, min(index + k_max, len(trajectory.steps)))) for trajectory, index in batch]
    flat = [(trajectory.states()[i], trajectory.steps[i].decision.action) for trajectory, span in spans for i in span]
    predictions = iter(world_model.predict([state for state, _ in flat], [action for _, action in flat]))
    return [
        ImaginedTrajectory(tuple(ImaginedStep(t.steps[i].decision.action, next(predictions).observation) for i in span))
        for t, span in spans
    ]


def _draw(trajectories: Sequence[Trajectory], config: Config) -> list[tuple[Trajectory, int]]:
    """Labelled (trajectory, step) pairs in a seeded order. Teacher forcing follows expert steps only."""
    pairs = []
    for trajectory in trajectories:
        steps = trajectory.steps
        if config.foresight == "teacher-forced" and any(s.expert_action != s.decision.action for s in steps):
            continue
        pairs += [(trajectory, index) for index, step in enumerate(steps) if step.expert_action]
    if not pairs:
        raise DataError(
            "--data holds no step with an expert action: collect with `itp collect` (for teacher-forced, ε=0)"
        )
    random.Random(config.seed).shuffle(pairs)
    return pairs[: config.states] if config.states else pairs


def _label(trajectory: Trajectory, index: int) -> str:
    return trajectory.steps[index].expert_action


def read_labels(path: Path) -> list[LabelledState]:
    """Read labels from a run folder or a file; a torn last line is dropped."""
    file = path / LABEL_FILE if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"{path} holds no {LABEL_FILE}: give a folder written by `itp label`")
    content = file.read_text()
    complete, _, torn = content.rpartition("\n")
    if torn:
        file.write_text(complete + "\n" if complete else "")
    return [_from_dict(json.loads(line)) for line in complete.splitlines()]


def report(path: Path) -> None:
    """Print the histogram of the labels and the mean score at each k."""
    labels = read_labels(path)
    counts = Counter(label.horizon for label in labels)
    longest = max(len(label.scores) for label in labels)
    for k in range(longest):
        scores = [label.scores[k] for label in labels if len(label.scores) > k]
        mean = sum(scores) / len(scores)
        print(f"K={k}  {counts[k]:6d} labels ({counts[k] / len(labels):5.1%})  mean log π(a*) {mean:8.3f}")


def _to_dict(label: LabelledState) -> dict[str, Any]:
    return {
        "task": label.state.task,
        "first_observation": label.state.first_observation,
        "history": label.state.history,
        "action": label.action,
        "foresight": [[step.action, step.observation] for step in label.foresight.steps],
        "scores": [round(score, 5) for score in label.scores],
        "horizon": label.horizon,
    }


def _from_dict(data: dict[str, Any]) -> LabelledState:
    from itp.types import ImaginedStep, ImaginedTrajectory, State

    history = tuple((action, observation) for action, observation in data["history"])
    return LabelledState(
        State(data["task"], data["first_observation"], history),
        data["action"],
        ImaginedTrajectory(tuple(ImaginedStep(action, observation) for action, observation in data["foresight"])),
        tuple(data["scores"]),
        data["horizon"],
    )
