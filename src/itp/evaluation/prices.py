"""What tokens cost: a price table, kept in a file by the user, since prices change faster than this package.

# prices.yaml: US dollars per million tokens
my-model: {prompt: 0.10, cached_prompt: 0.02, completion: 0.40}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from itp.errors import ConfigError
from itp.types import Usage

_KEYS = ("prompt", "cached_prompt", "completion")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens of one model."""

    prompt: float
    completion: float
    cached_prompt: float | None = None
    """Of prompt tokens that the server knew already; the price of others when omitted."""

    def cost(self, usage: Usage) -> float:
        """US dollars for some usage. Answers from the response cache count as prompts that the server knew."""
        cached = self.prompt if self.cached_prompt is None else self.cached_prompt
        fresh = usage.prompt_tokens - usage.cached_tokens
        return (fresh * self.prompt + usage.cached_tokens * cached + usage.completion_tokens * self.completion) / 1e6


def load_prices(path: Path | str) -> dict[str, Price]:
    """The price of each model in a YAML or JSON file.

    Raises:
        ConfigError: the file cannot be read, or an entry is no price.
    """
    try:
        table = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"--prices {path} cannot be read ({' '.join(str(error).split())}): give YAML or JSON"
        ) from error
    if not isinstance(table, Mapping) or not table:
        raise ConfigError(f"--prices {path} holds no prices: give MODEL: {{prompt: USD, completion: USD}} lines")
    return {str(model): _price(path, str(model), entry) for model, entry in table.items()}


def _price(path: Path | str, model: str, entry: object) -> Price:
    right = (
        isinstance(entry, Mapping)
        and {"prompt", "completion"} <= entry.keys() <= set(_KEYS)
        and all(type(value) in (int, float) and 0 <= value < float("inf") for value in entry.values())
    )
    if not right:
        raise ConfigError(
            f"--prices {path}: {model} has no such price: give prompt, completion and perhaps cached_prompt, in USD "
            "per million tokens"
        )
    return Price(**entry)  # pyright: ignore[reportCallIssue]
