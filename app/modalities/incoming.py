"""A request's body as it comes in, for what is too large to be held. Knows no form and no job."""

from collections.abc import AsyncIterator
from typing import Any

from litestar.types import Receive, Scope

from app.asgi import ClientLeft
from app.errors import EncodingUnknown
from app.modalities.encoding import encoding_of

DISCARDED_MOST = 256 * 1024 * 1024
"""Bytes over the limit that are still read, and dropped, before the connection is closed on the client."""


class Incoming:
    """It is read once; ``over`` says that it was read to its end."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._headers = dict(scope["headers"])
        self._receive = receive
        self._begun = self.over = False

    @property
    def content_type(self) -> str:
        return self._headers.get(b"content-type", b"").decode("latin-1")

    @property
    def size(self) -> int | None:
        """How large it will be, if the client says so."""
        told = self._headers.get(b"content-length", b"")
        return int(told) if told.isdigit() else None

    def judge(self) -> None:
        """Raises ``EncodingUnknown``: what is passed on as it comes is not unpacked."""
        if encoding_of(self._headers.items()):
            raise EncodingUnknown("an upload is not taken compressed", hint="send it without Content-Encoding")

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises ``ClientLeft``."""
        while not self.over:
            self._begun = True
            message: Any = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            self.over = not message.get("more_body", False)
            if piece := message.get("body", b""):
                yield piece

    async def discard(self) -> None:
        """Read what is left, so that a client that sends before it listens hears why. Raises ``ClientLeft``."""
        if not self._begun and (self._waits or (self.size or 0) > DISCARDED_MOST):
            return
        size = 0
        async for piece in self.pieces():
            size += len(piece)
            if size > DISCARDED_MOST:
                return

    @property
    def _waits(self) -> bool:
        """Whether the client asked first whether it may send."""
        return self._headers.get(b"expect", b"").lower() == b"100-continue"
