"""Bytes that travel inside the page: compressed chunks of episodes, JSON in script tags, the policy of what may run.

Chunks are gzip in base64, in script elements of a type that browsers do not run; the page unpacks one when an episode
of it is opened. Base64 holds no "<", so nothing in a trace can end such an element.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from importlib import resources
from typing import Any

CHUNK_BYTES = 400_000
"""JSON of one chunk, before compression: some 200 steps to 1,000, unpacked in milliseconds."""
SCRIPTS = (
    "dom.js", "diff.js", "store.js", "filters.js", "list.js", "episode.js", "step.js", "charts.js",
    "router.js", "keys.js", "app.js",
)  # fmt: skip


def to_json(value: Any) -> str:
    """JSON in ASCII that a browser reads: figures that are none become null."""
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_without_nan(value), separators=(",", ":"), allow_nan=False)


def script_json(value: Any) -> str:
    """JSON for a script element: no "<", ">" or "&" in it, so that no text can end the element or open a comment."""
    return to_json(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def compress(text: str, level: int = 6) -> str:
    """gzip in base64; the same text gives the same result."""
    return base64.b64encode(gzip.compress(text.encode("utf-8"), level, mtime=0)).decode("ascii")


def chunks(payloads: Iterable[dict[str, Any]], size: int = CHUNK_BYTES) -> Iterator[tuple[str, int]]:
    """Pack payloads in order; yields (compressed JSON list, how many it holds)."""
    waiting: list[str] = []
    length = 0
    for payload in payloads:
        waiting.append(to_json(payload))
        length += len(waiting[-1])
        if length >= size:
            yield compress(f"[{','.join(waiting)}]"), len(waiting)
            waiting, length = [], 0
    if waiting:
        yield compress(f"[{','.join(waiting)}]"), len(waiting)


def app_script() -> str:
    """The page's JavaScript: the files of `viewer/` in one function."""
    folder = resources.files("itp.report") / "viewer"
    parts = [(folder / name).read_text(encoding="utf-8") for name in SCRIPTS]
    return "(() => {\n'use strict';\n" + "\n".join(parts) + "})();"


def style() -> str:
    """The page's CSS."""
    folder = resources.files("itp.report") / "viewer"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in ("base.css", "viewer.css"))


def plotly_script() -> str:
    """plotly.js as the plotly package ships it.

    Raises:
        ModuleNotFoundError: plotly is not installed (`pip install 'imagine-then-plan[report]'`).
    """
    source = resources.files("plotly") / "package_data" / "plotly.min.js"
    return source.read_text(encoding="utf-8").replace("\r\n", "\n").replace("\r", "\n")


def content_policy(scripts: Iterable[str], *, live: bool) -> str:
    """Content-Security-Policy: only these very scripts run, and nothing is fetched (live: from this server alone)."""
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'"
    reached = "'self'" if live else "'none'"
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"connect-src {reached}; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
