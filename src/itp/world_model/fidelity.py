"""`itp world-model eval`: how true a world model's next observations are.

One step from real states, split by action verb, by who acted and by whether the step changed anything; several steps
from its own predictions; and, with a policy, whether plans that are made in the model hold in the real environment.

    itp world-model eval --world-model out/world_model/model --data out/valid --train-data out/data --out out/fidelity
    itp world-model eval ... --policy out/policy/model --consistency 50

Beside the model stand two baselines that need no learning: a lookup table of the training steps, and the rule-based
memory of what was seen.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itp.errors import ConfigError, DataError
from itp.state_text.renderers import get_renderer
from itp.types import State, Trajectory
from itp.world_model.base import Prediction
from itp.world_model.free_running import Stretch, free_running, stretches
from itp.world_model.metrics import Outcome

if TYPE_CHECKING:
    from itp.world_model.base import WorldModel

RESULT_FILE = "fidelity.json"
NOTHING_HAPPENS = "Nothing happens."
"""What ALFWorld answers to a command it does not accept."""


@dataclass
class Config:
    """Compare predicted with real next observations, beside a lookup table and a rule-based memory."""

    out: Path
    """Run folder; figures go to OUT/fidelity.json."""
    world_model: str
    """World model checkpoint, or exact: the engine of the games in --data, read from their run folder."""
    data: tuple[Path, ...]
    """Held-out episodes written by `itp collect`, never trained on."""
    train_data: tuple[Path, ...]
    """Training episodes, for the lookup table."""
    transitions: int = 2000
    """Steps to judge, drawn evenly; 0 takes all."""
    horizon: int = 5
    """Steps of free running: the model reads its own predictions along the episode's real actions."""
    stretches: int = 200
    """Episodes to run freely in, one stretch each; 0 takes all that are long enough."""
    policy: str = ""
    """Policy checkpoint that plays in the model and in reality, for the consistency ratio."""
    consistency: int = 0
    """Tasks of --data that it plays in both; needs --policy. 0 leaves this out."""
    consistency_steps: int = 30
    """Steps that it plays in each."""
    batch_size: int = 64
    """Steps predicted at once."""
    device: str = "cpu"
    """Torch device."""
    seed: int = 0
    """Of the draw."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One real step: s, a and the observation that followed. `expert` tells whether the expert would have done a."""

    state: State
    action: str
    observation: str
    expert: bool


class LookupTable:
    """Most frequent answer seen in training: to this action in this room, else to this action anywhere."""

    name = "lookup"

    def __init__(self, trajectories: Iterable[Trajectory]) -> None:
        self.by_room: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.by_action: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for trajectory in trajectories:
            for step in trajectory.steps:
                action = step.decision.action
                self.by_room[trajectory.first_observation, action][step.observation] += 1
                self.by_action[action][step.observation] += 1

    def predict(self, states: Sequence[State], actions: Sequence[str]) -> list[Prediction]:
        """See `WorldModel.predict`."""
        return [self._answer(state, action) for state, action in zip(states, actions, strict=True)]

    def _answer(self, state: State, action: str) -> Prediction:
        for answers in (self.by_room.get((state.first_observation, action)), self.by_action.get(action)):
            if answers:
                return Prediction(answers.most_common(1)[0][0])
        return Prediction("Nothing happens.")


def transitions(trajectories: Iterable[Trajectory]) -> list[Transition]:
    """Every step of every episode."""
    return [
        Transition(state, step.decision.action, step.observation, step.decision.action == step.expert_action)
        for trajectory in trajectories
        for state, step in zip(trajectory.states(), trajectory.steps, strict=False)
    ]


def changes(item: Transition) -> bool:
    """Whether the step brought the player into another situation; "Nothing happens." and looking around do not.

    Outside household games nothing is known of situations: whatever does not say that nothing happened changes them.
    """
    if item.observation.strip() == NOTHING_HAPPENS:
        return False
    situation = get_renderer("memory").situation
    return situation(item.state) != situation(item.state.extend(item.action, item.observation))


def evaluate(model: WorldModel, items: Sequence[Transition], *, batch_size: int = 64) -> dict[str, dict[str, float]]:
    """Exact match, token-F1 and fact-F1: overall, for expert and noisy actions, for actions that change the player's
    situation and those that do not (`changes`), and by action verb.

    Returns:
        group name -> `summary` of its outcomes.
    """
    groups: defaultdict[str, list[Outcome]] = defaultdict(list)
    for start in range(0, len(items), batch_size):
        batch = items[start : start + batch_size]
        predictions = model.predict([item.state for item in batch], [item.action for item in batch])
        for item, prediction in zip(batch, predictions, strict=True):
            outcome = Outcome.of(prediction.observation, item.observation)
            who, what = "expert" if item.expert else "noisy", "changes" if changes(item) else "no-op"
            for group in ("all", who, what, (item.action.split() or [""])[0]):
                groups[group].append(outcome)
    return {group: summary(outcomes) for group, outcomes in groups.items()}


def evaluate_free_running(
    model: WorldModel, items: Sequence[Stretch], *, batch_size: int = 64
) -> dict[str, dict[str, float]]:
    """`free-running h` -> `summary` of the predictions h steps into the model's own imagination."""
    by_horizon = free_running(model, items, batch_size=batch_size)
    return {f"free-running {h}": summary(outcomes) for h, outcomes in enumerate(by_horizon, start=1)}


def summary(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """`n`, `exact_match` with the bounds of its 95% Wilson interval (`_low`, `_high`), `token_f1`, `fact_f1`."""
    from itp.evaluation.stats import wilson_interval

    exact = sum(outcome.exact for outcome in outcomes)
    low, high = wilson_interval(exact, len(outcomes))
    return {
        "n": len(outcomes),
        "exact_match": exact / len(outcomes),
        "exact_match_low": low,
        "exact_match_high": high,
        "token_f1": sum(outcome.f1 for outcome in outcomes) / len(outcomes),
        "fact_f1": sum(outcome.fact_f1 for outcome in outcomes) / len(outcomes),
    }


def run(config: Config) -> None:
    """Evaluate and print a table."""
    from itp.data.recorded_env import recorded_env
    from itp.planners.factory import load_world_model
    from itp.run_folder import open_run
    from itp.training.stage import read_trajectories
    from itp.world_model.rules import RuleWorldModel

    if bool(config.consistency) != bool(config.policy):
        raise ConfigError("--consistency and --policy go together: give both, or neither")
    held_out = read_trajectories(config.data)
    training = read_trajectories(config.train_data)
    shared = {t.task.task_id for t in held_out} & {t.task.task_id for t in training}
    if shared:
        raise DataError(f"--data shares {len(shared)} tasks with --train-data, such as {min(shared)}: hold them out")
    items = transitions(held_out)
    random.Random(config.seed).shuffle(items)
    items = items[: config.transitions] if config.transitions else items
    long = stretches(held_out, config.horizon, limit=config.stretches or len(held_out), seed=config.seed)
    make_env = recorded_env(config.data) if config.world_model == "exact" else None
    with open_run(config.out, config, command="world-model eval") as folder:
        models = {
            "model": load_world_model(config.world_model, config.device, "float32", make_env=make_env),
            "lookup": LookupTable(training),
            "rules": RuleWorldModel(),
        }
        results = {}
        for name, model in models.items():
            results[name] = evaluate(model, items, batch_size=config.batch_size)
            results[name] |= evaluate_free_running(model, long, batch_size=config.batch_size)
            print(f"{name}: exact match {results[name]['all']['exact_match']:.1%} of {len(items)}", flush=True)
        if config.consistency:
            results["model"] |= _consistency(config, held_out, models["model"])
        folder.write_json(RESULT_FILE, results)
    print_table(results)


def _consistency(config: Config, held_out: Sequence[Trajectory], model: WorldModel) -> dict[str, Any]:
    from itp.data.recorded_env import recorded_env
    from itp.evaluation.consistency import consistency
    from itp.policy.model import Policy

    found = consistency(
        Policy.load(config.policy, device=config.device),
        model,
        recorded_env(config.data),
        held_out,
        tasks=config.consistency,
        steps=config.consistency_steps,
        batch_size=config.batch_size,
        seed=config.seed,
    )
    print(
        f"plans of the model in reality: won {found['replayed_won']} of {found['n']}; played in reality: "
        f"{found['real_won']}; CR {_ratio(found['consistency_ratio'])}, pairwise {_ratio(found['pairwise_ratio'])}"
    )
    return {"consistency": found}


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def print_table(results: dict[str, dict[str, dict[str, float]]]) -> None:
    """Show exact match / token-F1 / fact-F1 of every model for every group."""
    from rich.console import Console
    from rich.table import Table

    table = Table("actions", "n", *results, title="next observation: exact match / token-F1 / fact-F1")
    first = {group: found for group, found in next(iter(results.values())).items() if group != "consistency"}
    order = [
        "all",
        "expert",
        "noisy",
        "changes",
        "no-op",
        *(group for group in first if group.startswith("free-running")),
    ]
    for group in [*order, *sorted(set(first) - set(order))]:
        if group in first:
            cells = [_cell(r[group]) for r in results.values()]
            table.add_row(group, str(int(first[group]["n"])), *cells)
    Console().print(table)


def _cell(figures: dict[str, float]) -> str:
    return f"{figures['exact_match']:6.1%} / {figures['token_f1']:.3f} / {figures['fact_f1']:.3f}"
