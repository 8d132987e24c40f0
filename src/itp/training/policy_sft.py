"""`itp train policy`: imitation of the expert's actions, the warm start of every later stage.

    itp train policy --data out/data --out out/policy
    itp train policy --data out/data --objective iwm --out out/iwm                  implicit world modelling
    itp train policy --data out/data --knowledge out/knowledge --out out/agent      the agent of WKM
    itp train policy --data out/data --objective prompts --out out/talker           answers for prompted planners

docs/baselines.md compares the three.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from itp.errors import ConfigError
from itp.training.iwm import Implicit
from itp.training.sft import Optimisation
from itp.training.stage import SftConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from itp.data.rows import Row, Tell

OBJECTIVES = ("imitation", "iwm", "prompts")


@dataclass
class Config(SftConfig):
    """Train the policy by imitation of the expert."""

    renderer: str = "memory"
    """State text: memory (short, household games) or history (any environment)."""
    window: int = 24
    """With history: labelled steps per training sequence."""
    only_sure: bool = False
    """Learn those of the expert's actions that are sure to be right: in episodes that its plan did not win in the end,
    up to the first departure from it that may have spoilt it (`itp.data.sure`; ScienceWorld)."""
    corrections: int = 0
    """With history: at most so many of an episode's mistakes are rows of their own, with what the expert would have
    done (as in DAgger, for play of the policy; with memory all are)."""
    objective: str = "imitation"
    """What is learnt: imitation (the expert's actions), iwm (next observations of all actions besides), or prompts (an
    answer to every prompt of the prompted planners; data of `itp collect --keep-commands`)."""
    prompts: Path | None = None
    """With prompts: folder of templates that replace those of the same name."""
    per_step: int = 3
    """With prompts: prompts drawn for each step, besides the one for its command."""
    implicit: Implicit = field(default_factory=Implicit)
    """Implicit world modelling."""
    knowledge: Path | None = None
    """Folder written by `itp train wkm`: its task knowledge goes in front of every prompt."""
    optim: Optimisation = field(default_factory=lambda: Optimisation(lr=2e-3, batch_size=128))
    """Optimiser settings."""


def run(config: Config) -> None:
    """Train; a second run in the same folder resumes or reports what is there."""
    from itp.data.rows import policy_rows
    from itp.policy.checkpoint import ItpConfig
    from itp.run_folder import open_run
    from itp.state_text.renderers import get_renderer
    from itp.training.iwm import train_iwm
    from itp.training.stage import finish, train_stage

    if config.objective not in OBJECTIVES:
        raise ConfigError(f"--objective {config.objective} is unknown: choose one of {', '.join(OBJECTIVES)}")
    config.implicit.check(config.objective)
    if config.knowledge is not None:
        from itp.world_model.knowledge import check_folder

        check_folder(config.knowledge)
    implicit, talks = config.objective == "iwm", config.objective == "prompts"
    if talks and not config.base.startswith("scratch:"):
        raise ConfigError("--objective prompts is for models from scratch: an LLM knows how to answer; leave it out")
    for flag, given in (("--only-sure", config.only_sure), ("--corrections", config.corrections)):
        if given and talks:
            raise ConfigError(f"{flag} does nothing with --objective prompts: leave it out")
    if config.corrections < 0:
        raise ConfigError(f"--corrections {config.corrections} is not allowed: give 0 or more")
    if config.prompts is not None and not talks:
        raise ConfigError(f"--prompts does nothing with --objective {config.objective}: leave it out, or use prompts")
    renderer = get_renderer(config.renderer).name
    with open_run(config.out, config, command="train policy") as folder:
        if finish(folder):
            return
        tell = task_knowledge(config)
        itp_config = ItpConfig(
            kind="policy",
            renderer=renderer,
            max_state_tokens=config.max_state_tokens,
            stage="+".join([*["iwm"] * implicit, *["prompts"] * talks, *["wkm"] * bool(tell)]) or "policy",
            parent=config.base,
        )
        if implicit:
            finish(folder, train_iwm(config, itp_config, tell))
            return
        rows = _prompt_rows(config) if talks else labelled_rows(policy_rows, config, tell)
        finish(folder, train_stage(config, itp_config, rows, title="policy"))


def labelled_rows(
    make: Callable[..., Iterable[Row]], config: Config, tell: Tell | None
) -> Callable[..., Iterable[Row]]:
    """`policy_rows` or `joint_rows` with the settings of the config."""
    from itp.data.sure import sure

    rows = partial(make, window=config.window, tell=tell, corrections=config.corrections)
    if not config.only_sure:
        return rows
    return lambda trajectories, *others: rows(map(sure, trajectories), *others)


def _prompt_rows(config: Config) -> Callable[..., Iterable[Row]]:
    from itp.data.prompt_rows import prompt_rows
    from itp.lm.tokens import END
    from itp.policy.templates import load_templates

    return partial(prompt_rows, templates=load_templates(config.prompts), per_step=config.per_step, end=END)


def task_knowledge(config: Config) -> Tell | None:
    """What the knowledge model says about the task of each episode; the very text that playing will show the agent."""
    if config.knowledge is None:
        return None
    import torch

    from itp.training.distributed import local_rank
    from itp.training.stage import read_trajectories
    from itp.world_model.knowledge import KnowledgeModel

    gpu = torch.cuda.is_available()
    place = {"device": f"cuda:{local_rank()}", "dtype": "bfloat16"} if gpu else {}
    states = {(t.task.goal, t.first_observation): t.states()[0] for t in read_trajectories(config.data)}
    texts = KnowledgeModel.load(config.knowledge, **place).task_knowledge(list(states.values()))
    known = dict(zip(states, (knowledge.text for knowledge in texts), strict=True))
    return lambda trajectory: known[trajectory.task.goal, trajectory.first_observation]
