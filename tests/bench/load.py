"""The load generator: so many connections, each asks again once it is answered, each answer is judged. Knows no target.

An error is a status other than 200, an answer cut short, one without its last record, or one with a token missing.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

import httptools
from bench.engine import WORD, Spec

LAST = b'"done":true'
PATIENCE_S = 30.0
"""Seconds that answers under way may take once the time is up."""


@dataclass
class Load:
    """What is asked of a target. ``model`` says what the engine answers; see ``engine.Spec``."""

    model: str
    stream: bool
    connections: int
    seconds: float

    def body(self) -> bytes:
        said = [{"role": "user", "content": "The quick brown fox jumps over the lazy dog. " * 5}]
        return json.dumps({"model": self.model, "stream": self.stream, "messages": said}).encode()


@dataclass
class Result:
    """What came of it. Latencies are seconds, ``first_s`` up to an answer's first byte of body."""

    answers: int = 0
    errors: int = 0
    tokens: int = 0
    seconds: float = 0.0
    latency_s: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    wrong: str = ""

    def judge(self, status: int, body: bytes, expected: int, *, whole: bool) -> None:
        """Count one answer: as good, or as an error."""
        tokens = body.count(WORD)
        if status == 200 and whole and tokens == expected and LAST in body[-600:]:
            self.answers += 1
            self.tokens += tokens
            return
        self.errors += 1
        self.wrong = (
            f"status {status}, {tokens} of {expected} tokens, {'whole' if whole else 'cut short'}: {body[:80]!r}"
        )


class Asker(asyncio.Protocol):
    """One connection of the load: it asks, judges the answer, and asks again until ``until`` (loop time)."""

    def __init__(self, request: bytes, expected: int, result: Result, until: float) -> None:
        self.request = request
        self.expected = expected
        self.result = result
        self.until = until
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.pieces: list[bytes] = []
        self.first_at = self.asked_at = 0.0
        self.answered = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.result.errors += 1
            self.result.wrong = f"no HTTP: {error}"
            self.answered = True
            self._stop()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answered:
            self._judge(whole=False)
        self._stop()

    def on_body(self, body: bytes) -> None:
        if not self.pieces:
            self.first_at = time.perf_counter()
        self.pieces.append(body)

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self._judge(whole=True)
        self.result.latency_s.append(now - self.asked_at)
        self.result.first_s.append((self.first_at or now) - self.asked_at)
        if now < self.until and self.parser.should_keep_alive():
            asyncio.get_running_loop().call_soon(self._ask)
        else:
            self._stop()

    def _ask(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.pieces, self.first_at, self.answered = [], 0.0, False
        self.asked_at = time.perf_counter()
        self.transport.write(self.request)

    def _judge(self, *, whole: bool) -> None:
        self.answered = True
        try:
            status = self.parser.get_status_code()
        except httptools.HttpParserError:
            status = 0
        self.result.judge(status, b"".join(self.pieces), self.expected, whole=whole)

    def _stop(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
        self.transport.close()


def request(port: int, body: bytes) -> bytes:
    head = f"POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def drive(port: int, load: Load) -> Result:
    """Put the load on the port for its time. What does not end is an error."""
    loop, result, started = asyncio.get_running_loop(), Result(), time.perf_counter()
    asked, expected = request(port, load.body()), Spec.of(load.model).tokens
    askers: list[Asker] = []
    for _ in range(load.connections):
        _, asker = await loop.create_connection(
            lambda: Asker(asked, expected, result, started + load.seconds), "127.0.0.1", port
        )
        askers.append(asker)
    _, late = await asyncio.wait([asker.done for asker in askers], timeout=load.seconds + PATIENCE_S)
    result.seconds = time.perf_counter() - started
    result.errors += len(late)
    if late:
        result.wrong = f"{len(late)} answers did not end"
    for asker in askers:
        asker.answered = True
        asker.transport.abort()
    return result


class Leaver(asyncio.Protocol):
    """A client that hangs up once it is told to; ``begun`` is done at its answer's first token."""

    def __init__(self, asked: bytes) -> None:
        self.asked = asked
        self.seen = b""
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.transport.write(self.asked)

    def data_received(self, data: bytes) -> None:
        self.seen += data
        if WORD in self.seen and not self.begun.done():
            self.begun.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.begun.done():
            self.begun.set_exception(ConnectionError("no token came"))


async def leave(port: int, load: Load, aborted: Any) -> float:
    """Begin the streams, hang up on all at once; seconds until ``aborted()`` (awaited) counts all of them."""
    loop, asked = asyncio.get_running_loop(), request(port, load.body())
    before = await aborted()
    leavers = [
        (await loop.create_connection(lambda: Leaver(asked), "127.0.0.1", port))[1] for _ in range(load.connections)
    ]
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(leaver.begun for leaver in leavers))
        left_at = time.perf_counter()
        for leaver in leavers:
            leaver.transport.abort()
        while await aborted() - before < load.connections:
            await asyncio.sleep(0.001)
    return time.perf_counter() - left_at
