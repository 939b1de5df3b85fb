"""Bodies too large to be held, on their way to engines that are slow, refuse early, leave or are asked anew."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from app.errors import Stalled, StreamBroken
from app.fleet.upstream import Upstream

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
REFUSED = b"HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\n\r\ntoo much"
MANY = 400
PIECE = bytes(range(256)) * 256
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Recording:
    """An upload of ``count`` pieces that counts how many were asked for, and how often it was begun and ended."""

    def __init__(self, count: int = MANY) -> None:
        self.count = count
        self.length = count * len(PIECE)
        self.given = self.begun = self.ended = 0

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        self.begun += 1
        try:
            for _ in range(self.count):
                await asyncio.sleep(0)
                self.given += 1
                yield PIECE
        finally:
            self.ended += 1


async def head_of(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def swallow(reader: asyncio.StreamReader, size: int) -> int:
    """Read so much of a body; how much of it was as it should be."""
    good = read = 0
    while read < size and (data := await reader.read(min(65536, size - read))):
        at = read % len(PIECE)
        good += len(data) * ((PIECE * 3)[at : at + len(data)] == data)
        read += len(data)
    return good


@asynccontextmanager
async def engine(*serve: Serve):
    """An engine that serves each connection by the next of these (the last one again and again), and what asks it."""
    scripts, tasks = list(serve), []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await (scripts.pop(0) if len(scripts) > 1 else scripts[0])(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    upstream = Upstream(connect_timeout_s=2)
    try:
        async with asyncio.timeout(30):
            yield lambda upload: upstream.open(f"http://127.0.0.1:{port}/x", upload=upload, content_type="audio/wav")
            await upstream.aclose()
            await asyncio.gather(*tasks)
    finally:
        await upstream.aclose()
        server.close()


async def answered(exchange) -> bytes:
    try:
        await exchange.head()
        return await exchange.whole(1000)
    finally:
        exchange.close()


async def test_an_upload_arrives_whole_with_its_length_and_its_connection_is_kept():
    heads = []

    async def serve(reader, writer) -> None:
        while True:
            heads.append(await head_of(reader))
            assert await swallow(reader, MANY * len(PIECE)) == MANY * len(PIECE)
            writer.write(OK)

    async with engine(serve) as opened:
        first, second = Recording(), Recording()
        assert await answered(opened(first)) == b"hello"
        assert await answered(opened(second)) == b"hello"
        assert (first.ended, second.ended) == (1, 1)
    assert len(heads) == 2
    assert b"content-length: %d\r\n" % (MANY * len(PIECE)) in heads[0]
    assert b"content-type: audio/wav\r\n" in heads[0]


async def test_no_more_is_taken_from_an_upload_than_a_slow_engine_reads():
    go_on = asyncio.Event()

    async def serve(reader, writer) -> None:
        await head_of(reader)
        await go_on.wait()
        await swallow(reader, MANY * len(PIECE))
        writer.write(OK)

    async with engine(serve) as opened:
        upload = Recording()
        exchange = opened(upload)
        asking = asyncio.create_task(answered(exchange))
        while exchange._connection is None or not exchange._connection.full:
            await asyncio.sleep(0.005)
        taken, progressed_at = upload.given, exchange.progressed_at
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert (upload.given, exchange.progressed_at) == (taken, progressed_at)
        assert taken < MANY
        go_on.set()
        assert await asking == b"hello"
        assert exchange.progressed_at > progressed_at


async def test_an_engine_that_refuses_before_it_has_read_all_is_heard_and_its_connection_is_not_kept():
    connections = 0

    async def serve(reader, writer) -> None:
        nonlocal connections
        connections += 1
        await head_of(reader)
        await swallow(reader, 10 * len(PIECE))
        writer.write(REFUSED)
        await reader.read()  # until the client is gone

    async with engine(serve) as opened:
        upload = Recording()
        exchange = opened(upload)
        assert await answered(exchange) == b"too much"
        assert exchange.status == 413
        assert (upload.given < MANY, upload.ended) == (True, 1)
        await answered(opened(Recording()))
    assert connections == 2


async def test_an_engine_that_leaves_in_the_middle_breaks_the_exchange_and_ends_the_upload():
    async def serve(reader, writer) -> None:
        await head_of(reader)
        await swallow(reader, 10 * len(PIECE))
        writer.transport.abort()

    async with engine(serve) as opened:
        upload = Recording()
        with pytest.raises(StreamBroken):
            await answered(opened(upload))
        assert (upload.begun, upload.ended) == (1, 1)


async def test_a_kept_connection_that_died_meanwhile_is_replaced_and_gets_the_whole_upload():
    async def serve(reader, writer) -> None:
        await head_of(reader)
        await swallow(reader, len(PIECE))
        writer.write(OK)
        await writer.drain()
        await head_of(reader)  # the next request, on a connection that then dies
        writer.transport.abort()

    async def serve_well(reader, writer) -> None:
        await head_of(reader)
        assert await swallow(reader, MANY * len(PIECE)) == MANY * len(PIECE)
        writer.write(OK)

    async with engine(serve, serve_well) as opened:
        assert await answered(opened(Recording(1))) == b"hello"
        upload = Recording()
        assert await answered(opened(upload)) == b"hello"
        assert (upload.begun, upload.ended) == (2, 2)


@pytest.mark.parametrize("how", ["abort", "cancel"])
async def test_an_upload_that_is_given_up_ends_at_once_and_closes_the_connection(how):
    gone = asyncio.Event()

    async def serve(reader, writer) -> None:
        await head_of(reader)
        with suppress(ConnectionError):
            await swallow(reader, MANY * len(PIECE))
        gone.set()

    async with engine(serve) as opened:
        upload = Recording()
        exchange = opened(upload)
        asking = asyncio.create_task(answered(exchange))
        while upload.given < 2:
            await asyncio.sleep(0)
        if how == "abort":
            exchange.abort(Stalled("no progress"))
        else:
            asking.cancel()
        with pytest.raises(Stalled if how == "abort" else asyncio.CancelledError):
            await asking
        assert upload.ended == 1
        await gone.wait()
