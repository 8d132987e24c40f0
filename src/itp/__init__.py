"""Imagine-then-Plan: LLM agents that look before they leap (Liu et al. 2026, arXiv 2601.08955)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from itp.agent.agent import Agent
    from itp.agent.situation import Situation
    from itp.envs.base import TextEnv
    from itp.envs.vector import VectorEnv

__version__ = "0.1.0"
__all__ = ["Agent", "Situation", "__version__", "make_env", "make_vec_env"]
_LAZY = {"Agent": "itp.agent.agent", "Situation": "itp.agent.situation"}
"""Where names live that are imported when they are first asked for: `import itp` stays quick."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)


def make_env(name: str, **options: Any) -> TextEnv:
    """Create a text environment by name; see `itp.envs.registry.make_env`."""
    from itp.envs.registry import make_env as make

    return make(name, **options)


def make_vec_env(
    name: str, num_envs: int, *, workers: int = 0, timeout: float | None = None, **options: Any
) -> VectorEnv:
    """Create environments that step side by side; see `itp.envs.vector`.

    Args:
        name: as for `make_env`, and so are `options`.
        num_envs: number of slots.
        workers: processes they are spread over; 0 steps them in this process, best for the fast engines.
        timeout: seconds that one reset or step may take in a worker.
    """
    from functools import partial

    from itp.envs.registry import make_env as make
    from itp.envs.vector import make_vector

    return make_vector(partial(make, name, **options), num_envs, workers=workers, timeout=timeout)
