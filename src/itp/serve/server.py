"""The process around the app of `itp serve`: that of `itp serve-env`, which ends decisions when it is told to stop."""

from __future__ import annotations

import asyncio
import socket
from types import FrameType

from fastapi import FastAPI

from itp.agent.agent import Agent
from itp.envs.remote.server import GRACE, EnvServer


class AgentServer(EnvServer):
    """Told to stop, it refuses whatever waits and lets decisions under way finish for a while.

    Args:
        app: what is served.
        server_socket: where.
        agent: who decides.
        patience: seconds that decisions under way may take then; their askers get 503 after that. Less than `GRACE`,
            after which connections are cut.
    """

    def __init__(self, app: FastAPI, server_socket: socket.socket, agent: Agent, patience: float = GRACE - 1) -> None:
        super().__init__(app, server_socket)
        self._agent, self._patience = agent, patience
        self._abandon: asyncio.TimerHandle | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A second Ctrl-C waits for no decision; a third one cuts connections."""
        if self._abandon is not None and not self._abandon.cancelled():
            self._abandon.cancel()
            asyncio.get_running_loop().call_soon_threadsafe(self._end)
        else:
            super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn calls it after a signal."""
        self._agent.close()
        self._abandon = asyncio.get_running_loop().call_later(self._patience, self._end)
        await super().shutdown(sockets)

    def _end(self) -> None:
        self._agent.close(abandon=True)
