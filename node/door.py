"""The node's door: relays the router's requests to this machine's engines, byte for byte. Knows no dialect.

A bare ASGI application, because a relay needs none of what a framework gives: one open route that tells the node's
name, and ``/engines/<name>/<path>`` for whoever shows the node's secret. Only the base URL of a known engine is ever
contacted, and the engine's connection ends with the router's: before the first byte, in the middle, at the end. An
engine without a server of its own is asked right here.
"""

import asyncio
import hmac
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import nullcontext
from typing import Any
from urllib.parse import unquote_to_bytes

import httpx
import msgspec
import structlog
import uvicorn

from node import threshold
from node.engines.base import Hosted, Question

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SECRET_HEADER = b"x-herd-door"
CONNECT_S = 3.0
WRITE_S = 60.0
"""Seconds an engine may leave a request's body unread. While it does, a router that leaves is not noticed."""
SAID_MOST = 4096
"""Bytes of a question about the node itself."""
HINT = "this machine has no such address now; without --door-host the door is open on all it has"
LAST_WORDS_S = 1
"""Seconds that relays have to end when the door closes."""
HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer",
     b"transfer-encoding", b"upgrade", b"expect", b"host", SECRET_HEADER}
)  # fmt: skip
_ENGINE_PATH = re.compile(r"/engines/([A-Za-z0-9._-]+)(?:/.*)?", re.DOTALL)


Room = Callable[[str, bytes], Awaitable[tuple[int, object]]]
"""What answers at a path of the door's own: method and body in, status and what becomes JSON out."""


class RouterLeft(Exception):
    """The router closed its connection: the engine's must end too."""


class Passed:
    """What went to one engine and came back: requests, and bytes of their bodies."""

    __slots__ = ("bytes_in", "bytes_out", "requests")

    def __init__(self) -> None:
        self.requests = self.bytes_in = self.bytes_out = 0


class Door:
    """Listens on ``port`` or the next free one. ``port`` is then the one it has; 0: it is shut.

    ``target`` gives by an engine's name its base URL, or the engine itself if it has no server; None if unknown.
    ``rooms`` answer at paths of their own, each for whoever shows the secret.
    """

    def __init__(
        self,
        *,
        node_id: str,
        secret: str,
        target: Callable[[str], str | Hosted | None],
        host: str,
        port: int,
        rooms: Mapping[str, Room] | None = None,
    ) -> None:
        self._node_id = node_id
        self._secret = secret.encode()
        self._target = target
        self._rooms = rooms or {}
        self._host = host
        self._port_wished = port
        self._tried = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._log = structlog.get_logger("door")
        self._http: httpx.AsyncClient | None = None
        self.port = 0
        self.running = 0
        self.passed: dict[str, Passed] = {}

    async def run(self) -> None:
        """Serve until cancelled, then cut what still runs. Raises ``DoorShut`` when no port is free.

        A door on one address is shut while this machine does not have that address, and opens again with it.
        """
        # A kept connection may be closed by the engine in the moment of its next use; a new one costs nothing here.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(trust_env=False, limits=limits) as self._http:
            while True:
                with await self._listener() as listener:
                    self.port = listener.getsockname()[1]
                    self._log.info("door.opened", port=self.port)
                    self._tried.set()
                    try:
                        await self._serve(listener)
                    finally:
                        self.port = 0
                self._log.warning("door.shut", host=self._host, hint=HINT)

    async def started(self) -> int:
        """The port, once it is taken; 0 if its address is not here yet."""
        await self._tried.wait()
        return self.port

    async def _listener(self) -> socket.socket:
        """A listening socket, as soon as this machine has the address."""
        while True:
            try:
                return threshold.listen(self._host, self._port_wished)
            except threshold.DoorAway:
                if not self._tried.is_set():
                    self._log.warning("door.shut", host=self._host, hint=HINT)
                self._tried.set()
            await asyncio.sleep(threshold.LOOK_EVERY_S)

    async def _serve(self, listener: socket.socket) -> None:
        """Until the address of the listener is another machine's."""
        config = uvicorn.Config(
            self._answer, interface="asgi3", http="httptools", ws="none", lifespan="off", access_log=False,
            log_config=None, server_header=False, date_header=False, proxy_headers=False, timeout_keep_alive=75,
            timeout_graceful_shutdown=LAST_WORDS_S,
        )  # fmt: skip
        server = _QuietServer(config)
        try:
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(server.serve(sockets=[listener]), name="door.serve")
                moved = tasks.create_task(threshold.until_away(self._host), name="door.address")
                await asyncio.wait({serving, moved}, return_when=asyncio.FIRST_COMPLETED)
                serving.cancel()
                moved.cancel()
        finally:
            if server.started:
                await asyncio.shield(server.shutdown())

    async def drain(self, timeout_s: float) -> bool:
        """Wait until no relay is under way; False when the time was too short."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

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
        if room := self._rooms.get(scope["path"]):
            await self._receive(room, scope["method"], receive, send)
            return
        match = _ENGINE_PATH.fullmatch(scope["path"])
        target = self._target(match[1]) if match else None
        url = _address(target if isinstance(target, str) else "http://here", scope) if target else None
        if match and target is None:  # the router believes an older heartbeat: another node may do
            await _say(send, 502, {"error": "no such engine on this node"})
            return
        if match is None or url is None or target is None:
            await _say(send, 404, {"error": "no such path on this node"})
            return
        receive, send = _counted(self.passed.setdefault(match[1], Passed()), receive, send)
        self.running += 1
        self._idle.clear()
        try:
            if isinstance(target, str):
                await self._relay(url, scope, receive, send)
            else:
                await self._ask(target, url, scope, receive, send)
        finally:
            self.running -= 1
            if not self.running:
                self._idle.set()

    async def _receive(self, room: Room, method: str, receive: Receive, send: Send) -> None:
        """One short question about the node itself."""
        said = bytearray()
        try:
            async for piece in _body(receive, asyncio.Event()):
                said += piece
                if len(said) > SAID_MOST:
                    await _say(send, 413, {"error": f"at most {SAID_MOST} bytes"})
                    return
        except RouterLeft:
            return
        await _say(send, *await room(method, bytes(said)))

    async def _relay(self, url: httpx.URL, scope: Scope, receive: Receive, send: Send) -> None:
        """One request through to the engine."""
        body_over = asyncio.Event()
        request = _request(url, scope, _body(receive, body_over))
        await _while_router_listens(receive, body_over, self._pass_on(request, body_over, send))

    async def _ask(self, engine: Hosted, url: httpx.URL, scope: Scope, receive: Receive, send: Send) -> None:
        """One request answered by an engine of this very process."""
        body_over = asyncio.Event()
        question = Question(
            method=scope["method"],
            path=url.path,
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in _passing(scope["headers"])},
            body=_body(receive, body_over),
        )

        async def answering() -> None:
            answer = await engine.answer(question)
            body_over.set()
            lines = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
            lines.append((b"content-type", answer.content_type.encode("latin-1")))
            lines.append((b"content-length", str(len(answer.body)).encode()))
            await send({"type": "http.response.start", "status": answer.status, "headers": lines})
            await send({"type": "http.response.body", "body": answer.body, "more_body": False})

        await _while_router_listens(receive, body_over, answering())

    async def _pass_on(self, request: httpx.Request, body_over: asyncio.Event, send: Send) -> None:
        """Send, answer. An answer that breaks is left unfinished: its connection closes, and the router sees it."""
        assert self._http is not None
        if isinstance(request.stream, httpx.ByteStream):
            body_over.set()
        begun = False
        try:
            answer = await self._http.send(request, stream=True)
            body_over.set()  # an engine may answer a body that it did not read to its end
            try:
                kept = _passing((name.lower(), value) for name, value in answer.headers.raw)
                await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
                begun = True
                async for piece in answer.aiter_raw():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            finally:
                await answer.aclose()
        except httpx.HTTPError as error:
            self._log.warning("relay.failed", path=request.url.path, error=str(error) or type(error).__name__)
            if not begun:
                await _say(send, 502, {"error": f"the engine does not answer: {type(error).__name__}"})
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _counted(passed: Passed, receive: Receive, send: Send) -> tuple[Receive, Send]:
    """The router's two ends, with all that goes by counted."""
    passed.requests += 1

    async def receiving() -> MutableMapping[str, Any]:
        message = await receive()
        passed.bytes_in += len(message.get("body", b""))
        return message

    async def sending(message: MutableMapping[str, Any]) -> None:
        passed.bytes_out += len(message.get("body", b""))
        await send(message)

    return receiving, sending


async def _while_router_listens(receive: Receive, body_over: asyncio.Event, work: Awaitable[None]) -> None:
    """Do the work, and end it when the router leaves."""

    async def watch() -> None:
        await body_over.wait()  # until then whoever reads the body hears of it
        while (await receive())["type"] != "http.disconnect":
            pass
        raise RouterLeft

    try:
        async with asyncio.TaskGroup() as tasks:
            watcher = tasks.create_task(watch(), name="router.watch")
            await work
            watcher.cancel()
    except* RouterLeft:
        pass


class _QuietServer(uvicorn.Server):
    """Signals belong to the agent."""

    def install_signal_handlers(self) -> None:
        return

    def capture_signals(self) -> Any:
        return nullcontext()


async def _body(receive: Receive, over: asyncio.Event) -> AsyncIterator[bytes]:
    """The router's body as it comes; ``over`` is set at its end."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RouterLeft
        if piece := message.get("body", b""):
            yield piece
        if not message.get("more_body", False):
            over.set()
            return


def _request(url: httpx.URL, scope: Scope, body: AsyncIterator[bytes]) -> httpx.Request:
    """The router's request to the engine: its headers and none that a client would add of its own."""
    headers = _passing(scope["headers"])
    framed = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
    timeout = httpx.Timeout(None, connect=CONNECT_S, write=WRITE_S).as_dict()
    return httpx.Request(
        scope["method"], url, headers=headers, content=body if framed else None, extensions={"timeout": timeout}
    )


def _passing(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers, in lower case, without those that concern one connection only."""
    headers = list(headers)
    named = {word.strip().lower() for name, value in headers if name == b"connection" for word in value.split(b",")}
    return [(name, value) for name, value in headers if name not in HOP_BY_HOP and name not in named]


def _address(base: str, scope: Scope) -> httpx.URL | None:
    """Where this request goes: below the engine's base URL, its path and query as the router wrote them.

    None for a path that climbs or that no URL can hold.
    """
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    parts = raw.partition(b"?")[0].split(b"/", 3)
    rest = b"/" + (parts[3] if len(parts) > 3 else b"")
    if b".." in unquote_to_bytes(rest).split(b"/"):
        return None
    try:
        url = httpx.URL(base)
        rest = url.raw_path.rstrip(b"/") + rest
        return url.copy_with(raw_path=rest + (b"?" + scope["query_string"] if scope["query_string"] else b""))
    except (httpx.InvalidURL, UnicodeError):
        return None


async def _say(send: Send, status: int, value: object) -> None:
    body = msgspec.json.encode(value)
    lines = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body, "more_body": False})
