"""OpenAI's dialect: its errors, and meters over its answers, plain or as events. Pure; knows no engine and no node."""

import re

from app.dialects import openai_error
from app.errors import HerdError
from app.fleet.job import Meter, Usage
from app.modalities.llm import thinking
from app.modalities.llm.dialects import records
from app.modalities.llm.dialects.events import EventMeter, data_of, events_of
from app.modalities.llm.dialects.records import Fields
from app.modalities.llm.dialects.whole import Whole

_MILLI = 1e3
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_NO_USAGE = re.compile(rb',\s*"usage"\s*:\s*(?:null|\{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0\})')
"""What engines that are asked for the usage put into every other event: OpenAI null, Ollama's completions zeros."""


def error_event(error: HerdError) -> bytes:
    """The error as the last event of a stream; no ``[DONE]`` follows."""
    return b"data: " + openai_error(error) + b"\n\n"


def meter(*, stream: bool) -> Meter:
    """What reads an answer in this dialect."""
    return StreamMeter() if stream else WholeMeter()


def usage_of(record: Fields, usage: Usage) -> None:
    """Fill in the counters that a record carries: OpenAI's own, and llama.cpp's timings."""
    told = records.within(record, "usage")
    if told:
        usage.prompt_tokens = records.integer(told, "prompt_tokens")
        usage.completion_tokens = records.integer(told, "completion_tokens")
        cached = records.integer(records.within(told, "prompt_tokens_details"), "cached_tokens")
        usage.cached_tokens = cached if cached is not None else usage.cached_tokens
    timings_of(record, usage)


def timings_of(record: Fields, usage: Usage) -> None:
    """Fill in what llama.cpp measured."""
    timings = records.within(record, "timings")
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


class StreamMeter(EventMeter):
    """Reads a stream of events.

    ``drop_usage``: the router asked for the usage, not the client, who therefore does not get to see it.
    """

    __slots__ = ("_drop_usage",)

    def __init__(self, *, drop_usage: bool = False) -> None:
        super().__init__()
        self._drop_usage = drop_usage

    def read(self, record: Fields) -> None:
        usage_of(record, self.usage)
        reason = finish_of(record)
        if reason is not None:
            self.complete = True
            self.usage.finish_reason = reason

    def passing(self, events: bytes) -> bytes:
        if self._drop_usage and b'"usage"' in events:
            events = _NO_USAGE.sub(b"", events)
            if _NO_CHOICES.search(events):
                return b"".join(event for event in events_of(events) if not _is_usage(event))
        return events


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


def _is_usage(event: bytes) -> bool:
    """Whether the event does nothing but report usage."""
    record = records.fields(data_of(event))
    return record is not None and "usage" in record and "choices" in record and not records.items(record, "choices")
