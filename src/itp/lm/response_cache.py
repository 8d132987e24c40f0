"""Answers of a language model kept on disk, so that a run that was interrupted pays for nothing twice.

An answer is found again by the model's identity (server and name, or the weights' files), the prompt, the sampling and
the seed. Answers drawn without a seed are not kept.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from itp.errors import ConfigError, ServerError
from itp.lm.base import Completion, LanguageModel, Sampling, Scores
from itp.lm.chat import Chat, Prompt
from itp.lm.seeds import row_seeds

VERSION = 1
"""Changes when records of older versions no longer mean the same."""
SIZE_LIMIT = 4 * 2**30
"""Bytes on disk beyond which the oldest answers go."""


class CachedLM:
    """A `LanguageModel` whose answers are kept in a folder; threads and processes may share it.

    Answers from disk say so: their `cached_tokens` equal their `prompt_tokens`. `score` is passed on as it is.

    Args:
        lm: the model that is asked for what is not known.
        folder: where answers are; created when missing.
        identity: what its answers depend on beside prompt and sampling; `lm.identity` or its name when omitted.
        size_limit: bytes on disk.
    """

    def __init__(
        self, lm: LanguageModel, folder: Path | str, *, identity: str | None = None, size_limit: int = SIZE_LIMIT
    ) -> None:
        try:
            import diskcache
        except ImportError:
            raise ConfigError("--cache needs diskcache: pip install 'imagine-then-plan[openai]'") from None
        self.lm, self.name, self.folder = lm, lm.name, Path(folder)
        self._identity = identity or str(getattr(lm, "identity", lm.name))
        with self._readable():
            self._cache = diskcache.Cache(str(folder), size_limit=size_limit)

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, seeds: Sequence[int] | None = None
    ) -> list[Completion]:
        """See `LanguageModel.generate`. Where a server fails, the answers that came are kept before the error goes on.

        Raises:
            ConfigError: the folder cannot be read or written.
            ServerError: as of the model, with `results` for the whole batch, known answers included.
        """
        rows = row_seeds(prompts, sampling, seeds)
        if sampling.temperature > 0 and None in rows:
            return self.lm.generate(prompts, sampling)
        keys = [self._key(prompt, sampling, seed) for prompt, seed in zip(prompts, rows, strict=True)]
        known: dict[str, Any] = self._read(keys)
        owed = {key: row for row, key in enumerate(keys) if key not in known}
        if owed:
            drawn = [seed for row in owed.values() if (seed := rows[row]) is not None]
            try:
                results: Sequence[object] = self.lm.generate(
                    [prompts[n] for n in owed.values()], sampling, drawn or None
                )
            except ServerError as error:
                results = error.results or [error] * len(owed)
                known |= self._keep(dict(zip(owed, results, strict=True)))
                whole = [known[key] for key in keys]
                raise ServerError(str(error), status=error.status, fatal=error.fatal, results=whole) from None
            known |= self._keep(dict(zip(owed, results, strict=True)))
        completions: list[Completion] = []
        for key in keys:
            completions.append(known[key])
            known[key] = replace(known[key], cached_tokens=known[key].prompt_tokens)
        return completions

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Sequence[str]]) -> list[Scores]:
        """See `LanguageModel.score`."""
        return self.lm.score(prompts, continuations)

    def count_tokens(self, text: Prompt) -> int:
        """See `LanguageModel.count_tokens`."""
        return self.lm.count_tokens(text)

    def _key(self, prompt: Prompt, sampling: Sampling, seed: int | None) -> str:
        said = prompt.as_dicts() if isinstance(prompt, Chat) else prompt
        parts = [VERSION, self._identity, said, asdict(replace(sampling, seed=seed))]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _read(self, keys: Sequence[str]) -> dict[str, Completion]:
        """Answers that are known; a record that cannot be read is asked for again."""
        found = {}
        with self._readable():
            for key in dict.fromkeys(keys):
                completion = _completion(self._cache.get(key))
                if completion is not None:
                    found[key] = completion
        return found

    def _keep(self, results: Mapping[str, object]) -> Mapping[str, object]:
        """Write the answers among the results; returns all results."""
        with self._readable():
            for key, result in results.items():
                if isinstance(result, Completion):
                    self._cache.set(key, json.dumps(asdict(result)))
        return results

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """One line for whatever is wrong with the folder."""
        import diskcache

        try:
            yield
        except (sqlite3.Error, OSError, diskcache.Timeout) as error:
            raise ConfigError(
                f"--cache {self.folder} cannot be used ({type(error).__name__}: {error}): delete the folder, make room "
                "on its disk, or name another"
            ) from error


def _completion(record: object) -> Completion | None:
    """An answer as it was written, marked as known; None for anything else."""
    try:
        fields = json.loads(record) if isinstance(record, str) else None
        if not isinstance(fields, dict):
            return None
        completion = Completion(**{**fields, "ids": tuple(fields["ids"])})
    except (ValueError, KeyError, TypeError):
        return None
    return replace(completion, cached_tokens=completion.prompt_tokens)
