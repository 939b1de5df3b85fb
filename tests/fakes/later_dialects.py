"""What an engine that speaks Anthropic's Messages and OpenAI's Responses answers, in pieces. Knows no socket."""

import json
from typing import Any

Words = list[str]


def messages(body: dict[str, Any], words: Words, prompt_tokens: int) -> list[bytes]:
    """The events of a stream, or one whole message."""
    usage = {"input_tokens": prompt_tokens, "output_tokens": len(words)}
    named = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "stop_sequence": None}
    if not body.get("stream"):
        content = [{"type": "text", "text": "".join(words)}]
        return [_json({**named, "content": content, "stop_reason": "end_turn", "usage": usage})]
    begun = {**named, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 0}}
    out = [
        _event("message_start", message=begun),
        _event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    ]
    out += [_event("content_block_delta", index=0, delta={"type": "text_delta", "text": word}) for word in words]
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    out += [
        _event("content_block_stop", index=0),
        _event("message_delta", delta=end, usage={"output_tokens": len(words)}),
    ]
    return [*out, _event("message_stop")]


def responses(body: dict[str, Any], words: Words, prompt_tokens: int) -> list[bytes]:
    """The events of a stream, or one whole response."""
    text = "".join(words)
    base = {"id": "resp_1", "object": "response", "created_at": 1, "model": body["model"], "error": None, "tools": []}
    base = {**base, "parallel_tool_calls": True, "tool_choice": "auto", "incomplete_details": None}
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    counted = {"input_tokens": prompt_tokens, "output_tokens": len(words), "total_tokens": prompt_tokens + len(words)}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    ended = {**base, "status": "completed", "output": [item], "usage": {**counted, **details}}
    if not body.get("stream"):
        return [_json(ended)]
    begun = {**base, "status": "in_progress", "output": []}
    where = {"output_index": 0, "item_id": "msg_1", "content_index": 0}
    told: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
        ("response.output_item.added", {"output_index": 0, "item": {**item, "status": "in_progress", "content": []}}),
        ("response.content_part.added", {**where, "part": {**part, "text": ""}}),
        *(("response.output_text.delta", {**where, "delta": word, "logprobs": []}) for word in words),
        ("response.output_text.done", {**where, "text": text, "logprobs": []}),
        ("response.content_part.done", {**where, "part": part}),
        ("response.output_item.done", {"output_index": 0, "item": item}),
        ("response.completed", {"response": ended}),
    ]
    return [_event(kind, sequence_number=number, **more) for number, (kind, more) in enumerate(told)]


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _event(kind: str, **told: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + _json({"type": kind, **told}) + b"\n\n"
