"""An Ollama request for an engine that speaks only OpenAI's dialect. Pure; knows no answer and no node.

What becomes of a request:
1. Nothing to answer (no prompt, no messages): a question whether the engine is there; see ``translate_load``.
2. /api/generate with ``raw``: /v1/completions, the prompt untouched.
3. Every other one: /v1/chat/completions, so that the model's own chat template applies, as Ollama applies it.
"""

from typing import Any

import msgspec

from app.errors import BodyInvalid
from app.modalities import body as bodies
from app.modalities.body import Fields
from app.modalities.llm import translate_options as knobs

_KNOWN = frozenset(
    ("model", "messages", "prompt", "system", "suffix", "template", "context", "stream", "raw", "format", "keep_alive",
     "images", "options", "think", "tools", "logprobs", "top_logprobs", "truncate", "shift", "metadata",
     "fallback_models", "fallback", "user", "_debug_render_only")
)  # fmt: skip
_UNHEARD = ("keep_alive", "template", "context", "truncate", "shift")
"""Fields of Ollama's that an engine of the OpenAI dialect has no word for; dropping one is noted."""


class Function(msgspec.Struct):
    name: str = ""
    arguments: msgspec.Raw = bodies.NOTHING


class ToolCall(msgspec.Struct):
    id: str | None = None
    function: Function = msgspec.field(default_factory=Function)


class Message(msgspec.Struct):
    role: str = "user"
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_name: str | None = None
    name: str | None = None
    tool_call_id: str | None = None


class Asked(msgspec.Struct):
    """The fields of an Ollama request that are translated."""

    messages: list[Message] | None = None
    prompt: str | None = None
    system: str | None = None
    suffix: str | None = None
    images: list[str] | None = None
    raw: bool | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class Outgoing(msgspec.Struct, frozen=True):
    """``prefill`` is the start of the answer that the client gave, which some engines repeat."""

    path: str
    body: bytes
    notes: tuple[str, ...]
    prefill: str = ""


_ASKED = msgspec.json.Decoder(Asked)
_TEXT = msgspec.json.Decoder(str)


def read(body: bytes) -> Asked:
    """Raises ``BodyInvalid``."""
    return bodies.read(_ASKED, body)


def is_load(asked: Asked, *, chat: bool) -> bool:
    """Whether the request only wants the model in memory, or out of it."""
    return not asked.messages if chat else not (asked.prompt or asked.images or asked.suffix)


def outgoing(asked: Asked, fields: Fields, *, chat: bool, model: str, stream: bool) -> Outgoing:
    """The request in OpenAI's words. Raises ``BodyInvalid`` for what cannot be said in them."""
    notes = ["dialect.translated"]
    out: dict[str, Any] = {"model": model}
    _note_dropped(fields, notes)
    completes = not chat and bool(asked.raw)
    if completes:
        out["prompt"] = _raw_prompt(asked)
    else:
        out["messages"] = _messages(asked.messages or [] if chat else _as_messages(asked))
        if chat and "tools" in fields and bytes(fields["tools"]) != b"null":
            out["tools"] = fields["tools"]
    out.update(knobs.options(fields, notes))
    shape = knobs.response_format(fields.get("format"))
    if shape is not None:
        out["response_format"] = shape
    if not completes:
        out.update(knobs.thinking(fields.get("think")))
    if asked.logprobs:
        out.update(_logprobs(asked.top_logprobs or 0, completes))
    out["stream"] = stream
    if stream:
        out["stream_options"] = {"include_usage": True}
    last = asked.messages[-1] if chat and asked.messages else None
    prefill = (last.content or "") if last is not None and last.role == "assistant" and not last.tool_calls else ""
    path = "/v1/completions" if completes else "/v1/chat/completions"
    return Outgoing(path, msgspec.json.encode(out), tuple(notes), prefill)


def _raw_prompt(asked: Asked) -> str:
    if asked.suffix:
        raise BodyInvalid(_NO_SUFFIX)
    if asked.images:
        raise BodyInvalid('the engine that serves this model takes no images with "raw"')
    return asked.prompt or ""


_NO_SUFFIX = 'the engine that serves this model cannot fill in between a prompt and a "suffix"'


def _as_messages(asked: Asked) -> list[Message]:
    if asked.suffix:
        raise BodyInvalid(_NO_SUFFIX)
    system = [Message(role="system", content=asked.system)] if asked.system else []
    return [*system, Message(role="user", content=asked.prompt or "", images=asked.images)]


def _logprobs(top: int, completes: bool) -> dict[str, object]:
    if completes:
        return {"logprobs": max(1, top)}
    return {"logprobs": True, "top_logprobs": top} if top else {"logprobs": True}


def _note_dropped(fields: Fields, notes: list[str]) -> None:
    if bytes(fields.get("_debug_render_only", b"")) == b"true":
        raise BodyInvalid("the engine that serves this model does not render prompts without answering them")
    dropped = [key for key in _UNHEARD if bytes(fields.get(key, b"null")) not in (b"null", b'""', b"[]")]
    dropped += ["".join(c for c in key[:40] if c.isprintable()) for key in fields if key not in _KNOWN]
    if dropped:
        notes.append(f"fields.dropped {', '.join(dropped[:10])}")


def _messages(messages: list[Message]) -> list[dict[str, object]]:
    """OpenAI's messages: each tool answer is bound to the call that it answers by the call's id."""
    out: list[dict[str, object]] = []
    open_calls: list[tuple[str, str]] = []
    made = 0
    for message in messages:
        line: dict[str, object] = {"role": message.role, "content": _content(message)}
        if message.thinking:
            line["reasoning_content"] = message.thinking
        if message.tool_calls:
            calls = []
            for call in message.tool_calls:
                name = call.id or f"call_{made}"
                made += 1
                open_calls.append((name, call.function.name))
                function = {"name": call.function.name, "arguments": _arguments(call.function.arguments)}
                calls.append({"id": name, "type": "function", "function": function})
            line["tool_calls"] = calls
        if message.role == "tool":
            line["tool_call_id"] = message.tool_call_id or _answered(open_calls, message.tool_name or message.name)
        out.append(line)
    return out


def _content(message: Message) -> object:
    text = message.content or ""
    if not message.images:
        return text
    parts: list[dict[str, object]] = [{"type": "text", "text": text}] if text else []
    return [*parts, *map(knobs.picture, message.images)]


def _arguments(raw: msgspec.Raw) -> str:
    """OpenAI carries arguments as JSON text; they go on as the client wrote them."""
    text = bytes(raw).decode()
    if text.startswith('"'):
        return bodies.read(_TEXT, raw, "arguments")
    return "{}" if text in ("", "null") else text


def _answered(open_calls: list[tuple[str, str]], name: str | None) -> str:
    """The oldest unanswered call, of this name if the answer tells one."""
    for index, (call, function) in enumerate(open_calls):
        if not name or function == name:
            del open_calls[index]
            return call
    return "call_0"
