"""The door, on a real socket before a scripted engine."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fakes.fake_ollama import FakeOllama
from fakes.scripted import Answer, ScriptedServer, failing, hang, reset, streaming

from node.door import Door
from node.engines.base import Answer as Said
from node.engines.base import Hosted, Question

SECRET = {"X-Herd-Door": "s3cret"}


@asynccontextmanager
async def open_door(engine: ScriptedServer | Hosted, path: str = "") -> AsyncIterator[tuple[Door, httpx.AsyncClient]]:
    targets = {"ollama": engine.url + path if isinstance(engine, ScriptedServer) else engine}
    door = Door(node_id="mac", secret="s3cret", target=targets.get, host="127.0.0.1", port=0)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(door.run())
        base = f"http://127.0.0.1:{await door.started()}"
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=10) as http:
            yield door, http
        running.cancel()


async def test_without_the_secret_nothing_passes() -> None:
    async with FakeOllama() as engine, open_door(engine) as (_, http):
        for headers in ({}, {"X-Herd-Door": "wrong"}, {"Authorization": "Bearer s3cret"}):
            answer = await http.get("/engines/ollama/api/tags", headers=headers)
            assert answer.status_code == 401
        assert not engine.requests
        assert (await http.get("/health")).json() == {"status": "ok", "node_id": "mac"}


async def test_a_request_passes_byte_for_byte_and_the_secret_stays() -> None:
    async with FakeOllama() as engine, open_door(engine) as (_, http):
        body = b'{ "model": "smollm2:135m", "messages": [{"role": "user"}], "stream": false }'
        headers = {**SECRET, "Content-Type": "text/x-strange", "X-Other": "kept"}
        answer = await http.post("/engines/ollama/api/chat?a=%20b&c", content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["message"]["content"] == "Hello from fake"
        [request] = engine.requests
        assert (request.path, request.query, request.body) == ("/api/chat", "a=%20b&c", body)
        assert request.header("content-type") == "text/x-strange"
        assert request.header("x-other") == "kept"
        assert request.header("x-herd-door") is None
        assert request.header("host") == f"127.0.0.1:{engine.port}"


async def test_what_passes_is_counted_for_each_engine_and_what_is_turned_away_is_not() -> None:
    async with FakeOllama() as engine, open_door(engine) as (door, http):
        body = b'{"model": "smollm2:135m", "messages": [{"role": "user"}], "stream": false}'
        sizes = [len((await http.post("/engines/ollama/api/chat", content=body, headers=SECRET)).content) for _ in "ab"]
        await http.post("/engines/ollama/api/chat", content=body)
        await http.post("/engines/other/api/chat", content=body, headers=SECRET)
        assert door.passed.keys() == {"ollama"}
        passed = door.passed["ollama"]
        assert (passed.requests, passed.bytes_in, passed.bytes_out) == (2, 2 * len(body), sum(sizes))


async def test_an_engine_with_a_path_of_its_own_is_reached_below_it() -> None:
    async with FakeOllama() as engine, open_door(engine, "/below") as (_, http):
        await http.get("/engines/ollama/v1/models", headers=SECRET)
        assert engine.requests[0].path == "/below/v1/models"


async def test_pieces_arrive_as_they_are_sent() -> None:
    gate = asyncio.Event()
    async with FakeOllama() as engine, open_door(engine) as (_, http):
        engine.script("/api/chat", streaming(b"one\n", gate, b"two\n"))
        async with http.stream("POST", "/engines/ollama/api/chat", content=b"{}", headers=SECRET) as answer:
            pieces = answer.aiter_raw()
            assert await anext(pieces) == b"one\n"
            gate.set()
            assert await anext(pieces) == b"two\n"


@pytest.mark.parametrize("begun", [True, False])
async def test_when_the_router_leaves_the_engines_connection_ends(begun: bool) -> None:
    async with FakeOllama() as engine, open_door(engine) as (door, http):
        engine.script("/api/chat", streaming(b"one\n", asyncio.Event()) if begun else hang())
        call = asyncio.ensure_future(http.post("/engines/ollama/api/chat", content=b"{}", headers=SECRET))
        await engine.requests.wait(1)
        await asyncio.sleep(0.05)
        assert door.running == 1
        left = time.monotonic()
        call.cancel()
        [closed] = await engine.closed.wait(1)
        assert closed.at - left < 0.25
        assert await door.drain(2)
        assert door.running == 0


async def test_an_engines_error_passes_and_a_dead_engine_is_502() -> None:
    async with FakeOllama() as engine, open_door(engine) as (_, http):
        engine.script("/api/chat", failing(418, b'{"error":"teapot"}'))
        answer = await http.post("/engines/ollama/api/chat", content=b"{}", headers=SECRET)
        assert (answer.status_code, answer.content) == (418, b'{"error":"teapot"}')
        engine.script("/api/chat", reset())
        assert (await http.post("/engines/ollama/api/chat", content=b"{}", headers=SECRET)).status_code == 502
        await engine.refuse()
        answer = await http.post("/engines/ollama/api/chat", content=b"{}", headers=SECRET)
        assert answer.status_code == 502
        assert "engine" in answer.json()["error"]


async def test_a_stream_that_breaks_at_the_engine_breaks_at_the_door() -> None:
    async with FakeOllama() as engine, open_door(engine) as (_, http):
        engine.script("/api/chat", streaming(b"one\n", 0.05, end="reset"))
        with pytest.raises(httpx.RemoteProtocolError):
            await http.post("/engines/ollama/api/chat", content=b"{}", headers=SECRET)


@pytest.mark.parametrize(
    "path",
    ["/engines", "/engines/", "/api/tags", "/", "//evil.example/"],
)
async def test_there_is_no_way_past_the_engines_it_knows(path: str) -> None:
    async with FakeOllama() as engine, open_door(engine) as (_, http):
        assert (await http.get(path, headers=SECRET)).status_code == 404
        assert not engine.requests


@pytest.mark.parametrize("path", ["/engines/ollama/http://evil.example/", "/engines/ollama//evil.example/x"])
async def test_a_path_that_looks_like_an_address_stays_a_path(path: str) -> None:
    async with FakeOllama() as engine, open_door(engine) as (_, http):
        await http.get(path, headers=SECRET)
        assert len(engine.requests) == 1


async def test_two_doors_on_one_machine_take_two_ports() -> None:
    first = Door(node_id="a", secret="s", target=lambda _: None, host="127.0.0.1", port=21436)
    second = Door(node_id="b", secret="s", target=lambda _: None, host="127.0.0.1", port=21436)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(first.run())]
        taken = await first.started()
        running.append(tasks.create_task(second.run()))
        assert await second.started() != taken
        for task in running:
            task.cancel()


async def test_a_large_body_passes_in_pieces() -> None:
    async with FakeOllama() as engine, open_door(engine) as (_, http):
        engine.script("/api/blobs/x", failing(201, b""))
        body = b"x" * 3_000_000

        async def pieces() -> AsyncIterator[bytes]:
            for at in range(0, len(body), 100_000):
                yield body[at : at + 100_000]

        answer = await http.post("/engines/ollama/api/blobs/x", content=pieces(), headers=SECRET)
        assert answer.status_code == 201
        assert engine.requests[0].body == body


async def test_an_engine_that_is_not_there_any_more_is_the_nodes_failure_and_not_the_requests() -> None:
    async with FakeOllama() as engine, open_door(engine) as (_, http):
        for path in ("/engines/other/api/chat", "/engines/..%2f/x"):
            answer = await http.post(path, content=b"{}", headers=SECRET)
            assert answer.status_code == 502
        assert not engine.requests


async def test_an_engine_that_closes_idle_connections_or_says_too_much_harms_no_later_request() -> None:
    async with FakeOllama() as engine, open_door(engine) as (_, http):
        engine.script("/api/tags", Answer(pieces=(b"{}", b"HTTP/1.1 200 OK\r\n\r\n"), missing=-19))
        for _ in range(3):
            assert (await http.get("/engines/ollama/api/tags", headers=SECRET)).status_code == 200
        assert engine.connections == 3


class Painter:
    """An engine without a server: it repeats what it was asked, or paints until it is stopped."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str | None, bytes]] = []
        self.stopped = asyncio.Event()

    async def answer(self, question: Question) -> Said:
        body = b"".join([piece async for piece in question.body])
        self.asked.append((question.method, question.path, question.headers.get("content-type"), body))
        if body == b"for ever":
            try:
                await asyncio.Event().wait()
            finally:
                self.stopped.set()
        return Said(status=418, body=body, content_type="image/png", headers={"x-size": "3"})


async def test_an_engine_without_a_server_is_asked_by_the_door_itself() -> None:
    painter = Painter()
    async with open_door(painter) as (_, http):
        assert (await http.post("/engines/ollama/v1/x", content=b"abc")).status_code == 401
        headers = {**SECRET, "Content-Type": "text/x-strange"}
        answer = await http.post("/engines/ollama/v1/x?a=b", content=b"abc", headers=headers)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (418, b"abc", "image/png")
    assert answer.headers["x-size"] == "3"
    assert painter.asked == [("POST", "/v1/x", "text/x-strange", b"abc")]


async def test_an_engine_without_a_server_is_stopped_when_the_router_leaves() -> None:
    painter = Painter()
    async with open_door(painter) as (door, http):
        with pytest.raises(httpx.ReadTimeout):
            await http.post("/engines/ollama/v1/x", content=b"for ever", headers=SECRET, timeout=0.3)
        await asyncio.wait_for(painter.stopped.wait(), 5)
        assert await door.drain(2)
