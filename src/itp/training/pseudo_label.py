"""`itp label`: the horizon that helps most, for states where the expert's action is known (Liu et al. 2026, eq. 5).

    itp label --data out/data --policy out/policy/model --world-model out/world_model/model --out out/labels
    itp label --relabel out/labels --lambda-k 0.2 --out out/labels-0.2

One imagination of K_max steps serves every k: its prefixes are the shorter foresights, and one pass scores the expert's
action behind all of them. Every score is written, so that λ_K can be chosen again without any model.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from itp.errors import ConfigError, DataError
from itp.training.labels import LABEL_FILE, LabelledState, append_labels, best_horizon, read_labels, report

if TYPE_CHECKING:
    from itp.policy.model import Policy
    from itp.types import ImaginedTrajectory, State, Trajectory
    from itp.world_model.base import WorldModel

FORESIGHTS = ("policy", "teacher-forced")
NORMS = ("sum", "mean")
MAY_DIFFER = ("out", "batch_size", "device", "policy_device", "wm_device")


@dataclass
class Config:
    """Score the expert's action under foresights of every length and write pseudo-labels for K."""

    out: Path
    """Run folder; labels go to OUT/labels.jsonl, their histogram to OUT/histogram.json."""
    data: tuple[Path, ...] = ()
    """Folders or files written by `itp collect`."""
    policy: str = ""
    """π_0: the checkpoint that scores (and, by default, imagines)."""
    world_model: str = ""
    """World model checkpoint, rules, or exact: the engine of the games in --data, read from their run folder."""
    relabel: Path | None = None
    """Labels of an earlier run whose K is chosen again, with this --lambda-k, from their stored scores."""
    avoid: tuple[str, ...] = ()
    """Label for an agent that plays with --avoid: the score at k is log π(a*) among the commands whose imagined future
    does not warn (`itp.training.label_avoid`)."""
    action: str = "score"
    """With --avoid, the commands to choose among: score (the admissible ones; needs data collected with
    --keep-commands) or generate (a few that the policy writes, and a*)."""
    avoid_returns: bool = True
    """With --avoid: commands that lead back to where the episode has been are passed over too."""
    foresight: str = "policy"
    """Who acts in the imagination: policy (what the agent will see) or teacher-forced (the paper's expert actions)."""
    reuse: Path | None = None
    """Labels of an earlier run over the same data whose foresights are scored again instead of imagined anew."""
    k_max: int = 5
    """Largest horizon."""
    k_candidates: tuple[int, ...] = ()
    """Horizons to choose among (default: 0 to K_max)."""
    lambda_k: float = 0.05
    """Price of one imagined step in nats; the paper uses 0.2."""
    logprob_norm: str = "sum"
    """log π of an action: sum over its tokens, or their mean."""
    max_observation_tokens: int | None = None
    """Most tokens of an imagined observation (default: the world model's own limit)."""
    max_state_tokens: int | None = None
    """Cut the state part of the policy's prompts to this many tokens where its checkpoint takes more."""
    only_sure: bool = False
    """Label only states where the expert's action is sure to be right, as `itp train policy --only-sure`."""
    states: int = 3000
    """States to label, drawn evenly from the data; 0 takes all."""
    batch_size: int = 64
    """States imagined side by side."""
    device: str = "cpu"
    """Torch device of policy and world model, where the next two do not say otherwise."""
    policy_device: str = ""
    """Torch device of the policy."""
    wm_device: str = ""
    """Torch device of the world model."""
    seed: int = 0
    """Of the draw of states."""

    @property
    def candidates(self) -> tuple[int, ...]:
        """Horizons to choose among, ascending."""
        return tuple(sorted(self.k_candidates)) or tuple(range(self.k_max + 1))


@dataclass(frozen=True, slots=True)
class _Item:
    """A state to label: where it is in its episode, and what the expert does there."""

    trajectory: Trajectory
    index: int
    state: State
    action: str
    commands: tuple[str, ...] | None = None


def run(config: Config) -> None:
    """Label, resuming after the states that are done."""
    from itp.run_folder import open_run

    _check(config)
    with open_run(config.out, config, command="label", ignore=MAY_DIFFER) as folder:
        file = folder / LABEL_FILE
        if config.relabel is not None:
            file.unlink(missing_ok=True)
            append_labels(file, _relabelled(read_labels(config.relabel), config))
        else:
            _label(file, config)
        report(config.out)


def _check(config: Config) -> None:
    for flag, value, allowed in (
        ("--foresight", config.foresight, FORESIGHTS),
        ("--logprob-norm", config.logprob_norm, NORMS),
    ):
        if value not in allowed:
            raise ConfigError(f"{flag} {value} is unknown: choose one of {', '.join(allowed)}")
    if config.action not in ("score", "generate") or (config.action == "generate" and not config.avoid):
        raise ConfigError(f"--action {config.action}: with --avoid, give score or generate; without, leave it out")
    if config.avoid and (config.foresight != "policy" or config.reuse is not None):
        raise ConfigError("--avoid imagines what each command leads to: leave out --reuse and --foresight")
    if config.k_max < 1:
        raise ConfigError(f"--k-max {config.k_max} leaves nothing to label: give 1 or more")
    wrong = [k for k in config.k_candidates if not 0 <= k <= config.k_max]
    if wrong or len({*config.k_candidates}) < len(config.k_candidates):
        given = " ".join(map(str, config.k_candidates))
        raise ConfigError(f"--k-candidates {given}: give each once, from 0 to --k-max {config.k_max}")
    if config.relabel is None:
        for flag, value in (
            ("--data", config.data),
            ("--policy", config.policy),
            ("--world-model", config.world_model),
        ):
            if not value:
                raise ConfigError(f"{flag} is required: give it a value, or choose K anew with --relabel LABELS")


def _relabelled(labels: Sequence[LabelledState], config: Config) -> list[LabelledState]:
    allowed = set(config.candidates)
    if not all(allowed & {*label.candidates} for label in labels):
        raise ConfigError(f"--relabel {config.relabel} has labels without a score for K in {sorted(allowed)}")
    return [
        replace(label, horizon=best_horizon(label.scores, config.lambda_k, label.candidates, allowed))
        for label in labels
    ]


def _label(file: Path, config: Config) -> None:
    from itp.data.recorded_env import recorded_env
    from itp.data.sure import sure
    from itp.planners.factory import load_world_model
    from itp.policy.model import Policy
    from itp.training.progress import Ticker
    from itp.training.stage import read_trajectories

    played = read_trajectories(config.data)
    work = _draw([sure(t) for t in played] if config.only_sure else played, config)
    reused = _reused(config, work) if config.reuse else None
    policy = Policy.load(config.policy, device=config.policy_device or config.device)
    policy = policy.with_state_limit(config.max_state_tokens)
    wm_device = config.wm_device or config.device
    world_model = load_world_model(
        config.world_model,
        wm_device,
        "float32",
        max_observation_tokens=config.max_observation_tokens,
        make_env=recorded_env(config.data) if config.world_model == "exact" else None,
    )
    known = read_labels(file) if file.is_file() else []
    results = {(label.state, label.action): label for label in known}
    done = base = len(known)
    ticker = Ticker("label")
    while done < len(work):
        batch = work[done : done + config.batch_size]
        new = {(item.state, item.action): item for item in batch if (item.state, item.action) not in results}
        if new and config.avoid:
            for label in label_avoiding(list(new.values()), policy, world_model, config):
                results[label.state, label.action] = label
        elif new:
            foresights = [reused[item.state, item.action] for item in new.values()] if reused else None
            for label in label_states(list(new.values()), foresights, policy, world_model, config):
                results[label.state, label.action] = label
        append_labels(file, [results[item.state, item.action] for item in batch])
        done += len(batch)
        ticker.tick(done, len(work), f"{len(results)} distinct", base=base)


def label_states(
    items: Sequence[_Item],
    foresights: Sequence[ImaginedTrajectory] | None,
    policy: Policy,
    world_model: WorldModel,
    config: Config,
) -> list[LabelledState]:
    """Imagine from each state (unless foresights are given) and score the expert's action behind every prefix."""
    if foresights is None:
        foresights = _foresights(items, policy, world_model, config)
    horizons = [tuple(k for k in config.candidates if k <= len(foresight)) for foresight in foresights]
    states, actions = [item.state for item in items], [item.action for item in items]
    scores = policy.score_horizons(states, foresights, actions, horizons)
    if config.logprob_norm == "mean":
        lengths = [len(policy.lm.encode_continuation(action)) for action in actions]
        scores = [tuple(s / length for s in row) for row, length in zip(scores, lengths, strict=True)]
    return [
        LabelledState(item.state, item.action, foresight, row, best_horizon(row, config.lambda_k, ks), ks)
        for item, foresight, row, ks in zip(items, foresights, scores, horizons, strict=True)
    ]


def label_avoiding(
    items: Sequence[_Item], policy: Policy, world_model: WorldModel, config: Config
) -> list[LabelledState]:
    """Labels for play with `--avoid`; their foresight is empty, since such an agent's prompt holds none."""
    from itp.training.label_avoid import avoiding_scores
    from itp.types import ImaginedTrajectory

    writes = config.action == "generate"
    if not writes and any(item.commands is None for item in items):
        raise DataError(
            "--avoid needs the commands of every step: collect --data with `itp collect --keep-commands`; "
            "for an agent that writes its commands, give --action generate"
        )
    rows = avoiding_scores(
        [item.state for item in items],
        [item.action for item in items],
        [None if writes else item.commands for item in items],
        policy,
        world_model,
        config.avoid,
        config.candidates,
        avoid_returns=config.avoid_returns,
    )
    return [
        LabelledState(
            item.state,
            item.action,
            ImaginedTrajectory(),
            row,
            best_horizon(row, config.lambda_k, config.candidates),
            config.candidates,
        )
        for item, row in zip(items, rows, strict=True)
    ]


def _foresights(
    items: Sequence[_Item], policy: Policy, world_model: WorldModel, config: Config
) -> list[ImaginedTrajectory]:
    from itp.world_model.imagination import imagine

    longest = max(config.candidates)
    if config.foresight == "teacher-forced":
        return _teacher_forced(items, world_model, longest)
    states = [item.state for item in items]
    return [i.foresight for i in imagine(states, [longest] * len(states), policy, world_model)]


def _teacher_forced(items: Sequence[_Item], world_model: WorldModel, k_max: int) -> list[ImaginedTrajectory]:
    """Expert actions with one-step predictions from real states. It leaks a*'s own outcome into every k >= 1."""
    from itp.types import ImaginedStep, ImaginedTrajectory

    spans = [(x.trajectory, range(x.index, min(x.index + k_max, len(x.trajectory.steps)))) for x in items]
    flat = [(trajectory.states()[i], trajectory.steps[i].decision.action) for trajectory, span in spans for i in span]
    predictions = iter(world_model.predict([state for state, _ in flat], [action for _, action in flat]))
    return [
        ImaginedTrajectory(tuple(ImaginedStep(t.steps[i].decision.action, next(predictions).observation) for i in span))
        for t, span in spans
    ]


def _reused(config: Config, work: Sequence[_Item]) -> dict[tuple[State, str], ImaginedTrajectory]:
    """The foresights of `--reuse`. Raises ConfigError when they are of other states or look less far ahead."""
    assert config.reuse is not None
    found = {(label.state, label.action): label.foresight for label in read_labels(config.reuse)}
    if any((item.state, item.action) not in found for item in work):
        raise ConfigError(f"--reuse {config.reuse} labels other states: give the same --data, --states and --seed")
    longest = max(len(foresight) for foresight in found.values())
    if longest < config.k_max:
        raise ConfigError(f"--reuse {config.reuse} imagined {longest} steps, not --k-max {config.k_max}: lower --k-max")
    return {key: foresight.prefix(config.k_max) for key, foresight in found.items()}


def _draw(trajectories: Sequence[Trajectory], config: Config) -> list[_Item]:
    """States with an expert action, drawn by the seed and sorted by length.

    Teacher forcing follows expert steps, and needs as many of them as the shortest horizon to choose from.
    """
    pairs: list[tuple[Trajectory, int]] = []
    for trajectory in trajectories:
        steps = trajectory.steps
        if config.foresight == "teacher-forced" and any(s.expert_action != s.decision.action for s in steps):
            continue
        last = len(steps) - (min(config.candidates) if config.foresight == "teacher-forced" else 0)
        pairs += [(trajectory, i) for i, step in enumerate(steps) if step.expert_action and i <= last]
    if not pairs:
        raise DataError(
            "--data holds no step with an expert action: collect with `itp collect` (for teacher-forced, ε=0)"
        )
    random.Random(config.seed).shuffle(pairs)
    drawn = pairs[: config.states] if config.states else pairs
    items = [_Item(t, i, t.states()[i], t.steps[i].expert_action, t.steps[i].admissible) for t, i in drawn]
    # Batches of like length waste nothing on padding, and equal states come together.
    return sorted(items, key=lambda x: (len(x.state.history), sum(len(o) for _, o in x.state.history), x.state.task))
