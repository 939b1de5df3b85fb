"""What every door does about its client: it notices when he leaves, and ends the work. Knows no endpoint or dialect."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from app.errors import HerdError


class ClientLeft(Exception):
    """The client closed its connection before its answer was complete."""


async def while_listening(receive: Callable[[], Awaitable[Any]], work: Awaitable[None]) -> None:
    """Do the work, and end it when the client leaves, whose body was read. A ``HerdError`` comes out bare."""
    failure: HerdError | None = None

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        raise ClientLeft

    try:
        async with asyncio.TaskGroup() as tasks:
            watcher = tasks.create_task(watch(), name="client.watch")
            try:
                await work
            except HerdError as error:
                failure = error
            watcher.cancel()
    except* ClientLeft:
        pass
    if failure is not None:
        raise failure
