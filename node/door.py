"""The node's door: relays the router's requests to this machine's engines, byte for byte. Knows no dialect.

A bare ASGI application, because a relay needs none of what a framework gives: one open route that tells the node's
name, and ``/engines/<name>/<path>`` for whoever shows the node's secret. Only the base URL of a known engine is ever
contacted, and the engine's connection ends with the router's: before the first byte, in the middle, at the end.
"""

import asyncio
import hmac
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import nullcontext
from typing import Any

import httpx
import structlog
import uvicorn

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SECRET_HEADER = b"x-herd-door"
PORTS_TRIED = 50
"""Ports from the wished one upwards that are tried before the door gives up."""
CONNECT_S = 3.0
HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer",
     b"transfer-encoding", b"upgrade", b"host", SECRET_HEADER}
)  # fmt: skip
_ENGINE_PATH = re.compile(r"/engines/([A-Za-z0-9._-]+)(/.*)?", re.DOTALL)


class RouterLeft(Exception):
    """The router closed its connection: the engine's must end too."""


class DoorShut(OSError):
    """No port was free for the door."""


class Door:
    """Listens on ``port`` or the next free one. ``target`` gives an engine's base URL by its name, None if unknown."""

    def __init__(self, *, node_id: str, secret: str, target: Callable[[str], str | None], host: str, port: int) -> None:
        self._node_id = node_id
        self._secret = secret.encode()
        self._target = target
        self._host = host
        self._wished = port
        self._port: asyncio.Future[int] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._log = structlog.get_logger("door")
        self._http: httpx.AsyncClient | None = None
        self.running = 0

    async def run(self) -> None:
        """Serve until cancelled. Raises ``DoorShut`` when no port is free."""
        listener = _listen(self._host, self._wished)
        config = uvicorn.Config(
            self._answer, interface="asgi3", http="httptools", ws="none", lifespan="off", access_log=False, log_config=None,
            server_header=False, date_header=False, proxy_headers=False, timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        server = _QuietServer(config)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        timeout = httpx.Timeout(None, connect=CONNECT_S)
        async with httpx.AsyncClient(trust_env=False, limits=limits, timeout=timeout) as self._http:
            port = listener.getsockname()[1]
            self._ready().set_result(port)
            self._log.info("door.opened", port=port)
            try:
                await server.serve(sockets=[listener])
            finally:
                listener.close()

    async def started(self) -> int:
        """The port, once it is taken."""
        return await asyncio.shield(self._ready())

    async def drain(self, timeout_s: float) -> bool:
        """Wait until no relay is under way; False when the time was too short."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def _ready(self) -> asyncio.Future[int]:
        if self._port is None:
            self._port = asyncio.get_running_loop().create_future()
        return self._port

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/health":
            await _say(send, 200, {"status": "ok", "node_id": self._node_id})
            return
        shown = [value for name, value in scope["headers"] if name == SECRET_HEADER]
        if len(shown) != 1 or not hmac.compare_digest(shown[0], self._secret):
            await _say(send, 401, {"error": "this door opens for the node's own router only"})
            return
        match = _ENGINE_PATH.fullmatch(scope["path"])
        base = self._target(match[1]) if match else None
        if match is None or base is None:
            await _say(send, 404, {"error": "no such engine on this node"})
            return
        self.running += 1
        self._idle.clear()
        try:
            await self._relay(base, match[2] or "/", scope, receive, send)
        finally:
            self.running -= 1
            if not self.running:
                self._idle.set()

    async def _relay(self, base: str, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """One request through to the engine. The watcher ends the work when the router leaves."""
        body_read = asyncio.Event()

        async def watch() -> None:
            await body_read.wait()
            while (await receive())["type"] != "http.disconnect":
                pass
            raise RouterLeft

        try:
            async with asyncio.TaskGroup() as tasks:
                watcher = tasks.create_task(watch(), name="router.watch")
                await self._pass_on(self._request(base, path, scope, _body(receive, body_read)), send)
                watcher.cancel()
        except* RouterLeft:
            pass

    def _request(self, base: str, path: str, scope: Scope, body: AsyncIterator[bytes]) -> httpx.Request:
        assert self._http is not None
        headers = [(name, value) for name, value in scope["headers"] if name not in HOP_BY_HOP]
        sized = any(name == b"content-length" for name, _ in headers)
        chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        url = httpx.URL(base)
        raw = url.raw_path.rstrip(b"/") + _quoted(scope, path)
        if scope["query_string"]:
            raw += b"?" + scope["query_string"]
        return self._http.build_request(
            scope["method"], url.copy_with(raw_path=raw), headers=headers, content=body if sized or chunked else None
        )

    async def _pass_on(self, request: httpx.Request, send: Send) -> None:
        assert self._http is not None
        begun = False
        try:
            answer = await self._http.send(request, stream=True)
            try:
                headers = [(name.lower(), value) for name, value in answer.headers.raw]
                kept = [(name, value) for name, value in headers if name not in HOP_BY_HOP]
                await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
                begun = True
                async for piece in answer.aiter_raw():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            finally:
                await answer.aclose()
        except httpx.HTTPError as error:
            self._log.warning("relay.failed", url=str(request.url), error=str(error) or type(error).__name__)
            if begun:
                raise  # the router must see a broken answer, not a short one
            await _say(send, 502, {"error": f"the engine does not answer: {type(error).__name__}"})
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _QuietServer(uvicorn.Server):
    """Signals belong to the agent."""

    def install_signal_handlers(self) -> None:
        return

    def capture_signals(self) -> Any:
        return nullcontext()


async def _body(receive: Receive, read: asyncio.Event) -> AsyncIterator[bytes]:
    """The router's body as it comes; ``read`` is set at its end, when the watcher may listen."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RouterLeft
        if piece := message.get("body", b""):
            yield piece
        if not message.get("more_body", False):
            read.set()
            return


def _quoted(scope: Scope, path: str) -> bytes:
    """The engine's part of the path as the router wrote it, its percent signs included."""
    raw: bytes = scope.get("raw_path") or path.encode()
    raw = raw.partition(b"?")[0]
    parts = raw.split(b"/", 3)
    rest = b"/" + (parts[3] if len(parts) > 3 else b"")
    return rest if b".." not in rest.split(b"/") else b"/"


async def _say(send: Send, status: int, value: dict[str, str]) -> None:
    body = json.dumps(value).encode()
    lines = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _listen(host: str, first: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(first, first + PORTS_TRIED) if first else (0,):
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.bind((host, port))
            listener.listen(128)
        except OSError:
            listener.close()
            continue
        return listener
    raise DoorShut(f"no free port for the door between {first} and {first + PORTS_TRIED - 1}")
