"""The fleet as it moves: one picture a second for all who watch, as server-sent events. Knows no node and no route.

``run`` belongs into the router's task group; it looks only while somebody watches. ``stop`` ends every stream at once.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

import msgspec
import structlog
from jinja2 import Environment
from litestar.types import Receive, Scope, Send

from app.fleet.snapshot import FleetSnapshot
from app.store.records import TraceRecord
from app.web.delta import Picture, Sketch, advance, changes
from app.web.overview import Overview, sketches, view
from app.web.view import SECURITY_HEADERS

TakeSnapshot = Callable[[], FleetSnapshot]
TakeTraces = Callable[[], Awaitable[Sequence[TraceRecord]]]

RETRY_MS = 2000
SEND_TIMEOUT_S = 20.0
KEEPALIVE = b": still here\nevent: beat\ndata: 1\n\n"
"""A comment for the proxies between, and an event by which a page can tell a quiet fleet from a dead wire."""

log = structlog.get_logger()


class Look(msgspec.Struct, frozen=True):
    """One look at the fleet: the page's struct, its picture, and the id by which a listener can go on from here."""

    page: Overview
    picture: Picture
    id: str


class Listener:
    """One open stream. ``messages`` is bounded: whoever does not read loses the stream, not the router its memory."""

    def __init__(self, backlog: int) -> None:
        self.messages: asyncio.Queue[bytes | None] = asyncio.Queue(backlog)
        self.ended = False

    def put(self, message: bytes) -> None:
        if self.messages.full():
            self.end()
        elif not self.ended:
            self.messages.put_nowait(message)

    def end(self) -> None:
        while not self.messages.empty():
            self.messages.get_nowait()
        self.messages.put_nowait(None)
        self.ended = True


class Live:
    """``clock`` gives Unix epoch seconds for showing. ``listeners_max`` bounds the streams of all tabs together."""

    def __init__(
        self,
        take_snapshot: TakeSnapshot,
        take_traces: TakeTraces,
        env: Environment,
        *,
        interval_s: float = 1.0,
        keepalive_s: float = 15.0,
        backlog: int = 8,
        listeners_max: int = 256,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._take_snapshot = take_snapshot
        self._take_traces = take_traces
        self._env = env
        self._interval_s = interval_s
        self._keepalive_s = keepalive_s
        self._backlog = backlog
        self._listeners_max = listeners_max
        self._clock = clock
        self._boot = secrets.token_hex(4)
        self._look: Look | None = None
        self._looked_at = 0.0
        self._looking = asyncio.Lock()
        self._told = 0
        self._listeners: set[Listener] = set()
        self._watched = asyncio.Event()
        self._stopped = asyncio.Event()

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    @property
    def full(self) -> bool:
        """True when no further stream may be opened, for want of room or because the router stops."""
        return self._stopped.is_set() or len(self._listeners) >= self._listeners_max

    async def look(self) -> Look:
        """The fleet now, or as it was half an interval ago: many readers cost one look."""
        async with self._looking:
            started = time.monotonic()
            if self._look is not None and started - self._looked_at < self._interval_s / 2:
                return self._look
            page = view(self._take_snapshot(), await self._take_traces(), self._clock())
            old = self._look.picture if self._look else Picture()
            picture = advance(old, sketches(page), self._draw)
            self._look = Look(page, picture, f"{self._boot}.{picture.build}")
            self._looked_at = started
            return self._look

    def _draw(self, sketch: Sketch) -> str:
        return self._env.get_template(sketch.template).render(part=sketch.id, it=sketch.item)

    async def run(self) -> None:
        """Look and tell, once an interval, while anybody listens; until ``stop``."""
        failing = False
        while not self._stopped.is_set():
            await self._watched.wait()
            if self._stopped.is_set():
                return
            try:
                self._tell(await self.look())
                failing = False
            except Exception as error:
                if not failing:
                    log.exception("live.failed", error=str(error))
                failing = True
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._stopped.wait()

    def stop(self) -> None:
        """End every stream now, and ``run`` with them. May be called more than once."""
        self._stopped.set()
        self._watched.set()
        for listener in tuple(self._listeners):
            listener.end()

    def _tell(self, look: Look) -> None:
        message = event(look, self._told)
        self._told = look.picture.build
        for listener in tuple(self._listeners):
            if message:
                listener.put(message)
            if listener.ended:
                self._leave(listener)

    def _leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        if not self._listeners and not self._stopped.is_set():
            self._watched.clear()

    async def subscribe(self, last_id: str = "") -> AsyncIterator[bytes]:
        """Server-sent events for one client, from the build it knows on: at once what it missed, then what changes.

        Ends when the router stops or the client does not keep up. Close it (``aclose``) when the client has gone.
        """
        look = await self.look()
        if self.full:
            return
        listener = Listener(self._backlog)
        if not self._listeners:
            self._told = look.picture.build
        self._listeners.add(listener)
        self._watched.set()
        try:
            yield b"retry: %d\n\n" % RETRY_MS + event(look, self._known(last_id, look))
            while True:
                try:
                    async with asyncio.timeout(self._keepalive_s):
                        message = await listener.messages.get()
                except TimeoutError:
                    message = KEEPALIVE
                if message is None:
                    return
                yield message
        finally:
            self._leave(listener)

    def _known(self, last_id: str, look: Look) -> int:
        boot, _, build = last_id.partition(".")
        if boot != self._boot or not build.isascii() or not build.isdigit() or len(build) > 15:
            return 0
        return int(build) if int(build) <= look.picture.build else 0


def event(look: Look, after: int) -> bytes:
    """The event that brings a listener from build ``after`` to this look; empty if nothing differs."""
    message = changes(look.picture, after)
    if not message:
        return b""
    return b"id: %s\ndata: %s\n\n" % (look.id.encode(), msgspec.json.encode(message))


class EventStream:
    """The ASGI answer to one client: sends events until it leaves, does not read, or the router stops."""

    def __init__(self, live: Live, last_id: str) -> None:
        self._live = live
        self._last_id = last_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with asyncio.TaskGroup() as tasks:
            pump = tasks.create_task(self._pump(send), name="live.pump")
            watch = tasks.create_task(_gone(receive), name="live.watch")
            await asyncio.wait({pump, watch}, return_when=asyncio.FIRST_COMPLETED)
            pump.cancel()
            watch.cancel()

    async def _pump(self, send: Send) -> None:
        headers = {
            **SECURITY_HEADERS,
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-store",
            "x-accel-buffering": "no",
        }
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": pairs})
        events = self._live.subscribe(self._last_id)
        try:
            async for message in events:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await send({"type": "http.response.body", "body": message, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            log.info("live.dropped", reason="the client does not read")
        finally:
            await events.aclose()  # type: ignore[attr-defined]


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
