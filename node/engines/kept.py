"""A child that is to be there as long as its engine: started, and started again when it ended. Knows no engine."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from node.engines.process import Child, Restarts
from node.engines.reading import text

C = TypeVar("C", bound=Child)


class Kept(Generic[C]):
    """One child after the other, never two at once. ``trouble`` is a sentence about the last crash, for people.

    ``what`` begins that sentence, ``ending`` says how a child ended; ``spawn`` raises ``OSError``. Whoever sees that a
    child does well says ``recovered``.
    """

    def __init__(
        self, what: str, spawn: Callable[[], Awaitable[C]], *, ending: Callable[[C], str] = lambda child: child.ending
    ) -> None:
        self._what = what
        self._spawn = spawn
        self._ending = ending
        self._one_at_a_time = asyncio.Lock()
        self._closed = False
        self.restarts = Restarts()
        self.child: C | None = None
        self.trouble = ""

    async def tend(self) -> C | None:
        """The child that runs now, if one may run: a crash is noted, and a new one started within the rule."""
        async with self._one_at_a_time:
            now = asyncio.get_running_loop().time()
            child = self.child
            if child is not None and not child.running:
                self.child = None
                self._crashed(now, f"{self._ending(child)}.", last_line(child.tail))
                await child.stop()
            if self.child is None and not self._closed and self.restarts.may_start(now):
                try:
                    self.child = await self._spawn()
                except OSError as exc:
                    self._crashed(now, f"cannot be started: {exc}.")
            return self.child

    def recovered(self) -> None:
        self.trouble = ""

    async def end(self, *, by_force: bool = True) -> None:
        """End the child with all that it started, at once; that is no crash, and the next ``tend`` starts another.

        Without force the child ends by itself, for its stdin does: one that has something to clear away.
        """
        child, self.child = self.child, None
        if child is not None:
            if by_force:
                child.kill()
            await child.stop()

    async def aclose(self) -> None:
        """End the child in peace; there is no other after it."""
        self._closed = True
        async with self._one_at_a_time:
            child, self.child = self.child, None
            if child is not None:
                await child.stop()

    def _crashed(self, now: float, how: str, last: str = "") -> None:
        self.restarts.crashed(now)
        held = " It crashed five times in five minutes and is tried every ten." if self.restarts.quarantined else ""
        self.trouble = f"{self._what} {how}{held}" + (f" Its last word: {last}" if last else "")


def last_line(said: str) -> str:
    """The last line that is not empty, cut to what a report can carry."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return text(lines[-1][:200]) if lines else ""
