"""`itp serve-env` under many clients, some of them rude: latency, errors by kind, and what is left behind.

    python benchmarks/serve_env.py                       # 200 sessions at once, five rounds, under two minutes
    python benchmarks/serve_env.py --think 1             # agents that think for a second between steps
    python benchmarks/serve_env.py --sessions 20 --rounds 1 --idle-timeout 1

Starts a server of household games, plays with one well-behaved client (`RemoteEnv`), then with all sessions at once
(plain sockets in one process: httpx would cost three times what the server does). Each session plays random admissible
commands to the end of its episode. One in ten vanishes without closing, half of those in the middle of a request;
between its steps a session sends, one time in ten each, malformed JSON, an unknown id, and a body that is too large.
After each round the server's memory is read, and at the end, when idle sessions are reaped, also its sessions, threads
and open files. Exit code 1 if anything was answered that should not be, anything is left behind, or the server does
not stop cleanly.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import secrets
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import psutil

from itp import make_env

MAX_BODY = 100_000
RUDE = 0.1
"""Chance of each kind of rudeness, at each step; and of vanishing, in each session."""
EXPECTED = {"bad_json": 400, "unknown_session": 404, "too_large": 413}
TYPE = "content-type: application/json"


@dataclass
class Tally:
    """What the clients of a run saw."""

    steps: list[float] = field(default_factory=list)
    """Seconds of each step."""
    creates: list[float] = field(default_factory=list)
    done: int = 0
    vanished: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """Kinds of errors that were asked for."""
    unexpected: Counter[str] = field(default_factory=Counter)


class Server:
    """The server's process and what it holds."""

    def __init__(self, args: argparse.Namespace) -> None:
        words = ["--env", "household", "--split", "valid", "--port", "0", "--max-body", str(MAX_BODY)]
        words += ["--max-sessions", str(2 * args.sessions), "--idle-timeout", str(args.idle_timeout)]
        command = [sys.executable, "-m", "itp.cli", "serve-env", *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.search(r"http://\S+", self.process.stdout.readline())
        if found is None:
            raise SystemExit(f"the server did not start: {self.process.communicate()[1]}")
        self.url = found.group()
        self._usage = psutil.Process(self.process.pid)

    def memory(self) -> float:
        """Resident memory in MB."""
        return self._usage.memory_info().rss / 1e6

    def left(self) -> tuple[int, int, int]:
        """Sessions, threads and open files."""
        with urllib.request.urlopen(f"{self.url}/status") as answer:
            status = json.load(answer)
        time.sleep(0.3)  # the server closes its side of this connection
        return status["sessions"] + status["closing"], self._usage.num_threads(), self._usage.num_fds()

    def stop(self) -> tuple[int, float, str]:
        """End it by SIGTERM; exit code, seconds, what it wrote to stderr."""
        began = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        errors = self.process.communicate(timeout=60)[1]
        return self.process.returncode, time.perf_counter() - began, errors


class Client:
    """One kept connection, and as little work as HTTP allows: what is measured is the server."""

    def __init__(self, url: str) -> None:
        self.host, self.port = urlsplit(url).hostname, urlsplit(url).port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and JSON object of the answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.host, self.port)
        reader, writer = self._streams
        writer.write(self.head(path, len(body)) + body)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        content = await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r", 1)[0]))
        if b"connection: close" in head:
            await self.close()
        return int(head.split(b" ", 2)[1]), json.loads(content)

    def head(self, path: str, length: int) -> bytes:
        """The first lines of a request."""
        return f"POST {path} HTTP/1.1\r\nhost: x\r\n{TYPE}\r\ncontent-length: {length}\r\n\r\n".encode()

    async def hang_up(self, session: str) -> None:
        """Begin a step and close the connection in the middle of it."""
        _, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(self.head("/step", 200) + f'{{"id": "{session}", '.encode())
        await writer.drain()
        writer.close()

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def play(index: int, args: argparse.Namespace, tally: Tally) -> None:
    """One session from create to close, or to where it vanishes."""
    rng, client = random.Random(f"{args.seed}/{index}"), Client(args.url)
    await asyncio.sleep(rng.random() * args.think)
    vanishing = rng.random() < RUDE
    began = time.perf_counter()
    made = await ask(client, tally, "/create", {"key": secrets.token_hex(16)})
    tally.creates.append(time.perf_counter() - began)
    session = made.get("id", "")
    answer = await ask(client, tally, "/reset", {"id": session, "game": index % 200, "seq": 1})
    last = rng.randrange(1, 20) if vanishing else 1_000_000
    while not answer.get("done", True) and answer["seq"] <= last:
        await be_rude(client, rng, tally)
        await asyncio.sleep(2 * args.think * rng.random())
        action = rng.choice(answer["available_actions"])
        began = time.perf_counter()
        answer = await ask(client, tally, "/step", {"id": session, "action": action, "seq": answer["seq"] + 1})
        tally.steps.append(time.perf_counter() - began)
    if vanishing:
        tally.vanished += 1
        if rng.random() < 0.5:
            await client.hang_up(session)
    else:
        closed = await ask(client, tally, "/close", {"id": session})
        tally.done += closed.get("closed", False)
    await client.close()


async def ask(client: Client, tally: Tally, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """A request that must succeed."""
    try:
        status, answer = await client.post(path, json.dumps(body).encode())
    except (OSError, EOFError, ValueError) as error:
        tally.unexpected[f"{path} {type(error).__name__}"] += 1
        return {}
    if status == 200:
        return answer
    tally.unexpected[f"{path} {status} {answer.get('kind')}"] += 1
    return {}


async def be_rude(client: Client, rng: random.Random, tally: Tally) -> None:
    """Perhaps send something that must be refused."""
    for kind in EXPECTED:
        if rng.random() >= RUDE:
            continue
        body = {
            "bad_json": b'{"id": "a", "action": ',
            "unknown_session": b'{"id": "%032x", "action": "look"}' % rng.getrandbits(128),
            "too_large": b'{"id": "a", "action": "' + b"x" * MAX_BODY + b'"}',
        }[kind]
        try:
            status, answer = await client.post("/step", body)
        except (OSError, EOFError, ValueError) as error:
            tally.unexpected[f"{kind} {type(error).__name__}"] += 1
            continue
        right = status == EXPECTED[kind] and answer.get("kind") == kind
        (tally.errors if right else tally.unexpected)[kind] += 1


async def play_all(args: argparse.Namespace) -> Tally:
    """All sessions at once."""
    tally = Tally()
    await asyncio.gather(*(play(index, args, tally) for index in range(args.sessions)))
    return tally


def play_alone(args: argparse.Namespace) -> Tally:
    """Ten episodes of one client."""
    tally, rng = Tally(), random.Random(args.seed)
    for index in range(10):
        began = time.perf_counter()
        env = make_env(args.url, split="valid")
        tally.creates.append(time.perf_counter() - began)
        _, info = env.reset(options={"task_id": env.task_ids[index]})
        over = False
        while not over:
            action = rng.choice(info["admissible_commands"] or ["look"])
            began = time.perf_counter()
            _, _, terminated, truncated, info = env.step(action)
            tally.steps.append(time.perf_counter() - began)
            over = terminated or truncated
        env.close()
        tally.done += 1
    return tally


def report(name: str, tally: Tally, seconds: float, memory: float) -> None:
    """Print one run."""
    steps = sorted(tally.steps)
    p50, p99 = (1e3 * steps[int(share * (len(steps) - 1))] for share in (0.5, 0.99))
    create = 1e3 * statistics.median(tally.creates)
    print(f"{name}: {tally.done} sessions done, {tally.vanished} vanished, {len(steps)} steps in {seconds:.1f} s")
    print(f"  step p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {1e3 * steps[-1]:.0f} ms; create p50 {create:.1f} ms")
    print(f"  {len(steps) / seconds:,.0f} steps/s; server {memory:.1f} MB")
    asked = ", ".join(f"{kind} {count}" for kind, count in sorted(tally.errors.items())) or "none"
    wrong = ", ".join(f"{kind} {count}" for kind, count in sorted(tally.unexpected.items())) or "none"
    print(f"  errors asked for: {asked}; unexpected: {wrong}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    server = Server(args)
    try:
        return measure(args, server)
    finally:
        if server.process.poll() is None:
            server.process.kill()


def measure(args: argparse.Namespace, server: Server) -> int:
    """Play, wait for the reaper, stop the server; the exit code."""
    args.url = server.url
    print(f"server {server.memory():.1f} MB at start, {os.cpu_count()} cores; client and server share them")
    began = time.perf_counter()
    alone = play_alone(args)
    report("one client", alone, time.perf_counter() - began, server.memory())
    sessions, threads, files = server.left()
    wrong = Counter(alone.unexpected)
    for number in range(1, args.rounds + 1):
        began = time.perf_counter()
        tally = asyncio.run(play_all(args))
        report(f"round {number}, {args.sessions} at once", tally, time.perf_counter() - began, server.memory())
        wrong += tally.unexpected
        wrong["sessions lost"] += args.sessions - tally.done - tally.vanished
    time.sleep(args.idle_timeout * 1.25 + 6)
    after = server.left()
    print(f"after reaping: server {server.memory():.1f} MB; sessions {sessions} -> {after[0]},", end=" ")
    print(f"threads {threads} -> {after[1]}, open files {files} -> {after[2]}")
    code, seconds, errors = server.stop()
    print(f"SIGTERM: exit code {code} after {seconds:.2f} s; stderr {errors.strip()[-300:]!r}")
    left = after[0] != 0 or after[1] > threads or after[2] > files
    return int(bool(+wrong) or left or code != 0 or bool(errors))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=200, help="sessions at once (default 200)")
    parser.add_argument("--rounds", type=int, default=5, help="times that all sessions are played (default 5)")
    parser.add_argument("--think", type=float, default=0.0, help="mean seconds between steps (default 0)")
    parser.add_argument("--idle-timeout", type=float, default=5.0, help="of the server, seconds (default 5)")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
