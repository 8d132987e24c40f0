"""A causal language model loaded from a Hugging Face folder (or hub id): batched generation and shared-prefix scoring.

The models of this project are saved in the very same layout, so a 2M-parameter model trained here and an 8B model
differ by path only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from itp.errors import CheckpointError, ConfigError
from itp.lm.base import Completion, Sampling, Scores
from itp.lm.chat import Chat, Prompt, split_thought
from itp.lm.constraint import Constraint, allowed_by
from itp.lm.decoding import Decoded, Engine
from itp.lm.forward import supports, weights_version
from itp.lm.generic import GenericEngine
from itp.lm.loading import encode, encodes_in_parts, load_pretrained
from itp.lm.tokens import END, parts
from itp.lm.trie import TokenTrie

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_THOUGHTLESS = "<think>\n\n</think>\n\n"
_NO_THOUGHT = "\n\n</think>\n\n"
_END_OF_THOUGHT = "\n</think>\n\n"
_KEPT_PARTS = 20_000


class TransformersLM:
    """Batched `generate` and `score` over a `transformers` causal LM.

    Args:
        model: a causal LM; it is put in evaluation mode.
        tokenizer: its tokenizer.
        name: shown in traces and errors.
        max_batch_tokens: upper limit of batch size × padded length in one forward pass; bounds memory.
        thinking_tokens: most tokens that a thinking model may think before each answer to a `Chat`, on top of the
            answer's own; 0 asks its template for no thought, and closes one that is begun all the same.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str,
        max_batch_tokens: int = 16384,
        thinking_tokens: int = 0,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.name = name
        self.max_batch_tokens = max_batch_tokens
        self.thinking_tokens = thinking_tokens
        end = tokenizer.convert_tokens_to_ids(END) if END in tokenizer.get_vocab() else tokenizer.eos_token_id
        if not isinstance(end, int):
            raise CheckpointError(
                f"{name}: its tokenizer has neither {END} nor an eos token; set one in tokenizer_config.json"
            )
        self.end_id: int = end
        self.end_ids = frozenset({end, *_end_ids(model, tokenizer)})
        self.pad_id: int = tokenizer.pad_token_id if isinstance(tokenizer.pad_token_id, int) else end
        self._lean, self._generic = Engine(model), GenericEngine(model, self.pad_id)
        self._continuation_ids: dict[str, tuple[int, ...]] = {}
        self._in_parts, self._part_ids = encodes_in_parts(tokenizer), dict[str, list[int]]()

    @classmethod
    def load(cls, path: str, *, device: str = "cpu", dtype: str = "float32", **options: Any) -> TransformersLM:
        """Load a checkpoint folder. Raises CheckpointError when it is missing or incomplete."""
        model, tokenizer = load_pretrained(path, device=device, dtype=dtype)
        return cls(model, tokenizer, name=path, **options)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def version(self) -> tuple[int, ...]:
        """Differs once the weights have changed."""
        return weights_version(self.model)

    def count_tokens(self, text: Prompt) -> int:
        """See `LanguageModel.count_tokens`."""
        return len(self.encode(text))

    def encode(self, text: Prompt) -> list[int]:
        """Token ids of a text, nothing added to it, or of a conversation in the model's own format.

        Parts between special tokens are kept: an episode that is told from its beginning is new at its end alone.
        """
        text = text if isinstance(text, str) else self.render(text)
        found = parts(text) if self._in_parts else []
        if len(found) < 2:
            return encode(self.tokenizer, text)
        return [token for part in found for token in self._encode_part(part)]

    def _encode_part(self, part: str) -> list[int]:
        ids = self._part_ids.get(part)
        if ids is None:
            ids = encode(self.tokenizer, part)
            if len(self._part_ids) > _KEPT_PARTS:
                self._part_ids.clear()
            self._part_ids[part] = ids
        return ids

    def render(self, chat: Chat) -> str:
        """A conversation by the tokenizer's chat template, or plainly where it has none."""
        if not self.tokenizer.chat_template:
            return chat.plain()
        text = self.tokenizer.apply_chat_template(
            chat.as_dicts(), tokenize=False, add_generation_prompt=True, enable_thinking=self.thinking_tokens > 0
        )
        assert isinstance(text, str)
        opened = text.rstrip().endswith("<think>")
        return f"{text.rstrip()}{_NO_THOUGHT}" if opened and not self.thinking_tokens else text

    def encode_continuation(self, text: str) -> tuple[int, ...]:
        """Token ids of an action or observation with its end token; cached, since commands recur."""
        ids = self._continuation_ids.get(text)
        if ids is None:
            ids = (*self.encode(text), self.end_id)
            if len(self._continuation_ids) > 100_000:
                self._continuation_ids.clear()
            self._continuation_ids[text] = ids
        return ids

    @property
    def engine(self) -> Engine | GenericEngine:
        """What computes: our own forward pass where it knows the architecture, else `transformers`."""
        return self._lean if supports(self.model) else self._generic

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, seeds: Sequence[int] | None = None
    ) -> list[Completion]:
        """See `LanguageModel.generate`. Prompts are batched by length; results keep the given order.

        Llama and Qwen weights run in `itp.lm.decoding`, others in `transformers.generate`: the same tokens, but for
        rounding where two are equally likely. Greedy decoding computes equal prompts once.
        """
        if sampling.temperature < 0:
            raise ConfigError(f"temperature is {sampling.temperature}: allowed is 0 (greedy) or more")
        if sampling.temperature > 0:
            return self._answers(prompts, sampling, seeds)
        distinct = list(dict.fromkeys(prompts))
        found = dict(zip(distinct, self._answers(distinct, sampling), strict=True))
        return [found[prompt] for prompt in prompts]

    def _answers(
        self, prompts: Sequence[Prompt], sampling: Sampling, seeds: Sequence[int] | None = None
    ) -> list[Completion]:
        """Completions, what a thinking model thought taken off; a thought without end is ended, and answered."""
        talks = any(isinstance(prompt, Chat) for prompt in prompts)
        room = sampling.max_new_tokens + (self.thinking_tokens if talks else 0)
        texts = [prompt if isinstance(prompt, str) else self.render(prompt) for prompt in prompts]
        raw = self._generate(texts, replace(sampling, max_new_tokens=room), seeds)
        if not talks:
            return [replace(c, text=sampling.cut(c.text)) for c in raw]
        parts = [
            split_thought(c.text) if _opens(c.text, text) else ("", c.text) for c, text in zip(raw, texts, strict=True)
        ]
        cut_off = [i for i, c in enumerate(raw) if not c.finished and _opens(c.text, texts[i]) and not parts[i][1]]
        closed = [
            texts[i] + (f"{raw[i].text}{_END_OF_THOUGHT}" if self.thinking_tokens else _THOUGHTLESS) for i in cut_off
        ]
        seeds = None if seeds is None else [seeds[i] for i in cut_off]
        for i, answer in zip(cut_off, self._generate(closed, sampling, seeds), strict=True):
            tokens = raw[i].completion_tokens + answer.completion_tokens
            parts[i] = parts[i][0], answer.text
            raw[i] = replace(answer, prompt_tokens=raw[i].prompt_tokens, completion_tokens=tokens)
        return [replace(c, text=sampling.cut(text), thought=t) for c, (t, text) in zip(raw, parts, strict=True)]

    def generate_held(
        self,
        prompts: Sequence[str],
        sampling: Sampling,
        constraints: Sequence[Constraint],
        seeds: Sequence[int] | None = None,
    ) -> list[Completion]:
        """`generate`, each answer held to its constraint (`itp.lm.constraint`), and sent as it was written."""
        return self._generate(prompts, sampling, seeds, constraints)

    def _generate(
        self,
        texts: Sequence[str],
        sampling: Sampling,
        seeds: Sequence[int] | None = None,
        constraints: Sequence[Constraint] | None = None,
    ) -> list[Completion]:
        judges = None if constraints is None else [allowed_by(c, self._plain, self.end_ids) for c in constraints]
        encoded = [self.encode(text) for text in texts]
        results: dict[int, Completion] = {}
        for number, rows in enumerate(self._batches([len(ids) + sampling.max_new_tokens for ids in encoded])):
            if sampling.temperature > 0 and sampling.seed is not None:
                torch.manual_seed(sampling.seed + number)
            batch = [encoded[row] for row in rows]
            engine = self.engine if all(batch) else self._generic
            own = None if seeds is None else [seeds[row] for row in rows]
            held = None if judges is None else [judges[row] for row in rows]
            found = engine.decode(batch, sampling, end_ids=self.end_ids, seeds=own, allowed=held)
            for row, decoded in zip(rows, found, strict=True):
                results[row] = self._completion(decoded, len(encoded[row]))
        return [results[row] for row in range(len(texts))]

    def _completion(self, decoded: Decoded, prompt_tokens: int) -> Completion:
        finished = bool(decoded.ids) and decoded.ids[-1] in self.end_ids
        text = self._plain(decoded.ids[:-1] if finished else decoded.ids)
        return Completion(text.strip(), decoded.logprob, prompt_tokens, len(decoded.ids), finished, tuple(decoded.ids))

    def _plain(self, ids: Sequence[int]) -> str:
        text = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        assert isinstance(text, str)
        return text

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]) -> list[Scores]:
        """See `LanguageModel.score`. Differentiable scores for training: `forward`."""
        encoded = [self.encode(prompt) for prompt in prompts]
        tries = [self.trie(texts) for texts in continuations]
        results: dict[int, Scores] = {}
        lengths = [len(ids) + len(trie.tokens) for ids, trie in zip(encoded, tries, strict=True)]
        for rows in self._batches(lengths):
            scored = self.engine.score([encoded[r] for r in rows], [tries[r] for r in rows])
            for row, logprobs in zip(rows, scored, strict=True):
                results[row] = Scores(tuple(logprobs.tolist()), len(encoded[row]), len(tries[row].tokens))
        return [results[row] for row in range(len(prompts))]

    def score_behind(self, rows: Sequence[tuple[Sequence[Sequence[int]], Sequence[int]]]) -> list[tuple[float, ...]]:
        """Log-probability of one continuation behind each of several prompts that begin alike; token ids, row by row.

        What the prompts of a row share is computed once, as a tree.
        """
        heads, tries = [], []
        for prompts, continuation in rows:
            shared = _common_length([prompt[:-1] for prompt in prompts])
            heads.append(prompts[0][:shared])
            # Only the continuation's own tokens count.
            trie = TokenTrie.build([(*prompt[shared:], *continuation) for prompt in prompts])
            trie.paths = [path[len(path) - len(continuation) :] for path in trie.paths]
            tries.append(trie)
        results: dict[int, tuple[float, ...]] = {}
        for batch in self._batches([len(h) + len(t.tokens) for h, t in zip(heads, tries, strict=True)]):
            scored = self.engine.score([heads[r] for r in batch], [tries[r] for r in batch])
            results |= {row: tuple(logprobs.tolist()) for row, logprobs in zip(batch, scored, strict=True)}
        return [results[row] for row in range(len(rows))]

    def hidden(self, prompts: Sequence[str]) -> tuple[torch.Tensor, list[int]]:
        """Last-layer hidden states [B, D] at the last token of each prompt, and the prompts' lengths in tokens."""
        encoded = [self.encode(prompt) for prompt in prompts]
        lengths = [len(ids) for ids in encoded]
        parts = {rows[0]: (rows, self.engine.hidden([encoded[r] for r in rows])) for rows in self._batches(lengths)}
        order = torch.tensor([row for rows, _ in parts.values() for row in rows])
        hidden_BD = torch.cat([hidden for _, hidden in parts.values()])
        return hidden_BD[order.argsort().to(hidden_BD.device)], lengths

    def forward(
        self,
        prompts: Sequence[Sequence[int]],
        tries: Sequence[TokenTrie],
        positions: Sequence[int],
        sampling: Sampling | None = None,
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """One differentiable pass: hidden states [B, D] at one position of each prompt, and the scores of its tree.

        With `sampling` the scores are log-probabilities of the distribution that tokens were drawn from (temperature
        and top-p), else the model's own.
        """
        return self.engine.forward(prompts, tries, positions, sampling)

    def trie(self, texts: Sequence[str]) -> TokenTrie:
        """Continuations, each closed by the end token, merged into a tree."""
        return TokenTrie.build([self.encode_continuation(text) for text in texts])

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


def _end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Every token that ends an answer, by the tokenizer and by the generation config, which may list several."""
    named = getattr(model.generation_config, "eos_token_id", None)
    found = [tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])]
    return [token for token in found if isinstance(token, int)]


def _opens(text: str, prompt: str) -> bool:
    """Whether an answer begins with a thought, or stands in one that its prompt opened."""
    return text.lstrip().startswith("<think>") or prompt.rstrip().endswith("<think>")


def _common_length(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens all sequences begin with alike."""
    return next(
        (n for n, tokens in enumerate(zip(*sequences, strict=False)) if len({*tokens}) > 1), min(map(len, sequences))
    )
