"""Answers that take long: worked for while the client is watched, told line by line. Knows no model and no node."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from app.asgi import ClientLeft, while_listening
from app.errors import HerdError
from app.fleet.node_client import Answer

NDJSON = "application/x-ndjson"
SUCCESS = b'"success"'
OnSuccess = Callable[[], Awaitable[None]]


class Outlet:
    """The client's end of an answer: ``start`` once, then ``piece``, and ``end``."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def start(self, status: int, content_type: str, nodes: str) -> None:
        self.begun = True
        lines = [(b"content-type", content_type.encode("latin-1", "replace")), (b"x-fleet-node", nodes.encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": lines})

    async def piece(self, body: bytes) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self, body: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def whole(self, status: int, value: Any, nodes: str) -> None:
        await self.start(status, "application/json", nodes)
        await self.end(msgspec.json.encode(value))

    async def relay(self, answer: Answer, nodes: str, on_success: OnSuccess | None = None) -> None:
        """The engine's answer as it comes; one that breaks off ends in an error record.

        ``on_success`` is awaited before the word of success goes on: the client may act on it at once.
        """
        await self.start(answer.status, answer.content_type, nodes)
        try:
            async for piece in answer.pieces():
                if on_success is not None and SUCCESS in piece:
                    await on_success()
                await self.piece(piece)
        except HerdError as error:
            await self.end(error_line(error))
            return
        await self.end()


Work = Callable[[Outlet], Awaitable[None]]
Carry = Callable[[Outlet, AsyncIterator[bytes]], Awaitable[None]]


class Errand(ASGIResponse):
    """``work`` is done while the client stays, whose body has been read. A ``HerdError`` before its start is told."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await while_listening(receive, self._work(Outlet(send)))


class Upload(ASGIResponse):
    """``carry`` gets the client's body as it comes, and no faster than it takes it: none of it is kept."""

    def __init__(self, carry: Carry) -> None:
        super().__init__()
        self._carry = carry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._carry(Outlet(send), _body(receive))
        except ClientLeft:
            return


def error_line(error: HerdError) -> bytes:
    return msgspec.json.encode({"error": error.text}) + b"\n"


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        if piece := message.get("body", b""):
            yield piece
        if not message.get("more_body", False):
            return
