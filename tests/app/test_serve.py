"""The server around the router: it ends when the router is broken."""

import asyncio
from types import SimpleNamespace
from typing import Any

import uvicorn

from app.serve import HerdServer, listen


async def _breaks_soon(scope: Any, receive: Any, send: Any) -> None:
    """An application whose background work fails once it serves."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await asyncio.sleep(0.05)
        raise RuntimeError("a duty failed")


async def test_a_router_whose_duties_ended_by_an_error_serves_no_longer() -> None:
    stopped: list[bool] = []
    dispatcher, live = SimpleNamespace(closing=False), SimpleNamespace(stop=lambda: stopped.append(True))
    router: Any = SimpleNamespace(app=_breaks_soon, dispatcher=dispatcher, live=live)
    server = HerdServer(uvicorn.Config(_breaks_soon, lifespan="on", log_config=None), router, drain_s=1.0)
    async with asyncio.timeout(20):
        await server.serve(sockets=[listen("127.0.0.1", 0)])
    assert server.broken
    assert dispatcher.closing
    assert stopped == [True]
