"""An HTTP/1.1 server on a real loopback socket that answers exactly as it is told. Knows no engine and no product code.

It exists so that a test decides every byte, every boundary between pieces, every pause and every way of breaking:

    async with ScriptedServer() as fake:
        fake.script("/api/chat", streaming(b'{"a":1}\\n', event, b'{"a":2}\\n'))   # waits for `event` in between
        fake.script("/api/chat", failing(503, b'{"error":"busy"}'), times=2)
        fake.script("/api/chat", hang(), times=None)                              # from then on, for ever
        ...
        await fake.requests.wait(3)      # three requests have arrived
        await fake.closed.wait(1)        # one client left before its answer was complete
"""

import asyncio
import socket
import struct
import time
import traceback
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from fakes.answers import (
    JSON,
    NDJSON,
    SSE,
    Answer,
    Closed,
    Piece,
    Request,
    Responder,
    Watched,
    failing,
    hang,
    hung_up,
    replying,
    reset,
    streaming,
)

__all__ = [
    "JSON",
    "NDJSON",
    "SSE",
    "Answer",
    "Closed",
    "Piece",
    "Request",
    "Responder",
    "ScriptedServer",
    "Watched",
    "failing",
    "hang",
    "hung_up",
    "replying",
    "reset",
    "streaming",
]


@dataclass
class _Script:
    answer: Responder
    left: int | None


class _Connection(asyncio.Protocol):
    """One accepted connection: reads requests from its buffer and notices at once when its client leaves."""

    def __init__(self, server: "ScriptedServer") -> None:
        self.server = server
        self.buffer = bytearray()
        self.grown = asyncio.Event()
        self.gone = False
        self.request: Request | None = None
        self.sent = 0
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport: Any = transport
        self.number = self.server._opened(self)
        self.task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.grown.set()

    def eof_received(self) -> bool:
        self._left()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._left()
        self.server._lost(self)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def _left(self) -> None:
        if self.gone:
            return
        self.gone = True
        if self.request is not None:
            self.server.closed.append(Closed(self.request, time.monotonic(), self.sent))
        self.task.cancel()

    async def _more(self) -> None:
        self.grown.clear()
        await self.grown.wait()

    async def _until(self, mark: bytes) -> bytes:
        while (at := self.buffer.find(mark)) < 0:
            await self._more()
        out = bytes(self.buffer[:at])
        del self.buffer[: at + len(mark)]
        return out

    async def _exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            await self._more()
        out = bytes(self.buffer[:count])
        del self.buffer[:count]
        return out

    async def _read_request(self) -> Request:
        lines = (await self._until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        pairs = (line.split(":", 1) for line in lines[1:])
        headers = tuple((name.strip().lower(), value.strip()) for name, value in pairs)
        told = dict(headers)
        if told.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in told.get("transfer-encoding", "").lower():
            body = b""
            while size := int((await self._until(b"\r\n")).split(b";")[0], 16):
                body += (await self._exactly(size + 2))[:-2]
            await self._until(b"\r\n")
        else:
            body = await self._exactly(int(told.get("content-length") or 0))
        split = urlsplit(target)
        return Request(method, unquote(split.path), split.query, headers, body, time.monotonic(), self.number)

    async def _serve(self) -> None:
        try:
            while True:
                request = await self._read_request()
                self.request, self.sent = request, 0
                if not await self._answer(request):
                    return
        except asyncio.CancelledError:
            pass
        finally:
            self.request = None
            self.transport.close()

    async def _answer(self, request: Request) -> bool:
        """Send one answer; false when the connection ends with it."""
        server = self.server
        counted = server.counts(request)
        server.running += counted
        server.peak = max(server.peak, server.running)
        server.requests.append(request)
        try:
            try:
                answer = server._choose(request)
            except Exception as exc:  # a mistake in the fake itself must be seen, not look like a broken engine
                traceback.print_exc()
                answer = failing(500, f"the fake failed: {exc!r}".encode(), "text/plain")
            keep = await self._send(request, answer)
            self.request = None  # complete: a client that leaves now leaves nothing behind
            if answer.after:
                answer.after()
            return keep
        finally:
            server.running -= counted
            server.finished.append(request)

    async def _send(self, request: Request, answer: Answer) -> bool:
        if answer.before is not None:
            await answer.before.wait()
        framing, pieces = answer.framing, answer.pieces
        if framing == "length" and isinstance(pieces, AsyncIterable):
            pieces = [piece async for piece in pieces]
        close = framing == "close" or (request.header("connection") or "").lower() == "close"
        if answer.head:
            self.transport.write(_head(answer, pieces, close))
        bodyless = request.method == "HEAD" or answer.status in (204, 304)
        if not bodyless:
            await self._send_pieces(pieces, chunked=framing == "chunked")
        if answer.end == "hang":
            await asyncio.Event().wait()
        if answer.end == "reset":
            linger = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.gone = True
            self.transport.abort()
            return False
        if answer.end == "close":
            self.gone = True
            return False
        if framing == "chunked" and not bodyless:
            self.transport.write(b"0\r\n\r\n")
        await self.writable.wait()
        return not close

    async def _send_pieces(self, pieces: Iterable[Piece] | AsyncIterable[Piece], *, chunked: bool) -> None:
        async with aclosing(_each(pieces)) as each:
            await self._send_each(each, chunked)

    async def _send_each(self, pieces: AsyncIterable[Piece], chunked: bool) -> None:
        async for piece in pieces:
            if isinstance(piece, asyncio.Event):
                await piece.wait()
            elif isinstance(piece, float):
                await asyncio.sleep(piece)
            else:
                self.transport.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                self.sent += len(piece)
                await self.writable.wait()
                await asyncio.sleep(0)


async def _each(pieces: Iterable[Piece] | AsyncIterable[Piece]) -> AsyncGenerator[Piece, None]:
    if isinstance(pieces, AsyncGenerator):
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece
    elif isinstance(pieces, AsyncIterable):
        async for piece in pieces:
            yield piece
    else:
        for piece in pieces:
            yield piece


def _head(answer: Answer, pieces: Iterable[Piece] | AsyncIterable[Piece], close: bool) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} Scripted", f"content-type: {answer.content_type}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if answer.framing == "chunked":
        lines.append("transfer-encoding: chunked")
    elif answer.framing == "length":
        assert isinstance(pieces, list | tuple), "a body with a length must be a list or tuple of pieces"
        total = sum(len(piece) for piece in pieces if isinstance(piece, bytes))
        lines.append(f"content-length: {total + answer.missing}")
    if close:
        lines.append("connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class ScriptedServer:
    """Listens on ``host``:``port`` (0: any) while the ``async with`` block runs.

    ``requests``  every request, in order of arrival      ``running``, ``peak``  requests in work now, and at most
    ``finished``  every request whose answer has ended    ``closed``  clients that left before their answer was complete
    ``connections``  how many connections were accepted   ``open``  how many are open now
    Running and peak count only the requests for which ``counts`` says so.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self.running = 0
        self.peak = 0
        self.connections = 0
        self.requests: Watched[Request] = Watched()
        self.finished: Watched[Request] = Watched()
        self.closed: Watched[Closed] = Watched()
        self._scripts: dict[str, deque[_Script]] = defaultdict(deque)
        self._live: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def open(self) -> int:
        return len(self._live)

    def counts(self, request: Request) -> bool:
        """Whether this request counts as running."""
        return True

    def respond(self, request: Request) -> Answer:
        """The answer when nothing is scripted for the path."""
        return failing(404, b'{"error":"not found"}')

    def script(self, path: str, *answers: Responder, times: int | None = 1) -> None:
        """Queue answers for a path ("*" for any): each is given ``times`` times (None: for ever), then the default."""
        self._scripts[path].extend(_Script(answer, times) for answer in answers)

    def unscript(self, path: str | None = None) -> None:
        """Forget what is queued for a path, or for all."""
        self._scripts.clear() if path is None else self._scripts.pop(path, None)

    def asked(self, path: str) -> list[Request]:
        """The requests for this path so far."""
        return [request for request in self.requests if request.path == path]

    async def accept(self) -> None:
        """Listen, again on the same port after ``refuse``."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), self.host, self.port, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self, *, cut: bool = True) -> None:
        """Stop listening: new connections are refused by the system; ``cut`` ends the open ones too."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if cut:
            await self.cut()

    async def cut(self) -> None:
        """End every open connection, in the middle of whatever it does."""
        live = list(self._live)
        for connection in live:
            connection.gone = True
            connection.task.cancel()
            connection.transport.abort()
        await asyncio.gather(*(connection.task for connection in live), return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.refuse()

    def _opened(self, connection: _Connection) -> int:
        self._live.add(connection)
        self.connections += 1
        return self.connections

    def _lost(self, connection: _Connection) -> None:
        self._live.discard(connection)

    def _choose(self, request: Request) -> Answer:
        for path in (request.path, "*"):
            queue = self._scripts.get(path)
            if queue:
                script = queue[0]
                if script.left is not None:
                    script.left -= 1
                    if script.left <= 0:
                        queue.popleft()
                return script.answer if isinstance(script.answer, Answer) else script.answer(request)
        return self.respond(request)
