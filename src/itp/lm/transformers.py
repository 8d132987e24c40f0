"""A causal language model loaded from a Hugging Face folder (or hub id): batched generation and shared-prefix scoring.

The models of this project are saved in the very same layout, so a 2M-parameter model trained here and an 8B model
differ by path only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from itp.errors import CheckpointError, ConfigError
from itp.lm.base import Completion, Sampling, Scores
from itp.lm.decoding import Decoded, decode, supports
from itp.lm.tokens import END, SPECIAL_TOKENS
from itp.lm.trie import TokenTrie

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TransformersLM:
    """Batched `generate` and `score` over a `transformers` causal LM.

    Args:
        model: a causal LM; it is put in evaluation mode.
        tokenizer: its tokenizer.
        name: shown in traces and errors.
        max_batch_tokens: upper limit of batch size × padded length in one forward pass; bounds memory.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str, max_batch_tokens: int = 16384
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.name = name
        self.max_batch_tokens = max_batch_tokens
        end = tokenizer.convert_tokens_to_ids(END) if END in tokenizer.get_vocab() else tokenizer.eos_token_id
        if not isinstance(end, int):
            raise CheckpointError(
                f"{name}: its tokenizer has neither {END} nor an eos token; set one in tokenizer_config.json"
            )
        self.end_id: int = end
        self.pad_id: int = tokenizer.pad_token_id if isinstance(tokenizer.pad_token_id, int) else end
        self._continuation_ids: dict[str, tuple[int, ...]] = {}

    @classmethod
    def load(cls, path: str, *, device: str = "cpu", dtype: str = "float32", **options: Any) -> TransformersLM:
        """Load a checkpoint folder. Raises CheckpointError when it is missing or incomplete."""
        model, tokenizer = load_pretrained(path, device=device, dtype=dtype)
        return cls(model, tokenizer, name=path, **options)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    def count_tokens(self, text: str) -> int:
        """See `LanguageModel.count_tokens`."""
        return len(self.encode(text))

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; nothing is added to it."""
        return encode(self.tokenizer, text)

    def encode_continuation(self, text: str) -> tuple[int, ...]:
        """Token ids of an action or observation with its end token; cached, since commands recur."""
        ids = self._continuation_ids.get(text)
        if ids is None:
            ids = (*self.encode(text), self.end_id)
            if len(self._continuation_ids) > 100_000:
                self._continuation_ids.clear()
            self._continuation_ids[text] = ids
        return ids

    @torch.inference_mode()
    def generate(self, prompts: Sequence[str], sampling: Sampling) -> list[Completion]:
        """See `LanguageModel.generate`. Prompts are batched by length; results keep the given order.

        Llama and Qwen weights run in `itp.lm.decoding`, others in `transformers.generate`: the same tokens, but for
        rounding where two are equally likely.
        """
        if sampling.temperature < 0:
            raise ConfigError(f"temperature is {sampling.temperature}: allowed is 0 (greedy) or more")
        encoded = [self.encode(prompt) for prompt in prompts]
        results: list[Completion | None] = [None] * len(prompts)
        for number, rows in enumerate(self._batches([len(ids) + sampling.max_new_tokens for ids in encoded])):
            if sampling.temperature > 0 and sampling.seed is not None:
                torch.manual_seed(sampling.seed + number)
            for row, completion in zip(rows, self._generate_batch([encoded[r] for r in rows], sampling), strict=True):
                results[row] = completion
        return [result for result in results if result is not None]

    def _generate_batch(self, prompts: list[list[int]], sampling: Sampling) -> list[Completion]:
        run = self._decode if supports(self.model) and all(prompts) else self._generate
        return [
            self._completion(decoded, len(ids)) for decoded, ids in zip(run(prompts, sampling), prompts, strict=True)
        ]

    def _decode(self, prompts: list[list[int]], sampling: Sampling) -> list[Decoded]:
        return decode(self.model, prompts, sampling, end_id=self.end_id)

    def _generate(self, prompts: list[list[int]], sampling: Sampling) -> list[Decoded]:
        """The same by `transformers.generate`, for every architecture."""
        width = max(len(ids) for ids in prompts)
        ids_BT = torch.full((len(prompts), width), self.pad_id, dtype=torch.long)
        mask_BT = torch.zeros_like(ids_BT)
        for row, ids in enumerate(prompts):
            ids_BT[row, width - len(ids) :] = torch.tensor(ids)
            mask_BT[row, width - len(ids) :] = 1
        options: dict[str, Any] = {"do_sample": False}
        if sampling.temperature > 0:
            options = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        output = self.model.generate(  # pyright: ignore[reportCallIssue]
            input_ids=ids_BT.to(self.device),
            attention_mask=mask_BT.to(self.device),
            max_new_tokens=sampling.max_new_tokens,
            eos_token_id=self.end_id,
            pad_token_id=self.pad_id,
            return_dict_in_generate=True,
            output_logits=True,
            **options,
        )
        logits_BNV = torch.stack(output.logits, dim=1).float()
        if sampling.temperature > 0:
            logits_BNV = logits_BNV / sampling.temperature
        new_BN = output.sequences[:, width:]
        logprob_BN = logits_BNV.log_softmax(-1).gather(-1, new_BN[..., None]).squeeze(-1)
        lengths = [ids.index(self.end_id) + 1 if self.end_id in ids else len(ids) for ids in new_BN.tolist()]
        return [
            Decoded(new_BN[row, :length].tolist(), float(logprob_BN[row, :length].sum()))
            for row, length in enumerate(lengths)
        ]

    def _completion(self, decoded: Decoded, prompt_tokens: int) -> Completion:
        finished = decoded.ids[-1:] == [self.end_id]
        text = self.tokenizer.decode(decoded.ids[:-1] if finished else decoded.ids, skip_special_tokens=True)
        assert isinstance(text, str)
        return Completion(text.strip(), decoded.logprob, prompt_tokens, len(decoded.ids), finished)

    @torch.inference_mode()
    def score(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[Scores]:
        """See `LanguageModel.score`. Differentiable scores for training: `score_tokens`."""
        encoded = [self.encode(prompt) for prompt in prompts]
        tries = [TokenTrie.build([self.encode_continuation(text) for text in texts]) for texts in continuations]
        results: list[Scores | None] = [None] * len(prompts)
        lengths = [len(ids) + len(trie.tokens) for ids, trie in zip(encoded, tries, strict=True)]
        for rows in self._batches(lengths):
            scored = self.score_tokens([encoded[r] for r in rows], [tries[r] for r in rows])
            for row, logprobs in zip(rows, scored, strict=True):
                results[row] = Scores(tuple(logprobs.tolist()), len(encoded[row]), len(tries[row].tokens))
        return [result for result in results if result is not None]

    def score_tokens(self, prompts: Sequence[Sequence[int]], tries: Sequence[TokenTrie]) -> list[torch.Tensor]:
        """Log-probabilities of every continuation, one forward pass, one tensor [continuations] per prompt."""
        ids_BT, positions_BT, mask_B1TT = self.tree_batch(prompts, tries)
        logits_BTV = self.model(
            input_ids=ids_BT, position_ids=positions_BT, attention_mask=mask_B1TT, use_cache=False
        ).logits
        return [
            path_logprobs(logits_BTV[row], len(prompt), trie)
            for row, (prompt, trie) in enumerate(zip(prompts, tries, strict=True))
        ]

    def tree_batch(
        self, prompts: Sequence[Sequence[int]], tries: Sequence[TokenTrie]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Token ids [B, T], positions [B, T] and attention mask [B, 1, T, T] of prompts with their trees."""
        width = max(len(p) + len(t.tokens) for p, t in zip(prompts, tries, strict=True))
        ids_BT = torch.full((len(prompts), width), self.pad_id, dtype=torch.long)
        positions_BT = torch.zeros_like(ids_BT)
        allowed_BTT = torch.eye(width, dtype=torch.bool).repeat(len(prompts), 1, 1)
        for row, (prompt, trie) in enumerate(zip(prompts, tries, strict=True)):
            start, stop = len(prompt), len(prompt) + len(trie.tokens)
            ids_BT[row, :stop] = torch.tensor([*prompt, *trie.tokens])
            positions_BT[row, :stop] = torch.tensor([*range(start), *(start + depth for depth in trie.depths)])
            allowed_BTT[row, :start, :start] = torch.ones(start, start, dtype=torch.bool).tril()
            allowed_BTT[row, start:stop, :start] = True
            for node, parent in enumerate(trie.parents):
                if parent >= 0:
                    allowed_BTT[row, start + node, start:stop] |= allowed_BTT[row, start + parent, start:stop]
        dtype = self.model.dtype
        mask_B1TT = torch.zeros(allowed_BTT.shape, dtype=dtype).masked_fill(~allowed_BTT, torch.finfo(dtype).min)
        return ids_BT.to(self.device), positions_BT.to(self.device), mask_B1TT[:, None].to(self.device)

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Row numbers grouped by similar length, each group within `max_batch_tokens`."""
        group: list[int] = []
        for row in sorted(range(len(lengths)), key=lambda r: (-lengths[r], r)):
            if group and (len(group) + 1) * lengths[group[0]] > self.max_batch_tokens:
                yield group
                group = []
            group.append(row)
        if group:
            yield group


def path_logprobs(logits_TV: torch.Tensor, prompt_length: int, trie: TokenTrie) -> torch.Tensor:
    """Sum node log-probabilities along each continuation's path. A node is predicted at its parent's position."""
    if not trie.paths:
        return logits_TV.new_zeros(0)
    parents = [prompt_length - 1 if p < 0 else prompt_length + p for p in trie.parents]
    predicted_at, tokens = torch.tensor(parents, dtype=torch.long), torch.tensor(trie.tokens, dtype=torch.long)
    logits_NV = logits_TV[predicted_at.to(logits_TV.device)].float()
    node_logprobs_N = logits_NV.log_softmax(-1).gather(-1, tokens.to(logits_TV.device)[:, None]).squeeze(-1)
    return torch.stack([node_logprobs_N[path].sum() for path in trie.paths])


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a text, nothing added; fast tokenizers are called directly, much quicker on short texts."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return backend.encode(text, add_special_tokens=False).ids
    return tokenizer(text, add_special_tokens=False)["input_ids"]  # pyright: ignore[reportReturnType]


def add_special_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Teach a foreign model the special tokens it lacks, in place; tells whether there were any.

    A `TransformersLM` reads its end token from the tokenizer when it is made: make a new one afterwards.
    """
    missing = [token for token in SPECIAL_TOKENS if token not in tokenizer.get_vocab()]
    if missing:
        tokenizer.add_special_tokens({"extra_special_tokens": missing}, replace_extra_special_tokens=False)
        rows: Any = model.get_input_embeddings().weight
        if len(tokenizer) > len(rows):
            model.resize_token_embeddings(len(tokenizer))
    return bool(missing)


def load_pretrained(
    path: str, *, device: str = "cpu", dtype: str = "float32"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load model and tokenizer with `from_pretrained`; local folders are checked first, for a clear message."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if dtype not in DTYPES:
        raise ConfigError(f"--dtype {dtype} is unknown: choose one of {', '.join(DTYPES)}")
    folder = Path(path)
    if folder.exists() and not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{path} holds no config.json: give a folder written by save_pretrained, such as OUT/model"
        )
    if not folder.exists() and (folder.is_absolute() or path.startswith(".") or path.count("/") != 1):
        raise CheckpointError(
            f"checkpoint {path} does not exist: give a model folder or a Hugging Face id (owner/name)"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=DTYPES[dtype])
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"checkpoint {path} could not be loaded: {reason}") from error
    return model.to(device), tokenizer  # pyright: ignore[reportArgumentType, reportCallIssue]
