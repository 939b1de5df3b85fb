"""So many at once on this node, whichever engine they belong to. Knows no engine and no request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class LaneFull(Exception):
    """No turn came within the time."""


class Lane:
    """``name`` and ``slots`` are what the reports of its engines say, so that the router sends no more than fit.

    It holds the limit also against a router that does not, or that sends the next while the last one is being cleared.
    """

    def __init__(self, name: str, slots: int) -> None:
        self.name = name
        self.slots = slots
        self._turns = asyncio.Semaphore(slots)

    @asynccontextmanager
    async def turn(self, wait_s: float) -> AsyncIterator[None]:
        """One slot, first come first served. Raises ``LaneFull``."""
        try:
            async with asyncio.timeout(wait_s):
                await self._turns.acquire()
        except TimeoutError:
            raise LaneFull from None
        try:
            yield
        finally:
            self._turns.release()
