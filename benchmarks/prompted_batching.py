"""What batching gives prompted planners: decisions a second at 16 episodes side by side against one at a time, and
twenty scored commands behind one shared prompt against twenty whole prompts in a batch.

    python benchmarks/prompted_batching.py --checkpoint out/prompted/model/model --prompts configs/prompts/short
    python benchmarks/prompted_batching.py                          # random weights (5.9M), the default prompts

Both ways decide in the very same states and must decide alike, or the run fails. Medians of several runs, in turns.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from itp import make_env
from itp.data.collect import NoisyPlanner
from itp.lm.base import Sampling
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
from itp.types import Decision, DecisionContext
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

    return [policy.chat(question("act", context)) for context in contexts_of(64)]


class _Counter:
    name = "none"

    def count_tokens(self, text: object) -> int:
        return 0


def contexts_of(count: int) -> list[DecisionContext]:
    """States of noisy expert play with their possible commands."""
    games = partial(make_env, "household", split="train", max_steps=12)
    played = run_episodes(
        games,
        NoisyPlanner(ExpertPlanner(), 0.3),
        list(games().task_ids)[:count],
        batch_size=count,
        max_steps=12,
        seed=0,
    )
    rng, found = random.Random(0), []
    for trajectory in played:
        number = rng.randrange(len(trajectory.steps))
        found.append(DecisionContext(trajectory.states()[number], trajectory.steps[number].admissible, number))
    return found


def planners(lm: TransformersLM, prompts: Path | None) -> dict[str, Callable[[], Planner]]:
    def policy() -> PromptedPolicy:
        fresh = TransformersLM(lm.model, lm.tokenizer, name=lm.name)  # knows no prompt yet
        return PromptedPolicy(fresh, load_templates(prompts))

    def itp_i(k: int) -> Planner:
        own = policy()
        world_model = PromptedWorldModel(own, Sampling(48))
        return ItpIPlanner(own, world_model, FixedHorizon(k), reflected=Sampling(64), direct=Sampling(24))

    return {
        "act": lambda: PromptingPlanner(policy(), "act", Sampling(24)),
        "cot": lambda: PromptingPlanner(policy(), "cot", Sampling(64)),
        "itp-i fixed:1": lambda: itp_i(1),
        "itp-i fixed:3": lambda: itp_i(3),
    }


def timed(make: Callable[[], Planner], contexts: Sequence[DecisionContext], batch: int) -> tuple[float, list[Decision]]:
    planner, decisions = make(), []
    start = time.perf_counter()
    for first in range(0, len(contexts), batch):
        decisions += planner.decide(contexts[first : first + batch])
    return len(contexts) / (time.perf_counter() - start), decisions


def compare_decisions(lm: TransformersLM, args: argparse.Namespace) -> None:
    contexts = contexts_of(args.batch)
    print(f"| planner | one at a time, decisions/s | {args.batch} side by side | ratio | same decisions |")
    print("|---|---:|---:|---:|---|")
    for name, make in planners(lm, args.prompts).items():
        alone, together, same = [], [], True
        for _ in range(args.runs):
            rate, first = timed(make, contexts, 1)
            alone.append(rate)
            rate, second = timed(make, contexts, args.batch)
            together.append(rate)
            same = same and [(d.action, d.foresight) for d in first] == [(d.action, d.foresight) for d in second]
        one, many = statistics.median(alone), statistics.median(together)
        print(f"| {name} | {one:.2f} | {many:.2f} | {many / one:.1f} | {'yes' if same else 'NO'} |", flush=True)
        if not same:
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
    parser.add_argument("--batch", type=int, default=16)
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
