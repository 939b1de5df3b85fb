"""Heads without end and requests that never come to theirs, on bare sockets."""

import asyncio

import pytest
from running import RunningRouter, running_router

from app import reception

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"


async def said_to(router: RunningRouter, *pieces: bytes) -> bytes:
    """What comes back until the router closes the connection."""
    host, port = router.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"".join(b"X-%d: y\r\n" % number for number in range(10_000)) + b"\r\n",
        HEAD + b"X: " + b"y" * 1_000_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["many fields", "a long field", "a long path"],
)
async def test_a_head_beyond_all_bounds_is_refused(head: bytes) -> None:
    async with running_router() as router:
        answer = await said_to(router, head)
        assert not answer or answer.startswith(b"HTTP/1.1 400")
        assert (await router.http.get("/healthz")).status_code == 200


async def test_an_ordinary_large_head_passes() -> None:
    async with running_router() as router:
        cookies = {f"X-Cookie-{number}": "c" * 500 for number in range(60)}
        assert (await router.http.get("/healthz", headers=cookies)).status_code == 200


@pytest.mark.parametrize(
    "said", [b"", HEAD, POST, POST + b"{"], ids=["nothing", "half a head", "no body", "half a body"]
)
async def test_a_request_that_does_not_come_to_its_end_is_closed(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "HEAD_S", 0.2)
    monkeypatch.setattr(reception, "BODY_S", 0.2)
    async with running_router() as router:
        assert await said_to(router, said) == b""
        assert await router.queue()


async def test_a_body_that_keeps_coming_is_heard_and_an_idle_connection_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "HEAD_S", 0.2)
    monkeypatch.setattr(reception, "BODY_S", 0.2)
    monkeypatch.setattr(reception, "BODY_LEAST", 1)

    async def slowly():
        for piece in (b'{"model":', b' "nobody', b'-has-it",', b' "messages"', b": []}"):
            yield piece
            await asyncio.sleep(0.1)

    async with running_router() as router:
        assert (await router.http.post("/api/chat", content=slowly())).status_code == 404
        host, port = router.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for _ in range(2):
            writer.write(HEAD + b"\r\n")
            assert b"HTTP/1.1 200" in await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.5)
        writer.close()
