"""What batching gives prompted planners: 16 episodes side by side against one decision at a time, and twenty scored
commands behind one shared prompt against twenty whole prompts in a batch.

    python benchmarks/prompted_batching.py --checkpoint out/prompted/model/model --prompts configs/prompts/short
    python benchmarks/prompted_batching.py                          # random weights (5.9M), the default prompts

Recorded episodes are decided again, step after step, three ways: `transformers.generate` one prompt at a time (what a
plain loop does), our engine one decision at a time, and our engine with all episodes side by side. All decide in the
very same states and must decide alike, or the run fails. Medians of several runs, in turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from itp import make_env
from itp.data.collect import NoisyPlanner
from itp.lm.base import Sampling
from itp.lm.generic import GenericEngine
from itp.lm.transformers import TransformersLM
from itp.lm.trie import TokenTrie
from itp.planners.base import Planner
from itp.planners.horizon import FixedHorizon
from itp.planners.itp_i import ItpIPlanner
from itp.planners.prompting import PromptingPlanner
from itp.planners.simple import ExpertPlanner
from itp.policy.prompted import PromptedPolicy
from itp.policy.templates import load_templates
from itp.rollout.lockstep import run_episodes
from itp.training.progress import quiet_libraries
from itp.training.scratch import fresh_model, train_tokenizer
from itp.types import DecisionContext
from itp.world_model.prompted import PromptedWorldModel


def language_model(checkpoint: str) -> TransformersLM:
    if checkpoint:
        return TransformersLM.load(checkpoint)
    texts = [message.plain() for message in _prompts_as_text()]
    tokenizer = train_tokenizer(texts, vocab_size=3072)
    torch.manual_seed(0)
    return TransformersLM(fresh_model(tokenizer, "base"), tokenizer, name="random")


def _prompts_as_text() -> list:
    policy = PromptedPolicy(_Counter())  # pyright: ignore[reportArgumentType]
    from itp.planners.prompting import question

    return [policy.chat(question("act", context)) for step in contexts_of(16, 4) for context in step]


class _Counter:
    name = "none"

    def count_tokens(self, text: object) -> int:
        return 0


def contexts_of(count: int, steps: int) -> list[list[DecisionContext]]:
    """The first decisions of noisy expert episodes with their commands: a list of steps, each over episodes."""
    games = partial(make_env, "household", split="train", max_steps=12)
    played = run_episodes(
        games,
        NoisyPlanner(ExpertPlanner(), 0.3),
        list(games().task_ids)[:count],
        batch_size=count,
        max_steps=12,
        seed=0,
    )
    return [
        [
            DecisionContext(trajectory.states()[n], trajectory.steps[n].admissible, n)
            for trajectory in played
            if n < len(trajectory.steps)
        ]
        for n in range(steps)
    ]


class PlainLM(TransformersLM):
    """The same model by `transformers` alone: no shared beginnings, no drafts."""

    @property
    def engine(self) -> GenericEngine:
        """`transformers` alone."""
        return self._generic


def planners(lm: TransformersLM, prompts: Path | None, answer_tokens: int) -> dict[str, Callable[[type], Planner]]:
    def policy(kind: type[TransformersLM]) -> PromptedPolicy:
        fresh = kind(lm.model, lm.tokenizer, name=lm.name)  # knows no prompt yet
        return PromptedPolicy(fresh, load_templates(prompts))

    def prompting(name: str, tokens: int) -> Callable[[type], Planner]:
        return lambda kind: PromptingPlanner(policy(kind), name, Sampling(tokens))

    def itp_i(k: int) -> Callable[[type], Planner]:
        def make(kind: type) -> Planner:
            own = policy(kind)
            world_model = PromptedWorldModel(own, Sampling(48))
            direct, reflected = Sampling(24), Sampling(answer_tokens)
            return ItpIPlanner(own, world_model, FixedHorizon(k), reflected=reflected, direct=direct)

        return make

    return {
        "act": prompting("act", 24),
        "cot": prompting("cot", answer_tokens),
        "itp-i fixed:1": itp_i(1),
        "itp-i fixed:3": itp_i(3),
    }


def timed(
    planner: Planner, steps: Sequence[Sequence[DecisionContext]], *, together: bool
) -> tuple[float, list[tuple[str, object]]]:
    """Decisions a second, and the decisions by episode and step."""
    episodes = range(len(steps[0]))
    order = steps if together else [[step[e]] for e in episodes for step in steps if e < len(step)]
    decided, start = [], time.perf_counter()
    for contexts in order:
        decided += [(c.state, d) for c, d in zip(contexts, planner.decide(contexts), strict=True)]
    rate = len(decided) / (time.perf_counter() - start)
    return rate, sorted(((str(state), (d.action, d.foresight)) for state, d in decided), key=lambda pair: pair[0])


def compare_decisions(lm: TransformersLM, args: argparse.Namespace) -> None:
    steps = contexts_of(args.episodes, args.steps)
    ways = {
        "transformers, one at a time": (PlainLM, False),
        "ours, one at a time": (TransformersLM, False),
        f"ours, {args.episodes} side by side": (TransformersLM, True),
    }
    print(f"| planner | {' | '.join(f'{way}, decisions/s' for way in ways)} | against transformers | against ours |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, make in planners(lm, args.prompts, args.answer_tokens).items():
        rates: dict[str, list[float]] = {way: [] for way in ways}
        outputs = []
        for _ in range(args.runs):
            for way, (kind, together) in ways.items():
                rate, output = timed(make(kind), steps, together=together)
                rates[way].append(rate)
                outputs.append(output)
        plain, one, many = (statistics.median(rates[way]) for way in ways)
        print(
            f"| {name} | {plain:.2f} | {one:.2f} | {many:.2f} | {many / plain:.1f}x | {many / one:.1f}x |", flush=True
        )
        if any(output != outputs[0] for output in outputs):
            raise SystemExit(f"{name} decides otherwise in a batch")


def compare_scoring(lm: TransformersLM, args: argparse.Namespace) -> None:
    """Twenty commands behind a prompt of about 300 tokens: as a tree, and as twenty prompts."""
    ids = lm.encode(lm.render(_prompts_as_text()[0]) if hasattr(lm, "render") else "")
    prompt = (ids * 20)[:300]
    commands = [f"Action: take {thing} {n} from shelf {n}" for thing in ("egg", "mug") for n in range(1, 11)]
    tokens = [lm.encode_continuation(command) for command in commands]
    trie = TokenTrie.build(tokens)
    tree, naive = [], []
    for _ in range(args.runs):
        engine = type(lm._lean)(lm.model)
        start = time.perf_counter()
        shared = engine.score([prompt], [trie])[0]
        tree.append(time.perf_counter() - start)
        width = max(map(len, tokens))
        batch = torch.tensor([prompt + list(row) + [lm.pad_id] * (width - len(row)) for row in tokens])
        start = time.perf_counter()
        with torch.inference_mode():
            logprobs = lm.model(input_ids=batch, use_cache=False).logits[:, len(prompt) - 1 : -1].log_softmax(-1)
        plain = [sum(float(logprobs[n, t, token]) for t, token in enumerate(row)) for n, row in enumerate(tokens)]
        naive.append(time.perf_counter() - start)
        assert torch.allclose(shared, torch.tensor(plain), atol=1e-2), "scores differ"
    one, many = statistics.median(tree), statistics.median(naive)
    print(
        f"\n20 commands behind 300 tokens: {1000 * one:.1f} ms shared, {1000 * many:.1f} ms as 20 prompts in a batch: "
        f"{many / one:.1f}x"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="", help="model folder (default: random weights)")
    parser.add_argument("--prompts", type=Path, default=None, help="folder of templates")
    parser.add_argument("--episodes", type=int, default=16)
    parser.add_argument("--steps", type=int, default=6, help="decisions of each episode")
    parser.add_argument("--answer-tokens", type=int, default=64, help="longest answer with thoughts")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    quiet_libraries()
    torch.set_num_threads(args.threads)
    print(f"load {os.getloadavg()[0]:.1f}, {args.threads} threads, {args.runs} runs\n")
    lm = language_model(args.checkpoint)
    compare_decisions(lm, args)
    compare_scoring(lm, args)


if __name__ == "__main__":
    main()
