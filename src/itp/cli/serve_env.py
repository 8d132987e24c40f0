"""`itp serve-env`: expose an environment over HTTP.

    itp serve-env --env alfworld --split valid_seen --port 8000
    itp eval --env http://127.0.0.1:8000 --split valid_seen --planner expert --out out/remote

Prints the URL and serves until Ctrl-C or SIGTERM, then closes every environment and exits with code 0. See
docs/remote.md for the routes, for AgentGym's clients, and for what happens to clients that vanish.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from itp.envs.spec import EnvFlags
from itp.errors import ConfigError, DataError

THREAD_SAFE = "thread_safe"
"""Key of an environment's `metadata`: false if several of them must not run at the same time in one process."""


@dataclass(kw_only=True)
class Config(EnvFlags):
    """Serve an environment over HTTP; clients may ask for another split or step limit than these flags name."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets other machines in: set a token then."""
    port: int = 8000
    """Port to listen on; 0 takes a free one and prints it."""
    token_file: Path | None = None
    """File with the bearer token that clients must send (default: the variable ITP_TOKEN; neither: no token)."""
    max_sessions: int = 256
    """Sessions at once; further clients are refused."""
    idle_timeout: float = 600.0
    """Seconds without a request after which a session is closed."""
    step_timeout: float = 60.0
    """Seconds that making, resetting or stepping an environment may take; a session that exceeds it is ended."""
    max_body: int = 1 << 20
    """Bytes that a request may have."""
    serial: bool = False
    """Let sessions take turns: for libraries that must not run in several threads (textworld is always served so)."""


def run(config: Config) -> None:
    """Serve until told to stop."""
    from itp.envs.remote.app import Offer, create_app
    from itp.envs.remote.server import EnvServer, bind, failure_log, is_loopback, url_of
    from itp.envs.remote.session import Limits

    limits = Limits(config.max_sessions, config.idle_timeout, config.step_timeout, config.max_body)
    token = read_token(config.token_file)
    if config.env.startswith(("http://", "https://")):
        raise ConfigError(f"--env {config.env} is a server already: name an environment of this machine")
    make = config.env_factory()
    with bind(config.host, config.port) as server:
        env = make()  # flags that cannot work are refused here, not in the first client's face
        tasks = len(env.task_ids)
        serial = config.serial or not env.metadata.get(THREAD_SAFE, True)
        env.close()
        offer = Offer(make, config.env, config.split, config.max_steps, serial)
        app = create_app(offer, limits, token=token, on_failure=failure_log())
        url = url_of(server)
        if not token and not is_loopback(server):
            print(f"itp: warning: {url} is open to other machines without a token: set ITP_TOKEN", file=sys.stderr)
        print(f"serving {config.env} ({config.split}: {tasks} tasks) at {url}", flush=True)
        EnvServer(app, server).serve_here()
    counts, left = app.state.sessions.counts, app.state.sessions.closing
    late = f"; environments that would not close: {left}" if left else ""
    print(f"stopped: {counts['created']} sessions, {counts['steps']} steps{late}", flush=True)


def read_token(path: Path | None) -> str:
    """The bearer token of a file or of ITP_TOKEN; empty for none.

    Raises:
        DataError: the file is missing.
        ConfigError: it holds no token, or one that cannot travel in a header.
    """
    from itp.envs.remote.wire import TOKEN_VARIABLE

    if path is None:
        token, source = os.environ.get(TOKEN_VARIABLE, "").strip(), TOKEN_VARIABLE
    else:
        if not path.is_file():
            raise DataError(f"--token-file {path}: there is no such file")
        token, source = path.read_text(encoding="utf-8", errors="replace").strip(), f"--token-file {path}"
        if not token:
            raise ConfigError(f"{source} is empty: write a token into it, such as `openssl rand -hex 16` prints")
    if not all("!" <= character <= "~" for character in token):
        raise ConfigError(f"{source} must hold one word of plain letters, digits and signs")
    return token
