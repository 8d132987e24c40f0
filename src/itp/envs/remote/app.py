"""The FastAPI app of an environment server: routes in, calls of `Sessions` out, JSON always.

The routes of AgentGym's environment servers where those agree among themselves (create, reset, step, close,
observation, available_actions, detail); docs/remote.md says which of its clients work and where we differ.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from itp import __version__
from itp.envs.base import TextEnv
from itp.envs.remote.guard import Guard
from itp.envs.remote.messages import (
    MAX_TASKS,
    CloneRequest,
    CloseRequest,
    CreateRequest,
    ResetRequest,
    StepRequest,
)
from itp.envs.remote.session import Limits, Session
from itp.envs.remote.sessions import Sessions
from itp.envs.remote.wire import Refusal, encode, reset_fields, step_fields
from itp.errors import ConfigError

REAP_EVERY = 5.0
"""Seconds between two looks for idle sessions, at most."""

SessionQuery = Annotated[str | None, Query()]


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server serves.

    Args:
        make: creates an environment; takes `split` and `max_steps` by keyword.
        name: of the environment, for people.
        split: played by clients that name none.
        max_steps: limit for clients that name none; None means the environment's own.
        serial: environments must take turns, because a library of theirs is not made for threads.
    """

    make: Callable[..., TextEnv]
    name: str
    split: str
    max_steps: int | None = None
    serial: bool = False


def create_app(
    offer: Offer,
    limits: Limits | None = None,
    *,
    token: str = "",
    on_failure: Callable[[BaseException], None] = lambda _: None,
) -> FastAPI:
    """The app of one server; `app.state.sessions` holds its sessions, all closed when the app shuts down.

    Args:
        offer: the environment.
        limits: what is allowed; None means the defaults.
        token: bearer token that every request must carry; empty for none.
        on_failure: told of every exception of an environment that is no `ItpError`, in the environment's thread.
    """
    limits = limits or Limits()
    sessions = Sessions(limits, on_failure=on_failure, serial=offer.serial)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        reaper = asyncio.create_task(_reap(sessions))
        yield
        reaper.cancel()
        await sessions.close_all()

    app = FastAPI(title=f"itp serve-env: {offer.name}", version=__version__, docs_url=None, redoc_url=None)
    app.router.lifespan_context = lifespan
    app.state.sessions = sessions
    app.add_middleware(Guard, token=token, max_body=limits.max_body)
    handle_errors(app)
    _add_status(app, offer, sessions)
    _add_sessions(app, offer, sessions)
    _add_play(app, sessions)
    return app


async def _reap(sessions: Sessions) -> None:
    while True:
        await asyncio.sleep(min(REAP_EVERY, sessions.limits.idle_timeout / 4))
        await sessions.reap()


def handle_errors(app: FastAPI) -> None:
    """Every error is a JSON object of one line, whatever went wrong."""

    @app.exception_handler(Refusal)
    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return _json(error.fields(), error.status)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return _json(_invalid(error).fields(), _invalid(error).status)

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        what = f"{request.method} {request.url.path[:100]}: {error.detail}"
        kind = {404: "no_route", 405: "wrong_method"}.get(error.status_code, "bad_request")
        return _json(Refusal(error.status_code, kind, what).fields(), error.status_code)

    @app.exception_handler(Exception)
    async def bug(_: Request, error: Exception) -> Response:
        return _json(Refusal(500, "server_error", f"the server failed: {type(error).__name__}").fields(), 500)


def _invalid(error: RequestValidationError) -> Refusal:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return Refusal(400, "bad_json", f"the body is no JSON: {first.get('ctx', {}).get('error', first['msg'])}")
    if isinstance(first["input"], bytes):
        return Refusal(415, "bad_type", "the body must be sent as `Content-Type: application/json`")
    return Refusal(422, "bad_request", "; ".join(_mistake(found) for found in error.errors()[:3]))


def _mistake(found: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in found["loc"][1:]) or "the body"
    value = f", found {str(found['input'])[:40]!r}" if found["type"] != "missing" else ""
    return f"{where}: {found['msg']}{value}"


def _add_status(app: FastAPI, offer: Offer, sessions: Sessions) -> None:
    began = time.monotonic()

    @app.get("/")
    async def hello() -> Response:
        return _json({"status": "ok", "env": offer.name, "split": offer.split, "version": __version__})

    @app.get("/health")
    async def health() -> Response:
        return _json({"status": "ok"})

    @app.get("/status")
    async def status() -> Response:
        fields = {
            "env": offer.name,
            "sessions": len(sessions),
            "closing": sessions.closing,
            "max_sessions": sessions.limits.max_sessions,
            "uptime": round(time.monotonic() - began, 3),
            "counts": dict(sorted(sessions.counts.items())),
        }
        return _json(fields)


def _add_sessions(app: FastAPI, offer: Offer, sessions: Sessions) -> None:
    @app.post("/create")
    async def create(body: CreateRequest | None = None) -> Response:
        body = body or CreateRequest()
        split = body.split or offer.split
        max_steps = body.max_steps or offer.max_steps

        def describe(env: TextEnv) -> dict[str, Any]:
            limit = getattr(env, "max_steps", max_steps)
            return {"env": offer.name, "split": split, "max_steps": limit, "tasks": len(env.task_ids)}

        session = await sessions.create(lambda: offer.make(split=split, max_steps=max_steps), describe, body.key)
        return _json({"id": session.id, **session.details})

    @app.post("/clone")
    async def clone(body: CloneRequest) -> Response:
        twin = await sessions.clone(sessions.get(str(body.id)), body.key)
        return _json({"id": twin.id, **twin.details})

    @app.post("/close")
    async def close(body: CloseRequest) -> Response:
        session = sessions.get(str(body.id))
        await sessions.close(session, "closed by its client")
        return _json({"id": session.id, "closed": True})

    @app.get("/tasks")
    async def tasks(
        id: SessionQuery = None,
        env_idx: SessionQuery = None,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=MAX_TASKS)] = MAX_TASKS,
    ) -> Response:
        def read(env: TextEnv) -> dict[str, Any]:
            ids = env.task_ids
            return {"task_ids": [ids[i] for i in range(offset, min(offset + limit, len(ids)))], "total": len(ids)}

        return _json(await sessions.ask(_asked(sessions, id, env_idx), read))


def _add_play(app: FastAPI, sessions: Sessions) -> None:
    @app.post("/reset")
    async def reset(body: ResetRequest) -> Response:
        session = sessions.get(str(body.id))
        request = ("reset", body.model_dump_json(exclude={"id", "seq"}))
        sessions.counts["resets"] += 1
        answer = await sessions.play(session, body.seq, request, lambda env: _reset(env, body))
        return Response(answer.body, answer.status, media_type="application/json")

    @app.post("/step")
    async def step(body: StepRequest) -> Response:
        session = sessions.get(str(body.id))
        sessions.counts["steps"] += 1
        action = body.action
        answer = await sessions.play(session, body.seq, ("step", action), lambda env: step_fields(*env.step(action)))
        return Response(answer.body, answer.status, media_type="application/json")

    @app.get("/observation")
    async def observation(id: SessionQuery = None, env_idx: SessionQuery = None) -> Response:
        return _json(_shown(_asked(sessions, id, env_idx)).observation)

    @app.get("/available_actions")
    async def available_actions(id: SessionQuery = None, env_idx: SessionQuery = None) -> Response:
        return _json(_shown(_asked(sessions, id, env_idx)).available_actions)

    @app.get("/detail")
    async def detail(id: SessionQuery = None, env_idx: SessionQuery = None) -> Response:
        return Response(_shown(_asked(sessions, id, env_idx)).body, media_type="application/json")


def _reset(env: TextEnv, body: ResetRequest) -> dict[str, Any]:
    options = dict(body.options or {})
    index = body.game if body.game is not None else body.data_idx
    if index is not None:
        if not 0 <= index < len(env.task_ids):
            raise ConfigError(f"task {index} does not exist: there are {len(env.task_ids)}, counted from 0")
        options["task_id"] = env.task_ids[index]
    observation, info = env.reset(seed=body.seed, options=options or None)
    if body.game is not None:
        observation = f"{observation}\nYour task is to: {info['task']}"
    return reset_fields(observation, info)


def _asked(sessions: Sessions, id_: str | None, env_idx: str | None) -> Session:
    found = id_ if id_ is not None else env_idx
    if found is None:
        raise Refusal(422, "bad_request", "id: missing; write ?id=SESSION")
    return sessions.get(found)


def _shown(session: Session) -> Any:
    if session.shown is None:
        raise Refusal(409, "no_episode", f"session {session.id} has no episode yet: POST /reset begins one")
    return session.shown


def _json(fields: Mapping[str, Any] | str | list[str] | None, status: int = 200) -> Response:
    return Response(encode(fields), status, media_type="application/json")
