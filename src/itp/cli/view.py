"""`itp view`: the report of runs in the browser while they go on.

    itp eval --env household --planner act --policy out/policy/model --out out/eval &
    itp view out/eval                      # http://127.0.0.1:8300, updating as episodes finish

On loopback only: traces may hold whatever models and environments wrote. Ctrl-C ends it.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

import tyro

from itp.errors import ConfigError

HOST = "127.0.0.1"


@dataclass
class Config:
    """Show runs in the browser, updating as episodes finish."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders written by `itp eval`, `itp train` or `itp world-model eval`, or folders that hold such."""
    port: int = 8300
    """Port on 127.0.0.1; 0 takes any free one."""
    title: str = ""
    """Heading of the page (default: what is played)."""


def run(config: Config) -> None:
    """Serve until Ctrl-C."""
    import uvicorn

    from itp.report.live import live_app
    from itp.report.sources import find_runs

    if not config.runs:
        raise ConfigError("itp view needs at least one run: name folders written by `itp eval` or `itp train`")
    app = live_app(find_runs(config.runs), config.title)
    with _listen(config.port) as listening:
        print(f"http://{HOST}:{listening.getsockname()[1]}  (Ctrl-C ends it)", flush=True)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        server.run(sockets=[listening])


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise ConfigError(f"--port {port} cannot be had ({error}): give another, or 0 for any free one") from error
    return listening
