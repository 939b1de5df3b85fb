"""A node that gets another address while requests are on their way to the old one: none of them is lost."""

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from fakes.fake_ollama import FakeOllama
from fakes.scripted import hang
from running import RunningRouter, running_router

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs several loopback addresses")

BODY = {"model": "smollm2:135m", "messages": [{"role": "user", "content": "Hi"}], "stream": False}


class Silent:
    """A machine that is there no more, as far as a connection can tell."""

    def __init__(self, port: int) -> None:
        self.port = port


@contextmanager
def nobody_at_home() -> Iterator[Silent]:
    """A port on which the system answers to nobody, because its line of those who wait is full."""
    with ExitStack() as sockets:
        full = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield Silent(full.getsockname()[1])


async def join_from(address: str, router: RunningRouter, engine: FakeOllama | Silent) -> None:
    """The node reports from this address of its machine."""
    before = router.http
    way = httpx.AsyncHTTPTransport(local_address=address)
    async with httpx.AsyncClient(base_url=router.url, transport=way, trust_env=False) as router.http:
        await router.join("a", engine)
    router.http = before


async def asked(router: RunningRouter) -> "asyncio.Task[httpx.Response]":
    """A request that has been tried once at the old address and is held now."""
    asking = asyncio.ensure_future(router.http.post("/api/chat", json=BODY))
    async with asyncio.timeout(20):
        while not (await router.queue())["pending"]:
            assert not asking.done(), asking.result().text
            await asyncio.sleep(0.02)
    return asking


async def test_a_request_that_met_nobody_waits_for_the_node_and_goes_where_it_is_now() -> None:
    with nobody_at_home() as gone:
        async with running_router(connect_timeout=0.2) as router:
            await router.join("a", gone)
            asking = await asked(router)
            async with FakeOllama(host="127.0.0.2", port=gone.port) as engine:
                await join_from("127.0.0.2", router, engine)
                answer = await asking
            assert (answer.status_code, answer.headers["x-fleet-node"]) == (200, "a")
            assert answer.headers["x-fleet-retries"] == "1"


async def test_a_node_that_speaks_from_where_it_met_nobody_is_waited_for_no_longer() -> None:
    with nobody_at_home() as gone:
        async with running_router(connect_timeout=0.2) as router:
            await router.join("a", gone)
            asking = await asked(router)
            await router.join("a", gone)
            answer = await asking
            assert answer.status_code == 502
            assert "no connection" in answer.json()["error"]


async def test_a_node_that_stays_silent_is_waited_for_until_it_is_late() -> None:
    late = {"heartbeat_interval": 0.1, "heartbeat_timeout": 0.5, "heartbeat_offline": 60.0}
    with nobody_at_home() as gone:
        async with running_router(connect_timeout=0.2, heartbeat=late) as router:
            await router.join("a", gone)
            assert (await router.http.post("/api/chat", json=BODY)).status_code == 502


async def test_a_request_that_hangs_at_the_old_address_is_taken_to_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.fleet.watch.PROBE_AFTER_S", 0.1)
    async with FakeOllama() as old, running_router() as router:
        old.script("/api/chat", hang())
        await router.join("a", old)
        asking = asyncio.ensure_future(router.http.post("/api/chat", json=BODY))
        await old.requests.wait(1)
        async with FakeOllama(host="127.0.0.2", port=old.port) as engine:
            await join_from("127.0.0.2", router, engine)
            answer = await asking
        assert (answer.status_code, answer.headers["x-fleet-retries"]) == (200, "1")
