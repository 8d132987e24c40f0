"""`itp demo --train`: the whole method at its smallest honest size, on generated household games, from nothing.

    collect -> world model -> policy -> label -> warm-up -> A2C -> evaluation of act, fixed:1, fixed:3, learned

Every stage is the one that its own command runs, with the same files in between; the demo only chooses sizes. It
resumes where it was stopped. All evaluation rows play the same held-out games with the same final checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itp.errors import ConfigError

K_MAX = 3
ROWS = (("act", "fixed:0"), ("itp", "fixed:1"), ("itp", "fixed:3"), ("itp", "learned"))
NOISE = (0.0, 0.3)
EPISODES = 60
MAX_OBSERVATION = 48
"""Tokens of an imagined observation: small rooms describe themselves in fewer."""


@dataclass(frozen=True)
class TrainFlags:
    """Sizes of everything that is trained."""

    tasks: int = 800
    """With --train: training games."""
    model_size: str = "tiny"
    """With --train: shape of policy and world model: tiny, small or base."""
    label_states: int = 512
    """With --train: states that get a pseudo-label."""
    updates: int = 15
    """With --train: A2C updates."""
    seed: int = 0
    """With --train: of everything."""


@dataclass(frozen=True)
class Config:
    """Train and evaluate everything at demo size; about ten minutes on two cores.

    Attributes:
        out: folder of all stages; the same command again resumes.
        episodes: held-out games that every row plays.
        sizes: of everything that is trained.
    """

    out: Path
    episodes: int = EPISODES
    sizes: TrainFlags = TrainFlags()


def run(config: Config) -> None:
    """Run every stage that is not done yet, then print the table and one decision."""
    from itp.cli.demo_show import write_page

    if config.sizes.tasks < 1 or config.episodes < 1 or config.sizes.updates < 1:
        raise ConfigError("--tasks, --episodes and --updates must be at least 1")
    start = time.monotonic()
    stages = [*training_stages(config), *evaluation_stages(config)]
    for number, (title, stage) in enumerate(stages, start=1):
        print(f"\n[{number}/{len(stages)}] {title}  ({time.monotonic() - start:.0f}s so far)", flush=True)
        stage()
    show_results(config)
    write_page([config.out], config.out, "itp demo --train")
    print(f"\nAll of it took {time.monotonic() - start:.0f}s. Files: {config.out}")


def training_stages(config: Config) -> list[tuple[str, Callable[[], None]]]:
    """Title and action of every stage up to the final checkpoint."""
    from itp.data import collect
    from itp.training import a2c, policy_sft, pseudo_label, warmup, world_model
    from itp.training.sft import Optimisation

    out, seed = config.out, config.sizes.seed
    data, base = (out / "data",), f"scratch:{config.sizes.model_size}"
    wm, policy, reader = (str(out / name / "model") for name in ("world_model", "policy", "reader"))

    def optim(lr: float, epochs: float, batch_size: int) -> Optimisation:
        return Optimisation(lr=lr, epochs=epochs, batch_size=batch_size, seed=seed)

    def label(name: str, scorer: str, reuse: Path | None) -> pseudo_label.Config:
        return pseudo_label.Config(
            out=out / name,
            data=data,
            policy=scorer,
            world_model=wm,
            reuse=reuse,
            k_max=K_MAX,
            states=config.sizes.label_states,
            seed=seed,
        )

    def warm(name: str, labels: str, start: str, **options: Any) -> warmup.Config:
        return warmup.Config(
            out=out / name,
            labels=(out / labels,),
            policy=start,
            k_max=K_MAX,
            data=data,
            replay=1.0,
            optim=optim(5e-4, 2, 32),
            **options,
        )

    return [
        (
            "collect: expert and noisy play on generated games",
            lambda: collect.run(
                collect.Config(out=out / "data", epsilon=NOISE, episodes=config.sizes.tasks, max_steps=30, seed=seed)
            ),
        ),
        (
            "world model: p(next observation | state, action), eq. 1",
            lambda: world_model.run(
                world_model.Config(
                    out=out / "world_model",
                    data=data,
                    base=base,
                    max_observation_tokens=MAX_OBSERVATION,
                    optim=optim(2e-3, 1.5, 8),
                )
            ),
        ),
        (
            "policy: imitation of the expert",
            lambda: policy_sft.run(
                policy_sft.Config(out=out / "policy", data=data, base=base, optim=optim(3e-3, 3, 32))
            ),
        ),
        (
            "imagine K_max steps from training states",
            lambda: pseudo_label.run(label("foresights", policy, None)),
        ),
        (
            "learn to read foresight of any length",
            lambda: warmup.run(warm("reader", "foresights", policy, foresight="uniform", eta=0.0, draws=6)),
        ),
        (
            "label: which K helps the expert's action most, eq. 5",
            lambda: pseudo_label.run(label("labels", reader, out / "foresights")),
        ),
        ("warm-up: policy and K-head on the labels, eq. 6", lambda: warmup.run(warm("warmup", "labels", reader))),
        (
            "A2C: online, world model frozen, eqs. 7-8",
            lambda: a2c.run(
                a2c.Config(
                    out=out / "a2c",
                    policy=str(out / "warmup" / "model"),
                    world_model=wm,
                    updates=config.sizes.updates,
                    envs=16,
                    value_warmup=min(5, config.sizes.updates // 3),
                    save_every=5,
                    seed=seed,
                )
            ),
        ),
    ]


def evaluation_stages(config: Config) -> list[tuple[str, Callable[[], None]]]:
    """One evaluation for each row of the table."""
    from itp.cli import eval as evaluation

    def evaluate(planner: str, horizon: str) -> Callable[[], None]:
        settings = evaluation.Config(
            out=eval_folder(config, planner, horizon),
            split="valid",
            planner=planner,
            horizon=horizon,
            policy=str(config.out / "a2c" / "model"),
            world_model=str(config.out / "world_model" / "model"),
            episodes=config.episodes,
            max_steps=30,
            batch_size=32,
            seed=config.sizes.seed,
        )
        return lambda: evaluation.run(settings)

    return [(f"evaluate {planner} {horizon}", evaluate(planner, horizon)) for planner, horizon in ROWS]


def eval_folder(config: Config, planner: str, horizon: str) -> Path:
    """Run folder of one row."""
    return config.out / "eval" / f"{planner}-{horizon.replace(':', '-')}"


def show_results(config: Config) -> None:
    """The table over all rows, and one decision of the learned planner in full."""
    import json

    from itp.cli.console import wide_console
    from itp.cli.demo_show import print_decision
    from itp.evaluation.table import results_table
    from itp.trace.store import TraceStore

    folders = [eval_folder(config, planner, horizon) for planner, horizon in ROWS]
    results = [json.loads((folder / "results.json").read_text()) for folder in folders]
    console = wide_console()
    console.print(
        results_table(results, title=f"household/valid, {config.episodes} unseen games, seed {config.sizes.seed}")
    )
    console.print("K chosen by the learned horizon: " + str(results[-1]["k_histogram"]), highlight=False)
    played = {folder.name: TraceStore(folder / "traces.jsonl").read() for folder in reversed(folders)}
    print_decision(console, played, played[folders[0].name])
