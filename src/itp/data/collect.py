"""`itp collect`: play episodes and write them down, with the expert's action beside what was really done.

    itp collect --env household --epsilon 0 0.3 --episodes 500 --out out/data
    itp collect --env alfworld --behaviour policy --policy out/policy/model --out out/rollouts

Expert play gives D_exp; noisy and policy play give D_roll, which teaches the world model what wrong actions do and the
policy how to recover (every state is labelled by the expert, as in DAgger).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from itp.errors import ConfigError

if TYPE_CHECKING:
    from itp.envs.alfworld.expert import Expert
    from itp.envs.base import TextEnv
    from itp.planners.base import Planner
    from itp.types import Decision, DecisionContext, Trajectory

BEHAVIOURS = ("expert", "policy")


@dataclass
class Config:
    """Play episodes with an expert or a policy, and noise, and write trajectories with expert labels."""

    out: Path
    """Folder to write; one JSONL file per noise level."""
    env: str = "household"
    """Environment name."""
    split: str = "train"
    """Split to play."""
    engine: str = "fast"
    """ALFWorld engine: fast or textworld."""
    data: Path | None = None
    """ALFWorld data folder (default: ALFWORLD_DATA)."""
    size: str = "small"
    """Household size: small or full."""
    behaviour: str = "expert"
    """Who acts when noise does not: expert or policy."""
    policy: str = ""
    """Checkpoint that acts, for --behaviour policy."""
    epsilon: tuple[float, ...] = (0.0, 0.3)
    """Noise levels: probability of a random admissible command at each step. Every task is played once per level."""
    episodes: int = 0
    """Tasks to play per noise level; 0 plays the whole split."""
    skip: int = 0
    """Tasks of the split to leave out at its beginning."""
    max_steps: int = 30
    """Step limit of an episode."""
    batch_size: int = 64
    """Episodes played side by side."""
    priors: Path | None = None
    """Receptacle priors of the expert (JSON); without it a built-in table."""
    seed: int = 0
    """Of the noise."""


class NoisyPlanner:
    """Another planner whose decisions are replaced by a random admissible command with probability epsilon."""

    def __init__(self, planner: Planner, epsilon: float) -> None:
        self.planner = planner
        self.epsilon = epsilon
        self.name = f"{planner.name}+noise:{epsilon:g}"

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        """See `Planner.decide`. The coin and the command come from each context's seed."""
        decisions = self.planner.decide(contexts) if self.epsilon < 1 else [None] * len(contexts)
        return [self._noisy(context, decision) for context, decision in zip(contexts, decisions, strict=True)]

    def _noisy(self, context: DecisionContext, decision: Decision | None) -> Decision:
        from itp.types import Decision

        draw = random.Random(context.seed)
        if decision is not None and (draw.random() >= self.epsilon or not context.admissible):
            return decision
        if not context.admissible:
            raise ConfigError("noise needs admissible commands, and this environment lists none: use --epsilon 0")
        return Decision(action=draw.choice(context.admissible), parse="random")


def label_with_expert(trajectory: Trajectory, expert: Expert) -> Trajectory:
    """The same episode with the expert's action in every state from which the task can still be done.

    The lists of admissible commands have then served, and are dropped: they would be most of the file.
    """
    from itp.envs.alfworld.belief import Belief

    belief = Belief.start(trajectory.task.goal, trajectory.first_observation)
    steps = []
    for step in trajectory.steps:
        label = "" if belief.is_stuck else expert.act(belief, step.admissible)
        steps.append(replace(step, expert_action=label, admissible=None))
        belief.update(step.decision.action, step.observation)
    return replace(trajectory, steps=tuple(steps))


def run(config: Config) -> None:
    """Collect, resuming what is already in the folder."""
    from itp.envs.alfworld.expert import Expert, Priors
    from itp.run_folder import open_run

    _check(config)
    expert = Expert(Priors.load(config.priors)) if config.priors else Expert()
    with open_run(config.out, config, command="collect"):
        for epsilon in config.epsilon:
            _collect_level(config, epsilon, expert)


def _check(config: Config) -> None:
    if config.behaviour not in BEHAVIOURS:
        raise ConfigError(f"--behaviour {config.behaviour} is unknown: choose one of {', '.join(BEHAVIOURS)}")
    if config.behaviour == "policy" and not config.policy:
        raise ConfigError("--behaviour policy needs --policy PATH")
    for epsilon in config.epsilon:
        if not 0 <= epsilon <= 1:
            raise ConfigError(f"--epsilon {epsilon:g} is not a probability: give values from 0 to 1")


def _collect_level(config: Config, epsilon: float, expert: Expert) -> None:
    from itp import make_env
    from itp.planners.factory import PlannerSpec, build_planner
    from itp.planners.simple import ExpertPlanner
    from itp.rollout.lockstep import run_episodes
    from itp.trace.store import TraceStore
    from itp.training.progress import Ticker

    options = {"size": config.size} if config.env == "household" else {"data": config.data}

    def new_env() -> TextEnv:
        return make_env(config.env, split=config.split, engine=config.engine, max_steps=config.max_steps, **options)

    store = TraceStore(config.out / f"{config.behaviour}-{epsilon:g}.jsonl")
    tasks = list(new_env().task_ids)[config.skip :]
    tasks = tasks[: config.episodes] if config.episodes else tasks
    done = store.completed_ids()
    base = (
        ExpertPlanner(expert)
        if config.behaviour == "expert"
        else build_planner(PlannerSpec("act", policy=config.policy))
    )
    ticker, won = Ticker(f"collect ε={epsilon:g}"), 0

    def keep(trajectory: Trajectory) -> None:
        nonlocal won
        store.append(label_with_expert(trajectory, expert))
        done.add(trajectory.task.task_id)
        won += trajectory.won
        ticker.tick(len(done), len(tasks), f"won {won}")

    run_episodes(
        new_env,
        NoisyPlanner(base, epsilon) if epsilon else base,
        [task for task in tasks if task not in done],
        batch_size=config.batch_size,
        max_steps=config.max_steps,
        seed=config.seed,
        on_episode=keep,
    )
