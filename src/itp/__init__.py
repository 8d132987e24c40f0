"""Imagine-then-Plan: LLM agents that look before they leap (Liu et al. 2026, arXiv 2601.08955)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from itp.envs.base import TextEnv

__version__ = "0.1.0"
__all__ = ["__version__", "make_env"]


def make_env(name: str, **options: Any) -> TextEnv:
    """Create a text environment by name; see `itp.envs.registry.make_env`."""
    from itp.envs.registry import make_env as make

    return make(name, **options)
