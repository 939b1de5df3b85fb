"""Ollama's words for an OpenAI answer: lines, one whole, or only a model in memory. Pure; knows no node."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from app.errors import HerdError
from app.fleet.job import Usage
from app.modalities.llm.dialects import ollama, records
from app.modalities.llm.translate_answer import Answer, End
from app.modalities.llm.translate_parts import Made, Times

_encode = msgspec.json.Encoder().encode


class Shape(msgspec.Struct, frozen=True):
    """What the client's lines look like. ``clock`` gives epoch seconds."""

    model: str
    chat: bool
    clock: Callable[[], float]

    def line(self, text: str, thinking: str = "", calls: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        """One record, not the last one yet."""
        out: dict[str, Any] = {"model": self.model, "created_at": rfc3339(self.clock())}
        if not self.chat:
            out["response"] = text
            if thinking:
                out["thinking"] = thinking
            out["done"] = False
            return out
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if thinking:
            message["thinking"] = thinking
        if calls:
            message["tool_calls"] = calls
        out["message"] = message
        out["done"] = False
        return out

    def sign_of_life(self, word: str) -> bytes:
        """A record without a word of answer, such as Ollama sends while a model thinks: all its clients read it.

        There is no lighter one: an empty line is no JSON to them. ``status`` is a field they do not know and pass over.
        """
        return _encode({**self.line(""), "status": word}) + b"\n"


def rfc3339(seconds: float) -> str:
    """A time of day as Ollama writes it: UTC, with the fraction of the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class OllamaWriter:
    """A ``Writer`` of lines. ``timer`` gives monotonic seconds: what the engine does not measure, the router does."""

    stream_type = ollama.NDJSON

    def __init__(self, shape: Shape, timer: Callable[[], float]) -> None:
        self._shape = shape
        self._times = Times(timer)
        self._chances: list[Any] = []

    def piece(self, text: str, thinking: str, chances: list[Any]) -> bytes:
        self._chances += chances
        if not text and not thinking:
            return b""
        self._times.token()
        return _encode(self._with_chances(self._shape.line(text, thinking))) + b"\n"

    def calls(self, calls: list[Made]) -> bytes:
        self._times.token()
        return _encode(self._shape.line("", calls=_calls(calls))) + b"\n"

    def reason(self, end: End, *, called: bool) -> str:
        """Ollama knows two ends of an answer: it ran to its limit, or it stopped."""
        return "length" if end.finish == "length" else "stop"

    def end(self, end: End, usage: Usage) -> bytes:
        return _encode(self._closed(self._with_chances(self._shape.line("")), usage)) + b"\n"

    def whole(self, answer: Answer, usage: Usage) -> bytes:
        self._chances += answer.chances
        line = self._shape.line(answer.text, answer.thinking, _calls(answer.calls))
        return _encode(self._closed(self._with_chances(line), usage))

    def error(self, error: HerdError) -> bytes:
        return ollama.error_event(error)

    def _with_chances(self, line: dict[str, Any]) -> dict[str, Any]:
        if self._chances:
            line["logprobs"] = self._chances
            self._chances = []
        return line

    def _closed(self, line: dict[str, Any], usage: Usage) -> dict[str, Any]:
        """The last record: why it ended and what it cost."""
        chances = line.pop("logprobs", None)
        first, total = self._times.first_ns(), self._times.total_ns()
        line["done"] = True
        line["done_reason"] = usage.finish_reason or "stop"
        line["total_duration"] = total
        line["load_duration"] = 0
        line["prompt_eval_count"] = usage.prompt_tokens or 0
        line["prompt_eval_duration"] = first if usage.prefill_s is None else round(usage.prefill_s * 1e9)
        line["eval_count"] = usage.completion_tokens or 0
        line["eval_duration"] = total - first if usage.decode_s is None else round(usage.decode_s * 1e9)
        if chances:
            line["logprobs"] = chances
        return line


def _calls(calls: list[Made]) -> list[dict[str, Any]]:
    out = []
    for call in calls:
        told = {"function": {"index": call.index, "name": call.name, "arguments": call.object()}}
        out.append({"id": call.id, **told} if call.id else told)
    return out


class LoadMeter:
    """The engine lists its models, and the client is told that its model is in memory, or was let go. A ``Meter``."""

    __slots__ = ("_parts", "_reason", "_shape", "complete", "content_type", "failed", "refusal", "usage")

    def __init__(self, shape: Shape, reason: str) -> None:
        self.complete = False
        self.usage = Usage()
        self.refusal: str | None = None
        self.failed: str | None = None
        self.content_type = ollama.JSON
        self._shape = shape
        self._reason = reason
        self._parts: list[bytes] = []

    def feed(self, piece: bytes) -> bytes:
        self._parts.append(piece)
        return b""

    def finish(self) -> bytes:
        body = b"".join(self._parts)
        self._parts = []
        self.refusal = records.refusal_of(body)
        if self.refusal is not None:
            return b""
        self.complete = True
        self.usage.finish_reason = self._reason
        return _encode({**self._shape.line(""), "done": True, "done_reason": self._reason})
