"""What came in and is too large to be held: in memory while it is small, beyond that in a file. Knows no request.

The file has no name (where the system cannot do without, only for a moment), so nothing is left of it, however the
router ends. Disks are slow: all that touches it happens in threads, one thing at a time.
"""

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from threading import Lock
from typing import IO

from app.errors import NoRoom

HELD_MOST = 256 * 1024
"""Bytes up to which no file is made."""
PIECE = 256 * 1024
"""Bytes that are written or read at once."""


class Spool:
    """Written once, then read as often as it takes. ``close`` in every case; reading ends with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._file: IO[bytes] | None = None
        self._filed = False
        self._closed = False
        self._lock = Lock()
        self.size = 0

    async def write(self, piece: bytes) -> None:
        """Raises ``NoRoom`` when the disk takes no more."""
        self._held.append(piece)
        self._held_bytes += len(piece)
        self.size += len(piece)
        if self._held_bytes > HELD_MOST:
            await self._put()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """All that was written, from the beginning."""
        if not self._filed:
            yield b"".join(self._held)  # as one: it may have come in a great many drops
            return
        if self._held:
            await self._put()
        for at in range(0, self.size, PIECE):
            yield await asyncio.to_thread(self._read, at)

    async def close(self) -> None:
        """Give memory and disk back. Twice is as once."""
        self._held = []
        if self._filed:
            await asyncio.to_thread(self._end)

    async def _put(self) -> None:
        self._filed = True  # even if this is cancelled: the thread goes on, and what it makes must be closed
        held, self._held, self._held_bytes = b"".join(self._held), [], 0
        try:
            await asyncio.to_thread(self._write, held)
        except OSError as error:
            raise NoRoom(f"the router cannot keep the upload on its disk: {error.strerror or error}") from error

    def _write(self, held: bytes) -> None:
        with self._lock:
            if self._closed:
                return
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - `_end` closes it
            view = memoryview(held)
            while view:
                view = view[self._file.write(view) :]

    def _read(self, at: int) -> bytes:
        with self._lock:
            if self._file is None or self._closed:
                return b""
            self._file.seek(at)
            return self._file.read(PIECE)

    def _end(self) -> None:
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()
