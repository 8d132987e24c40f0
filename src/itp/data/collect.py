"""`itp collect`: play episodes and write them down, with the expert's action beside what was really done.

    itp collect --env household --epsilon 0 0.3 --episodes 500 --out out/data
    itp collect --env alfworld --behaviour policy --policy out/policy/model --out out/rollouts
    itp collect --env alfworld --executor ray --ray-address auto --out out/gold        # docs/sweeps.md
    itp collect --env scienceworld --env-option expert=true --epsilon 0 --workers 2 --batch-size 2 --out out/gold

Expert play gives D_exp; noisy and policy play give D_roll, which teaches the world model what wrong actions do and the
policy how to recover (every state is labelled by the expert, as in DAgger). Games in ALFWorld's language are labelled
by the exploring expert, others by the plan that the environment tells (`expert=true`). docs/trajectories.md describes
the files.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from itp.envs.spec import EnvFlags
from itp.errors import ConfigError, EnvError
from itp.harness.play import ExecutorFlags
from itp.harness.shards import Shard

if TYPE_CHECKING:
    from itp.envs.alfworld.expert import Expert
    from itp.envs.base import TextEnv
    from itp.planners.base import Planner
    from itp.types import Decision, DecisionContext, Trajectory

BEHAVIOURS = ("expert", "policy")
MAY_DIFFER = ("out", "batch_size", "device", "workers", "step_timeout", "cluster")
"""Settings that a resumed run may change, since they do not change what is played."""


@dataclass(kw_only=True)
class Config(EnvFlags):
    """Play episodes with an expert or a policy, and noise, and write trajectories with expert labels."""

    out: Path
    """Folder to write; one JSONL file per noise level."""
    behaviour: str = "expert"
    """Who acts when noise does not: expert or policy."""
    policy: str = ""
    """Checkpoint that acts, for --behaviour policy."""
    device: str = "cpu"
    """Where the policy runs: cpu, cuda, cuda:1, mps."""
    dtype: str = "float32"
    """Precision of the policy's weights: float32, bfloat16 or float16."""
    action: str = ""
    """How the policy's commands are chosen: score (default), generate or constrained, as in `itp eval`."""
    action_tokens: int = 16
    """Most tokens of a command that the policy writes."""
    proposals: int = 1
    """Commands that the policy writes for a decision, as in `itp eval`."""
    epsilon: tuple[float, ...] = (0.0, 0.3)
    """Noise levels: probability of a random admissible command at each step. Every task is played once per level."""
    episodes: int = 0
    """Tasks to play per noise level; 0 plays the whole split."""
    shard: str = ""
    """i/n: play every n-th of these tasks only, from the i-th; --data of later stages takes the folders together."""
    batch_size: int = 64
    """Episodes played side by side."""
    workers: int = 0
    """Processes that step the environments; 0 steps them in this one, best for the fast engines."""
    step_timeout: float = 120.0
    """Seconds that one reset or step may take in a worker before its episodes fail and it is replaced."""
    priors: Path | None = None
    """Receptacle priors of the expert (JSON); without it a built-in table."""
    heedless: bool = False
    """The expert does not mind the hazards that a game announces; what it says after a loss is no label."""
    keep_commands: bool = False
    """Keep each step's admissible commands, which training on prompts shows the model; files grow several times."""
    seed: int = 0
    """Of the noise."""
    cluster: ExecutorFlags = field(default_factory=ExecutorFlags)
    """Where episodes are played."""


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

        if not context.admissible:
            raise ConfigError(
                "noise needs admissible commands, and this environment lists none: use --epsilon 0, or the "
                "environment's own option that lists them (--env-option commands=valid of scienceworld)"
            )
        draw = random.Random(context.seed)
        if decision is not None and draw.random() >= self.epsilon:
            return decision
        return Decision(action=draw.choice(context.admissible), parse="random")


def label_with_expert(trajectory: Trajectory, expert: Expert, *, keep_commands: bool = False) -> Trajectory:
    """The same episode with the expert's action in every state from which the task can still be done.

    Labels that the environment's own plan gave stay. The lists of admissible commands have served, and are dropped
    unless they are to be kept: they would be most of the file.
    """
    from itp.envs.alfworld.belief import Belief
    from itp.envs.alfworld.hazards import parse_fates

    belief = Belief.start(trajectory.task.goal, trajectory.first_observation)
    readable = bool(belief.goal.target and belief.receptacles)
    explores = readable and not any(step.expert_action for step in trajectory.steps)
    steps, lost = [], False
    for step in trajectory.steps:
        label = step.expert_action
        if explores:
            label = "" if belief.is_stuck or lost else expert.act(belief, step.admissible)
            belief.update(step.decision.action, step.observation)
            lost = lost or (not expert.heeds and any(fate != "is used up" for _, fate in parse_fates(step.observation)))
        commands = step.admissible if keep_commands else None
        steps.append(replace(step, expert_action=label, admissible=commands))
    return replace(trajectory, steps=tuple(steps))


def run(config: Config) -> None:
    """Collect, resuming what is already in the folder."""
    from itp.envs.alfworld.expert import Expert, Priors
    from itp.run_folder import open_run

    _check(config)
    make_env = config.env_factory()
    tasks = _tasks(config, make_env)
    expert = Expert(Priors.load(config.priors) if config.priors else None, heeds=not config.heedless)
    # Over a cluster a policy is loaded there alone: this machine may have no room for it.
    base = None if config.cluster.executor == "ray" and config.policy else _base_planner(config, expert)
    if base is not None:
        _rehearse(config, make_env, tasks[0], _planner(base, max(config.epsilon)))
    with open_run(config.out, config, command="collect", ignore=MAY_DIFFER):
        for epsilon in config.epsilon:
            _collect_level(config, epsilon, make_env, tasks, base, expert)


def _check(config: Config) -> None:
    from itp.planners.factory import check_proposals

    if config.behaviour not in BEHAVIOURS:
        raise ConfigError(f"--behaviour {config.behaviour} is unknown: choose one of {', '.join(BEHAVIOURS)}")
    if config.behaviour == "policy" and not config.policy:
        raise ConfigError("--behaviour policy needs --policy PATH")
    if config.action and config.behaviour != "policy":
        raise ConfigError(f"--action {config.action} needs --behaviour policy: an expert writes nothing; leave it out")
    check_proposals(config.proposals, "act" if config.policy else config.behaviour, config.policy, config.action)
    if not config.epsilon or len({*config.epsilon}) < len(config.epsilon):
        raise ConfigError(f"--epsilon {' '.join(f'{e:g}' for e in config.epsilon)}: give each noise level once")
    config.cluster.check()
    for epsilon in config.epsilon:
        if not 0 <= epsilon <= 1:
            raise ConfigError(f"--epsilon {epsilon:g} is not a probability: give values from 0 to 1")
    for flag, value, least in (
        ("--episodes", config.episodes, 0),
        ("--batch-size", config.batch_size, 1),
        ("--action-tokens", config.action_tokens, 1),
        ("--workers", config.workers, 0),
        ("--step-timeout", config.step_timeout, 1),
    ):
        if value < least:
            raise ConfigError(f"{flag} {value:g} is too small: give at least {least}")


def _tasks(config: Config, make_env: Callable[[], TextEnv]) -> list[str]:
    env = make_env()
    tasks = list(env.task_ids)
    env.close()
    taken = Shard.parse(config.shard).take(tasks[: config.episodes] if config.episodes else tasks)
    if not taken:
        raise ConfigError(f"--shard {config.shard} holds no task: make fewer shards")
    return taken


def _base_planner(config: Config, expert: Expert) -> Planner:
    """Who acts when noise does not."""
    from itp.planners.factory import PlannerSpec, build_planner
    from itp.planners.simple import ExpertPlanner

    if config.behaviour == "expert":
        return ExpertPlanner(expert)
    return build_planner(
        PlannerSpec(
            "act",
            policy=config.policy,
            action=config.action,
            device=config.device,
            dtype=config.dtype,
            action_tokens=config.action_tokens,
            proposals=config.proposals,
        )
    )


def _level_planner(config: Config, epsilon: float, expert: Expert) -> Planner:
    """The planner of one noise level, built where it plays."""
    return _planner(_base_planner(config, expert), epsilon)


def _planner(base: Planner, epsilon: float) -> Planner:
    return NoisyPlanner(base, epsilon) if epsilon else base


def _rehearse(config: Config, make_env: Callable[[], TextEnv], task_id: str, planner: Planner) -> None:
    """Decide once, so that a planner that cannot play this environment is refused before anything is written."""
    from itp.envs.vector import Episode, Turn, make_vector
    from itp.types import DecisionContext, State

    workers = min(config.workers, 1)
    with make_vector(make_env, 1, workers=workers, timeout=config.step_timeout) as env:
        turn = env.reset({0: Episode(task_id, config.seed)})[0]
    if isinstance(turn, Turn):  # a failure will be the episode's, like any other
        commands, plan = turn.info["admissible_commands"], turn.info.get("expert_plan", ())
        state, grammar = State(turn.info["task"], turn.observation), turn.info.get("command_grammar")
        listed = None if commands is None else tuple(commands)
        planner.decide([DecisionContext(state, listed, 0, tuple(plan), grammar=grammar)])


def _collect_level(
    config: Config,
    epsilon: float,
    make_env: Callable[[], TextEnv],
    tasks: Sequence[str],
    base: Planner | None,
    expert: Expert,
) -> None:
    from itp.harness.play import Play, play_episodes
    from itp.trace.store import TraceStore
    from itp.training.progress import Ticker

    store = TraceStore(config.out / f"{config.behaviour}-{epsilon:g}.jsonl")
    tally = _Tally(f"collect ε={epsilon:g}")
    for trajectory in store:
        tally.add(trajectory)
    ticker, before = Ticker(tally.title), len(tally.done)

    def keep(trajectory: Trajectory) -> None:
        store.append(label_with_expert(trajectory, expert, keep_commands=config.keep_commands))
        tally.add(trajectory)
        ticker.tick(len(tally.done), len(tasks), f"won {tally.stops['won']}", base=before)

    how = Play(
        make_env,
        partial(_level_planner, config, epsilon, expert),
        batch_size=config.batch_size,
        max_steps=config.max_steps,
        seed=config.seed,
        workers=config.workers,
        step_timeout=config.step_timeout,
    )
    planner = None if base is None else _planner(base, epsilon)
    play_episodes(how, [task for task in tasks if task not in tally.done], keep, config.cluster, planner)
    print(f"{store.path}: {tally.summary()}", flush=True)
    if tally.error and tally.stops["error"] == len(tally.done):
        raise EnvError(f"every episode failed; the first said: {tally.error}")


class _Tally:
    """What the episodes of one file amount to."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.done: set[str] = set()
        self.stops: Counter[str] = Counter()
        self.steps = self.irreversible = 0
        self.error = ""

    def add(self, trajectory: Trajectory) -> None:
        self.done.add(trajectory.task.task_id)
        self.stops[trajectory.stop.value] += 1
        self.steps += len(trajectory.steps)
        self.irreversible += trajectory.irreversible
        self.error = self.error or trajectory.error

    def summary(self) -> str:
        counts = [self.stops[name] for name in ("won", "lost", "step_limit", "error")]
        ends = "won {}, lost {}, out of steps {}, failed {}".format(*counts)
        fatal = f"; {self.irreversible} beyond repair" if self.irreversible else ""
        first = f"; the first error: {self.error}" if self.error else ""
        return f"{len(self.done)} episodes, {self.steps} steps: {ends}{fatal}{first}"
