"""`itp train wkm`: the world knowledge model (WKM, Qiao et al. 2024), a baseline of the paper.

    itp train wkm --data out/data --out out/knowledge
    itp train policy --data out/data --knowledge out/knowledge --out out/agent
    itp eval --planner wkm --policy out/agent/model --knowledge out/knowledge --out out/eval-wkm

Writes OUT/model, a causal LM that puts task knowledge and state knowledge into words, and OUT/knowledge.jsonl, the
state knowledge of the training episodes with the expert actions that followed. OUT/task_knowledge.jsonl shows the texts
that the model learns from. docs/baselines.md says how they are distilled.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from itp.training.sft import Optimisation
from itp.training.stage import SftConfig

if TYPE_CHECKING:
    from pathlib import Path

    from itp.data.knowledge import TaskKnowledge
    from itp.types import Trajectory

TASK_FILE = "task_knowledge.jsonl"


@dataclass
class Config(SftConfig):
    """Train a world knowledge model on expert and rollout episodes."""

    renderer: str = "memory"
    """State text: memory (short, household games) or history (any environment)."""
    optim: Optimisation = field(default_factory=lambda: Optimisation(lr=2e-3, batch_size=128))
    """Optimiser settings."""


def run(config: Config) -> None:
    """Train; a second run in the same folder resumes or reports what is there."""
    from itp.data.knowledge import TaskKnowledge, knowledge_base, knowledge_rows
    from itp.policy.checkpoint import ItpConfig
    from itp.run_folder import open_run
    from itp.state_text.renderers import get_renderer
    from itp.training.distributed import is_main
    from itp.training.stage import finish, read_trajectories, split_tasks, train_stage
    from itp.world_model.knowledge import Patterns

    renderer = get_renderer(config.renderer).name
    with open_run(config.out, config, command="train wkm") as folder:
        if finish(folder):
            return
        # The very split that `train_stage` makes: nothing of a held-out task is told to the model.
        train, _ = split_tasks(read_trajectories(config.data), config.held_out, config.optim.seed)
        patterns = Patterns.learn(step.decision.action for trajectory in train for step in trajectory.steps)
        tasks = TaskKnowledge(train, patterns)
        if is_main():
            knowledge_base(train, patterns).save(config.out)
            _show(tasks, train, config.out / TASK_FILE)
        itp_config = ItpConfig(
            kind="knowledge",
            renderer=renderer,
            max_state_tokens=config.max_state_tokens,
            stage="wkm",
            parent=config.base,
        )
        finish(folder, train_stage(config, itp_config, partial(knowledge_rows, tasks=tasks), title="knowledge model"))


def _show(tasks: TaskKnowledge, trajectories: list[Trajectory], file: Path) -> None:
    """Write the task knowledge of every training goal, for people to read."""
    from itp.run_folder import write_text

    goals = dict.fromkeys((trajectory.task.task_type, trajectory.task.goal) for trajectory in trajectories)
    lines = [{"task_type": kind, "goal": goal, "knowledge": tasks.text(goal, kind)} for kind, goal in goals]
    write_text(file, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
