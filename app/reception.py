"""The listening side of HTTP: how large a request's head may be, how long head and body may take. Knows no endpoint.

uvicorn itself waits for ever for the rest of a head or a body, and takes heads of any size.
"""

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_MOST = 64 * 1024
"""Bytes of a request line with its header fields."""
FIELDS_MOST = 100
HEAD_S = 15.0
"""Seconds a head may take, and a new connection may say nothing."""
BODY_S = 30.0
BODY_LEAST = 64 * 1024
"""Bytes of a body that must arrive in each ``BODY_S`` seconds until it is complete, if the router reads that fast."""

LOGGER = "uvicorn.error.clients"
"""Warns of each piece of rubbish that anybody sends, and tells of faults in the application."""


class Reception(HttpToolsProtocol):
    """One connection of a client. What breaks the bounds is answered 400, what is too slow is closed.

    A clock runs only for what a packet left unfinished: the usual request comes whole, and needs none.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.logger = logging.getLogger(LOGGER)
        self._in_head = True
        self._head_bytes = 0
        self._body_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._owed: float | None = None
        self._turned = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._turned:
            self._turned = False
            self._expect(self._owed)
        if self._in_head and self._head_bytes > HEAD_MOST and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        self._owed, self._turned = HEAD_S, True

    def on_headers_complete(self) -> None:
        if len(self.headers) > FIELDS_MOST:
            raise ValueError("too many header fields")
        self._in_head = False
        self._body_bytes = 0
        self._owed, self._turned = BODY_S, True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._owed, self._turned = None, True
        super().on_message_complete()

    def _expect(self, seconds: float | None) -> None:
        """Something must have happened in this time; None: nothing is expected."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        waits_for_us = self.flow is not None and self.flow.read_paused
        if not self._in_head and (waits_for_us or self._body_bytes >= BODY_LEAST):
            self._body_bytes = 0
            self._expect(BODY_S)
        else:
            self.transport.close()
