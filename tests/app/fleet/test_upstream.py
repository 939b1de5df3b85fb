"""The data plane's client against engines that are bare sockets: every way an answer may come, end or fail to."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import EngineFailed, NodeAway, NodeUnreachable, Stalled, StreamBroken
from app.fleet.upstream import BUFFERED_MOST, HEAD_BYTES_MOST, HEADERS_MOST, Upstream

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
SIZED = HEAD + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Engine:
    """Answers each request with the next of its answers (the last one again and again): bytes, or what to do."""

    def __init__(self, *answers: bytes | Answer) -> None:
        self.answers = list(answers)
        self.connections = 0
        self.requests: list[bytes] = []
        self.gone = asyncio.Event()
        """A client closed its connection."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if isinstance(answer, bytes):
                    writer.write(answer)
                else:
                    await answer(reader, writer)
        writer.close()
        self.gone.set()


@asynccontextmanager
async def engine(*answers: bytes | Answer):
    """An engine, a client, and what opens an exchange between them."""
    fake = Engine(*answers)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    upstream = Upstream(connect_timeout_s=2)
    try:
        async with asyncio.timeout(20):
            yield fake, upstream, lambda **more: upstream.open(f"http://127.0.0.1:{port}/api/chat", **more)
    finally:
        await upstream.aclose()
        server.close()


async def answered(exchange) -> bytes:
    try:
        await exchange.head()
        return await exchange.whole(10**8)
    finally:
        exchange.close()


async def hang(reader, writer) -> None:
    await reader.read(1)


async def leave(reader, writer) -> None:
    raise ConnectionError


def then(data: bytes, do: Answer) -> Answer:
    """Write the bytes, then do the rest."""

    async def both(reader, writer) -> None:
        writer.write(data)
        await writer.drain()
        await do(reader, writer)

    return both


async def test_a_request_is_sent_as_it_was_given_and_its_answer_comes_back():
    async with engine(SIZED) as (fake, _, opened):
        exchange = opened(body=b'{"model":"m"}', headers=[("x-herd-door", "secret")])
        assert await answered(exchange) == b"hello"
    assert (exchange.status, exchange.content_type) == (200, "application/json")
    head, _, body = fake.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/chat HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"\r\nx-herd-door: secret" in head
    assert body == b'{"model":"m"}'


def test_a_query_goes_along_and_a_line_break_in_a_header_is_refused():
    upstream = Upstream(connect_timeout_s=1)
    assert upstream.open("http://a/b?c=d", method="GET")._request.startswith(b"GET /b?c=d HTTP/1.1\r\nhost: a\r\n")
    with pytest.raises(ValueError, match="line break"):
        upstream.open("http://a/", headers=[("x", "a\r\nb: c")])


@given(
    body=st.binary(min_size=1, max_size=300),
    sizes=st.lists(st.integers(1, 40), max_size=40),
    cuts=st.sets(st.integers(1, 2000)),
    framing=st.sampled_from(["length", "chunked", "close"]),
    early=st.booleans(),
)
def test_an_answer_cut_anywhere_gives_the_same_bytes_in_every_framing(body, sizes, cuts, framing, early):
    if framing == "length":
        wire = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    elif framing == "chunked":
        parts, rest = [], body
        for size in [*sizes, len(body)]:
            parts.append(rest[:size])
            rest = rest[size:]
        wire = CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"
    else:
        wire = HEAD + b"\r\n" + body
    if early:
        wire = b"HTTP/1.1 103 Early Hints\r\nContent-Type: x/y\r\nLink: </a>\r\n\r\n" + wire
    bounds = [0, *sorted(cut for cut in cuts if cut < len(wire)), len(wire)]

    async def told() -> tuple[bytes, str]:
        exchange = Upstream(connect_timeout_s=1).open("http://127.0.0.1:9/")
        for start, end in pairwise(bounds):
            exchange.hear(wire[start:end], 1.0)
        if framing == "close":
            exchange.lost(clean=True)
        return await exchange.whole(10**6), exchange.content_type

    assert asyncio.run(told()) == (body, "application/json")


async def test_a_connection_is_used_again_after_an_answer_that_was_read_to_its_end():
    async with engine(SIZED) as (fake, _, opened):
        for _ in range(3):
            assert await answered(opened()) == b"hello"
        assert (fake.connections, len(fake.requests)) == (1, 3)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(HEAD + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", id="the engine wants to close"),
        pytest.param(SIZED.replace(b"1.1", b"1.0"), id="an old engine"),
        pytest.param(SIZED + b"more", id="bytes that nobody asked for"),
    ],
)
async def test_a_connection_is_not_used_again_when_it_cannot_be_trusted(answer):
    async with engine(answer) as (fake, _, opened):
        assert await answered(opened()) == b"hello"
        assert await answered(opened()) == b"hello"
        assert fake.connections == 2


async def test_a_second_answer_in_the_same_packet_is_not_taken_for_the_first_ones_body():
    async with engine(SIZED + SIZED) as (fake, _, opened):
        assert await answered(opened()) == b"hello"
        assert await answered(opened()) == b"hello"
        assert fake.connections == 2


async def test_an_answer_left_before_its_end_closes_the_connection():
    async with engine(then(CHUNKED + b"5\r\nhello\r\n", hang)) as (fake, _, opened):
        exchange = opened()
        await exchange.head()
        assert await exchange.piece() == b"hello"
        exchange.close()
        exchange.close()
        await fake.gone.wait()


async def test_a_kept_connection_that_died_is_replaced_once():
    async with engine(SIZED, leave, SIZED) as (fake, _, opened):
        await answered(opened())
        assert await answered(opened(body=b"again")) == b"hello"
        assert fake.connections == 2
        assert [request.endswith(b"again") for request in fake.requests] == [False, True, True]


async def test_a_fresh_connection_that_dies_is_not_replaced():
    async with engine(SIZED, leave) as (fake, _, opened):
        await answered(opened())
        with pytest.raises(StreamBroken):
            await answered(opened())
        assert (fake.connections, len(fake.requests)) == (2, 3)


async def test_a_kept_connection_that_died_after_a_first_byte_is_not_replaced():
    async with engine(SIZED, then(b"HTTP/1.1 2", leave), SIZED) as (fake, _, opened):
        await answered(opened())
        with pytest.raises(StreamBroken):
            await answered(opened())
        assert len(fake.requests) == 2


async def test_an_idle_connection_that_the_engine_closes_is_forgotten():
    async def answer_and_leave(reader, writer) -> None:
        writer.write(SIZED)
        await writer.drain()
        await asyncio.sleep(0.02)
        raise ConnectionError

    async with engine(answer_and_leave) as (fake, upstream, opened):
        await answered(opened())
        await fake.gone.wait()
        while any(upstream._kept.values()):
            await asyncio.sleep(0.005)


async def test_an_idle_connection_on_which_the_engine_speaks_is_closed():
    async def speak_later(reader, writer) -> None:
        writer.write(SIZED)
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(SIZED)
        await reader.read(1)

    async with engine(speak_later) as (fake, upstream, opened):
        await answered(opened())
        await fake.gone.wait()
        while any(upstream._kept.values()):
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    "cut", [b"", HEAD, HEAD + b"Content-Length: 9\r\n\r\nhello", CHUNKED + b"5\r\nhello\r\n", CHUNKED + b"5\r\nhel"]
)
async def test_an_answer_that_ends_before_its_end_is_broken(cut):
    async with engine(then(cut, leave)) as (_, _, opened):
        with pytest.raises(StreamBroken):
            await answered(opened())


async def test_what_came_before_a_break_is_still_given():
    async with engine(then(CHUNKED + b"5\r\nhello\r\n", leave)) as (_, _, opened):
        exchange = opened()
        await exchange.head()
        assert await exchange.piece() == b"hello"
        with pytest.raises(StreamBroken):
            await exchange.piece()
        exchange.close()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", id="another protocol"),
        pytest.param(HEAD + b"x: y\r\n" * HEADERS_MOST + b"\r\n", id="too many headers"),
        pytest.param(HEAD + b"x: " + b"y" * HEAD_BYTES_MOST + b"\r\n", id="headers that are too long"),
        pytest.param(HEAD + b"x: " + b"y" * 2 * HEAD_BYTES_MOST, id="a header without end"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 4000, id="nothing but preludes"),
        pytest.param(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", id="an upgrade"),
    ],
)
async def test_an_answer_that_is_none_is_refused_and_its_connection_closed(answer):
    async with engine(then(answer, hang)) as (fake, _, opened):
        with pytest.raises(EngineFailed):
            await answered(opened())
        await fake.gone.wait()


@pytest.mark.parametrize("prelude", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n" * 3])
async def test_preludes_are_passed_over(prelude):
    async with engine(prelude + SIZED) as (fake, _, opened):
        exchange = opened()
        assert await answered(exchange) == b"hello"
        assert exchange.status == 200
        await answered(opened())
        assert fake.connections == 1


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_an_answer_without_a_body_ends_at_its_head(status):
    async with engine(b"HTTP/1.1 " + status + b"\r\n\r\n", SIZED) as (fake, _, opened):
        assert await answered(opened()) == b""
        assert await answered(opened()) == b"hello"
        assert fake.connections == 1


async def test_an_answer_larger_than_the_limit_is_refused():
    async with engine(HEAD + b"Content-Length: 100\r\n\r\n" + b"x" * 100) as (_, _, opened):
        exchange = opened()
        await exchange.head()
        with pytest.raises(EngineFailed, match="larger than 99"):
            await exchange.whole(99)
        exchange.close()


async def test_a_slow_reader_stops_the_engine_and_starts_it_again():
    size = 64 * BUFFERED_MOST
    sent = 0

    async def pour(reader, writer) -> None:
        nonlocal sent
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * BUFFERED_MOST)
            await writer.drain()
            sent += BUFFERED_MOST

    async with engine(pour, SIZED) as (fake, _, opened):
        exchange = opened()
        await exchange.head()
        while not exchange._paused:
            await asyncio.sleep(0.005)
        held = exchange._buffered
        assert BUFFERED_MOST < held < 3 * BUFFERED_MOST
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert exchange._buffered == held
        assert sent < size
        assert sum([len(piece) async for piece in pieces(exchange)]) == size
        exchange.close()
        assert await answered(opened()) == b"hello"
        assert fake.connections == 1


async def pieces(exchange):
    while piece := await exchange.piece():
        yield piece


@pytest.mark.parametrize("begun", [False, True])
async def test_an_abort_from_elsewhere_ends_whoever_waits_and_closes_the_connection(begun):
    async with engine(then(CHUNKED, hang) if begun else hang) as (fake, _, opened):
        exchange = opened()
        if begun:
            await exchange.head()
        waiting = asyncio.create_task(exchange.piece() if begun else exchange.head())
        while not fake.requests or exchange._waiter is None:
            await asyncio.sleep(0.005)
        exchange.abort(Stalled("no progress"))
        with pytest.raises(Stalled):
            await waiting
        exchange.close()
        await fake.gone.wait()


async def test_an_abort_after_the_end_leaves_the_answer_as_it_is():
    async with engine(SIZED) as (_, _, opened):
        exchange = opened()
        await exchange.head()
        exchange.abort(Stalled("too late"))
        assert await exchange.piece() == b"hello"
        assert await exchange.piece() == b""
        exchange.close()


async def test_a_cancelled_exchange_closes_its_connection():
    async with engine(hang) as (fake, _, opened):
        waiting = asyncio.create_task(answered(opened()))
        while not fake.requests:
            await asyncio.sleep(0.005)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await fake.gone.wait()


async def test_nobody_at_the_address_is_told_at_once():
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    exchange = Upstream(connect_timeout_s=5).open(f"http://127.0.0.1:{port}/")
    with pytest.raises(NodeUnreachable, match=r"no connection to 127\.0\.0\.1") as told:
        await exchange.head()
    exchange.close()
    assert not isinstance(told.value, NodeAway), "a machine that refuses is there"


async def test_two_hundred_exchanges_at_once_leave_nothing_behind():
    before = len(asyncio.all_tasks())
    async with engine(then(CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", hang)) as (_, upstream, opened):
        assert set(await asyncio.gather(*(answered(opened()) for _ in range(200)))) == {b"hello"}
        kept = [connection for line in upstream._kept.values() for connection in line]
        assert len(kept) == 200
        assert all(connection.exchange is None for connection in kept)
        await upstream.aclose()
        assert not upstream._kept
        while len(asyncio.all_tasks()) > before:
            await asyncio.sleep(0.005)
