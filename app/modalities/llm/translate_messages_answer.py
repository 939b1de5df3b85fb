"""Anthropic's words for an OpenAI answer: events in the order its clients demand, or a message. Pure; knows no node."""

from typing import Any

import msgspec

from app.errors import HerdError
from app.fleet.job import Usage
from app.modalities.llm.dialects import anthropic
from app.modalities.llm.dialects.events import SSE
from app.modalities.llm.translate_answer import Answer, End
from app.modalities.llm.translate_parts import Made

_encode = msgspec.json.Encoder().encode


class MessagesWriter:
    """A ``Writer`` of Anthropic's. ``thinks``: the client wants to see thinking; ``stops`` are its stop sequences."""

    stream_type = SSE

    def __init__(self, request_id: str, model: str, *, thinks: bool, stops: tuple[str, ...] = ()) -> None:
        self._id = request_id
        self._model = model
        self._thinks = thinks
        self._stops = stops
        self._begun = False
        self._open = ""
        self._index = -1

    def piece(self, text: str, thinking: str, chances: list[Any]) -> bytes:
        out = self._start() if text or thinking else b""
        if thinking and self._thinks:
            out += self._into("thinking", {"thinking": "", "signature": ""})
            out += self._delta({"type": "thinking_delta", "thinking": thinking})
        if text:
            out += self._into("text", {"text": ""}) + self._delta({"type": "text_delta", "text": text})
        return out

    def calls(self, calls: list[Made]) -> bytes:
        out = self._start()
        for call in calls:
            out += self._close() + self._into("tool_use", {"id": self._call_id(call), "name": call.name, "input": {}})
            out += self._delta({"type": "input_json_delta", "partial_json": call.arguments or "{}"})
        return out

    def reason(self, end: End, *, called: bool) -> str:
        if end.finish == "length":
            return "max_tokens"
        if called:
            return "tool_use"
        if end.finish == "content_filter":
            return "refusal"
        return "end_turn" if self._stop(end) is None else "stop_sequence"

    def end(self, end: End, usage: Usage) -> bytes:
        out = self._start() + self._close()
        delta = {"stop_reason": usage.finish_reason, "stop_sequence": self._stop(end)}
        out += _event("message_delta", {"delta": delta, "usage": _usage(usage)})
        return out + _event("message_stop", {})

    def whole(self, answer: Answer, usage: Usage) -> bytes:
        content: list[dict[str, Any]] = []
        if answer.thinking and self._thinks:
            content.append({"type": "thinking", "thinking": answer.thinking, "signature": ""})
        if answer.text:
            content.append({"type": "text", "text": answer.text})
        for call in answer.calls:
            made = {"id": self._call_id(call), "name": call.name, "input": call.object()}
            content.append({"type": "tool_use", **made})
        told = {"stop_reason": usage.finish_reason, "stop_sequence": self._stop(answer.end), "usage": _usage(usage)}
        return _encode({**self._message(content), **told})

    def error(self, error: HerdError) -> bytes:
        return anthropic.error_event(error)

    def _message(self, content: list[dict[str, Any]]) -> dict[str, Any]:
        named = {"id": f"msg_{self._id}", "type": "message", "role": "assistant", "model": self._model}
        return {**named, "content": content, "stop_reason": None, "stop_sequence": None}

    def _call_id(self, call: Made) -> str:
        return call.id or f"toolu_{self._id}_{call.index}"

    def _stop(self, end: End) -> str | None:
        return end.stop if end.stop in self._stops else None

    def _start(self) -> bytes:
        """The first event, once. What the prompt costs is not known yet; the last but one event tells it."""
        if self._begun:
            return b""
        self._begun = True
        return _event("message_start", {"message": {**self._message([]), "usage": _usage(Usage())}})

    def _into(self, kind: str, empty: dict[str, Any]) -> bytes:
        """Go on in a block of this kind; another one that is open ends."""
        if self._open == kind:
            return b""
        out = self._close()
        self._open = kind
        self._index += 1
        block = {"type": kind, **empty}
        return out + _event("content_block_start", {"index": self._index, "content_block": block})

    def _close(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        return _event("content_block_stop", {"index": self._index})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", {"index": self._index, "delta": delta})


def _event(kind: str, told: dict[str, Any]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + _encode({"type": kind, **told}) + b"\n\n"


def _usage(usage: Usage) -> dict[str, int]:
    """Anthropic counts what came out of a cache apart from the rest of the prompt."""
    cached = usage.cached_tokens or 0
    return {
        "input_tokens": max(0, (usage.prompt_tokens or 0) - cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.completion_tokens or 0,
    }
