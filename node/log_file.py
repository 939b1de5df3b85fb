"""The log file itself: readable by its owner only, a new one each day (UTC), old ones removed. Knows no log event."""

import os
import re
import shutil
import time
from pathlib import Path

DAY_S = 86400
KEPT_BYTES = 1024 * 1024
"""What is kept in memory while the disk takes nothing."""


class LogFile:
    """Appends whole lines. Never raises: what the disk does not take is kept for a while, then counted as lost."""

    def __init__(self, path: Path, *, days: int) -> None:
        self.path = path
        self.lost = 0
        self.error = ""
        self._days = days
        self._day = 0
        self._handle: int | None = None
        self._rest = b""
        self._closed = False

    def write(self, lines: list[bytes], now: float) -> None:
        """Append ``lines``; ``now`` is epoch seconds and decides on a new day's file."""
        if self._closed:
            self.lost += len(lines)
            return
        rest = self._rest + b"".join(lines)
        try:
            handle = self._current(now)
            while rest:
                rest = rest[os.write(handle, rest) :]
            self.error = ""
        except OSError as error:
            self.error = error.strerror or repr(error)
            if len(rest) > KEPT_BYTES:
                self.lost += rest.count(b"\n")
                rest = b""
        self._rest = rest

    def close(self) -> None:
        self._closed = True
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _current(self, now: float) -> int:
        day = int(now // DAY_S)
        if self._handle is not None and day <= self._day:  # a clock set back does not rotate
            return self._handle
        if self._handle is None:
            folder = self.path.parent
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._rotate(day)
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        if hasattr(os, "fchmod"):
            os.fchmod(handle, 0o600)
        self._handle, self._day = handle, day
        self._prune()
        return handle

    def _rotate(self, day: int) -> None:
        """Put an earlier day's file aside, unless another process on this file has done so already."""
        ours = None
        if self._handle is not None:
            ours = os.fstat(self._handle).st_ino
            os.close(self._handle)
            self._handle = None
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return
        written = self._day if ours == found.st_ino and self._day else int(found.st_mtime // DAY_S)
        if written >= day or (ours is not None and ours != found.st_ino):
            return
        aside = self.path.with_name(f"{self.path.name}.{time.strftime('%Y-%m-%d', time.gmtime(written * DAY_S))}")
        if not aside.exists():
            self.path.rename(aside)
            return
        with self.path.open("rb") as late, aside.open("ab") as file:
            shutil.copyfileobj(late, file)
        self.path.unlink()

    def _prune(self) -> None:
        dated = re.compile(re.escape(self.path.name) + r"\.\d{4}-\d{2}-\d{2}")
        rotated = sorted(path for path in self.path.parent.iterdir() if dated.fullmatch(path.name))
        for path in rotated[: max(0, len(rotated) - self._days)]:
            path.unlink(missing_ok=True)
