"""Where log events go: short lines for people on stderr, one JSON object a line for machines. Knows no event by name.

``configure`` joins structlog and the standard library's logging to both. Writing happens on the caller's thread into a
buffer that is written out when it is half a second old, when it is large, and at once for a warning or worse.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from threading import RLock
from traceback import format_exception
from typing import Any, TextIO

import msgspec
import structlog

from node.log_file import LogFile

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
FLUSH_EVERY_S = 0.5
FLUSH_AT_BYTES = 64 * 1024
FIELD_MOST = 200
"""Characters of one field on the console; the file has all of it."""
CHATTY = ("httpx", "httpcore", "aiosqlite", "sqlalchemy", "alembic", "uvicorn", "litestar", "zeroconf", "asyncio")

_COLOURS = {
    "debug": "\x1b[2m",
    "info": "\x1b[36m",
    "warning": "\x1b[33m",
    "error": "\x1b[31m",
    "critical": "\x1b[1;31m",
}
_FORGERY = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What moves a cursor, ends a line or turns the reading direction."""
_PLAIN = re.compile(r"[^\s\"'=]+")


class Log:
    """The open log. The last of structlog's processors: it takes an event's keys and writes them where they belong."""

    def __init__(self, file: LogFile, *, file_level: int, console_level: int, console: TextIO) -> None:
        self._file = file
        self._file_level = file_level
        self._console_level = console_level
        self._console = console
        self._coloured = console.isatty() and not os.environ.get("NO_COLOR")
        self._encode = msgspec.json.Encoder(enc_hook=str).encode
        self._lock = RLock()  # a signal handler may log while this very thread is inside
        self._lines: list[bytes] = []
        self._waiting = 0
        self._flushed_at = 0.0
        self._second = -1
        self._stamp = ""
        self._undo: list[Callable[[], None]] = []

    @property
    def lost(self) -> int:
        """Lines that no disk would take."""
        return self._file.lost

    def __call__(self, _: Any, level: str, event: MutableMapping[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
        self.write(level, event)
        return (), {}

    def write(self, level: str, event: MutableMapping[str, Any]) -> None:
        """Write one event, which is taken apart on the way. Never raises for what a value holds."""
        rank = LEVELS.get(level, 20)
        now = time.time()
        if "exc_info" in event:
            text = _exception(event.pop("exc_info"))
            if text:
                event["exception"] = text
        name = event.pop("event", "")
        if rank >= self._file_level:
            line = self._line(now, level, name, event)
            with self._lock:
                self._lines.append(line)
                self._waiting += len(line)
                due = rank >= 30 or self._waiting > FLUSH_AT_BYTES or not 0 <= now - self._flushed_at < FLUSH_EVERY_S
                if due:
                    self._flush(now)
        if rank >= self._console_level:
            self._show(now, level, name, event)

    def flush(self) -> None:
        """Write out what waits in the buffer."""
        with self._lock:
            if self._lines:
                self._flush(time.time())

    def close(self) -> None:
        """Write out, close the file, give the standard library's logging back. Later events reach the console only."""
        with self._lock:
            self.flush()
            self._file.close()
            self._file_level = 100
        while self._undo:
            self._undo.pop()()

    def on_close(self, undo: Callable[[], None]) -> None:
        self._undo.append(undo)

    def _flush(self, now: float) -> None:
        lines, self._lines, self._waiting, self._flushed_at = self._lines, [], 0, now
        self._file.write(lines, now)

    def _line(self, now: float, level: str, name: Any, event: Mapping[str, Any]) -> bytes:
        second = int(now)
        if second != self._second:
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        shown = {"ts": f"{self._stamp}.{int((now - second) * 1000):03d}Z", "level": level, "event": name}
        if shown.keys().isdisjoint(event):
            shown.update(event)
        else:
            shown.update((key + "_" if key in shown else key, value) for key, value in event.items())
        try:
            return self._encode(shown) + b"\n"
        except Exception:  # a value that no JSON can hold is told in words
            return self._encode({key: _tellable(value) for key, value in shown.items()}) + b"\n"

    def _show(self, now: float, level: str, name: Any, event: Mapping[str, Any]) -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(now))
        shown = [f"{key}={_field(_brief(key, value))}" for key, value in event.items() if value is not None]
        head, tail = (_COLOURS.get(level, ""), "\x1b[0m") if self._coloured else ("", "")
        line = f"{clock} {head}{level:<8}{tail} {clean(str(name))}" + ("  " + " ".join(shown) if shown else "")
        try:
            self._console.write(line + "\n")
            self._console.flush()
        except (OSError, ValueError):
            self._console_level = 100  # the terminal is gone; the file goes on


def configure(*, file: Path, file_level: str, console_level: str, days: int = 30, console: TextIO | None = None) -> Log:
    """Send every log event of this process to ``file`` and to the console (stderr), each from its own level on.

    ``days`` is how many rotated files are kept. A file that cannot be opened is told on the console, and work goes on.
    """
    ranks = LEVELS[file_level.lower()], LEVELS[console_level.lower()]
    opened = LogFile(file, days=days)
    log = Log(opened, file_level=ranks[0], console_level=ranks[1], console=console or sys.stderr)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, log],
        wrapper_class=structlog.make_filtering_bound_logger(min(ranks)),
        logger_factory=_silent,
        cache_logger_on_first_use=True,
    )
    _adopt_standard_logging(log)
    opened.write([], time.time())
    if opened.error:
        log.write("warning", {"event": "log.unwritable", "file": str(file), "error": opened.error})
    return log


def flush_log() -> None:
    """Write out the configured log's buffer, if one is configured; for the loops that have nothing else to do."""
    last = structlog.get_config()["processors"][-1:]
    if last and isinstance(last[0], Log):
        last[0].flush()


class _Silent:
    """What structlog calls after the last processor, which has already written."""

    def msg(self) -> None:
        pass

    debug = info = warning = error = critical = msg


def _silent(*_: Any) -> _Silent:
    return _Silent()


class _FromStandardLibrary(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event: dict[str, Any] = {"event": "library.warned", "logger": record.name, "message": record.getMessage()}
            if record.exc_info:
                event["exc_info"] = record.exc_info
            self._log.write(record.levelname.lower(), event)
        except Exception:  # a library's broken message must not break the library
            self.handleError(record)


def _adopt_standard_logging(log: Log) -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    for handler in before:
        if isinstance(handler, _FromStandardLibrary):
            root.removeHandler(handler)
    handler = _FromStandardLibrary(log)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)

    def undo() -> None:
        root.removeHandler(handler)
        root.setLevel(level)

    log.on_close(undo)


def _exception(what: Any) -> str:
    """The text of ``exc_info`` in any of its forms: True, an exception, or the triple."""
    error = what if isinstance(what, BaseException) else what[1] if isinstance(what, tuple) else None
    if error is None and what:
        error = sys.exc_info()[1]
    return "".join(format_exception(error)).rstrip() if isinstance(error, BaseException) else ""


def _brief(key: str, value: Any) -> str:
    text = str(value)
    return text.rsplit("\n", 1)[-1] if key == "exception" else text


def clean(text: str, most: int = FIELD_MOST) -> str:
    """At most ``most`` characters, none of which moves a cursor or ends a line."""
    if len(text) > most:
        text = text[: most - 1] + "…"
    return _FORGERY.sub(lambda found: f"\\x{ord(found[0]):02x}", _printable(text))


def _field(text: str) -> str:
    """A value that cannot be taken for two fields."""
    safe = clean(text)
    return safe if _PLAIN.fullmatch(safe) else '"' + safe.replace('"', "'") + '"'


def _tellable(value: Any) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    return _printable(value if isinstance(value, str) else repr(value))


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
