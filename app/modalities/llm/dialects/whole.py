"""Answers that are not streamed, in any dialect: whole or not at all. Pure; knows no dialect's words."""

from app.fleet.job import Usage
from app.modalities.llm.dialects import records
from app.modalities.llm.dialects.records import Fields


class Whole:
    """Reads an answer that is not streamed: one JSON object, or none at all. A dialect fills in ``read``."""

    __slots__ = ("_parts", "complete", "content_type", "failed", "refusal", "usage")

    def __init__(self) -> None:
        self.complete = False
        self.usage = Usage()
        self.refusal: str | None = None
        self.failed: str | None = None
        self.content_type = ""
        self._parts: list[bytes] = []

    def feed(self, piece: bytes) -> bytes:
        self._parts.append(piece)
        return b""

    def finish(self) -> bytes:
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts = []
        answer = records.fields(body)
        self.refusal = records.refusal_of(body) if answer is None else records.error_of(answer)
        if answer is None or self.refusal is not None:
            return b""
        self.read(answer)
        return body

    def read(self, answer: Fields) -> None:
        """Take usage and completeness off the answer."""
        self.complete = True
