"""Serves the router until it is told to stop: socket, server, banner, an orderly end. Knows no endpoint."""

import asyncio
import gc
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from app.api.trust import AdminKey
from app.banner import banner
from app.main import Router, create_router
from app.reception import LOGGER as RECEPTION
from app.reception import Reception
from app.settings.resolve import Source
from app.settings.schema import Settings
from app.store.store import Store
from node.machine.addresses import lan_addresses

LAST_WORDS_S = 1.0
"""Seconds between the end of the drain and the end of the server: for the error records of cut streams."""
COLLECT_AFTER = 10_000
"""New objects after which the collector looks for cycles among them."""
KEEP_ALIVE_S = 75
"""Longer than the pools of common clients keep a connection, so that it is not closed under a new request."""


class PortTaken(Exception):
    """Somebody else listens there already."""


class HerdServer(uvicorn.Server):
    """Lets what runs finish: at the first signal pages' streams end and new work is refused, at the second all is cut.

    Who is cut is told so; a client that does not even take that is left behind a second later.
    """

    def __init__(self, config: uvicorn.Config, router: Router, drain_s: float) -> None:
        super().__init__(config)
        self._router = router
        self._drain_s = drain_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        loop = asyncio.get_running_loop()
        if not self.should_exit:
            self._router.dispatcher.closing = True
            self._router.live.stop()
            loop.call_later(self._drain_s, self._router.dispatcher.cut_all)
            loop.call_later(self._drain_s, self._router.pulls.stop_all)
        else:
            loop.call_soon_threadsafe(self._router.dispatcher.cut_all)
            loop.call_soon_threadsafe(self._router.pulls.stop_all)
            loop.call_later(LAST_WORDS_S, self._leave)
        self.should_exit = True

    def _leave(self) -> None:
        self.force_exit = True

    @property
    def broken(self) -> bool:
        """Whether what runs besides the requests (traces, sweeps, deadlines) ended by an error."""
        return bool(self.lifespan.error_occurred)

    async def on_tick(self, counter: int) -> bool:
        """Called all the time. A router without its duties would look alive and reap, sweep and write nothing."""
        if self.broken and not self.should_exit:
            self._router.dispatcher.closing = True
            self._router.live.stop()
            self.should_exit = True
        return await super().on_tick(counter)


def serve(settings: Settings, sources: Mapping[str, Source] | None = None) -> None:
    """Run the router in the foreground; database and log are ready. Exits with a sentence when it cannot listen."""
    try:
        listener = listen(settings.server.host, settings.server.port)
    except PortTaken as taken:
        sys.exit(f"herd: {taken}")
    port = listener.getsockname()[1]
    settings = replace(settings, server=replace(settings.server, port=port))
    token = admin_token(settings.data_dir)
    run_loop(_serve(settings, sources or {}, listener, token))


async def _serve(settings: Settings, sources: Mapping[str, Source], listener: socket.socket, token: str) -> None:
    """Raises ``SystemExit`` with a sentence when the router broke."""
    store = await Store.open(settings.data_dir)
    router = await create_router(settings, store, AdminKey(token), lan_addresses, sources)
    logging.getLogger(RECEPTION).setLevel(logging.ERROR)
    config = uvicorn.Config(
        router.app,
        http=Reception,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.queue.drain_timeout + LAST_WORDS_S + 1),
    )
    shown = banner(
        settings,
        addresses=lan_addresses(),
        admin_token=token,
        version=router.facts.version,
        fleet_id=router.facts.fleet_id,
    )
    print(shown, flush=True)  # noqa: T201 - the terminal is where a person looks for it
    spare_collector()
    server = HerdServer(config, router, settings.queue.drain_timeout)
    await server.serve(sockets=[listener])
    if server.broken:
        sys.exit("herd: the router ended by an error of its own; the log says which.")


def spare_collector() -> None:
    """What was built by now lives to the end, and requests leave few cycles: the collector need look less, and less
    often. It took a fifteenth of the time of short requests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def listen(host: str, port: int) -> socket.socket:
    """The listening socket. Raises ``PortTaken`` with a sentence for people."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    if os.name != "nt":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortTaken(f"cannot listen on {host}:{port}: {error.strerror or error}. Try --port.") from error
    listener.set_inheritable(False)
    return listener


def admin_token(data_dir: Path) -> str:
    """The token in ``<data_dir>/admin-token``, made at the first start; readable by its owner only."""
    path = data_dir / "admin-token"
    try:
        token = path.read_text("utf-8").strip()
    except FileNotFoundError:
        token = ""
    if not token:
        token = secrets.token_urlsafe(32)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(token + "\n")
    return token


def run_loop(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(work)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
