"""A real server on loopback that shows whatever fleet a test gives it. Knows no router."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import uvicorn
from litestar import Litestar, Request, Response, get, post
from litestar.params import FromPath
from shown_fleet import NOW, fleet, history

from app.fleet.snapshot import FleetSnapshot
from app.store.records import TraceRecord
from app.web import pages
from app.web.doors.overview import OverviewController
from app.web.live import Live
from app.web.view import environment

TOKEN = "the-right-token"


class Site:
    """A server on loopback. It shows ``snapshot`` and ``traces``; ``looks`` counts how often it looked."""

    def __init__(self, *, interval_s: float = 0.1, keepalive_s: float = 15.0, backlog: int = 8) -> None:
        self.snapshot = fleet()
        self.traces: Sequence[TraceRecord] = history()
        self.looks = 0
        self.approved: list[str] = []
        self.broken = False
        env = environment()
        self.live = Live(
            self._snapshot,
            self._traces,
            env,
            interval_s=interval_s,
            keepalive_s=keepalive_s,
            backlog=backlog,
            clock=lambda: NOW,
        )
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._loop: asyncio.AbstractEventLoop | None = None
        config = uvicorn.Config(self._app(), log_config=None, lifespan="on", timeout_graceful_shutdown=5)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def _snapshot(self) -> FleetSnapshot:
        self.looks += 1
        if self.broken:
            raise RuntimeError("no snapshot today")
        return self.snapshot

    async def _traces(self) -> Sequence[TraceRecord]:
        return self.traces

    def _app(self) -> Litestar:
        @asynccontextmanager
        async def lifespan(_: Litestar) -> AsyncIterator[None]:
            self._loop = asyncio.get_running_loop()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.live.run(), name="live")
                yield
                self.live.stop()

        @post("/admin/login", status_code=200)
        async def login(request: Request[Any, Any, Any]) -> Response[dict[str, bool]]:
            right = msgspec.json.decode(await request.body()).get("token") == TOKEN
            answer = Response({"ok": right}, status_code=200 if right else 401)
            if right:
                answer.set_cookie("herd_admin", "yes", httponly=True, samesite="strict")
            return answer

        @get("/admin/whoami")
        async def whoami(request: Request[Any, Any, Any]) -> dict[str, bool]:
            return {"admin": request.cookies.get("herd_admin") == "yes"}

        @post("/fleet/nodes/{name:str}/approve", status_code=200)
        async def approve(name: FromPath[str]) -> dict[str, bool]:
            self.approved.append(name)
            return {"ok": True}

        return Litestar(
            [*pages.routers(self.live, [OverviewController]), login, whoami, approve],
            template_config=pages.template_config(),
            lifespan=[lifespan],
            openapi_config=None,
        )

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        assert self._server.started

    def stop_live(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.live.stop)

    def stop(self) -> None:
        self.stop_live()
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()
        assert not self._thread.is_alive()
