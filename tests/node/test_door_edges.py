"""The door where clients and engines are unusual: no body, odd paths, odd headers, ports at the end of the range."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import structlog
from fakes.fake_ollama import FakeOllama
from fakes.scripted import Answer, failing, hang, replying, streaming

from node import threshold
from node.door import Door
from node.threshold import DoorAway, DoorShut

SECRET = {"X-Herd-Door": "s3cret"}
SHOWN = b"X-Herd-Door: s3cret\r\n"


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[Door, int]]:
    door = Door(node_id="mac", secret="s3cret", target={"ollama": url}.get, host="127.0.0.1", port=0)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(door.run())
        yield door, await door.started()
        running.cancel()


async def spoken(port: int, head: bytes) -> bytes:
    """What the door answers to these very bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    answer = await asyncio.wait_for(reader.read(65536), 5)
    writer.close()
    return answer


@pytest.mark.parametrize("begun", [True, False])
async def test_a_question_without_a_body_ends_at_the_engine_when_the_router_leaves(begun: bool) -> None:
    async with FakeOllama() as engine, opened(engine.url) as (door, port):
        engine.script("/api/tags", streaming(b"one\n", asyncio.Event()) if begun else hang())
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /engines/ollama/api/tags HTTP/1.1\r\nHost: x\r\n" + SHOWN + b"\r\n")
        await engine.requests.wait(1)
        left = time.monotonic()
        writer.close()
        [closed] = await asyncio.wait_for(engine.closed.wait(1), 3)
        assert closed.at - left < 0.25
        assert await door.drain(2)


async def test_an_engine_that_answers_before_it_has_the_whole_body_is_still_left_with_the_router() -> None:
    left = asyncio.Event()

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
        left.set()
        writer.close()

    engine = await asyncio.start_server(hasty, "127.0.0.1", 0)
    async with engine, opened(f"http://127.0.0.1:{engine.sockets[0].getsockname()[1]}") as (door, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /engines/ollama/api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n" + SHOWN + b"\r\n{}")
        async with asyncio.timeout(3):
            while not door.running:
                await asyncio.sleep(0.01)
        writer.close()
        await asyncio.wait_for(left.wait(), 3)
        assert await door.drain(2)


async def test_the_engine_sees_the_routers_headers_and_none_of_the_doors_own() -> None:
    async with FakeOllama() as engine, opened(engine.url) as (_, port):
        engine.script("/api/tags", replying({"models": []}))
        head = (
            b"GET /engines/ollama/api/tags HTTP/1.1\r\nHost: x\r\nX-Mine: 1\r\nX-Hop: 2\r\nConnection: close, X-Hop\r\n"
        )
        assert b"200" in await spoken(port, head + SHOWN + b"\r\n")
        [request] = engine.requests
        names = {name for name, _ in request.headers}
        assert names - {"connection"} == {"host", "x-mine"}


async def test_a_cookie_of_the_engine_stays_with_who_was_given_it() -> None:
    async with FakeOllama() as engine, opened(engine.url) as (_, port):
        engine.script("/api/tags", Answer(pieces=(b"{}",), headers=(("set-cookie", "who=first"),)), times=None)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, headers=SECRET) as first:
            await first.get("/engines/ollama/api/tags")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, headers=SECRET) as second:
            await second.get("/engines/ollama/api/tags")
        assert [request.header("cookie") for request in engine.requests] == [None, None]


@pytest.mark.parametrize("path", ["/engines/ollama/../secret", "/engines/ollama/a/%2e%2e/b", "/engines/ollama/%2E./x"])
async def test_a_path_that_climbs_is_refused(path: str) -> None:
    async with FakeOllama() as engine, opened(engine.url + "/below") as (_, port):
        answer = await spoken(
            port, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode() + SHOWN + b"\r\n"
        )
        assert answer.split()[1] == b"404"
        assert not engine.requests


@pytest.mark.parametrize(
    "path", [b"/engines/ollama/\xff\xfe", b"/engines/ollama/a%00b", b"/engines/ollama/a%0d%0aHost:%20evil", b"*",
             b"/engines/ollama/" + b"x" * 60000, b"http://evil.example/engines/ollama/x", b"/engines/ollama/a?\xff=%"],
)  # fmt: skip
async def test_no_path_breaks_the_door_or_leads_elsewhere(path: bytes) -> None:
    async with FakeOllama() as engine, opened(engine.url) as (door, port):
        answer = await spoken(port, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + SHOWN + b"\r\n")
        assert answer.split()[1] in (b"200", b"400", b"404")
        assert all(request.header("host") == f"127.0.0.1:{engine.port}" for request in engine.requests)
        assert await door.drain(5)


async def test_an_answer_without_a_body_passes_as_it_is() -> None:
    async with FakeOllama() as engine, opened(engine.url) as (_, port):
        engine.script("/api/blobs/x", failing(204, b""))
        answer = await spoken(
            port, b"HEAD /engines/ollama/api/blobs/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + SHOWN + b"\r\n"
        )
        assert answer.split()[1] == b"204"
        assert answer.endswith(b"\r\n\r\n")


async def test_a_slow_router_slows_the_engine_and_loses_nothing() -> None:
    size, count = 64 * 1024, 400
    async with FakeOllama() as engine, opened(engine.url) as (_, port):
        engine.script("/api/chat", streaming(*[b"x" * size] * count))
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http,
            http.stream("POST", "/engines/ollama/api/chat", content=b"{}", headers=SECRET) as answer,
        ):
            await asyncio.sleep(0.5)
            assert not engine.finished  # 25 MB are more than all buffers on the way hold
            got = 0
            async for piece in answer.aiter_raw():
                got += len(piece)
        assert got == size * count


async def test_when_no_port_is_left_the_door_says_so() -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 65535)
    async with taken:
        with pytest.raises(DoorShut, match="65535"):
            await Door(node_id="a", secret="s", target=lambda _: None, host="127.0.0.1", port=65535).run()


async def test_a_door_on_an_address_that_is_not_here_yet_is_shut_and_lives() -> None:
    door = Door(node_id="a", secret="s", target=lambda _: None, host="192.0.2.1", port=0)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(door.run())
        with structlog.testing.capture_logs() as logs:
            assert await asyncio.wait_for(door.started(), 5) == 0
        assert [line["event"] for line in logs] == ["door.shut"]
        assert not running.done()
        running.cancel()


async def test_a_door_opens_with_its_address_and_again_when_that_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    here, listen = asyncio.Event(), threshold.listen

    def listening(host: str, first: int) -> socket.socket:
        if not here.is_set():
            raise DoorAway("away")
        return listen(host, first)

    async def until_away(_: str) -> None:
        while here.is_set():
            await asyncio.sleep(0.01)

    monkeypatch.setattr(threshold, "listen", listening)
    monkeypatch.setattr(threshold, "until_away", until_away)
    monkeypatch.setattr(threshold, "LOOK_EVERY_S", 0.01)
    async with FakeOllama() as engine, opened(engine.url) as (door, port), httpx.AsyncClient(trust_env=False) as http:
        assert port == 0
        for _ in range(2):
            here.set()
            async with asyncio.timeout(10):
                while not door.port:
                    await asyncio.sleep(0.01)
            there = f"http://127.0.0.1:{door.port}"
            assert (await http.get(f"{there}/engines/ollama/api/tags", headers=SECRET)).status_code == 200
            here.clear()
            async with asyncio.timeout(10):
                while door.port:
                    await asyncio.sleep(0.01)
            with pytest.raises(httpx.TransportError):
                await http.get(f"{there}/health")


async def test_an_address_that_left_this_machine_is_noticed_and_one_that_is_here_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threshold, "LOOK_EVERY_S", 0.01)
    await asyncio.wait_for(threshold.until_away("192.0.2.1"), 5)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(threshold.until_away("127.0.0.1"), 0.1)


async def test_a_door_that_closes_cuts_what_still_runs() -> None:
    async with FakeOllama() as engine:
        engine.script("/api/chat", hang())
        async with opened(engine.url) as (door, port):
            call = asyncio.ensure_future(
                spoken(port, b"GET /engines/ollama/api/chat HTTP/1.1\r\nHost: x\r\n" + SHOWN + b"\r\n")
            )
            await engine.requests.wait(1)
        await asyncio.wait_for(engine.closed.wait(1), 3)
        await asyncio.wait_for(asyncio.wait({call}), 3)
        assert door.running == 0
