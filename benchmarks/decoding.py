"""Decoding loops side by side: same weights, same prompts, greedy, one run; and how far each is from the floor.

    python benchmarks/decoding.py --runs 5 --threads 2
    python benchmarks/decoding.py --checkpoint out/world_model/model      # trained weights: drafts show their worth

A Llama of about 5M parameters with random weights (it hardly ever ends early), or a world model's checkpoint on
household steps. `first` is the time of the prompts and one token, `ms/step` that of each further token, `floor` what
the weights' products and the bytes of weights, keys and values would take at rates measured in the same run (of memory:
weights that stay in the processor's cache can be read faster). Loops:

    transformers     generate
    prompt-lookup    the same with its prompt lookup (batch 1 only, as it allows no more)
    torch.compile    our loop with its forward pass compiled (the seconds that takes are printed)
    ctranslate2      converted once, float32 (pip install ctranslate2); a policy in training needs it each update
    ours, plain      without drafts, nothing known of the prompts
    ours             with drafts learnt from the prompts
    ours, again      the same call a second time: prompts known, drafts learnt
"""

from __future__ import annotations

import argparse
import copy
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import itp.lm.decoding as engine_module
from itp.lm.base import Sampling
from itp.lm.decoding import Engine
from itp.lm.transformers import TransformersLM
from itp.training.progress import quiet_libraries

VOCABULARY, END = 3072, 1
Prompts = list[list[int]]
Loop = Callable[[Prompts, int], list[list[int]]]
"""Prompts and a number of new tokens to the tokens written."""


def random_model() -> Any:
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


def random_prompts(count: int, length: int) -> Prompts:
    rng = random.Random(0)
    return [[rng.randrange(2, VOCABULARY) for _ in range(rng.randint(length // 2, length))] for _ in range(count)]


def household_prompts(lm: TransformersLM, count: int, length: int) -> Prompts:
    """World-model prompts of noisy household games, the last `length` tokens of each."""
    from speed import items_of

    from itp.state_text.prompts import PromptBuilder
    from itp.state_text.renderers import get_renderer

    prompts = PromptBuilder(get_renderer("history"))
    items = items_of(argparse.Namespace(env="household"), count, 6)
    return [lm.encode(prompts.world_model(i.state, i.action))[-length:] for i in items]


def by_transformers(model: Any, end_id: int, **options: Any) -> Loop:
    def run(prompts: Prompts, new_tokens: int) -> list[list[int]]:
        width = max(map(len, prompts))
        ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        settings = {"max_new_tokens": new_tokens, "do_sample": False, "eos_token_id": end_id, "pad_token_id": 0}
        with torch.inference_mode():
            output = model.generate(input_ids=ids, attention_mask=mask, **settings, **options)
        return [row[: row.index(end_id) + 1] if end_id in row else row for row in output[:, width:].tolist()]

    return run


def by_engine(model: Any, end_id: int, *, drafts: bool, known: bool) -> Loop:
    engine = Engine(model)
    if not drafts:
        engine._longest_draft = lambda batch: 0

    def run(prompts: Prompts, new_tokens: int) -> list[list[int]]:
        if not known:
            engine.prefixes.clear()
            engine.drafts = engine_module.NgramDrafts()
        return [d.ids for d in engine.decode(prompts, Sampling(max_new_tokens=new_tokens), end_ids={end_id})]

    return run


def by_compiled(model: Any, end_id: int) -> Loop:
    """Our loop with a compiled forward pass; shapes are dynamic, or every step would be compiled anew."""
    inner = by_engine(model, end_id, drafts=False, known=False)
    plain, compiled = engine_module.forward, torch.compile(engine_module.forward, dynamic=True)

    def run(prompts: Prompts, new_tokens: int) -> list[list[int]]:
        engine_module.forward = compiled
        try:
            return inner(prompts, new_tokens)
        finally:
            engine_module.forward = plain

    return run


def by_ctranslate2(model: Any, tokenizer: Any, end_id: int, threads: int) -> Loop:
    import ctranslate2  # pyright: ignore[reportMissingImports]
    from ctranslate2.converters import TransformersConverter  # pyright: ignore[reportMissingImports]

    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.bos_token = tokenizer.eos_token  # the converter wants one; nothing puts it before a prompt
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(Path(folder) / "hf")
        tokenizer.save_pretrained(Path(folder) / "hf")
        TransformersConverter(str(Path(folder) / "hf")).convert(str(Path(folder) / "ct2"), quantization="float32")
        generator = ctranslate2.Generator(str(Path(folder) / "ct2"), intra_threads=threads, compute_type="float32")
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))

    def run(prompts: Prompts, new_tokens: int) -> list[list[int]]:
        results = generator.generate_batch(
            [[names[token] for token in prompt] for prompt in prompts],
            max_length=new_tokens,
            end_token=[end_id],
            return_end_token=True,
            include_prompt_in_result=False,
        )
        return [result.sequences_ids[0] for result in results]

    return run


def median_seconds(function: Callable[[], object], runs: int) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def floor_ms(model: Any, batch: int, context: float, runs: int) -> float:
    """Milliseconds a step at the measured rates: products of the batch, then weights, keys and values read once."""
    config, layers = model.config, model.config.num_hidden_layers
    parameters = sum(p.numel() for p in model.parameters())
    x, weight = torch.randn(batch, config.hidden_size), torch.randn(4 * config.intermediate_size, config.hidden_size)
    product = median_seconds(lambda: [x @ weight.T for _ in range(50)], max(runs, 3)) / 50
    flops = 2 * x.shape[0] * weight.numel() / product
    block = torch.randn(32 * 1024 * 1024)
    bandwidth = block.numel() * 4 / median_seconds(block.sum, max(runs, 3))
    heads = config.num_key_value_heads * model.model.layers[0].self_attn.head_dim
    bytes_read = 4 * (parameters + 2 * layers * batch * context * heads)
    return 1000 * (2 * parameters * batch / flops + bytes_read / bandwidth)


def measure(
    name: str, make: Callable[[], Loop], prompts: Prompts, right: list[list[int]], args: Any, floor: float
) -> None:
    """One line of the table; a loop that cannot run says why."""
    try:
        start = time.perf_counter()
        loop = make()
        found = loop(prompts, args.new_tokens)
        loop(prompts, 1)
        prepared = time.perf_counter() - start
        whole = median_seconds(lambda: loop(prompts, args.new_tokens), args.runs)
        first = median_seconds(lambda: loop(prompts, 1), args.runs)
    except Exception as error:  # whatever a backend raises is a line of the table
        print(f"{name:<15} {type(error).__name__}: {str(error).splitlines()[0][:90]}")
        return
    step = 1000 * (whole - first) / (max(map(len, found)) - 1)
    same = sum(a == b for a, b in zip(found, right, strict=True))
    args.baseline = args.baseline or whole
    print(
        f"{name:<15} {whole:>8.3f} {args.baseline / whole:>7.1f}x {first:>8.3f} {step:>9.2f} {step / floor:>9.1f}x"
        f" {prepared:>9.1f}  {same} of {len(right)}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--contexts", type=int, nargs="+", default=[300], help="longest prompt, tokens")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoint", default="", help="a world model; default: random weights")
    parser.add_argument("--compile", action="store_true", help="try torch.compile too: a minute")
    args = parser.parse_args()
    quiet_libraries()
    torch.set_num_threads(args.threads)
    model, tokenizer, end_id, make_prompts = setting(args)
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{count / 1e6:.1f}M parameters, load {os.getloadavg()[0]:.1f}, {args.threads} thread(s), {args.runs} runs")
    for batch in args.batches:
        for length in args.contexts:
            prompts = make_prompts(batch, length)
            context = sum(map(len, prompts)) / len(prompts) + args.new_tokens / 2
            floor = floor_ms(model, batch, context, args.runs)
            print(f"\nbatch {batch}, {context:.0f} tokens of context, floor {floor:.2f} ms a step")
            print(f"{'':<15} {'seconds':>8} {'ratio':>8} {'first':>8} {'ms/step':>9} {'of floor':>10} {'prepare':>9}")
            args.baseline, right = 0.0, by_transformers(model, end_id)(prompts, args.new_tokens)
            for name, make in loops(model, tokenizer, end_id, batch, args).items():
                measure(name, make, prompts, right, args, floor)
    print(f"\nload {os.getloadavg()[0]:.1f} after")


def setting(args: Any) -> tuple[Any, Any, int, Callable[[int, int], Prompts]]:
    if args.checkpoint:
        lm = TransformersLM.load(args.checkpoint)
        return lm.model, lm.tokenizer, lm.end_id, lambda count, length: household_prompts(lm, count, length)
    return random_model(), None, END, random_prompts


def loops(model: Any, tokenizer: Any, end_id: int, batch: int, args: Any) -> dict[str, Callable[[], Loop]]:
    made: dict[str, Callable[[], Loop]] = {"transformers": lambda: by_transformers(model, end_id)}
    if batch == 1:
        made["prompt-lookup"] = lambda: by_transformers(model, end_id, prompt_lookup_num_tokens=8)
    if args.compile:
        made["torch.compile"] = lambda: by_compiled(model, end_id)
    if tokenizer is not None:
        made["ctranslate2"] = lambda: by_ctranslate2(model, tokenizer, end_id, args.threads)
    kinds: Sequence[tuple[str, bool, bool]] = (
        ("ours, plain", False, False),
        ("ours", True, False),
        ("ours, again", True, True),
    )
    for name, drafts, known in kinds:
        made[name] = lambda drafts=drafts, known=known: by_engine(model, end_id, drafts=drafts, known=known)
    return made


if __name__ == "__main__":
    main()
