"""Requests as they arrived, and what a scripted server is told to answer. Knows no socket."""

import asyncio
import json
from collections.abc import AsyncIterable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Literal, Self, TypeVar

T = TypeVar("T")
Piece = bytes | asyncio.Event | float
"""Bytes are one write (and one HTTP chunk); an Event is awaited; a float is a pause in seconds."""
End = Literal["done", "hang", "close", "reset"]
NDJSON = "application/x-ndjson"
SSE = "text/event-stream"
JSON = "application/json"


class Watched(list[T], Generic[T]):
    """A list that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._grown = asyncio.Event()

    def append(self, item: T) -> None:
        super().append(item)
        self._grown.set()
        self._grown = asyncio.Event()

    async def wait(self, count: int = 1, timeout: float = 10.0) -> Self:
        """Return once the list holds ``count`` items; TimeoutError otherwise."""
        async with asyncio.timeout(timeout):
            while len(self) < count:
                await self._grown.wait()
        return self


@dataclass(frozen=True, eq=False)
class Request:
    """One request as it arrived. ``headers`` keeps order and repeats, names in lower case; ``at`` is monotonic."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    at: float
    connection: int

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name.lower()), None)

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, eq=False)
class Closed:
    """A client's connection that ended before its answer was complete, and after how many body bytes."""

    request: Request
    at: float
    sent: int


@dataclass
class Answer:
    """What to send. ``before`` is awaited ahead of the status line; ``end`` is what happens after the last piece.

    ``framing``: "chunked", "length" (Content-Length over all pieces plus ``missing``, so a short body can be made) or
    "close" (neither; the body ends with the connection). ``head=False`` sends no status line at all.
    """

    status: int = 200
    pieces: Iterable[Piece] | AsyncIterable[Piece] = ()
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    framing: Literal["chunked", "length", "close"] = "length"
    before: asyncio.Event | None = None
    head: bool = True
    end: End = "done"
    missing: int = 0
    after: Callable[[], None] | None = None


Responder = Answer | Callable[[Request], Answer]


def replying(value: Any, status: int = 200) -> Answer:
    """A JSON value in one piece."""
    return Answer(status=status, pieces=(json.dumps(value).encode(),))


def failing(status: int, body: bytes = b'{"error":"scripted"}', content_type: str = JSON) -> Answer:
    return Answer(status=status, pieces=(body,), content_type=content_type)


def streaming(*pieces: Piece, content_type: str = NDJSON, end: End = "done") -> Answer:
    """Exactly these pieces, chunked; ``end`` "close", "reset" or "hang" breaks the stream after the last one."""
    return Answer(pieces=pieces, content_type=content_type, framing="chunked", end=end)


def hang() -> Answer:
    """The request is read and nothing is ever said."""
    return Answer(before=asyncio.Event())


def reset() -> Answer:
    """A TCP reset instead of an answer."""
    return Answer(head=False, end="reset")


def hung_up() -> Answer:
    """The connection is closed without a byte."""
    return Answer(head=False, end="close")
