"""From what a user writes, `transformers:PATH`, `openai:URL` or `scripted:FILE`, to a language model."""

from __future__ import annotations

import json
from pathlib import Path

from itp.errors import ConfigError, ServerError
from itp.lm.base import LanguageModel

SCHEMES = ("transformers", "openai", "scripted")
_WEIGHTS = ("*.safetensors", "*.bin", "*.json")


def load_lm(
    spec: str,
    *,
    model: str = "",
    device: str = "cpu",
    dtype: str = "float32",
    thinking_tokens: int = 0,
    key_env: str = "OPENAI_API_KEY",
    max_concurrency: int = 16,
    cache: Path | None = None,
    logprobs: bool = False,
) -> LanguageModel:
    """The language model that a spec names.

    Args:
        spec: `transformers:PATH_OR_HUB_ID`, `openai:URL` or `scripted:FILE.json`.
        model: name of the model on the server; needless when it offers a single one.
        device: of a transformers model, as torch names it; "auto" spreads it over all accelerators.
        dtype: of a transformers model: float32, bfloat16 or float16.
        thinking_tokens: most tokens of a thinking model's thought; 0 asks for none.
        key_env: environment variable that holds the server's key.
        max_concurrency: requests to the server under way at any time.
        cache: folder that keeps answers (`itp.lm.response_cache`).
        logprobs: ask a server for the log-probability of each answer.

    Raises:
        ConfigError: no such scheme, or a setting that cannot be.
        CheckpointError: the model's folder cannot be loaded.
        ServerError: the server does not tell its models.
    """
    scheme, separator, rest = spec.partition(":")
    if scheme not in SCHEMES or not separator or not rest:
        raise ConfigError(
            f"{spec!r} names no language model: give transformers:PATH_OR_HUB_ID, openai:URL or scripted:FILE.json"
        )
    if thinking_tokens < 0:
        raise ConfigError(f"--thinking-tokens {thinking_tokens} is not allowed: give 0 or more")
    if model and scheme != "openai":
        raise ConfigError(f"--model {model} names a model on a server, and {spec} is none: leave it out")
    if scheme == "openai":
        lm = _served(rest, model, key_env, max_concurrency, thinking_tokens, logprobs)
    elif scheme == "scripted":
        from itp.lm.scripted import ScriptedLM

        lm = ScriptedLM.load(rest)
    else:
        from itp.lm.transformers import TransformersLM

        lm = TransformersLM.load(rest, device=device, dtype=dtype, thinking_tokens=thinking_tokens)
    if cache is None:
        return lm
    from itp.lm.response_cache import CachedLM

    identity = None if scheme == "openai" else json.dumps([spec, dtype, thinking_tokens, _files(Path(rest))])
    return CachedLM(lm, cache, identity=identity)


def _served(
    url: str, model: str, key_env: str, max_concurrency: int, thinking_tokens: int, logprobs: bool
) -> LanguageModel:
    from itp.lm.openai import OpenAILM
    from itp.lm.retrying import Retries
    from itp.lm.server import ModelServer

    if not model:
        try:
            offered = ModelServer(url, "", key_env, 1, Retries(attempts=2)).models()
        except ServerError as error:
            if error.status is None or error.status in (401, 403):
                raise
            offered = []  # `transformers serve` lists the hub's cache, and fails where there is none
        if len(offered) != 1:
            names = ", ".join(offered[:20]) or "none that it tells of"
            raise ConfigError(f"--model is missing: the server {url} offers {names}; name one")
        model = offered[0]
    return OpenAILM(
        url,
        model,
        key_env=key_env,
        max_concurrency=max_concurrency,
        thinking_tokens=thinking_tokens,
        logprobs=logprobs,
    )


def _files(path: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of a model's files: a folder trained anew is another model."""
    files = [path] if path.is_file() else sorted({file for pattern in _WEIGHTS for file in path.glob(pattern)})
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
