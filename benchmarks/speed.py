"""Labels, decisions and A2C steps per second, beside the plain serial version of the same algorithms, in one run.

    python benchmarks/speed.py --policy out/warmup/model --world-model out/world_model/model --runs 5

Same trained weights, same prompts, same token limits. The serial side (`benchmarks/serial_baseline.py`) does a few of
each, the package a batch; both are repeated and medians taken. Greedy decisions and label scores of both sides are
compared, so that a fast wrong answer would show. `--horizons`, `--batches` and `--steps` show how rates grow with K,
with the batch and with the length of the context. Load of the machine is printed: compare ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import serial_baseline as serial
import torch

from itp import make_env
from itp.data.collect import NoisyPlanner
from itp.envs.base import TextEnv
from itp.envs.vector import make_vector
from itp.planners.horizon import FixedHorizon
from itp.planners.itp import ItpPlanner
from itp.planners.simple import ExpertPlanner
from itp.policy.model import Policy
from itp.rollout.lockstep import run_episodes
from itp.training.a2c import Config as A2CConfig
from itp.training.a2c_actor import Actor
from itp.training.a2c_loss import Learner
from itp.training.progress import quiet_libraries
from itp.training.pseudo_label import Config as LabelConfig
from itp.training.pseudo_label import _Item, label_states
from itp.types import DecisionContext, ImaginedTrajectory, State
from itp.world_model.text import TextWorldModel

PARTS = ("decisions", "labels", "a2c", "scoring")
STRETCH = 5
"""Steps in a row that decisions are measured over."""


def items_of(args: argparse.Namespace, count: int, steps: int) -> list[_Item]:
    """States after `steps` noisy expert steps in different games, `STRETCH` in a row, with an action to score."""
    make = env_factory(args)
    played = run_episodes(
        make,
        NoisyPlanner(ExpertPlanner(), 0.7),
        list(make().task_ids)[: 6 * count],
        batch_size=64,
        max_steps=steps + STRETCH,
        seed=0,
    )
    long = [t for t in played if len(t.steps) >= steps + STRETCH][:count]
    return [_Item(t, steps, t.states()[steps], t.steps[steps].decision.action) for t in long]


def env_factory(args: argparse.Namespace) -> Callable[[], TextEnv]:
    """The games that both sides play."""
    return lambda: make_env(args.env, split="train")


def span(item: _Item) -> range:
    """The steps of a stretch."""
    return range(item.index, item.index + STRETCH)


def later(item: _Item, steps: int) -> _Item:
    """The item of the same game some steps on."""
    trajectory, index = item.trajectory, item.index + steps
    return _Item(trajectory, index, trajectory.states()[index], trajectory.steps[index].decision.action)


def median_rate(function: Callable[[], int], runs: int) -> float:
    """Things per second, the median of several runs."""
    rates = []
    for _ in range(runs):
        start = time.perf_counter()
        count = function()
        rates.append(count / (time.perf_counter() - start))
    return statistics.median(rates)


def forget(policy: Policy, world_model: TextWorldModel) -> None:
    """Empty every memory, so that a repeated run computes everything again."""
    for lm in (policy.lm, world_model.lm):
        lm._lean.prefixes.clear()  # pyright: ignore[reportAttributeAccessIssue]
    world_model._known.clear()


class Result(NamedTuple):
    """Rates per second of both sides, and how many results agree."""

    serial: float
    ours: float
    same: str


class Bench:
    """Both sides over the same weights."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.policy = Policy.load(args.policy)
        if self.policy.heads is None:
            self.policy = self.policy.with_heads(max(args.horizons))
        self.world_model = TextWorldModel.load(args.world_model)
        if args.observation_tokens:
            limit = replace(self.world_model.sampling, max_new_tokens=args.observation_tokens)
            self.world_model.sampling = limit

    def labels(self, items: Sequence[_Item], k: int, batch: int) -> Result:
        """Labels of all states of a stretch in `batch` games, shorter states first, as `itp label --states 0` goes."""
        config = LabelConfig(out=Path(), k_max=k)
        few = items[: self.args.few]

        def fast() -> int:
            forget(self.policy, self.world_model)
            for number in range(STRETCH):
                label_states([later(i, number) for i in items[:batch]], None, self.policy, self.world_model, config)
            return STRETCH * len(items[:batch])

        def slow() -> int:
            return len([serial.label(i.state, i.action, k, self.policy, self.world_model) for i in few])

        forget(self.policy, self.world_model)
        ours = label_states(few, None, self.policy, self.world_model, config)
        theirs = [serial.label(i.state, i.action, k, self.policy, self.world_model) for i in few]
        same = sum(
            all(abs(a - b) < 0.01 for a, b in zip(o.scores, t, strict=True)) for o, t in zip(ours, theirs, strict=True)
        )
        return Result(median_rate(slow, self.args.runs), median_rate(fast, self.args.runs), f"{same} of {len(few)}")

    def decisions(self, items: Sequence[_Item], k: int, batch: int) -> Result:
        """Decisions of `batch` games at `STRETCH` steps in a row, as play goes: each step extends the one before."""
        mode = "score" if self.args.action == "score" else "generate"
        planner = ItpPlanner(self.policy, self.world_model, FixedHorizon(k), action_mode=mode)
        stretches = [
            [DecisionContext(i.trajectory.states()[n], i.trajectory.steps[n].admissible) for n in span(i)]
            for i in items[:batch]
        ]
        few = [stretch[0] for stretch in stretches[: self.args.few]]

        def fast() -> int:
            forget(self.policy, self.world_model)
            for contexts in zip(*stretches, strict=True):
                self.policy.control([context.state for context in contexts])
                planner.decide(contexts)
            return STRETCH * len(stretches)

        def slow() -> list[str]:
            models = (self.policy, self.world_model)
            return [serial.decide(c.state, c.admissible or (), k, *models, action=mode) for c in few]

        ours, theirs = [decision.action for decision in planner.decide(few)], slow()
        same = sum(a == b for a, b in zip(ours, theirs, strict=True))
        return Result(
            median_rate(lambda: len(slow()), self.args.runs),
            median_rate(fast, self.args.runs),
            f"{same} of {len(few)}",
        )

    def a2c(self, k: int, envs: int) -> Result:
        """Environment steps, updates included; the weights stay, for the learning rate is 0."""
        config = A2CConfig(
            out=Path(), policy="", world_model="", envs=envs, rollout=5, action=self.args.action, lr=0.0, head_lr=0.0
        )
        vector = make_vector(env_factory(self.args), envs)
        actor = Actor(config, self.policy, self.world_model, vector, vector.task_ids, seed=0)
        actor._draw = lambda probs: [k] * len(probs)
        learner = Learner(self.policy, config)
        plain = serial.A2C(env_factory(self.args)(), self.policy, self.world_model, k, self.args.action, lr=0.0)

        def fast() -> int:
            forget(self.policy, self.world_model)
            learner.update(actor.collect(), value_only=False)
            return envs * config.rollout

        def slow() -> int:
            for _ in range(self.args.few):
                plain.step()
            return self.args.few

        fast()
        return Result(median_rate(slow, self.args.runs), median_rate(fast, self.args.runs), "-")

    def scoring(self, states: Sequence[State], candidates: int) -> Result:
        """Prompts with all their candidate actions."""
        commands = [f"go to drawer {n}" for n in range(1, candidates // 2 + 1)]
        commands += [f"take mug {n} from drawer {n}" for n in range(1, candidates - len(commands) + 1)]
        state = states[0]

        def fast() -> int:
            forget(self.policy, self.world_model)
            self.policy.score_actions([state], [ImaginedTrajectory()], [commands])
            return 1

        def slow() -> int:
            with torch.inference_mode():
                serial.score(state, ImaginedTrajectory(), commands, self.policy)
            return 1

        ours = self.policy.score_actions([state], [ImaginedTrajectory()], [commands])[0].logprobs
        theirs = serial.score(state, ImaginedTrajectory(), commands, self.policy).tolist()
        same = sum(abs(a - b) < 0.01 for a, b in zip(ours, theirs, strict=True))
        return Result(
            median_rate(slow, self.args.runs), median_rate(fast, self.args.runs), f"{same} of {len(commands)}"
        )


def show(title: str, result: Result) -> None:
    ratio = result.ours / result.serial
    print(f"{title:<44} {result.serial:>10.2f} {result.ours:>10.1f} {ratio:>8.1f}x  {result.same}", flush=True)


def show_decisions(bench: Bench, items: Sequence[_Item], middle: int) -> None:
    """How decisions grow with K, with the batch and with the context."""
    args = bench.args
    batch, k_max = max(args.batches), max(args.horizons)
    for k in args.horizons:
        show(f"decisions, K={k}, batch {batch}", bench.decisions(items, k, batch))
    for size in args.batches[:-1]:
        show(f"decisions, K={k_max}, batch {size}", bench.decisions(items, k_max, size))
    for steps in args.steps:
        if steps != middle:
            far = items_of(args, batch, steps)
            show(f"decisions, K={k_max}, batch {len(far)}, step {steps}", bench.decisions(far, k_max, len(far)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policy", required=True, help="policy checkpoint; heads are added when it has none")
    parser.add_argument("--world-model", required=True, help="world model checkpoint")
    parser.add_argument("--env", default="household", help="household, or alfworld (ALFWORLD_DATA)")
    parser.add_argument("--action", default="score", help="score (admissible commands) or generate (free text)")
    parser.add_argument("--runs", type=int, default=5, help="medians are of so many runs")
    parser.add_argument("--few", type=int, default=3, help="labels, decisions, steps per serial run")
    parser.add_argument("--horizons", type=int, nargs="+", default=[0, 1, 3, 5])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--steps", type=int, nargs="+", default=[2, 8, 16], help="real steps before the state")
    parser.add_argument("--observation-tokens", type=int, default=0, help="limit (default: the checkpoint's)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    args = parser.parse_args()
    quiet_libraries()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    bench = Bench(args)
    sizes = [sum(p.numel() for p in m.parameters()) / 1e6 for m in (bench.policy.lm.model, bench.world_model.lm.model)]  # pyright: ignore[reportAttributeAccessIssue]
    print(f"policy {sizes[0]:.1f}M, world model {sizes[1]:.1f}M parameters, {args.threads} thread(s), {args.runs} runs")
    limit = bench.world_model.sampling.max_new_tokens
    print(f"{args.env}, actions: {args.action}, {limit} tokens an observation at most; load {os.getloadavg()[0]:.1f}")
    print(f"{'per second, medians':<44} {'serial':>10} {'itp':>10} {'ratio':>9}  same results")
    batch, middle, k_max = max(args.batches), args.steps[len(args.steps) // 2], max(args.horizons)
    items = items_of(args, batch, middle)
    if "decisions" in args.parts:
        show_decisions(bench, items, middle)
    if "labels" in args.parts:
        show(f"labels, K_max={k_max}, batch {batch}", bench.labels(items, k_max, batch))
    for k in args.horizons if "a2c" in args.parts else ():
        show(f"A2C steps, K={k}, {batch} environments", bench.a2c(k, batch))
    if "scoring" in args.parts:
        show("20 actions scored on one prompt", bench.scoring([items[0].state], 20))
    print(f"load {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
