"""The process around the app: a socket, uvicorn, signals. `itp serve-env` and the tests run servers through it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI

from itp.errors import ConfigError

BACKLOG = 2048
KEEP_ALIVE = 120
"""Seconds that a silent connection stays open: a language model may think for a while between two steps."""
GRACE = 5
"""Seconds that requests under way may take once the server is told to stop."""
_MAX_KINDS = 100


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens at an address; port 0 takes a free one.

    Raises:
        ConfigError: the port is taken or forbidden, or the host is none of this machine's.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"--port {port} is no port: give 0 (any free one) to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--host {host} cannot be resolved ({error}); 127.0.0.1 is this machine alone") from error
    server = socket.socket(family, kind, protocol)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(address)
        server.listen(BACKLOG)  # clients that come before the server is up wait, and are not refused
    except OSError as error:
        server.close()
        raise ConfigError(f"--host {host} --port {port} cannot be used: {_why(error)}") from error
    return server


def url_of(server: socket.socket) -> str:
    """The URL that a bound socket is reached at from this machine."""
    host, port = server.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(server: socket.socket) -> bool:
    """Whether only this machine can reach a bound socket."""
    return ipaddress.ip_address(server.getsockname()[0].partition("%")[0]).is_loopback


class EnvServer(uvicorn.Server):
    """uvicorn with a quiet log and signals that mean: close the environments, then return.

    Args:
        app: what is served; its sessions are closed when the server stops.
        server_socket: where; see `bind`.
    """

    def __init__(self, app: FastAPI, server_socket: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=GRACE,
            server_header=False,
            lifespan="on",
            ws="none",
        )
        super().__init__(config)
        self._server_socket = server_socket

    def serve_here(self) -> None:
        """Serve until a signal or `stop`; returns when all environments are closed, or given up."""
        asyncio.run(self.serve([self._server_socket]))

    def stop(self) -> None:
        """Ask a server that runs in another thread to stop."""
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM stop the server, a second Ctrl-C at once; uvicorn's own would raise them again after."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def failure_log(what: str = "the environment") -> Callable[[BaseException], None]:
    """A function that prints exceptions with their traceback, once for each place in the code; `what` raises them."""
    seen: set[tuple[str, str]] = set()

    def log(error: BaseException) -> None:
        where = traceback.extract_tb(error.__traceback__)[-1:]
        kind = (type(error).__name__, f"{where[0].filename}:{where[0].lineno}" if where else "")
        if kind in seen or len(seen) >= _MAX_KINDS:
            return
        seen.add(kind)
        lines = "".join(traceback.format_exception(error))
        print(f"itp: {what} failed (shown once, clients get one line):\n{lines}", file=sys.stderr, flush=True)

    return log


def _why(error: OSError) -> str:
    reasons = {
        errno.EADDRINUSE: "the port is taken; give another --port, or 0 for any free one",
        errno.EACCES: "ports below 1024 belong to root; give another --port",
        errno.EADDRNOTAVAIL: "this is no address of this machine; 127.0.0.1 serves this machine alone",
    }
    return reasons.get(error.errno or 0, str(error))
