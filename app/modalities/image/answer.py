"""Reads what an engine made, and judges it: so many PNGs, of the size that was asked for. Pure; knows no dialect.

``asking.py`` says where in each dialect's answer the pictures are.
"""

import binascii
from collections.abc import Callable

import msgspec

from app.errors import BodyInvalid
from app.fleet.job import Usage
from app.modalities.image.schema import Wanted

PNG = "image/png"
JSON = "application/json"
BLOCK = 64
"""Pixels. Models paint in blocks, so an engine may not be able to make any size; it is never further off than this."""
_HEAD, _TAIL = 64, 32
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"IEND\xaeB`\x82"
Read = Callable[[bytes], list[str]]
"""The pictures in an answer, in base64. Raises ``msgspec.DecodeError`` for what is none."""


class _Failed(msgspec.Struct):
    error: str | dict[str, object] | None = None


class _Picture(msgspec.Struct):
    b64_json: str
    revised_prompt: str


class _Answer(msgspec.Struct):
    created: int
    data: list[_Picture]


class Pictures:
    """The meter of one attempt. ``maker`` is who makes them, in words for people."""

    __slots__ = ("_clock", "_maker", "_parts", "_read", "_wanted", "complete", "content_type", "failed", "refusal",
                 "usage")  # fmt: skip

    def __init__(self, wanted: Wanted, read: Read, maker: str, clock: Callable[[], float]) -> None:
        self.complete = False
        self.usage = Usage()
        self.refusal: str | None = None
        self.failed: str | None = None
        self.content_type = PNG if wanted.png else JSON
        self._wanted = wanted
        self._read = read
        self._maker = maker
        self._clock = clock
        self._parts: list[bytes] = []

    def feed(self, piece: bytes) -> bytes:
        self._parts.append(piece)
        return b""

    def finish(self) -> bytes:
        """Raises ``BodyInvalid`` where the engine can make no such size."""
        body, self._parts = b"".join(self._parts), []
        try:
            pictures = [picture.rpartition("base64,")[2] for picture in self._read(body)]
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            self.refusal = _error_of(body)
            return b""
        self.refusal = self._lacking(pictures)
        if self.refusal is not None:
            return b""
        if self._wanted.png:
            out = binascii.a2b_base64(pictures[0])
        else:
            data = [_Picture(b64_json=picture, revised_prompt=self._wanted.prompt) for picture in pictures]
            out = msgspec.json.encode(_Answer(created=int(self._clock()), data=data))
        self.complete = True
        return out

    def _lacking(self, pictures: list[str]) -> str | None:
        """What speaks against these pictures; None: nothing."""
        wanted = self._wanted
        if len(pictures) != wanted.n:
            return f"the engine made {len(pictures)} of {wanted.n} pictures"
        for picture in pictures:
            size = _size_of(picture)
            if size is None:
                return "what the engine made is no whole PNG"
            if size == (wanted.width, wanted.height):
                continue
            made = f"{size[0]}x{size[1]}"
            if max(abs(size[0] - wanted.width), abs(size[1] - wanted.height)) < BLOCK:
                raise BodyInvalid(f"{self._maker} can make {made} and not {wanted.size}", hint=f'ask for size "{made}"')
            return f"the engine made {made} instead of {wanted.size}"
        return None


def _size_of(picture: str) -> tuple[int, int] | None:
    """Width and height of a PNG in base64; None if it is none, or not whole."""
    try:
        head, tail = binascii.a2b_base64(picture[:_HEAD]), binascii.a2b_base64(picture[-_TAIL:])
    except ValueError:
        return None
    if not head.startswith(_SIGNATURE) or head[12:16] != b"IHDR" or not tail.endswith(_END):
        return None
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def _error_of(body: bytes) -> str:
    """An answer without pictures may still say why."""
    try:
        told = msgspec.json.decode(body, type=_Failed).error
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        told = None
    message = told.get("message") if isinstance(told, dict) else told
    if not isinstance(message, str) or not message:
        return "there is no picture in the engine's answer"
    return "".join(c if c.isprintable() else " " for c in message)[:500]
