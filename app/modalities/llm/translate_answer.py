"""An OpenAI answer, read for a client of another dialect: streamed or whole. Pure; knows no dialect but OpenAI's.

What was read is given to a ``Writer``, one for each dialect. A stream's end is written at ``[DONE]``: only then are
finish reason, usage and tool calls all known. An end that did not come is never made up.
"""

from typing import Any, Protocol

import msgspec

from app.errors import EngineFailed, HerdError, StreamBroken
from app.fleet.job import Usage
from app.modalities.llm import thinking
from app.modalities.llm.dialects import events, openai, records
from app.modalities.llm.dialects.records import Cutter, Fields
from app.modalities.llm.translate_parts import (
    Choice,
    Chunk,
    Echo,
    Made,
    ToolCalls,
    decode_chunk,
    logprobs_of,
    stop_of,
)


class End(msgspec.Struct, frozen=True):
    """How an answer ended: OpenAI's finish reason, and the stop sequence if the engine tells which one it was."""

    finish: str | None = None
    stop: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """All that an answer says."""

    text: str
    thinking: str
    calls: list[Made]
    chances: list[Any]
    end: End


class Writer(Protocol):
    """Writes one answer in the client's dialect: ``piece``, ``calls`` and ``end`` as a stream, or ``whole``.

    ``reason`` is the client's word for an end, asked when all pieces and calls were written. ``error`` is the last
    record of a stream that broke.
    """

    stream_type: str

    def piece(self, text: str, thinking: str, chances: list[Any]) -> bytes: ...
    def calls(self, calls: list[Made]) -> bytes: ...
    def reason(self, end: End, *, called: bool) -> str: ...
    def end(self, end: End, usage: Usage) -> bytes: ...
    def whole(self, answer: Answer, usage: Usage) -> bytes: ...
    def error(self, error: HerdError) -> bytes: ...


class StreamTranslator:
    """OpenAI events in, the client's records out. A ``Meter``. ``prefill`` is what some engines repeat at first."""

    __slots__ = (
        "_begun", "_called", "_calls", "_cutter", "_echo", "_end", "_ended", "_writer",
        "complete", "content_type", "failed", "refusal", "usage",
    )  # fmt: skip

    def __init__(self, writer: Writer, prefill: str = "") -> None:
        self.complete = False
        self.usage = Usage()
        self.refusal: str | None = None
        self.failed: str | None = None
        self.content_type = writer.stream_type
        self._writer = writer
        self._cutter = Cutter(b"\n\n", b"\r\n\r\n")
        self._calls = ToolCalls()
        self._called = False
        self._echo = Echo(prefill)
        self._end = End()
        self._begun = False
        self._ended = False

    def feed(self, piece: bytes) -> bytes:
        return self._read(self._cutter.whole(piece))

    def finish(self) -> bytes:
        rest = self._cutter.rest()
        if self.refusal is None and not self._ended and rest and not rest.isspace():
            out = self._read(rest, last=True)
        else:
            out = b""
        if self.refusal is None and not self._begun:
            self.refusal = "the engine's answer is empty"
        if self.refusal is None and not self._ended and self._end.finish is not None:
            out += self._last()
        return out

    def _read(self, cut: bytes, *, last: bool = False) -> bytes:
        out = []
        for event in events.events_of(cut):
            if self._ended or self.refusal is not None:
                break
            data = events.data_of(event)
            if data is None and not events.says_nothing(event) and not self._begun:
                self.refusal = records.refusal_of(event) or "the engine's answer is no stream of events"
            elif data is not None:
                out.append(self._event(data, last))
        return b"".join(out)

    def _event(self, data: bytes, last: bool) -> bytes:
        if data == events.DONE:
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
            return self._writer.error(EngineFailed(error))
        return self._chunk(decode_chunk(data), record)

    def _chunk(self, chunk: Chunk, record: Fields) -> bytes:
        if "usage" in record or "timings" in record:
            openai.usage_of(record, self.usage)
        return b"".join(self._choice(choice) for choice in chunk.choices or () if choice.index == 0)

    def _choice(self, choice: Choice) -> bytes:
        said = choice.delta
        text = self._echo.strip(choice.text if choice.text is not None else said.content or "")
        self._calls.add(said.tool_calls or ())
        chances = logprobs_of(choice.logprobs) if choice.logprobs else []
        out = self._writer.piece(text, said.thinking, chances) if text or said.thinking or chances else b""
        if choice.finish_reason:
            self._end = End(choice.finish_reason, stop_of(choice))
            out += self._held()
        return out

    def _held(self) -> bytes:
        """What could not go on before the answer's end was near."""
        text = self._echo.rest()
        out = self._writer.piece(text, "", []) if text else b""
        calls = self._calls.take()
        if calls:
            self._called = True
            out += self._writer.calls(calls)
        return out

    def _last(self) -> bytes:
        out = self._held()
        self._ended = True
        self.complete = True
        self.usage.finish_reason = self._writer.reason(self._end, called=self._called)
        return out + self._writer.end(self._end, self.usage)


class WholeTranslator:
    """One OpenAI answer in, one of the client's dialect out. A ``Meter``."""

    __slots__ = ("_parts", "_prefill", "_writer", "complete", "content_type", "failed", "refusal", "usage")

    def __init__(self, writer: Writer, prefill: str = "") -> None:
        self.complete = False
        self.usage = Usage()
        self.refusal: str | None = None
        self.failed: str | None = None
        self.content_type = "application/json"
        self._writer = writer
        self._prefill = prefill
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
        choice = next(iter(decode_chunk(body).choices or ()), None)
        if choice is None:
            self.refusal = "the engine's answer holds no choice"
            return b""
        openai.usage_of(records.fields(body) or {}, self.usage)
        answer = self._answer(choice)
        self.usage.finish_reason = self._writer.reason(answer.end, called=bool(answer.calls))
        self.usage.thinking_tokens = thinking.tokens(len(answer.thinking))
        self.usage.visible_tokens = thinking.tokens(len(answer.text))
        self.complete = True
        return self._writer.whole(answer, self.usage)

    def _answer(self, choice: Choice) -> Answer:
        said = choice.message
        echo = Echo(self._prefill)
        text = echo.strip(choice.text if choice.text is not None else said.content or "") + echo.rest()
        calls = ToolCalls()
        calls.add_whole(said.tool_calls or ())
        end = End(choice.finish_reason, stop_of(choice))
        return Answer(text, said.thinking, calls.take(), logprobs_of(choice.logprobs), end)


def translator(writer: Writer, *, stream: bool, prefill: str = "") -> StreamTranslator | WholeTranslator:
    """The meter that reads an answer for this writer."""
    return StreamTranslator(writer, prefill) if stream else WholeTranslator(writer, prefill)
