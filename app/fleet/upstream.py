"""The data plane's HTTP/1.1 client: a pool of kept connections per engine, pieces as they arrive. Knows no dialect.

Written for relaying: one parser (httptools), no task and no timer per request or piece, no copy of a piece that comes
alone. What it does not do on purpose: redirects, cookies, decompression, TLS (an engine behind https is relayed by its
node's door). ``docs/decisions`` holds the measurement that chose it.
"""

import asyncio
import errno
from collections import deque
from collections.abc import Iterable
from contextlib import aclosing
from functools import lru_cache
from urllib.parse import urlsplit

import httptools

from app.errors import EngineFailed, HerdError, NodeAway, NodeUnreachable, StreamBroken
from app.fleet.job import Upload

Address = tuple[str, int]

BUFFERED_MOST = 1024 * 1024
"""Bytes waiting for a slow reader after which the engine is no longer read, until they are taken: all at once."""
HEADERS_MOST = 100
HEAD_BYTES_MOST = 64 * 1024
NOBODY_THERE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT}
"""What a system says when a whole machine does not answer; one that refuses is there."""
IDLE_MOST = 256
"""Kept connections for each engine."""


class _Connection(asyncio.Protocol):
    """One TCP connection; belongs to one exchange at a time, or waits with the others of its engine in a ``line``."""

    __slots__ = ("exchange", "full", "line", "loop", "lost", "transport")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.exchange: UpstreamExchange | None = None
        self.line: list[_Connection] | None = None
        self.lost = False
        self.full = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # TCP transports are asyncio.Transport in all but name

    def data_received(self, data: bytes) -> None:
        if self.exchange is None:
            self.close()  # nobody asked: the connection cannot be trusted any more
        else:
            self.exchange.hear(data, self.loop.time())

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        if self.exchange is not None:
            self.exchange.emptied()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self.line is not None:
            self.line.remove(self)
        if self.exchange is not None:
            self.exchange.lost(clean=exc is None)

    def close(self) -> None:
        self.lost = True
        self.exchange = None
        self.transport.abort()


class UpstreamExchange:
    """One request and its answer. ``head``, then ``piece`` until it is empty (or ``whole``), then ``close``, always.

    ``abort`` may be called at any time from elsewhere: who waits here gets its error, and the socket is closed.
    ``progressed_at`` is when the engine last said something, or took a piece of an upload.
    """

    def __init__(self, pool: "Upstream", address: Address, request: bytes, upload: Upload | None) -> None:
        self.status = 0
        self.content_type = ""
        self.progressed_at = 0.0
        self._pool = pool
        self._address = address
        self._request = request
        self._upload = upload
        self._sent = upload is None
        self._parser = httptools.HttpResponseParser(self)
        self._connection: _Connection | None = None
        self._pieces: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._headers = 0
        self._head_bytes = 0
        self._framed = False
        self._headed = False
        self._complete = False
        self._keep = False
        self._closed = False
        self._error: HerdError | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def head(self) -> None:
        """Send the request; returns when status and headers are here.

        Raises ``NodeUnreachable``, ``EngineFailed`` (that was no HTTP) or ``StreamBroken``. A kept connection that dies
        before one byte of answer is replaced by a fresh one, once: the engine had closed it already.
        """
        connection = self._pool.kept(self._address)
        while True:
            fresh = connection is None
            if connection is None:
                connection = await self._pool.connect(self._address)
            if self._error is not None:
                connection.close()
                raise self._error
            self._connection = connection
            connection.exchange = self
            connection.transport.write(self._request)
            if self._upload is not None:
                await self._send(self._upload, connection)
            while not self._headed and self._error is None:
                await self._wait()
            if self._error is None:
                return
            if fresh or self._head_bytes or not isinstance(self._error, StreamBroken) or not connection.lost:
                raise self._error
            self._error = connection = None

    async def _send(self, upload: Upload, connection: _Connection) -> None:
        """The body, as fast as the engine takes it. What it refuses before it has read all is not sent to its end."""
        async with aclosing(upload.pieces()) as pieces:
            async for piece in pieces:
                if self._error is not None or connection.lost or self.status >= 400:
                    return
                connection.transport.write(piece)
                while connection.full and self._error is None and self.status < 400:
                    await self._wait()
                self.progressed_at = connection.loop.time()
        self._sent = True

    async def piece(self) -> bytes:
        """All that has arrived since the last call, or the next bytes; empty at the end of the answer."""
        while True:
            if self._pieces:
                return self._taken()
            if self._error is not None:
                raise self._error
            if self._complete:
                return b""
            await self._wait()

    async def whole(self, limit: int) -> bytes:
        """The rest of the answer. Raises ``EngineFailed`` when it is larger than ``limit`` bytes."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self.piece():
            size += len(piece)
            if size > limit:
                raise EngineFailed(f"the engine's answer is larger than {limit} bytes")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def abort(self, error: HerdError) -> None:
        """End it now with this error, whatever it waits for. Once it is closed its connection may serve another."""
        if self._closed:
            return
        if self._error is None and not self._complete:
            self._error = error
        if self._connection is not None:
            self._connection.close()
        self._wake()

    def close(self) -> None:
        """Give the connection back if the answer was read to its end, else end it. Twice is as once."""
        if self._closed:
            return
        self._closed = True
        connection = self._connection
        if connection is None or connection.lost:
            return
        connection.exchange = None
        if self._complete and self._keep and self._sent and self._error is None:
            if self._paused:
                connection.transport.resume_reading()
            self._pool.keep(self._address, connection)
        else:
            connection.close()

    def hear(self, data: bytes, now: float) -> None:
        """Bytes from the engine."""
        self.progressed_at = now
        if self._complete:
            self._keep = False  # more than was asked for
            return
        if not self._headed:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.abort(EngineFailed("the engine wants to change the protocol"))
        except httptools.HttpParserError as error:
            self.abort(EngineFailed(f"the engine's answer is not HTTP: {error}"))
        if not self._headed and self._head_bytes > HEAD_BYTES_MOST:
            self.abort(EngineFailed(f"the head of the engine's answer is larger than {HEAD_BYTES_MOST} bytes"))
        if self._buffered > BUFFERED_MOST and not self._paused and self._connection is not None:
            self._paused = True
            self._connection.transport.pause_reading()
        self._wake()

    def emptied(self) -> None:
        """The connection takes more of an upload."""
        self._wake()

    def lost(self, *, clean: bool) -> None:
        """The connection is gone; an answer without a length ends so."""
        if not self._complete and self._error is None:
            if self._headed and not self._framed and clean:
                self._complete = True
            else:
                self._error = StreamBroken("the engine closed the connection before its answer was complete")
        self._wake()

    def on_message_begin(self) -> None:
        if self._complete:
            raise ValueError("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers += 1
        if self._headers > HEADERS_MOST:
            raise ValueError("too many headers")
        lowered = name.lower()
        if lowered == b"content-type":
            self.content_type = value.decode("latin-1")
        elif lowered in (b"content-length", b"transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._headed = self.status >= 200
        if self.status in (204, 304):
            self._framed = True

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        self._buffered += len(body)

    def on_message_complete(self) -> None:
        if self._headed:
            self._complete = True
            self._keep = self._parser.should_keep_alive()
        else:  # a 1xx, which says nothing about the answer
            self._framed, self.content_type = False, ""

    def _taken(self) -> bytes:
        pieces = self._pieces
        taken = pieces.popleft() if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._buffered = 0
        if self._paused and self._connection is not None and not self._connection.lost:
            self._paused = False
            self._connection.transport.resume_reading()
        return taken

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Upstream:
    """Connections to all engines. One for the whole router."""

    def __init__(self, *, connect_timeout_s: float) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._kept: dict[Address, list[_Connection]] = {}

    def open(
        self,
        url: str,
        *,
        method: str = "POST",
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        upload: Upload | None = None,
        content_type: str = "application/json",
    ) -> UpstreamExchange:
        """Prepare a request to a plain http URL; nothing is sent before ``head``. An ``upload`` stands for the body."""
        address, netloc, path = _parts(url)
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: {netloc}\r\ncontent-type: {content_type}\r\n"
            f"content-length: {len(body) if upload is None else upload.length}\r\n"
        )
        for name, value in headers:
            if "\r" in value or "\n" in value:
                raise ValueError(f"a line break in the header {name}")
            head += f"{name}: {value}\r\n"
        return UpstreamExchange(self, address, b"".join((head.encode("latin-1"), b"\r\n", body)), upload)

    def kept(self, address: Address) -> _Connection | None:
        """A connection of an earlier exchange, the last used first."""
        line = self._kept.get(address)
        while line:
            connection = line.pop()
            connection.line = None
            if not connection.lost:
                return connection
        return None

    def keep(self, address: Address, connection: _Connection) -> None:
        line = self._kept.setdefault(address, [])
        if len(line) < IDLE_MOST:
            line.append(connection)
            connection.line = line
        else:
            connection.close()

    async def connect(self, address: Address) -> _Connection:
        """Raises ``NodeUnreachable``: refused or unknown; ``NodeAway``: silent."""
        host, port = address
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, connection = await asyncio.get_running_loop().create_connection(_Connection, host, port)
        except TimeoutError as error:
            raise NodeAway(f"no connection to {host}:{port} in {self._connect_timeout_s:g} s") from error
        except OSError as error:
            kind = NodeAway if error.errno in NOBODY_THERE else NodeUnreachable
            raise kind(f"no connection to {host}:{port}: {error.strerror or error}") from error
        return connection

    async def aclose(self) -> None:
        for address in list(self._kept):
            while connection := self.kept(address):
                connection.close()
        self._kept.clear()


@lru_cache(1024)  # a fleet has few engines, and an engine few paths
def _parts(url: str) -> tuple[Address, str, str]:
    """Where a URL leads: the address, its spelling in the Host header, and path with query."""
    parts = urlsplit(url)
    path = parts.path or "/"
    return (parts.hostname or "", parts.port or 80), parts.netloc, f"{path}?{parts.query}" if parts.query else path
