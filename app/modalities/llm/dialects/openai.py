"""OpenAI's dialect: its errors, and meters over its answers, plain or as events. Pure; knows no engine and no node."""

import re
from collections import deque

from app.dialects import openai_error
from app.errors import HerdError
from app.fleet.job import Usage
from app.modalities.llm import thinking
from app.modalities.llm.dialects import records
from app.modalities.llm.dialects.records import Fields
from app.modalities.llm.dialects.whole import Whole

SSE = "text/event-stream"
DONE = b"[DONE]"
_MILLI = 1e3
_TAIL = 4
"""Events kept for reading: the one with the finish reason, the usage, ``[DONE]`` and one to spare."""
_EVENT = re.compile(rb".*?(?:\r?\n\r?\n|\Z)", re.DOTALL)
_SAYS_NOTHING = (b":", b"event:", b"id:", b"retry:")
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_NO_USAGE = re.compile(rb',\s*"usage"\s*:\s*(?:null|\{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0\})')
"""What engines that are asked for the usage put into every other event: OpenAI null, Ollama's completions zeros."""


def error_event(error: HerdError) -> bytes:
    """The error as the last event of a stream; no ``[DONE]`` follows."""
    return b"data: " + openai_error(error) + b"\n\n"


def data_of(event: bytes) -> bytes | None:
    """What an event carries; None for a comment. Old llama.cpp servers say ``error:`` instead of ``data:``."""
    lines = []
    for line in event.splitlines():
        if line.startswith(b"data:"):
            lines.append(line[5:].strip())
        elif line.startswith(b"error:"):
            lines.append(b'{"error":' + line[6:].strip() + b"}")
    return b"\n".join(lines) if lines else None


def events_of(records_: bytes) -> list[bytes]:
    """Whole events, each with the blank line that ends it; what no blank line ends comes last."""
    if b"\r" in records_:
        return [event for event in _EVENT.findall(records_) if event]
    events = [event + b"\n\n" for event in records_.split(b"\n\n")]
    last = events.pop()[:-2]
    return [*events, last] if last else events


def first_of(events: bytes) -> bytes | None:
    """What the first event carries that is no mere comment; the others are not looked at."""
    if b"\r" not in events:
        data = data_of(events[: events.find(b"\n\n") + 2])
        if data is not None:
            return data
    return next((data for event in events_of(events) if (data := data_of(event)) is not None), None)


def last_of(records_: bytes, count: int) -> list[bytes]:
    """What the last ``count`` events carry, comments left out."""
    if b"\r" not in records_:
        records_ = b"\n\n".join(records_.rsplit(b"\n\n", 4 * count)[-4 * count :])
    return [data for event in events_of(records_) if (data := data_of(event)) is not None][-count:]


def says_nothing(events: bytes) -> bool:
    """Whether there are only comments and the like."""
    return all(line.startswith(_SAYS_NOTHING) for line in events.splitlines() if line)


def usage_of(record: Fields, usage: Usage) -> None:
    """Fill in the counters that a record carries: OpenAI's own, and llama.cpp's timings."""
    told = records.within(record, "usage")
    timings = records.within(record, "timings")
    if told:
        usage.prompt_tokens = records.integer(told, "prompt_tokens")
        usage.completion_tokens = records.integer(told, "completion_tokens")
        cached = records.integer(records.within(told, "prompt_tokens_details"), "cached_tokens")
        usage.cached_tokens = cached if cached is not None else usage.cached_tokens
    if timings:
        cached = records.integer(timings, "cache_n")
        usage.cached_tokens = cached if cached is not None else usage.cached_tokens
        usage.prefill_s = records.seconds(timings, "prompt_ms", _MILLI)
        usage.decode_s = records.seconds(timings, "predicted_ms", _MILLI)
        _count_by_timings(timings, usage)


def _count_by_timings(timings: Fields, usage: Usage) -> None:
    """llama.cpp counts the computed and the cached part of a prompt apart."""
    prompt = records.integer(timings, "prompt_n")
    if usage.prompt_tokens is None and prompt is not None:
        usage.prompt_tokens = prompt + (usage.cached_tokens or 0)
    if usage.completion_tokens is None:
        usage.completion_tokens = records.integer(timings, "predicted_n")


def finish_of(record: Fields) -> str | None:
    """The finish reason that a record carries."""
    for raw in records.items(record, "choices"):
        reason = records.text(records.fields(raw) or {}, "finish_reason")
        if reason:
            return reason
    return None


class StreamMeter:
    """Lets a stream of events pass and reads its first one and its tail.

    ``drop_usage``: the router asked for the usage, not the client, who therefore does not get to see it.
    """

    __slots__ = (
        "_begun", "_cutter", "_drop_usage", "_tail", "complete", "content_type", "failed", "refusal", "usage",
    )  # fmt: skip

    def __init__(self, *, drop_usage: bool) -> None:
        self.complete = False
        self.usage = Usage()
        self.refusal: str | None = None
        self.failed: str | None = None
        self.content_type = ""
        self._begun = False
        self._cutter = records.Cutter(b"\n\n", b"\r\n\r\n")
        self._drop_usage = drop_usage
        self._tail: deque[bytes] = deque(maxlen=_TAIL)

    def feed(self, piece: bytes) -> bytes:
        events = self._cutter.whole(piece)
        if not self._begun:
            return self._begin(events)
        return self._pass(events) if events else b""

    def finish(self) -> bytes:
        rest = self._cutter.rest()
        if self.refusal is not None:
            return b""
        if not self._begun:
            self._judge(data_of(rest), rest)
            if self.refusal is not None:
                return b""
        out = rest if not rest or rest.isspace() else self._pass(_ended(rest))
        for data in last_of(b"".join(self._tail), _TAIL):
            self._read(data)
        self.complete = self.complete and self.failed is None
        return out

    def _read(self, data: bytes) -> None:
        record = records.fields(data)
        if record is None:
            self.complete = self.complete or data == DONE
            return
        usage_of(record, self.usage)
        reason = finish_of(record)
        if reason is not None:
            self.complete = True
            self.usage.finish_reason = reason
        self.failed = self.failed or records.error_of(record)

    def _pass(self, events: bytes) -> bytes:
        if b"data:" in events or b"error:" in events:
            self._tail.append(events)
        if self._drop_usage and b'"usage"' in events:
            events = _NO_USAGE.sub(b"", events)
            if _NO_CHOICES.search(events):
                return b"".join(event for event in events_of(events) if not _is_usage(event))
        return events

    def _begin(self, events: bytes) -> bytes:
        """Nothing passes before the first event with content has shown what this answer is."""
        if not events:
            return b""
        first = first_of(events)
        if first is None and says_nothing(events):
            self._cutter.keep(events)
            return b""
        self._judge(first, events)
        if self.refusal is not None:
            return b""
        self._begun = True
        return self._pass(events)

    def _judge(self, first: bytes | None, events: bytes) -> None:
        """A plain error in place of a stream is told in its own words."""
        if first is None:
            self.refusal = records.refusal_of(events) or "the engine's answer is no stream of events"
        elif first != DONE:
            self.refusal = records.refusal_of(first)


class WholeMeter(Whole):
    """Reads an answer that is not streamed."""

    __slots__ = ()

    def read(self, answer: Fields) -> None:
        usage_of(answer, self.usage)
        self.usage.finish_reason = finish_of(answer)
        thoughts = visible = 0
        for raw in records.items(answer, "choices"):
            choice = records.fields(raw) or {}
            message = records.within(choice, "message")
            thoughts += records.length(message, "reasoning_content") or records.length(message, "reasoning")
            visible += records.length(message, "content") or records.length(choice, "text")
        self.usage.thinking_tokens = thinking.tokens(thoughts)
        self.usage.visible_tokens = thinking.tokens(visible)
        self.complete = True


def _ended(rest: bytes) -> bytes:
    """An event whose blank line never came: whole if it says something whole, else nothing."""
    data = data_of(rest)
    if data is None or (data != DONE and records.fields(data) is None):
        return b""
    return rest.rstrip(b"\r\n") + b"\n\n"


def _is_usage(event: bytes) -> bool:
    """Whether the event does nothing but report usage."""
    record = records.fields(data_of(event))
    return record is not None and "usage" in record and "choices" in record and not records.items(record, "choices")
