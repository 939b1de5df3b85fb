"""Anthropic's dialect: its errors, and meters over its answers, plain or as events. Pure; knows no engine."""

from app.dialects import anthropic_error
from app.errors import HerdError
from app.fleet.job import Meter, Usage
from app.modalities.llm import thinking
from app.modalities.llm.dialects import records
from app.modalities.llm.dialects.events import EventMeter
from app.modalities.llm.dialects.records import Fields
from app.modalities.llm.dialects.whole import Whole


def error_event(error: HerdError) -> bytes:
    """The error as the last event of a stream."""
    return b"event: error\ndata: " + anthropic_error(error) + b"\n\n"


def meter(*, stream: bool) -> Meter:
    """What reads an answer in this dialect."""
    return StreamMeter() if stream else WholeMeter()


def usage_of(told: Fields, usage: Usage) -> None:
    """Fill in the counters. Anthropic counts the part of a prompt that came out of a cache apart from the rest."""
    output = records.integer(told, "output_tokens")
    usage.completion_tokens = usage.completion_tokens if output is None else output
    computed = records.integer(told, "input_tokens")
    if computed is not None:
        cached = records.integer(told, "cache_read_input_tokens")
        usage.cached_tokens = usage.cached_tokens if cached is None else cached
        written = records.integer(told, "cache_creation_input_tokens")
        usage.prompt_tokens = computed + (usage.cached_tokens or 0) + (written or 0)


class StreamMeter(EventMeter):
    """Reads a stream of events: its first one tells the prompt's tokens, its last but one all else."""

    __slots__ = ()

    def begin(self, first: Fields) -> None:
        usage_of(records.within(records.within(first, "message"), "usage"), self.usage)

    def read(self, record: Fields) -> None:
        kind = records.text(record, "type")
        if kind == "message_delta":
            usage_of(records.within(record, "usage"), self.usage)
            self.usage.finish_reason = records.text(records.within(record, "delta"), "stop_reason")
        elif kind == "message_stop":
            self.complete = True


class WholeMeter(Whole):
    """Reads an answer that is not streamed."""

    __slots__ = ()

    def read(self, answer: Fields) -> None:
        usage_of(records.within(answer, "usage"), self.usage)
        self.usage.finish_reason = records.text(answer, "stop_reason")
        blocks = [records.fields(raw) or {} for raw in records.items(answer, "content")]
        self.usage.thinking_tokens = thinking.tokens(sum(records.length(block, "thinking") for block in blocks))
        self.usage.visible_tokens = thinking.tokens(sum(records.length(block, "text") for block in blocks))
        self.complete = True
