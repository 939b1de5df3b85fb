"""A conversation with a child: lines to its standard input, lines from its output as they come. Knows no engine."""

import asyncio
from typing import cast

from node.engines.process import LINE_LIMIT, Child

SENTENCE_LIMIT = 1024 * 1024
"""Bytes without a line's end after which what the child says is no conversation."""


class Talker(Child):
    """A child that is asked in lines and answers in lines. One task at a time asks and listens."""

    def __init__(self, output_limit: int = LINE_LIMIT) -> None:
        super().__init__(output_limit)
        self._begun = bytearray()
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        super().pipe_data_received(fd, data)
        if fd == 1:
            self._begun += data
            *lines, self._begun = self._begun.split(b"\n")
            for line in lines:
                self._lines.put_nowait(bytes(line))
            if len(self._begun) > SENTENCE_LIMIT:
                self.kill()

    def process_exited(self) -> None:
        super().process_exited()
        self._lines.put_nowait(None)

    def say(self, line: bytes) -> None:
        """Pass a line on; a child that has ended hears nothing."""
        stdin = self._transport.get_pipe_transport(0) if self._transport else None
        if stdin is not None and self.running:
            cast(asyncio.WriteTransport, stdin).write(line + b"\n")  # uvloop's is none by its class

    async def hear(self) -> bytes | None:
        """The next line; None, for ever, once the child has ended."""
        line = await self._lines.get()
        if line is None:
            self._lines.put_nowait(None)
        return line
