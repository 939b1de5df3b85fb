"""Requests that wait: slots, order, estimates, and clients that leave, over real sockets."""

import asyncio
import json
import socket
import time

import pytest
from fakes.fake_ollama import FakeOllama
from fakes.scripted import hang, streaming
from running import RunningRouter, loaded, running_router

BODY = {"model": "smollm2:135m", "messages": [{"role": "user", "content": "Hi"}]}
LINE = b'{"model":"smollm2:135m","message":{"role":"assistant","content":"a"},"done":false}\n'
LAST = b'{"model":"smollm2:135m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}\n'


async def test_twenty_parallel_requests_on_one_slot_are_served_one_by_one_in_order() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        fake.hold = asyncio.Event()
        calls = []
        for number in range(20):
            body = {**BODY, "stream": bool(number % 2), "number": number}
            calls.append(asyncio.ensure_future(router.http.post("/api/chat", json=body)))
            await router.until(queue_depth=number + 1)
        figures = await router.queue()
        assert (figures["in_flight"], figures["pending"]) == (1, 19)
        assert figures["estimated_wait_ms"] > 0
        assert [view["position"] for view in figures["waiting"]] == list(range(1, 20))
        assert all(view["estimated_wait_ms"] > 0 for view in figures["waiting"])
        fake.hold.set()
        answers = await asyncio.gather(*calls)
        assert [answer.status_code for answer in answers] == [200] * 20
        assert fake.peak == 1
        assert [request.json()["number"] for request in fake.asked("/api/chat")] == list(range(20))
        figures = await router.until(queue_depth=0)
        assert figures["completed"] == 20
        assert figures["estimated_wait_ms"] is None


async def test_as_many_run_at_once_as_the_engine_has_slots() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake, loaded(slots=3))
        fake.hold = asyncio.Event()
        calls = [asyncio.ensure_future(router.http.post("/api/chat", json=BODY)) for _ in range(8)]
        await router.until(in_flight=3, pending=5)
        fake.hold.set()
        await asyncio.gather(*calls)
        assert fake.peak == 3


async def test_one_more_than_the_queue_holds_is_told_to_come_back() -> None:
    async with FakeOllama() as fake, running_router(queue_limit=1) as router:
        await router.join("a", fake)
        fake.hold = asyncio.Event()
        calls = [asyncio.ensure_future(router.http.post("/api/chat", json=BODY)) for _ in range(2)]
        await router.until(in_flight=1, pending=1)
        refused = await router.http.post("/api/chat", json=BODY)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        fake.hold.set()
        await asyncio.gather(*calls)


async def test_held_requests_count_for_the_limit_too() -> None:
    async with FakeOllama() as fake, running_router(queue_limit=2, hold_timeout=20) as router:
        await router.join("a", fake, healthy=False)
        calls = [asyncio.ensure_future(router.http.post("/api/chat", json=BODY)) for _ in range(2)]
        figures = await router.until(pending=2)
        assert [(view["why"], view["position"]) for view in figures["waiting"]] == [("held", 1), ("held", 2)]
        assert (await router.http.post("/api/chat", json=BODY)).status_code == 503
        await router.join("a", fake)
        assert [(await call).status_code for call in calls] == [200, 200]


async def test_a_request_nobody_can_take_is_held_until_a_node_comes() -> None:
    async with FakeOllama() as fake, running_router(hold_timeout=20) as router:
        await router.join("a", fake, healthy=False)
        call = asyncio.ensure_future(router.http.post("/api/chat", json={**BODY, "stream": False}))
        figures = await router.until(pending=1)
        assert figures["waiting"][0]["why"] == "held"
        await router.join("b", fake)
        answer = await call
        assert answer.status_code == 200
        assert answer.headers["x-fleet-node"] == "b"


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
async def test_a_model_whose_engine_is_down_is_503_with_retry_after_and_not_404(path: str) -> None:
    async with FakeOllama() as down, FakeOllama() as other, running_router(hold_timeout=0.2) as router:
        await router.join("a", down, loaded("only-here:1"), healthy=False)
        await router.join("b", other, loaded("another:1"))
        answer = await router.http.post(path, json={**BODY, "model": "only-here:1"})
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert "only-here:1" in answer.text
        assert not [request for request in other.requests if request.path != "/"]
        [trace] = await router.traces()
        assert trace["status"] == "failed"


async def raw_post(router: RunningRouter, body: dict) -> socket.socket:
    """A request on a bare socket, so that the test decides when the client leaves."""
    host, port = router.url.removeprefix("http://").split(":")
    text = json.dumps(body).encode()
    head = f"POST /api/chat HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(text)}\r\n\r\n".encode()
    client = socket.create_connection((host, int(port)))
    client.setblocking(False)
    await asyncio.get_running_loop().sock_sendall(client, head + text)
    return client


async def test_a_client_that_leaves_while_queued_is_never_sent_to_an_engine() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        fake.hold = asyncio.Event()
        first = asyncio.ensure_future(router.http.post("/api/chat", json=BODY))
        await router.until(in_flight=1)
        client = await raw_post(router, {**BODY, "number": 2})
        await router.until(pending=1)
        client.close()
        await router.until(pending=0)
        fake.hold.set()
        await first
        assert len(fake.asked("/api/chat")) == 1
        statuses = {trace["status"] for trace in await router.traces(2)}
        assert statuses == {"completed", "client_disconnected"}


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_before_the_first_byte_frees_engine_and_slot(stream: bool) -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake, loaded(loaded=False))
        fake.script("/api/chat", hang())
        client = await raw_post(router, {**BODY, "stream": stream})
        await fake.requests.wait(1)
        await router.until(in_flight=1)
        left = time.monotonic()
        client.close()
        [closed] = await fake.closed.wait(1)
        assert closed.at - left < 0.25
        await router.until(in_flight=0)
        [trace] = await router.traces()
        assert trace["status"] == "client_disconnected"
        assert trace["time_to_first_token_ms"] is None


async def test_a_client_that_leaves_mid_stream_frees_engine_and_slot() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        fake.script("/api/chat", streaming(LINE, asyncio.Event(), LAST))
        client = await raw_post(router, BODY)
        received = await asyncio.get_running_loop().sock_recv(client, 65536)
        assert b"200 OK" in received
        left = time.monotonic()
        client.close()
        [closed] = await fake.closed.wait(1)
        assert closed.at - left < 0.25
        await router.until(in_flight=0)
        [trace] = await router.traces()
        assert trace["status"] == "client_disconnected"
        assert trace["time_to_first_token_ms"] > 0


async def test_a_slot_freed_by_a_leaving_client_goes_to_the_next_in_line() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        fake.script("/api/chat", hang())
        client = await raw_post(router, BODY)
        await router.until(in_flight=1)
        following = asyncio.ensure_future(router.http.post("/api/chat", json=BODY))
        await router.until(pending=1)
        client.close()
        assert (await following).status_code == 200
