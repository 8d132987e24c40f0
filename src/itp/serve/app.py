"""The FastAPI app of `itp serve`: routes in, `itp.Agent` out. Requests that come together are decided together."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from fastapi import FastAPI, Response, Security
from fastapi.security import HTTPBearer
from pydantic import BaseModel

from itp import __version__
from itp.agent.agent import Agent
from itp.envs.remote.app import handle_errors
from itp.envs.remote.guard import Guard
from itp.envs.remote.wire import Refusal, encode
from itp.errors import ItpError, Overloaded, ServerError
from itp.serve.messages import (
    ActRequest,
    ClosedAnswer,
    DecideRequest,
    DecisionAnswer,
    ErrorAnswer,
    HistoryStep,
    ObserveRequest,
    SessionAnswer,
    SessionRequest,
    SessionState,
    UsageAnswer,
)
from itp.serve.sessions import Limits, Sessions
from itp.serve.stream import EventStream

OPEN_PATHS = ("/health", "/docs", "/openapi.json")
"""Answered without a token: supervisors and the documentation."""
REAP_EVERY = 30.0
"""Seconds between two looks for idle sessions, at most."""
ABOUT = (
    "Decisions of a planner that looks ahead. `POST /v1/decide` is stateless; a session remembers its episode. "
    "With `stream: true` the answer is a series of server-sent events: `horizon`, `imagined` for each step as it is "
    "made, and `decision`, or `error`."
)
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "The body is no JSON."},
    401: {"model": ErrorAnswer, "description": "The token is missing or wrong."},
    413: {"model": ErrorAnswer, "description": "The body is too large."},
    422: {"model": ErrorAnswer, "description": "A field is missing, unknown, of another kind, or beyond a limit."},
    429: {"model": ErrorAnswer, "description": "Too many decisions wait, or too many sessions are open."},
    503: {"model": ErrorAnswer, "description": "A model server fails, or this server is stopping."},
}
OF_SESSIONS: dict[int | str, dict[str, Any]] = {
    **ERRORS,
    404: {"model": ErrorAnswer, "description": "There is no such session, or it was idle for too long."},
    409: {"model": ErrorAnswer, "description": "The session is deciding, has decided nothing, or is too long."},
}
EVENTS = {200: {"content": {"text/event-stream": {}}, "description": "The decision, or its events."}}


def create_app(
    agent: Agent,
    limits: Limits | None = None,
    *,
    name: str = "",
    token: str = "",
    on_failure: Callable[[BaseException], None] = lambda _: None,
) -> FastAPI:
    """The app of one server; `app.state.sessions` holds its sessions. The agent is closed when the app shuts down.

    Args:
        agent: who decides.
        limits: what is allowed; None means the defaults.
        name: what decides, for people.
        token: bearer token that every request must carry; empty for none.
        on_failure: told of every exception of a decision that is no `ItpError`.
    """
    limits = limits or Limits()
    sessions = Sessions(agent, limits)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        reaper = asyncio.create_task(_reap(sessions))
        yield
        reaper.cancel()
        agent.close()

    locks = [Security(HTTPBearer(auto_error=False))] if token else []  # the page asks for it; the guard checks it
    app = FastAPI(
        title="itp serve", description=ABOUT, version=__version__, redoc_url=None, lifespan=lifespan, dependencies=locks
    )
    app.state.sessions = sessions
    app.add_middleware(Guard, token=token, max_body=limits.max_body, open_paths=OPEN_PATHS)
    handle_errors(app)
    _add_status(app, agent, sessions, name or agent.planner.name)
    decider = _Decider(agent, limits, on_failure)
    _add_decide(app, decider)
    _add_sessions(app, sessions, decider)
    return app


async def _reap(sessions: Sessions) -> None:
    while True:
        await asyncio.sleep(min(REAP_EVERY, sessions.limits.idle_timeout / 4))
        sessions.forget_idle()


class _Decider:
    """Decisions with the errors of this API."""

    def __init__(self, agent: Agent, limits: Limits, on_failure: Callable[[BaseException], None]) -> None:
        self.agent, self._limits, self._on_failure = agent, limits, on_failure

    def check(self, commands: Sequence[str] | None, steps: int) -> None:
        """Refuse what is beyond the limits."""
        for what, count, most in (
            ("admissible_commands", len(commands or ()), self._limits.max_commands),
            ("history", steps, self._limits.max_steps),
        ):
            if count > most:
                flag = "--max-commands" if what == "admissible_commands" else "--max-steps"
                raise Refusal(422, "too_many", f"{what} has {count} entries, more than the server's {flag} {most}")

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Whatever a decision raises, as a refusal."""
        try:
            yield
        except (Refusal, asyncio.CancelledError):
            raise
        except Exception as error:
            raise self.refusal(error) from error

    def refusal(self, error: Exception) -> Refusal:
        """The answer that an error stands for."""
        kind = type(error).__name__
        if isinstance(error, Overloaded):
            return Refusal(503, "stopping", str(error)) if self.agent.closed else Refusal(429, "overloaded", str(error))
        if isinstance(error, ServerError):
            return Refusal(503, kind, str(error))
        if isinstance(error, ItpError):
            return Refusal(422, kind, str(error))
        self._on_failure(error)
        return Refusal(500, "decision_failed", f"the decision failed: {kind}: {error}")


def _add_status(app: FastAPI, agent: Agent, sessions: Sessions, name: str) -> None:
    began = time.monotonic()

    @app.get("/health", summary="Whether the server is up; needs no token")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/status", summary="What decides, and how much it has done", responses={401: ERRORS[401]})
    async def status() -> dict[str, Any]:
        return {
            "planner": name,
            "version": __version__,
            "sessions": len(sessions),
            "sessions_created": sessions.created,
            "uptime": round(time.monotonic() - began, 3),
            **agent.statistics,
        }


def _add_decide(app: FastAPI, decider: _Decider) -> None:
    @app.post("/v1/decide", summary="Decide", response_model=DecisionAnswer, responses={**ERRORS, **EVENTS})
    async def decide(body: DecideRequest) -> Response:
        decider.check(body.admissible_commands, len(body.history))
        with decider.errors():
            situation = body.situation()
            if body.stream:
                return EventStream(decider.agent.astream_at(situation), decider.refusal)
            return _json(DecisionAnswer.of(await decider.agent.adecide_at(situation)))


def _add_sessions(app: FastAPI, sessions: Sessions, decider: _Decider) -> None:
    @app.post(
        "/v1/sessions", summary="Begin a session", status_code=201, response_model=SessionAnswer, responses=ERRORS
    )
    async def create(body: SessionRequest) -> Response:
        with decider.errors():
            held = sessions.create(body.task, body.observation)
        return _json(SessionAnswer(id=held.id, steps=0), 201)

    @app.get("/v1/sessions/{id}", summary="Show a session", response_model=SessionState, responses=OF_SESSIONS)
    async def show(id: str) -> Response:
        session = sessions.get(id).session
        state = SessionState(
            id=id,
            steps=len(session.history),
            task=session.task,
            first_observation=session.first_observation,
            history=[HistoryStep(action=action, observation=told) for action, told in session.history],
            decided=session.decision.action if session.decision else None,
            usage=UsageAnswer.of(session.usage),
        )
        return _json(state)

    @app.post(
        "/v1/sessions/{id}/act",
        summary="Decide in a session",
        response_model=DecisionAnswer,
        responses={**OF_SESSIONS, **EVENTS},
    )
    async def act(id: str, body: ActRequest) -> Response:
        decider.check(body.admissible_commands, 0)
        turn = contextlib.ExitStack()
        with decider.errors(), turn:
            held = turn.enter_context(sessions.turn(id))
            sessions.check_room(held)
            if body.stream:
                return EventStream(
                    held.session.astream(body.admissible_commands), decider.refusal, turn.pop_all().close
                )
            return _json(DecisionAnswer.of(await held.session.aact(body.admissible_commands)))

    @app.post(
        "/v1/sessions/{id}/observe",
        summary="Tell a session what its action led to",
        response_model=SessionAnswer,
        responses=OF_SESSIONS,
    )
    async def observe(id: str, body: ObserveRequest) -> Response:
        with sessions.turn(id) as held:
            sessions.check_room(held)
            sessions.observe(held, body.observation, body.action)
            return _json(SessionAnswer(id=id, steps=len(held.session.history)))

    @app.delete("/v1/sessions/{id}", summary="End a session", response_model=ClosedAnswer, responses=OF_SESSIONS)
    async def close(id: str) -> Response:
        sessions.close(id)
        return _json(ClosedAnswer(id=id, closed=True))


def _json(fields: BaseModel, status: int = 200) -> Response:
    return Response(encode(fields.model_dump()), status, media_type="application/json")
