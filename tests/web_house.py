"""A whole router in a thread of its own, with a history, for tests that look at pages and click on them.

    with web_house(traces) as house:
        house.get("/dashboard/trends")            # httpx.Response; house.admin=True sends the admin's key
        house.do(lambda router: router.join("mac", fake))

Everything is the real one: store, queue, pages, gate. Knows no page.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from running import ADMIN, RunningRouter, running_router

from app.store.records import TraceRecord
from app.store.store import Store
from app.store.writer import TraceWriter

T = TypeVar("T")
START_S = 30.0


class House:
    """``url`` is where the router listens; ``admin`` the headers of its administrator."""

    def __init__(self, router: RunningRouter, loop: asyncio.AbstractEventLoop) -> None:
        self._router = router
        self._loop = loop
        self.url = router.url
        self.token = ADMIN
        self.admin = {"Authorization": f"Bearer {ADMIN}"}
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    def do(self, work: Callable[[RunningRouter], Awaitable[T]]) -> T:
        """Work in the router's own loop, waited for."""

        async def working() -> T:
            return await work(self._router)

        return asyncio.run_coroutine_threadsafe(working(), self._loop).result(START_S)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.http.get(path, **more)

    def write(self, traces: Iterable[TraceRecord]) -> None:
        """Put traces into the history; they are there when this returns."""
        records = list(traces)

        async def writing(router: RunningRouter) -> None:
            store = await Store.open(router.data_dir)
            writer = TraceWriter(store, limit=len(records) + 1)
            for record in records:
                writer.put(record)
            await writer.flush()
            await store.aclose()

        self.do(writing)


@contextmanager
def web_house(traces: Iterable[TraceRecord] = (), **settings: Any) -> Iterator[House]:
    """A router with these traces; ``settings`` as ``running_router`` takes them."""
    there, over = threading.Event(), asyncio.Event()
    made: list[House] = []
    failed: list[BaseException] = []

    async def live() -> None:
        async with running_router(**settings) as router:
            made.append(House(router, asyncio.get_running_loop()))
            there.set()
            await over.wait()

    def run() -> None:
        try:
            asyncio.run(live())
        except BaseException as error:  # told to the test's own thread
            failed.append(error)
        finally:
            there.set()

    thread = threading.Thread(target=run, name="web-house", daemon=True)
    thread.start()
    assert there.wait(START_S), "the router did not start"
    if failed:
        raise failed[0]
    [house] = made
    try:
        house.write(traces)
        yield house
    finally:
        house.http.close()
        house._loop.call_soon_threadsafe(over.set)
        thread.join(START_S)
        if failed:
            raise failed[0]
