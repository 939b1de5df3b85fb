"""The dialect of OpenAI's Responses: its errors, and meters over its answers. Pure; knows no engine and no node."""

from typing import Any

import msgspec

from app.errors import HerdError
from app.fleet.job import Meter, Usage
from app.modalities.llm import thinking
from app.modalities.llm.dialects import openai, records
from app.modalities.llm.dialects.events import EventMeter
from app.modalities.llm.dialects.records import Fields
from app.modalities.llm.dialects.whole import Whole

_ENDS = ("response.completed", "response.incomplete", "response.failed")


def error_event(error: HerdError) -> bytes:
    """The error as the end of a stream that has said nothing yet."""
    return failed_events(error, {"object": "response", "output": []}, 0)


def failed_events(error: HerdError, response: Any, number: int) -> bytes:
    """The error as the end of a stream whose next event has this number: one that clients raise, one that ends."""
    message = error.text.encode("utf-8", "replace").decode()
    told = {"code": error.code, "message": message, "param": None}
    reason = {"code": "server_error" if error.status >= 500 else error.code, "message": message}
    return event("error", number, {**told, "error": {"type": error.code, **told}}) + event(
        "response.failed", number + 1, {"response": {**response, "status": "failed", "error": reason}}
    )


def event(kind: str, number: int, told: Any) -> bytes:
    """One event of a stream."""
    data = records.one_line(msgspec.json.encode({"type": kind, "sequence_number": number, **told}))
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"


def meter(*, stream: bool) -> Meter:
    """What reads an answer in this dialect."""
    return StreamMeter() if stream else WholeMeter()


def usage_of(response: Fields, usage: Usage) -> None:
    """Fill in the counters of a response, and how it ended."""
    told = records.within(response, "usage")
    usage.prompt_tokens = records.integer(told, "input_tokens")
    usage.completion_tokens = records.integer(told, "output_tokens")
    usage.cached_tokens = records.integer(records.within(told, "input_tokens_details"), "cached_tokens")
    why = records.text(records.within(response, "incomplete_details"), "reason")
    usage.finish_reason = why or records.text(response, "status")


class StreamMeter(EventMeter):
    """Reads a stream of events: its last one holds the whole response."""

    __slots__ = ("_response",)

    def __init__(self) -> None:
        super().__init__()
        self._response: Fields = {}

    def begin(self, first: Fields) -> None:
        self._response = records.within(first, "response")

    def read(self, record: Fields) -> None:
        if records.text(record, "type") in _ENDS:
            usage_of(records.within(record, "response"), self.usage)
            openai.timings_of(record, self.usage)
            self.complete = True

    def error_of(self, record: Fields) -> str | None:
        """Errors come under three names: of the whole answer, of an event, of a response that failed."""
        kind = records.text(record, "type")
        if kind == "response.failed":
            return records.error_of(records.within(record, "response")) or "the engine's response failed"
        if kind == "error" and "error" not in record:
            return records.error_of({"error": record.get("message", msgspec.Raw(b"true"))})
        return records.error_of(record)

    def error_event(self, error: HerdError) -> bytes:
        """The error as the end of what passed so far, numbered on from there."""
        numbers = (records.integer(records.fields(data) or {}, "sequence_number") for data in self.tail())
        last = max((number for number in numbers if number is not None), default=-1)
        return failed_events(error, self._response or {"object": "response", "output": []}, last + 1)


class WholeMeter(Whole):
    """Reads an answer that is not streamed."""

    __slots__ = ()

    def read(self, answer: Fields) -> None:
        usage_of(answer, self.usage)
        openai.timings_of(answer, self.usage)
        said = {"reasoning": 0, "message": 0}
        for raw in records.items(answer, "output"):
            item = records.fields(raw) or {}
            kind = records.text(item, "type") or ""
            for part in records.items(item, "content"):
                said[kind] = said.get(kind, 0) + records.length(records.fields(part) or {}, "text")
        self.usage.thinking_tokens = thinking.tokens(said["reasoning"])
        self.usage.visible_tokens = thinking.tokens(said["message"])
        self.complete = True
