"""A fast fake Ollama for the benchmark: one write for each token, and the model's name decides how many. Knows no Herd.

``mock:t64`` answers 64 tokens; ``mock:t50d20000`` answers 50, one each 20,000 microseconds. ``GET /stats`` tells what
happened to the streams. As a program: ``python engine.py PORT MODEL...``.
"""

import asyncio
import json
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httptools

SPEC = re.compile(r"t(\d+)(?:d(\d+))?$")
WORD = b" tok"
"""The text of each token: the load generator counts it, and nothing else in an answer looks like it."""
CREATED = "2026-01-01T00:00:00Z"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%s\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"
GIB = 1024**3


@dataclass
class Stats:
    """What became of the requests so far; ``aborted`` streams lost their client."""

    requests: int = 0
    finished: int = 0
    aborted: int = 0


@dataclass(frozen=True)
class Spec:
    """What a model's name asks for."""

    tokens: int
    delay_s: float

    @classmethod
    def of(cls, model: str) -> "Spec":
        found = SPEC.search(model)
        return cls(int(found[1]), int(found[2] or 0) / 1e6) if found else cls(32, 0.0)


def record(model: str, content: bytes, *, last: int | None = None) -> bytes:
    """One record of a chat; ``last`` is the count of tokens in the record that ends it."""
    said: dict[str, Any] = {"model": model, "created_at": CREATED}
    said |= {"message": {"role": "assistant", "content": content.decode()}, "done": last is not None}
    if last is not None:
        said |= {"done_reason": "stop", "total_duration": 5_000_000, "load_duration": 40_000, "prompt_eval_count": 26}
        said |= {"prompt_eval_duration": 1_000_000, "eval_count": last, "eval_duration": 4_000_000}
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


class Door(asyncio.Protocol):
    """One connection. ``skip`` leaves out one token of each answer, to see who notices."""

    def __init__(self, engine: "Engine") -> None:
        self.engine = engine
        self.loop = asyncio.get_running_loop()
        self.parser = httptools.HttpRequestParser(self)
        self.url = b""
        self.body: list[bytes] = []
        self.left = 0
        self.token = self.end = b""
        self.delay_s = 0.0
        self.streaming = self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.engine.open.add(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.engine.open.discard(self)
        if self.streaming:
            self.streaming = False
            self.engine.stats.aborted += 1

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self.streaming and not self.delay_s:
            self._next()

    def on_message_begin(self) -> None:
        self.body = []

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        path = self.url.decode()
        if path == "/api/chat":
            self._chat(json.loads(b"".join(self.body)))
        else:
            self._send(self.engine.listing(path))

    def _chat(self, asked: dict[str, Any]) -> None:
        self.engine.stats.requests += 1
        model = asked["model"]
        spec, count = Spec.of(model), Spec.of(model).tokens - self.engine.skip
        if asked.get("stream", True) is False:
            self._send(self.engine.said(record, model, WORD * count, last=spec.tokens))
            return
        self.token = chunk(self.engine.said(record, model, WORD))
        self.end = chunk(self.engine.said(record, model, b"", last=spec.tokens)) + b"0\r\n\r\n"
        self.left, self.delay_s, self.streaming = count, spec.delay_s, True
        self.transport.write(HEAD % (b"application/x-ndjson", CHUNKED))
        self._next()

    def _next(self) -> None:
        """One token, then the other streams' turn."""
        if not self.streaming or self.paused:
            return
        if not self.left:
            self.streaming = False
            self.engine.stats.finished += 1
            self.transport.write(self.end)
            return
        self.left -= 1
        self.transport.write(self.token)
        if self.delay_s:
            self.loop.call_later(self.delay_s, self._next)
        elif not self.paused:
            self.loop.call_soon(self._next)

    def _send(self, body: bytes) -> None:
        length = b"Content-Length: %d" % len(body)
        self.transport.write(HEAD % (b"application/json", length) + body)


class Engine:
    """``skip`` tokens are missing from each answer (0: it keeps its word)."""

    def __init__(self, *models: str, skip: int = 0) -> None:
        self.models = models
        self.skip = skip
        self.stats = Stats()
        self.open: set[Door] = set()
        self._said: dict[tuple[Any, ...], bytes] = {}

    async def listen(self, port: int = 0) -> int:
        """The port on which it listens now."""
        self._server = await asyncio.get_running_loop().create_server(lambda: Door(self), "127.0.0.1", port)
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        self._server.close()
        for door in list(self.open):
            door.transport.abort()

    def said(self, make: Any, *args: Any, **more: Any) -> bytes:
        """What ``make`` gives, made once: the engine must cost little beside those that are measured."""
        key = (*args, *more.values())
        if key not in self._said:
            self._said[key] = make(*args, **more)
        return self._said[key]

    def listing(self, path: str) -> bytes:
        """What Ollama tells about itself and its models."""
        details = {"format": "gguf", "family": "llama", "parameter_size": "1B", "quantization_level": "Q4_0"}
        models = [
            {"name": name, "model": name, "size": GIB, "size_vram": GIB, "digest": f"{i:064x}", "details": details}
            | {"modified_at": CREATED, "expires_at": "2318-01-01T00:00:00Z", "context_length": 8192}
            for i, name in enumerate(self.models)
        ]
        shown = {"capabilities": ["completion"], "details": details, "model_info": {"llama.context_length": 8192}}
        told: dict[str, Any] = {
            "/stats": asdict(self.stats), "/api/version": {"version": "0.31.0"}, "/api/show": shown,
            "/api/tags": {"models": models}, "/api/ps": {"models": models},
        }  # fmt: skip
        return json.dumps(told.get(path, {})).encode()


async def serve(port: int, models: list[str]) -> None:
    await Engine(*models).listen(port)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    import uvloop

    uvloop.run(serve(int(sys.argv[1]), sys.argv[2:]))
