"""Answers as server-sent events, in any dialect: cut, and read at their first and last ones. Pure; knows no engine."""

import re
from collections import deque

from app.fleet.job import Usage
from app.modalities.llm.dialects import records
from app.modalities.llm.dialects.records import Fields

SSE = "text/event-stream"
DONE = b"[DONE]"
_TAIL = 4
"""Events kept for reading: those that tell the end and the cost, and one or two to spare."""
_EVENT = re.compile(rb".*?(?:\r?\n\r?\n|\Z)", re.DOTALL)
_SAYS_NOTHING = (b":", b"event:", b"id:", b"retry:")


def comment(word: str) -> bytes:
    """What every reader of events passes over."""
    return b": " + " ".join(word.split()).encode() + b"\n\n"


def data_of(event: bytes) -> bytes | None:
    """What an event carries; None for a comment. Old llama.cpp servers say ``error:`` instead of ``data:``."""
    lines = []
    for line in event.splitlines():
        if line.startswith(b"data:"):
            lines.append(line[5:].strip())
        elif line.startswith(b"error:"):
            lines.append(b'{"error":' + line[6:].strip() + b"}")
    return b"\n".join(lines) if lines else None


def events_of(records_: bytes) -> list[bytes]:
    """Whole events, each with the blank line that ends it; what no blank line ends comes last."""
    if b"\r" in records_:
        return [event for event in _EVENT.findall(records_) if event]
    events = [event + b"\n\n" for event in records_.split(b"\n\n")]
    last = events.pop()[:-2]
    return [*events, last] if last else events


def first_of(events: bytes) -> bytes | None:
    """What the first event carries that is no mere comment; the others are not looked at."""
    if b"\r" not in events:
        data = data_of(events[: events.find(b"\n\n") + 2])
        if data is not None:
            return data
    return next((data for event in events_of(events) if (data := data_of(event)) is not None), None)


def last_of(records_: bytes, count: int) -> list[bytes]:
    """What the last ``count`` events carry, comments left out."""
    if b"\r" not in records_:
        records_ = b"\n\n".join(records_.rsplit(b"\n\n", 4 * count)[-4 * count :])
    return [data for event in events_of(records_) if (data := data_of(event)) is not None][-count:]


def says_nothing(events: bytes) -> bool:
    """Whether there are only comments and the like."""
    return all(line.startswith(_SAYS_NOTHING) for line in events.splitlines() if line)


class EventMeter:
    """Lets a stream of events pass and reads its first one and its tail. A ``Meter``; a dialect fills in ``read``."""

    __slots__ = ("_begun", "_cutter", "_tail", "complete", "content_type", "failed", "refusal", "usage")

    def __init__(self) -> None:
        self.complete = False
        self.usage = Usage()
        self.refusal: str | None = None
        self.failed: str | None = None
        self.content_type = ""
        self._begun = False
        self._cutter = records.Cutter(b"\n\n", b"\r\n\r\n")
        self._tail: deque[bytes] = deque(maxlen=_TAIL)

    def feed(self, piece: bytes) -> bytes:
        events = self._cutter.whole(piece)
        if not self._begun:
            return self._begin(events)
        return self._pass(events) if events else b""

    def finish(self) -> bytes:
        rest = self._cutter.rest()
        if self.refusal is not None:
            return b""
        if not self._begun:
            self._judge(data_of(rest), rest)
            if self.refusal is not None:
                return b""
        out = rest if not rest or rest.isspace() else self._pass(_ended(rest))
        for data in self.tail():
            record = records.fields(data)
            if record is None:
                self.complete = self.complete or data == DONE
                continue
            self.read(record)
            self.failed = self.failed or self.error_of(record)
        self.complete = self.complete and self.failed is None
        return out

    def begin(self, first: Fields) -> None:
        """Take off the first event what only it tells."""

    def read(self, record: Fields) -> None:
        """Take usage and completeness off one of the last events."""

    def passing(self, events: bytes) -> bytes:
        """What of these events the client gets to see."""
        return events

    def error_of(self, record: Fields) -> str | None:
        """The error that an event reports."""
        return records.error_of(record)

    def tail(self) -> list[bytes]:
        """What the last events carry that passed so far."""
        return last_of(b"".join(self._tail), _TAIL)

    def _pass(self, events: bytes) -> bytes:
        if b"data:" in events or b"error:" in events:
            self._tail.append(events)
        return self.passing(events)

    def _begin(self, events: bytes) -> bytes:
        """Nothing passes before the first event with content has shown what this answer is."""
        if not events:
            return b""
        first = first_of(events)
        if first is None and says_nothing(events):
            self._cutter.keep(events)
            return b""
        self._judge(first, events)
        if self.refusal is not None:
            return b""
        self._begun = True
        return self._pass(events)

    def _judge(self, first: bytes | None, events: bytes) -> None:
        """A plain error in place of a stream is told in its own words."""
        if first is None:
            self.refusal = records.refusal_of(events) or "the engine's answer is no stream of events"
        elif first != DONE:
            record = records.fields(first)
            self.refusal = records.refusal_of(first) if record is None else self.error_of(record)
            self.begin(record or {})


def _ended(rest: bytes) -> bytes:
    """An event whose blank line never came: whole if it says something whole, else nothing."""
    data = data_of(rest)
    if data is None or (data != DONE and records.fields(data) is None):
        return b""
    return rest.rstrip(b"\r\n") + b"\n\n"
