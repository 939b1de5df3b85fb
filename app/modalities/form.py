"""A multipart form: read as it comes in, its file spooled; and written for an engine. Knows no field by name."""

import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Collection, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import multipart

from app.errors import BodyInvalid, TooLarge
from app.modalities.spool import Spool

PARTS_MOST = 64
FIELD_MOST = 64 * 1024
"""Longest value of a field that is no file, in bytes."""
NAME_MOST = 200
"""Longest name of a file that is passed on, in characters."""
_KIND = re.compile(r"[\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100}", re.ASCII)


@dataclass(frozen=True, slots=True)
class File:
    """``name`` and ``kind`` (its content type) are the client's words as far as a header can carry them, else empty."""

    name: str
    kind: str
    content: Spool


@dataclass(slots=True)
class Form:
    """Fields in the order in which they came; a field may come several times."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    file: File | None = None

    def last(self, name: str) -> str | None:
        return next((value for known, value in reversed(self.fields) if known == name), None)

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.fields if known == name]


def boundary_of(content_type: str) -> bytes:
    """What parts the parts. Raises ``BodyInvalid`` when this is no multipart form."""
    kind, options = multipart.parse_options_header(content_type)
    if kind.lower() != "multipart/form-data":
        raise BodyInvalid(
            f"the body is {kind[:80] or 'of no type'}, not multipart/form-data", hint="curl sends one with -F"
        )
    try:
        boundary = str(options.get("boundary", "")).encode("ascii")
    except UnicodeError:
        boundary = b""
    if not boundary or len(boundary) > 200 or not boundary.decode().isprintable():
        raise BodyInvalid("the Content-Type of the form names no boundary")
    return boundary


@asynccontextmanager
async def received(
    body: AsyncIterable[bytes], content_type: str, *, files: Collection[str], most: int, folder: Path
) -> AsyncIterator[Form]:
    """The form that a body is. Its one file, under one of the names ``files``, has at most so many bytes, and is gone
    at the end of the context.

    Raises ``BodyInvalid``, ``TooLarge`` and ``NoRoom``.
    """
    content = Spool(folder)
    try:
        yield await _read(body, boundary_of(content_type), files, most, content)
    finally:
        await content.close()


async def _read(body: AsyncIterable[bytes], boundary: bytes, files: Collection[str], most: int, content: Spool) -> Form:
    form = Form()
    parser = multipart.PushMultipartParser(boundary, max_segment_count=PARTS_MOST)
    part: multipart.MultipartSegment | None = None
    value: list[bytes] = []
    filed = False
    try:
        async for piece in body:
            for event in parser.parse(piece):
                if isinstance(event, multipart.MultipartSegment):
                    part, value, filed = event, [], event.name in files
                    if filed and form.file is not None:
                        raise BodyInvalid("the form has more than one file")
                    if filed:
                        form.file = File(_word(PurePath(event.filename or "").name), _kind(event.content_type), content)
                elif part is None:
                    continue
                elif event is None:
                    if not filed:
                        form.fields.append((part.name or "", _text(part, value)))
                elif filed:
                    if content.size + len(event) > most:
                        raise TooLarge(f"the file is larger than {most} bytes")
                    await content.write(bytes(event))
                else:
                    value.append(bytes(event))
                    if part.bytes_received > FIELD_MOST:
                        raise BodyInvalid(f'the field "{_word(part.name)}" is larger than {FIELD_MOST} bytes')
        parser.close()
    except multipart.MultipartError as error:
        raise BodyInvalid(f"the form is broken: {error}") from error
    return form


def _text(part: multipart.MultipartSegment, value: Iterable[bytes]) -> str:
    try:
        return b"".join(value).decode()
    except UnicodeError as error:
        raise BodyInvalid(f'the field "{_word(part.name)}" is not valid UTF-8') from error


def _word(text: str | None) -> str:
    """A client's word without what could end a line or a header."""
    return "".join(c for c in text or "" if c.isprintable())[:NAME_MOST]


def _kind(text: str | None) -> str:
    return text if text and _KIND.fullmatch(text) else ""


class Outgoing:
    """A form for an engine: the fields, then the file. An ``Upload``; ``boundary`` must be nowhere in it."""

    def __init__(self, boundary: str, fields: Iterable[tuple[str, str]], name: str, file: File) -> None:
        part = f'--{boundary}\r\nContent-Disposition: form-data; name="'
        head = "".join(f'{part}{field}"\r\n\r\n{value}\r\n' for field, value in fields)
        shown = _word(file.name).replace("\\", "_").replace('"', "%22")  # a name must not end its header
        head += f'{part}{name}"; filename="{shown}"\r\nContent-Type: {file.kind or "application/octet-stream"}\r\n\r\n'
        self._head = head.encode("utf-8", "replace")
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._content = file.content
        self.content_type = f"multipart/form-data; boundary={boundary}"

    @property
    def length(self) -> int:
        return len(self._head) + self._content.size + len(self._tail)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        yield self._head
        async with aclosing(self._content.pieces()) as pieces:
            async for piece in pieces:
                yield piece
        yield self._tail
