"""An OpenAI answer for a client that speaks Ollama: streamed, whole, or only a model in memory. Pure; knows no node.

A streamed answer's last line is written at ``[DONE]``: only then are finish reason, usage and tool calls all known.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from app.errors import StreamBroken
from app.fleet.job import Usage
from app.modalities.llm import thinking
from app.modalities.llm.dialects import ollama, openai, records
from app.modalities.llm.dialects.records import Cutter, Fields
from app.modalities.llm.translate_parts import Choice, Chunk, Echo, Times, ToolCalls, decode_chunk, logprobs_of

_encode = msgspec.json.Encoder().encode


class Shape(msgspec.Struct, frozen=True):
    """What the client's lines look like. ``clock`` gives epoch seconds."""

    model: str
    chat: bool
    clock: Callable[[], float]
    prefill: str = ""

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


def rfc3339(seconds: float) -> str:
    """A time of day as Ollama writes it: UTC, with the fraction of the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def done_reason(finish_reason: str | None) -> str:
    """Ollama knows two ends of an answer: it ran to its limit, or it stopped."""
    return "length" if finish_reason == "length" else "stop"


class StreamTranslator:
    """OpenAI events in, Ollama lines out. A ``Meter``."""

    __slots__ = (
        "_begun", "_calls", "_chances", "_cutter", "_echo", "_ended", "_finish", "_shape", "_times",
        "complete", "content_type", "failed", "refusal", "usage",
    )  # fmt: skip

    def __init__(self, shape: Shape, timer: Callable[[], float]) -> None:
        self.complete = False
        self.usage = Usage()
        self.refusal: str | None = None
        self.failed: str | None = None
        self.content_type = ollama.NDJSON
        self._shape = shape
        self._times = Times(timer)
        self._cutter = Cutter(b"\n\n", b"\r\n\r\n")
        self._calls = ToolCalls()
        self._chances: list[Any] = []
        self._echo = Echo(shape.prefill)
        self._finish: str | None = None
        self._begun = False
        self._ended = False

    def feed(self, piece: bytes) -> bytes:
        return self._lines(self._cutter.whole(piece))

    def finish(self) -> bytes:
        rest = self._cutter.rest()
        if self.refusal is None and not self._ended and rest and not rest.isspace():
            rest_lines = self._lines(rest, last=True)
        else:
            rest_lines = b""
        if self.refusal is None and not self._begun:
            self.refusal = "the engine's answer is empty"
        if self.refusal is None and not self._ended and self._finish is not None:
            rest_lines += self._last()
        return rest_lines

    def _lines(self, events: bytes, *, last: bool = False) -> bytes:
        out = []
        for event in openai.events_of(events):
            if self._ended or self.refusal is not None:
                break
            data = openai.data_of(event)
            if data is None and not openai.says_nothing(event) and not self._begun:
                self.refusal = records.refusal_of(event) or "the engine's answer is no stream of events"
            elif data is not None:
                out.append(self._line(data, last))
        return b"".join(out)

    def _line(self, data: bytes, last: bool) -> bytes:
        if data == openai.DONE:
            self._begun = True
            return self._last()
        record = records.fields(data)
        if record is None and last:
            return b""
        error = "the engine's answer is not what its dialect says" if record is None else records.error_of(record)
        if not self._begun and error is not None:
            self.refusal = error
            return b""
        if record is None:
            raise StreamBroken("the engine's stream holds an event that is not JSON")
        self._begun = True
        if error is not None:
            self.failed = error
            self._ended = True
            return _encode({"error": error}) + b"\n"
        return self._chunk(decode_chunk(data), record)

    def _chunk(self, chunk: Chunk, record: Fields) -> bytes:
        if "usage" in record or "timings" in record:
            openai.usage_of(record, self.usage)
        out = b""
        for choice in chunk.choices or ():
            if choice.index == 0:
                out += self._choice(choice)
        return out

    def _choice(self, choice: Choice) -> bytes:
        said = choice.delta
        thinking = said.thinking
        text = self._echo.strip(choice.text if choice.text is not None else said.content or "")
        self._calls.add(said.tool_calls or ())
        if choice.logprobs:
            self._chances += logprobs_of(choice.logprobs)
        out = b""
        if text or thinking:
            self._times.token()
            out = _encode(self._with_chances(self._shape.line(text, thinking))) + b"\n"
        if choice.finish_reason:
            self._finish = choice.finish_reason
            out += self._tool_lines()
        return out

    def _with_chances(self, line: dict[str, Any]) -> dict[str, Any]:
        if self._chances:
            line["logprobs"] = self._chances
            self._chances = []
        return line

    def _tool_lines(self) -> bytes:
        held = self._echo.rest()
        out = _encode(self._shape.line(held)) + b"\n" if held else b""
        calls = self._calls.take()
        if calls:
            self._times.token()
            out += _encode(self._shape.line("", calls=calls)) + b"\n"
        return out

    def _last(self) -> bytes:
        out = self._tool_lines()
        self._ended = True
        self.complete = True
        self.usage.finish_reason = done_reason(self._finish)
        line = _closed(self._with_chances(self._shape.line("")), self.usage, self._times)
        return out + _encode(line) + b"\n"


class WholeTranslator:
    """One OpenAI answer in, one Ollama answer out. A ``Meter``."""

    __slots__ = ("_parts", "_shape", "_times", "complete", "content_type", "failed", "refusal", "usage")

    def __init__(self, shape: Shape, timer: Callable[[], float]) -> None:
        self.complete = False
        self.usage = Usage()
        self.refusal: str | None = None
        self.failed: str | None = None
        self.content_type = ollama.JSON
        self._shape = shape
        self._times = Times(timer)
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
        chunk = decode_chunk(body)
        choice = next(iter(chunk.choices or ()), None)
        if choice is None:
            self.refusal = "the engine's answer holds no choice"
            return b""
        openai.usage_of(records.fields(body) or {}, self.usage)
        self.usage.finish_reason = done_reason(choice.finish_reason)
        self.usage.thinking_tokens = thinking.tokens(len(choice.message.thinking))
        self.usage.visible_tokens = thinking.tokens(len(choice.message.content or choice.text or ""))
        self.complete = True
        return _encode(_closed(self._answer(choice), self.usage, self._times))

    def _answer(self, choice: Choice) -> dict[str, Any]:
        said = choice.message
        echo = Echo(self._shape.prefill)
        text = echo.strip(choice.text if choice.text is not None else said.content or "") + echo.rest()
        calls = ToolCalls()
        calls.add_whole(said.tool_calls or ())
        line = self._shape.line(text, said.thinking, calls.take())
        chances = logprobs_of(choice.logprobs)
        if chances:
            line["logprobs"] = chances
        return line


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


def _closed(line: dict[str, Any], usage: Usage, times: Times) -> dict[str, Any]:
    """The last record: why it ended and what it cost. What the engine did not measure, the router did."""
    chances = line.pop("logprobs", None)
    first, total = times.first_ns(), times.total_ns()
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
