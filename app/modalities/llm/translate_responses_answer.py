"""Responses' words for an OpenAI chat answer: events up to a terminal one, or one whole. Pure; knows no engine."""

from typing import Any

import msgspec

from app.errors import HerdError
from app.fleet.job import Usage
from app.modalities.body import Fields
from app.modalities.llm.dialects import records, responses
from app.modalities.llm.dialects.events import SSE
from app.modalities.llm.translate_answer import Answer, End
from app.modalities.llm.translate_parts import Made

_encode = msgspec.json.Encoder().encode
_REFLECTED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": None,
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
}
"""What a response repeats of its request, and what it says when the request did not."""


class ResponsesWriter:
    """A ``Writer`` of Responses'. ``created`` is epoch seconds; ``free_text`` are the tools that take text.

    One item is open at a time: a text or the thinking before it. A call comes whole.
    """

    stream_type = SSE

    def __init__(
        self, request_id: str, model: str, *, created: float, fields: Fields, free_text: frozenset[str]
    ) -> None:
        self._id = request_id
        self._free_text = free_text
        self._number = 0
        self._output: list[dict[str, Any]] = []
        self._kind = ""
        self._texts: list[str] = []
        self._base = {
            "id": f"resp_{request_id}",
            "object": "response",
            "created_at": int(created),
            "model": model,
            **{key: fields.get(key, default) for key, default in _REFLECTED.items()},
        }

    def piece(self, text: str, thinking: str, chances: list[Any]) -> bytes:
        out = self._start() if text or thinking else b""
        if thinking:
            out += self._into("reasoning") + self._delta("response.reasoning_text.delta", thinking)
        if text:
            out += self._into("message") + self._delta("response.output_text.delta", text)
        return out

    def calls(self, calls: list[Made]) -> bytes:
        out = self._start() + self._close()
        for call in calls:
            out += self._call(call)
        return out

    def reason(self, end: End, *, called: bool) -> str:
        return {"length": "max_output_tokens", "content_filter": "content_filter"}.get(end.finish or "", "completed")

    def end(self, end: End, usage: Usage) -> bytes:
        out = self._start() + self._close()
        response = self._ended(usage)
        return out + self._event(f"response.{response['status']}", response=response)

    def whole(self, answer: Answer, usage: Usage) -> bytes:
        for kind, text in (("reasoning", answer.thinking), ("message", answer.text)):
            if text:
                self._output.append(self._item(kind, text, "completed"))
        for call in answer.calls:
            self._output.append(self._called(call))
        return _encode(self._ended(usage))

    def error(self, error: HerdError) -> bytes:
        return responses.failed_events(error, self._response("failed"), self._number)

    def _response(self, status: str) -> dict[str, Any]:
        rest = {"status": status, "output": self._output, "error": None, "incomplete_details": None, "usage": None}
        return {**self._base, **rest}

    def _ended(self, usage: Usage) -> dict[str, Any]:
        prompt, output = usage.prompt_tokens or 0, usage.completion_tokens or 0
        counted = {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": usage.cached_tokens or 0},
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt + output,
        }
        why = usage.finish_reason
        if why == "completed":
            return {**self._response("completed"), "usage": counted}
        return {**self._response("incomplete"), "usage": counted, "incomplete_details": {"reason": why}}

    def _event(self, kind: str, **told: Any) -> bytes:
        self._number += 1
        return responses.event(kind, self._number - 1, told)

    def _start(self) -> bytes:
        if self._number:
            return b""
        response = self._response("in_progress")
        out = self._event("response.created", response=response)
        return out + self._event("response.in_progress", response=response)

    def _place(self) -> dict[str, Any]:
        """Where the open item stands: the next of the output."""
        return {"item_id": self._item_id(self._kind), "output_index": len(self._output)}

    def _item_id(self, kind: str) -> str:
        return f"{_PREFIXES[kind]}_{self._id}_{len(self._output)}"

    def _item(self, kind: str, text: str, status: str) -> dict[str, Any]:
        item = {"id": self._item_id(kind), "type": kind, "status": status}
        content = [_part(kind, text)] if status == "completed" else []
        if kind == "reasoning":
            return {**item, "summary": [], "content": content}
        return {**item, "role": "assistant", "content": content}

    def _into(self, kind: str) -> bytes:
        """Go on in an item of this kind; another one that is open ends."""
        if self._kind == kind:
            return b""
        out = self._close()
        self._kind = kind
        item = self._item(kind, "", "in_progress")
        out += self._event("response.output_item.added", output_index=len(self._output), item=item)
        return out + self._event("response.content_part.added", **self._place(), content_index=0, part=_part(kind, ""))

    def _delta(self, event: str, text: str) -> bytes:
        self._texts.append(text)
        more: dict[str, Any] = {"logprobs": []} if self._kind == "message" else {}
        return self._event(event, **self._place(), content_index=0, delta=text, **more)

    def _close(self) -> bytes:
        if not self._kind:
            return b""
        kind, text, place = self._kind, "".join(self._texts), self._place()
        item = self._item(kind, text, "completed")
        self._kind = ""
        self._texts = []
        if kind == "message":
            out = self._event("response.output_text.done", **place, content_index=0, text=text, logprobs=[])
        else:
            out = self._event("response.reasoning_text.done", **place, content_index=0, text=text)
        out += self._event("response.content_part.done", **place, content_index=0, part=_part(kind, text))
        return out + self._done(item)

    def _done(self, item: dict[str, Any]) -> bytes:
        self._output.append(item)
        return self._event("response.output_item.done", output_index=len(self._output) - 1, item=item)

    def _call(self, call: Made) -> bytes:
        item = self._called(call)
        key, kind = ("input", "custom_tool_call_input") if "input" in item else ("arguments", "function_call_arguments")
        place = {"item_id": item["id"], "output_index": len(self._output)}
        begun = {**item, key: "", "status": "in_progress"}
        out = self._event("response.output_item.added", output_index=len(self._output), item=begun)
        out += self._event(f"response.{kind}.delta", **place, delta=item[key])
        told = {key: item[key]} if key == "input" else {key: item[key], "name": call.name}
        return out + self._event(f"response.{kind}.done", **place, **told) + self._done(item)

    def _called(self, call: Made) -> dict[str, Any]:
        custom = call.name in self._free_text
        kind = "custom_tool_call" if custom else "function_call"
        item = {
            "id": self._item_id(kind),
            "type": kind,
            "status": "completed",
            "call_id": call.id or f"call_{self._id}_{call.index}",
            "name": call.name,
        }
        return {**item, "input": _free_text(call)} if custom else {**item, "arguments": call.arguments or "{}"}


_PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc", "custom_tool_call": "ctc"}


def _part(kind: str, text: str) -> dict[str, Any]:
    if kind == "reasoning":
        return {"type": "reasoning_text", "text": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _free_text(call: Made) -> str:
    """The text that a tool of free text is called with; what is not wrapped as told goes on as it is."""
    told = records.text(records.fields(call.arguments.encode("utf-8", "replace")) or {}, "input")
    return call.arguments if told is None else told
