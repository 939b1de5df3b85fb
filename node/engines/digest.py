"""What proves that two files hold the same: SHA-256, read beside the event loop. Knows no model and no engine."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

PIECE = 1024 * 1024


class FileDigest:
    """The digest of one file. It is read in a thread, once, and anew when ``look`` finds another size or time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told = ""
        self._of: tuple[int, int] | None = None
        self._reading: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def told(self) -> str:
        """In hexadecimal; empty while it is not known."""
        return self._told

    def look(self) -> None:
        """Read the file unless that was done, or is being done."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().run_in_executor(None, self._read)

    def close(self) -> None:
        """Read no further."""
        self._closed = True

    def _read(self) -> None:
        """A file that cannot be read, or changes meanwhile, has no digest."""
        before = _stamp(self._path)
        if before is not None and before == self._of:
            return
        self._told, self._of = "", None
        told = _sha256(self._path, lambda: self._closed)
        if told and before == _stamp(self._path):
            self._told, self._of = told, before


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_size, told.st_mtime_ns


def _sha256(path: Path, ended: Callable[[], bool]) -> str:
    summed = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                if ended():
                    return ""
                summed.update(piece)
    except OSError:
        return ""
    return summed.hexdigest()
