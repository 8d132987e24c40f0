"""The terminal that tables are printed to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_WITHOUT_TERMINAL = 160
"""Wide enough for every table: a file or a pipe has no width, and rich would fold at 80 columns."""


def wide_console() -> Console:
    """A rich console on stdout that does not fold tables when stdout is a file or a pipe."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL)
