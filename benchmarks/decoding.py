"""Decoding with our own cache (`itp.lm.decoding`) beside `transformers.generate`: same weights, same prompts, one run.

    python benchmarks/decoding.py --runs 5

A Llama of about 5M parameters with random weights (it hardly ever ends early) continues prompts of 50 to 300 random
tokens, greedily. Prints medians: seconds per batch for both, their ratio, and milliseconds of a decoding step without
the prompts' share; and whether the tokens are the same. Load of the machine is printed too: compare ratios.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from itp.lm.base import Sampling
from itp.lm.decoding import decode

VOCABULARY, END = 3072, 1


def make_model() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=8,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        eos_token_id=END,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config).eval()


def by_transformers(model: Any, prompts: list[list[int]], new_tokens: int) -> list[list[int]]:
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    options = {"max_new_tokens": new_tokens, "do_sample": False, "eos_token_id": END, "pad_token_id": 0}
    with torch.inference_mode():
        output = model.generate(input_ids=ids, attention_mask=mask, **options)
    return [row[: row.index(END) + 1] if END in row else row for row in output[:, width:].tolist()]


def median_seconds(function: Callable[[], object], runs: int) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = make_model()
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{count / 1e6:.1f}M parameters, load {os.getloadavg()[0]:.1f}, {args.threads} thread(s), {args.runs} runs")
    print(f"{'batch':>5} {'transformers s':>15} {'ours s':>8} {'ratio':>7} {'ours ms/step':>13}  same tokens")
    rng = random.Random(0)
    for batch in args.batches:
        prompts = [[rng.randrange(2, VOCABULARY) for _ in range(rng.randint(50, 300))] for _ in range(batch)]
        sampling, first = Sampling(max_new_tokens=args.new_tokens), Sampling(max_new_tokens=1)
        ours = [d.ids for d in decode(model, prompts, sampling, end_id=END)]
        theirs = by_transformers(model, prompts, args.new_tokens)
        slow = median_seconds(lambda p=prompts: by_transformers(model, p, args.new_tokens), args.runs)
        fast = median_seconds(lambda p=prompts, s=sampling: decode(model, p, s, end_id=END), args.runs)
        prompt = median_seconds(lambda p=prompts, s=first: decode(model, p, s, end_id=END), args.runs)
        step = 1000 * (fast - prompt) / (args.new_tokens - 1)
        same = sum(mine == other for mine, other in zip(ours, theirs, strict=True))
        print(f"{batch:>5} {slow:>15.3f} {fast:>8.3f} {slow / fast:>6.1f}x {step:>13.2f}  {same} of {batch}")


if __name__ == "__main__":
    main()
