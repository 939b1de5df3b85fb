"""Ollama's dialect: its errors, and meters over its answers, one JSON object a line. Pure; knows no engine."""

from app.dialects import ollama_error
from app.errors import HerdError
from app.fleet.job import Meter, Usage
from app.modalities.llm import thinking
from app.modalities.llm.dialects import records
from app.modalities.llm.dialects.records import Fields
from app.modalities.llm.dialects.whole import Whole

NDJSON = "application/x-ndjson"
JSON = "application/json"
_NANO = 1e9


def error_event(error: HerdError) -> bytes:
    """The error as the last record of a stream."""
    return ollama_error(error) + b"\n"


def meter(*, stream: bool) -> Meter:
    """What reads an answer in this dialect."""
    return StreamMeter() if stream else WholeMeter()


def usage_of(last: Fields) -> Usage:
    """The counters of a last record."""
    return Usage(
        prompt_tokens=records.integer(last, "prompt_eval_count"),
        completion_tokens=records.integer(last, "eval_count"),
        load_s=records.seconds(last, "load_duration", _NANO),
        prefill_s=records.seconds(last, "prompt_eval_duration", _NANO),
        decode_s=records.seconds(last, "eval_duration", _NANO),
        finish_reason=records.text(last, "done_reason"),
    )


def is_last(record: Fields) -> bool:
    """Whether nothing follows this record (a rendered prompt is an answer by itself)."""
    return bytes(record.get("done", b"")) == b"true" or "_debug_info" in record


class StreamMeter:
    """Lets a stream of lines pass and reads its first and its last one."""

    __slots__ = ("_begun", "_cutter", "_last", "complete", "content_type", "failed", "refusal", "usage")

    def __init__(self) -> None:
        self.complete = False
        self.usage = Usage()
        self.refusal: str | None = None
        self.failed: str | None = None
        self.content_type = ""
        self._begun = False
        self._cutter = records.Cutter(b"\n")
        self._last = b""

    def feed(self, piece: bytes) -> bytes:
        lines = self._cutter.whole(piece)
        if not self._begun:
            return self._begin(lines, piece)
        if lines and not lines.isspace():
            self._last = lines
        return lines

    def finish(self) -> bytes:
        rest = self._cutter.rest()
        if self.refusal is not None:
            return b""
        if not self._begun:
            self._judge(rest)
            if self.refusal is not None:
                return b""
        if not rest.isspace() and records.fields(rest) is not None:
            self._last = rest
            rest += b"\n"
        elif not rest.isspace():
            rest = b""
        last = records.fields(self._last.rstrip().rpartition(b"\n")[2])
        if last is not None:
            self.usage = usage_of(last)
            self.failed = records.error_of(last)
            self.complete = self.failed is None and is_last(last)
        return rest

    def _begin(self, lines: bytes, piece: bytes) -> bytes:
        """Nothing passes before the first line has shown what this answer is."""
        start = (lines or piece).lstrip()
        if not start:
            if lines:
                self._cutter.keep(lines)
            return b""
        if not lines:
            return b""
        self._judge(start.partition(b"\n")[0])
        if self.refusal is not None:
            return b""
        self._begun = True
        self._last = lines
        return lines

    def _judge(self, first: bytes) -> None:
        self.refusal = records.refusal_of(first)


class WholeMeter(Whole):
    """Reads an answer that is not streamed."""

    __slots__ = ()

    def read(self, answer: Fields) -> None:
        self.usage = usage_of(answer)
        message = records.within(answer, "message") or answer
        self.usage.thinking_tokens = thinking.tokens(records.length(message, "thinking"))
        self.usage.visible_tokens = thinking.tokens(
            records.length(message, "content") or records.length(message, "response")
        )
        self.complete = is_last(answer)
