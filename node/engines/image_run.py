"""One image in the making: one run of a tool, watched until it gave its image or its time is over. Knows no router.

Whoever awaits ``make`` may be cancelled: the run ends with all that it started.
"""

import asyncio
from collections.abc import Sequence

from structlog.typing import FilteringBoundLogger

from node.engines.command import outcome, run
from node.engines.image_order import Refused
from node.engines.image_tool import OUTPUT, downloading, last_line, png_size, progress_of
from node.engines.process import Child

TELL_EVERY_S = 2.0
USAGE = 2
"""The exit code of a program that refuses its arguments."""


class Failed(Exception):
    """The tool is at fault; the text is a sentence for people."""


class ImageRun:
    """``name`` is what the tool is called in sentences, ``sides`` the width and height that were asked for."""

    def __init__(self, name: str, command: Sequence[str], sides: tuple[int, int], log: FilteringBoundLogger) -> None:
        self._name = name
        self._command = command
        self._sides = sides
        self._log = log
        self._child: Child | None = None

    @property
    def progress(self) -> float:
        """How much of it is done, 0 to 1."""
        return (progress_of(self._child.tail) or 0.0) if self._child else 0.0

    async def make(self, timeout_s: float) -> bytes:
        """The image, a PNG of the size that was asked for. Raises ``Failed``, and ``Refused`` if the order is."""
        try:
            child = self._child = await run(self._command, OUTPUT)
        except OSError as error:
            raise Failed(f"{self._name} cannot be started: {error}.") from error
        try:
            code, image = outcome(await self._watched(child, timeout_s))
        finally:
            await child.stop()
        last = last_line(child.tail) or "it said nothing"
        if code == USAGE:
            raise Refused(f"{self._name} refuses this: {last}", code="refused_by_engine")
        if code is None:
            raise Failed(f"The run of {self._name} {child.ending}.")
        if code:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
            raise Failed(f"{self._name} {how}: {last}")
        size = png_size(image)
        if size is None:
            raise Failed(f"{self._name} made no image: {last}")
        if size != self._sides:
            asked, got = ("x".join(map(str, sides)) for sides in (self._sides, size))
            raise Failed(f"{self._name} made an image of {got} instead of {asked}.")
        return image

    async def stop(self) -> None:
        if self._child is not None:
            await self._child.stop()

    async def _watched(self, child: Child, timeout_s: float) -> bytes:
        """What the run gives. While it fetches weights its time does not run. Raises ``Refused``."""
        clock = asyncio.get_running_loop().time
        deadline, heard, told = clock() + timeout_s, "", False
        while True:
            try:
                async with asyncio.timeout(min(TELL_EVERY_S, max(deadline - clock(), 0.0))):
                    return await child.output()
            except TimeoutError:
                before, heard = heard, child.tail
            if heard != before and (fetched := downloading(heard)):
                deadline = clock() + timeout_s
                if not told:
                    hint = "the first image of a model waits until its weights are here"
                    self._log.info("image.downloading", what=fetched, hint=hint)
                told = True
            elif heard != before and (share := progress_of(heard)) is not None:
                self._log.debug("image.progress", share=share)
            if clock() >= deadline:
                late = f"{self._name} was ended: it took longer than {timeout_s:g} s (--image-timeout)."
                raise Refused(late, status=504, code="timeout")
