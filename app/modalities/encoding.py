"""Bodies that come compressed: undone within a bound, beside the event loop. Knows no dialect and no job."""

import asyncio
import sys
import zlib
from collections.abc import Iterable

from app.errors import BodyInvalid, EncodingUnknown, TooLarge

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

WINDOW_LOG_MOST = 23
"""Largest window of zstd, as a power of two: what HTTP's zstd is bound to, so that no few bytes ask for gigabytes."""


def encoding_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """How a body is compressed: "gzip", "zstd", or "" for not at all. Raises ``EncodingUnknown``."""
    told = b",".join(value for name, value in headers if name == b"content-encoding").decode("latin-1")
    match told.strip().lower():
        case "" | "identity":
            return ""
        case "gzip" | "x-gzip":
            return "gzip"
        case "zstd":
            return "zstd"
    raise EncodingUnknown(f"a body compressed as {told[:40]!r} is not understood", hint="zstd and gzip are")


async def plain(body: bytes, encoding: str, most: int) -> bytes:
    """The body as it was before. Raises ``TooLarge`` as soon as it is, and ``BodyInvalid`` for what is no such body."""
    if not encoding or not body:
        return body
    return await asyncio.to_thread(_gunzipped if encoding == "gzip" else _unpacked, body, most)


def _gunzipped(body: bytes, most: int) -> bytes:
    one = zlib.decompressobj(wbits=31)
    try:
        out = one.decompress(body, most + 1)
    except zlib.error as error:
        raise BodyInvalid(f"the body is not gzip: {error}") from error
    return _whole(out, most, ended=one.eof and not one.unused_data)


def _unpacked(body: bytes, most: int) -> bytes:
    one = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MOST})
    try:
        out = one.decompress(body, most + 1)
    except zstd.ZstdError as error:
        raise BodyInvalid(f"the body is not zstd: {error}") from error
    return _whole(out, most, ended=one.eof and not one.unused_data)


def _whole(out: bytes, most: int, *, ended: bool) -> bytes:
    if len(out) > most:
        raise TooLarge(f"the body is larger than {most} bytes once it is unpacked")
    if not ended:
        raise BodyInvalid("the compressed body is cut off, or followed by something else")
    return out
