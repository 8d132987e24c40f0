"""A model server that misbehaves on demand: rate limits, crashes, slowness, cut and senseless answers.

`with FaultServer(["429", "500"]) as server:` answers its first two requests so and echoes from then on. Faults can also
be tied to a word of the prompt, for as long as they stand in `by_word`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

SLOW = 1.0
"""Seconds that a slow answer takes."""


_INSTEAD = {"max_tokens": ", use max_completion_tokens"}


class FaultServer:
    """Runs in a thread on an ephemeral port of loopback.

    Args:
        faults: what the first requests get, in order of arrival: a status ("429", "500", "401", "400", "404"), "slow",
            "cut", "malformed", "empty" or "good".
        by_word: fault of every request whose prompt holds a word.
        answer: from the text of the prompt to the message (or the fields of it) of a good answer.
        usage: whether good answers tell it.
        rejects: fields of a request that it refuses by name.

    Attributes:
        requests: (path, body) of each, in order of arrival.
        most_at_once: the most requests that were under way together.
    """

    def __init__(
        self,
        faults: Iterable[str] = (),
        *,
        by_word: dict[str, str] | None = None,
        answer: Callable[[str], str | dict[str, Any]] = lambda prompt: f"echo {prompt}",
        usage: dict[str, Any] | None = None,
        retry_after: str = "0.05",
        models: Iterable[str] = ("toy",),
        delay: float = 0.0,
        rejects: Iterable[str] = (),
    ) -> None:
        self.faults, self.by_word, self.answer, self.usage = list(faults), by_word or {}, answer, usage
        self.retry_after, self.models, self.delay, self.rejects = retry_after, list(models), delay, set(rejects)
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.times: list[float] = []
        self.keys: list[str] = []
        self.most_at_once = self._now = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next_fault(self, path: str, body: dict[str, Any], key: str) -> str:
        with self._lock:
            self.requests.append((path, body))
            self.times.append(time.monotonic())
            self.keys.append(key)
            rejected = self.rejects & set(body)
            if rejected:
                return "400 " + " ".join(f"Unsupported: {name}{_INSTEAD.get(name, '')}." for name in rejected)
            word = next((fault for word, fault in self.by_word.items() if word in prompt_of(body)), None)
            return word or (self.faults.pop(0) if self.faults else "good")

    def under_way(self, change: int) -> None:
        with self._lock:
            self._now += change
            self.most_at_once = max(self.most_at_once, self._now)

    def good(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """An answer as servers give it."""
        said = self.answer(prompt_of(body))
        fields = said if isinstance(said, dict) else {"content": said}
        choice: dict[str, Any] = {"index": 0, "finish_reason": fields.pop("finish_reason", "stop")}
        if "logprobs" in fields:
            choice["logprobs"] = fields.pop("logprobs")
        if path.endswith("/chat/completions"):
            choice["message"] = {"role": "assistant", **fields}
        else:
            choice["text"] = fields["content"]
        return {"id": "1", "object": "x", "created": 0, "model": "toy", "choices": [choice]} | (
            {"usage": self.usage} if self.usage else {}
        )

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                status = int(server.next_fault(self.path, {}, "").replace("good", "200"))
                self.reply(status, json.dumps({"object": "list", "data": [{"id": m} for m in server.models]}))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                fault = server.next_fault(self.path, body, self.headers.get("authorization", ""))
                server.under_way(1)
                try:
                    time.sleep(server.delay)
                    self.fail(fault, body)
                finally:
                    server.under_way(-1)

            def fail(self, fault: str, body: dict[str, Any]) -> None:
                good = json.dumps(server.good(self.path, body))
                if fault == "slow":
                    time.sleep(SLOW)
                if fault in ("good", "slow"):
                    self.reply(200, good)
                elif fault == "malformed":
                    self.reply(200, good[: len(good) // 2])
                elif fault == "empty":
                    self.reply(200, json.dumps({**json.loads(good), "choices": []}))
                elif fault == "cut":
                    self.reply(200, good[: len(good) // 2], length=len(good))
                else:
                    status, _, unsupported = fault.partition(" ")
                    said = unsupported or f"refused\n{self.headers.get('authorization')}"
                    self.reply(int(status), json.dumps({"error": {"message": said, "type": "x"}}))

            def reply(self, status: int, text: str, length: int | None = None) -> None:
                data = text.encode()
                try:
                    self.send_response(status)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(length or len(data)))
                    if status == 429:
                        self.send_header("retry-after", server.retry_after)
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:  # the client gave up waiting
                    pass

        return Handler


def prompt_of(body: dict[str, Any]) -> str:
    """The text that a request asks about."""
    return body["messages"][-1]["content"] if "messages" in body else body.get("prompt", "")
