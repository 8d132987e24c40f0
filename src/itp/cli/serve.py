"""`itp serve`: decisions over HTTP, for agents in any language.

    itp serve --policy openai:http://127.0.0.1:8000/v1 --planner itp-i --port 8400
    itp serve --policy out/a2c/model --world-model out/world-model/model --planner itp --port 8400

    curl -s http://127.0.0.1:8400/v1/decide -H 'content-type: application/json' \\
        -d '{"task": "find a cup", "first_observation": "You are in a kitchen.", "admissible_commands": ["look"]}'

Prints the URL and serves until Ctrl-C or SIGTERM, then answers what is under way and exits with code 0. The API is
described at /docs; docs/agent.md has examples, streaming and sessions.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from itp.errors import ConfigError
from itp.planners.prompt_factory import PromptFlags, ServerFlags

if TYPE_CHECKING:
    from itp.agent.agent import Agent


@dataclass(kw_only=True)
class Config:
    """Decide over HTTP; requests that come together are decided together."""

    policy: str = ""
    """Who acts: openai:URL, transformers:PATH_OR_ID, scripted:FILE.json, or a checkpoint folder for act and itp."""
    world_model: str = ""
    """Who foretells: the same, a world model's folder, or rules (default for prompted planners: the policy's model)."""
    planner: str = "itp-i"
    """How: itp-i, act, cot, react, rap, mcts, tot, self-refine, multi-attempt or k-candidates around any language
    model; act or itp with trained checkpoints; random, expert."""
    horizon: str = ""
    """How far itp and itp-i imagine; see `itp eval --help` (default: prompted for itp-i, learned for itp)."""
    k_max: int | None = None
    """Most steps that are imagined (default: the checkpoint's, else 5)."""
    action: str = ""
    """How an action is chosen: score (default of trained checkpoints), generate (default of prompted models) or
    constrained (written, held to the commands of the request)."""
    action_tokens: int = 16
    """Most tokens of a generated action."""
    proposals: int = 1
    """Commands that a trained policy writes for a decision, as in `itp eval`."""
    avoid: tuple[str, ...] = ()
    """Texts such as "breaks for good": itp passes over commands whose foresight holds one of them, as in `itp eval`."""
    avoid_returns: bool = True
    """With --avoid: pass over commands that lead back to where the episode has been, too."""
    max_observation_tokens: int | None = None
    """Most tokens of an imagined observation (default: the world model's own limit)."""
    history_steps: int | None = None
    """Latest steps that a trained policy's state text may tell (default: as the checkpoint says)."""
    seed: int = 0
    """Of every random draw."""
    device: str = "cpu"
    """Where models of this process run: cpu, cuda, cuda:1, mps."""
    wm_device: str = ""
    """Where the world model runs (default: --device)."""
    dtype: str = "float32"
    """Precision of model weights: float32, bfloat16 or float16."""
    wm_dtype: str = ""
    """Precision of the world model's weights (default: --dtype)."""
    host: str = "127.0.0.1"
    """Address to listen on; any but loopback needs --token-env."""
    port: int = 8400
    """Port to listen on; 0 takes a free one and prints it."""
    token_env: str = ""
    """Environment variable that holds the bearer token which clients must send (default: none is needed)."""
    max_batch: int = 32
    """Most decisions of one planner call."""
    batch_window: float = 0.005
    """Seconds that the first of concurrent requests waits for others."""
    parallel: int = 0
    """Planner calls at the same time (0: 8 where all models are behind servers, else 1)."""
    max_waiting: int = 256
    """Decisions that may wait; further requests get 429."""
    max_sessions: int = 1000
    """Sessions at once; further ones get 429."""
    idle_timeout: float = 1800.0
    """Seconds without a request after which a session is forgotten."""
    max_steps: int = 1000
    """Most steps of a session or history."""
    max_commands: int = 1000
    """Most admissible commands of one request."""
    max_body: int = 1 << 20
    """Bytes that a request may have."""
    prompting: PromptFlags = field(default_factory=PromptFlags)
    """How prompted planners ask."""
    server: ServerFlags = field(default_factory=ServerFlags)
    """How model servers are reached."""


def run(config: Config) -> None:
    """Serve until told to stop."""
    from itp.envs.remote.server import bind, failure_log, is_loopback, url_of
    from itp.serve.app import create_app
    from itp.serve.server import AgentServer
    from itp.serve.sessions import Limits

    check(config)
    limits = Limits(config.max_sessions, config.idle_timeout, config.max_steps, config.max_commands, config.max_body)
    token = read_token(config.token_env)
    with bind(config.host, config.port) as server:
        if not token and not is_loopback(server):
            raise ConfigError(
                f"--host {config.host} lets other machines in: name an environment variable with a token by --token-env"
            )
        agent = make_agent(config)
        app = create_app(agent, limits, token=token, on_failure=failure_log("a decision"))
        url = url_of(server)
        print(f"deciding by {agent.planner.name} at {url} (described at {url}/docs)", flush=True)
        AgentServer(app, server, agent).serve_here()
    done = agent.statistics
    sessions = app.state.sessions.created
    print(f"stopped: {done['decisions']} decisions in {done['batches']} batches, {sessions} sessions", flush=True)


def check(config: Config) -> None:
    """Refuse flags that cannot work, before anything is loaded."""
    from itp.agent.build import ALONE, OFFERED

    if config.planner not in OFFERED:
        raise ConfigError(f"--planner {config.planner} is unknown: choose one of {', '.join(OFFERED)}")
    if not config.policy and config.planner not in ALONE:
        raise ConfigError(f"--planner {config.planner} needs --policy: openai:URL, transformers:PATH or a folder")
    for name, least in (
        ("k_max", 1),
        ("action_tokens", 1),
        ("max_observation_tokens", 1),
        ("history_steps", 1),
        ("seed", 0),
        ("max_batch", 1),
        ("parallel", 0),
        ("max_waiting", 1),
    ):
        value = getattr(config, name)
        if value is not None and value < least:
            raise ConfigError(f"--{name.replace('_', '-')} {value} is too small: give at least {least}")
    if not 0 <= config.batch_window <= 10:
        raise ConfigError(f"--batch-window {config.batch_window:g} is not allowed: give seconds, from 0 to 10")


def make_agent(config: Config) -> Agent:
    """The agent that decides; models are loaded here."""
    from itp.agent.agent import MANY, Agent
    from itp.agent.build import serves_threads
    from itp.planners.factory import PlannerSpec, build_planner

    spec = PlannerSpec(
        planner=config.planner,
        horizon=config.horizon or ("prompted" if config.planner == "itp-i" else "learned"),
        policy=config.policy,
        world_model=config.world_model,
        action=config.action,
        k_max=config.k_max,
        device=config.device,
        dtype=config.dtype,
        wm_device=config.wm_device,
        wm_dtype=config.wm_dtype,
        action_tokens=config.action_tokens,
        proposals=config.proposals,
        avoid=config.avoid,
        avoid_returns=config.avoid_returns,
        max_observation_tokens=config.max_observation_tokens,
        history_steps=config.history_steps,
        prompting=config.prompting,
        server=config.server,
    )
    remote = bool(config.policy) and serves_threads(config.policy, config.world_model or None)
    return Agent(
        planner=build_planner(spec),
        seed=config.seed,
        max_batch=config.max_batch,
        batch_window=config.batch_window,
        max_waiting=config.max_waiting,
        parallel=config.parallel or (MANY if remote else 1),
    )


def read_token(variable: str) -> str:
    """The bearer token of an environment variable; "" where none is named.

    Raises:
        ConfigError: the variable holds none, or one that cannot travel in a header.
    """
    if not variable:
        return ""
    token = os.environ.get(variable, "").strip()
    if not token:
        raise ConfigError(
            f"--token-env {variable}: the variable is empty: export a token, such as `openssl rand -hex 16` prints"
        )
    if not all("!" <= character <= "~" for character in token):
        raise ConfigError(f"--token-env {variable} must hold one word of plain letters, digits and signs")
    return token
