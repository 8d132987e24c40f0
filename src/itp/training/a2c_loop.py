"""The A2C loop: play, update, evaluate, save; and how a run that was killed goes on as if it had not been.

    actor (lockstep environments, batched imagination) ──rollout──▶ learner (one optimiser step) ──▶ actor ...

Under `accelerate launch` every process plays its share of the environments and gradients are averaged.
"""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from itp.envs.vector import make_vector
from itp.errors import CheckpointError, ConfigError, TrainingError
from itp.planners.factory import load_world_model
from itp.policy.model import Policy
from itp.training.a2c import Config
from itp.training.a2c_actor import Actor
from itp.training.a2c_eval import evaluate
from itp.training.a2c_loss import Learner
from itp.training.distributed import from_main, is_main, join, per_process, rank, wait_for_all
from itp.training.progress import Ticker
from itp.training.tracking import Log, curves

LOG_FILE = "metrics.jsonl"
MAX_BAD_UPDATES = 5


def train(config: Config) -> dict[str, float]:
    """Run all updates; resumes from the newest state in OUT. Returns the last metrics."""
    join()
    torch.manual_seed(config.seed + rank())
    state = _read_state(config.out)
    first = int(state["update"]) if state else 0
    policy = _load_policy(config, str(_saved(config.out, first) / "model") if state else config.policy)
    wm_device = config.wm_device or config.device
    world_model = load_world_model(
        config.world_model,
        wm_device,
        config.wm_dtype,
        max_observation_tokens=config.max_observation_tokens,
        make_env=config.env_factory(),
    )
    reference = _load_policy(config, config.policy) if config.kl else None
    learner = Learner(policy, config, reference)
    make_env, count = config.env_factory(), per_process(config.envs, "--envs")
    with make_vector(make_env, count, workers=config.workers, timeout=config.step_timeout) as envs:
        train_ids, cut = split_tasks(envs.task_ids, config)
        actor = Actor(config, policy, world_model, envs, train_ids, seed=config.seed + 7919 * rank())
        if state:
            learner.optimizer.load_state_dict(state["optimizer"])
            actor.load_state_dict(state["actor"])
            torch.set_rng_state(state["torch"])
        metrics = _Run(config, learner, actor, cut).go(first)
    if is_main():
        policy.save(config.out / "model", stage="a2c", parent=config.policy)
    wait_for_all()
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def split_tasks(task_ids: Sequence[str], config: Config) -> tuple[list[str], list[str]]:
    """Training tasks and, with `--eval-every`, the validation cut, drawn by the seed. Raises ConfigError."""
    if not config.eval_every:
        return list(task_ids), []
    if len(task_ids) <= config.eval_episodes:
        raise ConfigError(
            f"--eval-episodes {config.eval_episodes} leaves no task to train on: the split has {len(task_ids)}"
        )
    cut = set(random.Random(config.seed).sample(range(len(task_ids)), config.eval_episodes))
    return [t for i, t in enumerate(task_ids) if i not in cut], [task_ids[i] for i in sorted(cut)]


class _Run:
    """The updates of one call of `train`, and what they leave in the run folder."""

    def __init__(self, config: Config, learner: Learner, actor: Actor, cut: Sequence[str]) -> None:
        self.config, self.learner, self.actor, self.cut = config, learner, actor, cut
        self.best = -math.inf
        self.metrics: dict[str, float] = {}

    def go(self, first: int) -> dict[str, float]:
        config, ticker, bad = self.config, Ticker("a2c"), 0
        folder = config.out / "tensorboard" if is_main() else config.out / f"tensorboard-{rank()}"
        # Other processes keep TensorBoard files of their own; a run at W&B or trackio is the first one's alone.
        name = config.log if is_main() or config.log == "tensorboard" else "none"
        with curves(name, config.out, folder) as draw, _log(config.out).open("a") as log:
            if first == 0 and self.cut:
                self._write(log, draw, 0, self._evaluate(0))
            self.best = _best_so_far(config.out)
            for update in range(first, config.updates):
                self.actor.progress = progress = update / config.updates
                warming = update < config.value_warmup
                metrics = self.learner.update(self.actor.collect(), value_only=warming, progress=progress)
                bad = bad + 1 if metrics["skipped"] else 0
                if bad > MAX_BAD_UPDATES:
                    raise TrainingError(f"{bad} updates in a row had a non-finite loss: lower --lr (now {config.lr})")
                if self.actor.wins:
                    metrics["success_rate"] = float(np.mean(self.actor.wins))
                done = update + 1
                if self.cut and (done % config.eval_every == 0 or done == config.updates):
                    metrics |= self._evaluate(done)
                self.metrics |= metrics
                self._write(log, draw, done, metrics)
                if done % config.save_every == 0 or done == config.updates:
                    _save(config, self.learner, self.actor, done)
                ticker.tick(done, config.updates, _note(self.metrics), base=first)
        return {**self.metrics, "updates": config.updates}

    def _write(self, log: Any, draw: Log, update: int, metrics: dict[str, float]) -> None:
        log.write(json.dumps({"update": update, **metrics}) + "\n")
        log.flush()
        draw({f"a2c/{name}": value for name, value in metrics.items()}, update)

    def _evaluate(self, update: int) -> dict[str, float]:
        """Greedy play of the validation cut; the weights with the best return, costs included, are kept.

        Those of the start count: where nothing beats them, they are the best.
        """
        figures: dict[str, float] = {}
        if is_main():
            figures = evaluate(self.learner.policy, self.actor.world_model, self.cut, self.config)
            if figures["eval_return"] > self.best:
                self.best = figures["eval_return"]
                self.learner.policy.save(self.config.out / "best", stage="a2c", parent=self.config.policy)
        return from_main(figures)


def _load_policy(config: Config, path: str) -> Policy:
    policy = Policy.load(path, device=config.policy_device or config.device)
    if policy.heads is None:
        raise CheckpointError(f"--policy {config.policy} has no K-head and value head: run `itp train warmup` first")
    policy = policy.with_state_limit(config.max_state_tokens)
    return policy if config.history_steps is None else policy.with_history(config.history_steps)


def _note(metrics: dict[str, float]) -> str:
    shown = (("won", "success_rate"), ("mean K", "mean_k"), ("loss", "loss"), ("valid", "eval_success"))
    return "  ".join(f"{title} {metrics[name]:.2f}" for title, name in shown if name in metrics)


def _log(out: Path) -> Path:
    """The main process's log is the run's; the others keep theirs beside it, so that each can be looked at."""
    return out / LOG_FILE if is_main() else out / f"metrics-{rank()}.jsonl"


def _best_so_far(out: Path) -> float:
    records = [json.loads(line) for line in _log(out).read_text().splitlines()]
    return max((r["eval_return"] for r in records if "eval_return" in r), default=-math.inf)


def _saved(out: Path, update: int) -> Path:
    return out / "checkpoints" / f"update-{update}"


def _save(config: Config, learner: Learner, actor: Actor, update: int) -> None:
    """A folder per state, complete once it is renamed; older ones go after that, so that a kill spoils nothing."""
    final = _saved(config.out, update)
    draft = final.with_name(f"{final.name}.new")
    if is_main():
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        learner.policy.save(draft / "model", stage="a2c", parent=config.policy)
        torch.save(learner.optimizer.state_dict(), draft / "optimizer.pt")
    wait_for_all()
    own = {"actor": actor.state_dict(), "torch": torch.get_rng_state()}
    torch.save(own, draft / f"process-{rank()}.pt")
    wait_for_all()
    if is_main():
        shutil.rmtree(final, ignore_errors=True)
        draft.rename(final)
        for folder in final.parent.iterdir():
            if folder != final:
                shutil.rmtree(folder)
    wait_for_all()


def _read_state(out: Path) -> dict[str, Any] | None:
    """The newest resumable state; log lines of updates after it go, since those will be done again."""
    updates = [int(f.name.removeprefix("update-")) for f in out.glob("checkpoints/update-*") if f.suffix != ".new"]
    if not updates:
        _log(out).unlink(missing_ok=True)
        return None
    newest = max(updates)
    folder, log = _saved(out, newest), _log(out)
    if not (folder / f"process-{rank()}.pt").is_file():
        raise ConfigError(f"{folder} was written by fewer processes: resume with as many as before")
    lines = log.read_text().splitlines(keepends=True) if log.is_file() else []
    log.write_text("".join(line for line in lines if line.endswith("\n") and json.loads(line)["update"] <= newest))
    own = torch.load(folder / f"process-{rank()}.pt", weights_only=True)
    return {"update": newest, "optimizer": torch.load(folder / "optimizer.pt", weights_only=True), **own}
