"""A request of OpenAI's Responses for an engine that speaks only OpenAI's chat. Pure; knows no answer and no node.

Tools that take free text become functions with one parameter, ``input``; the answer's writer turns their calls back.
"""

from typing import Any

import msgspec

from app.errors import BodyInvalid
from app.modalities import body as bodies
from app.modalities.body import NOTHING, Fields
from app.modalities.llm import translate_chat as chat
from app.modalities.llm import translate_options as knobs
from app.modalities.llm.translate_request import Outgoing

_AS_THEY_ARE = {
    "max_output_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "parallel_tool_calls": "parallel_tool_calls",
}
"""Responses' field and chat's; the value goes on as written."""
_KNOWN = frozenset(
    ("model", "input", "instructions", "stream", "stream_options", "tools", "tool_choice", "text", "reasoning", "store",
     "include", "truncation", "metadata", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
     "service_tier", "client_metadata", "previous_response_id", "conversation", "background", "fallback_models",
     "fallback", *_AS_THEY_ARE)
)  # fmt: skip
"""What is translated, or asks nothing of an engine that answers once and keeps nothing."""


class Part(msgspec.Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    image_url: msgspec.Raw = NOTHING
    file_data: msgspec.Raw = NOTHING
    file_id: str | None = None


Content = str | list[Part] | None


class Tool(msgspec.Struct):
    type: str = "function"
    name: str = ""
    description: msgspec.Raw = NOTHING
    parameters: msgspec.Raw = NOTHING
    strict: bool | None = None


class Item(msgspec.Struct):
    type: str = "message"
    role: str = "user"
    content: msgspec.Raw = NOTHING
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    input: msgspec.Raw = NOTHING
    output: msgspec.Raw = NOTHING
    tools: list[Tool] | None = None


class Reasoning(msgspec.Struct):
    effort: str | None = None


class Format(msgspec.Struct):
    type: str = "text"
    name: str = "answer"
    schema: msgspec.Raw = NOTHING
    strict: bool | None = None


class Text(msgspec.Struct):
    format: Format | None = None


class Named(msgspec.Struct):
    """A ``tool_choice`` that is more than a word."""

    type: str = ""
    name: str = ""
    mode: str = "auto"


class Asked(msgspec.Struct):
    """The fields of a request that are translated."""

    input: str | list[Item]
    instructions: str | None = None
    tools: list[Tool] | None = None
    tool_choice: str | Named | None = None
    reasoning: Reasoning | None = None
    text: Text | None = None

    def offered(self) -> list[Tool]:
        """All tools, also those that come as an item of the input."""
        items = self.input if isinstance(self.input, list) else []
        return [*(self.tools or ()), *(tool for item in items for tool in item.tools or ())]

    def free_text(self) -> frozenset[str]:
        """The tools that take text instead of arguments."""
        return frozenset(tool.name for tool in self.offered() if tool.type == "custom")


_ASKED = msgspec.json.Decoder(Asked)
_CONTENT: msgspec.json.Decoder[Content] = msgspec.json.Decoder(Content)
_FREE_TEXT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


def read(body: bytes) -> Asked:
    """Raises ``BodyInvalid``."""
    return bodies.read(_ASKED, body)


def outgoing(asked: Asked, fields: Fields, *, model: str, stream: bool, obeys: bool) -> Outgoing:
    """The request in chat's words. ``obeys``: the engine knows ``tool_choice``; else it is told in the prompt.

    Raises ``BodyInvalid`` for what cannot be said in them.
    """
    notes = ["dialect.translated"]
    dropped = [key for key in fields if key not in _KNOWN and bodies.given(fields[key])]
    if dropped:
        notes.append(f"fields.dropped {chat.listed(dropped)}")
    wish, order = _tools(asked, notes, obeys=obeys)
    if isinstance(asked.input, str):
        said: list[dict[str, Any]] = [{"role": "user", "content": asked.input}]
    else:
        said = _messages(asked.input, notes)
    messages = chat.led(chat.system(asked.instructions, order), said)
    out: dict[str, Any] = {"model": model, "messages": messages, **wish}
    out.update({known: fields[key] for key, known in _AS_THEY_ARE.items() if bodies.given(fields.get(key, NOTHING))})
    if "tools" not in out:
        out.pop("parallel_tool_calls", None)
    if asked.reasoning is not None and asked.reasoning.effort:
        out.update(knobs.effort(asked.reasoning.effort))
    out.update(_shape(asked.text.format if asked.text else None))
    out.update(chat.streamed(stream))
    return Outgoing("/v1/chat/completions", msgspec.json.encode(out), tuple(notes))


def _messages(items: list[Item], notes: list[str]) -> list[dict[str, Any]]:
    """Chat's messages: calls that follow each other, or a text of the assistant's, are one message."""
    out: list[dict[str, Any]] = []
    dropped: dict[str, None] = {}
    for item in items:
        match item.type:
            case "message":
                role = "system" if item.role == "developer" else item.role
                out.append({"role": role, "content": chat.content(_parts(item.content, dropped))})
            case "function_call" | "custom_tool_call":
                if not out or out[-1]["role"] != "assistant":
                    out.append({"role": "assistant", "content": ""})
                out[-1].setdefault("tool_calls", []).append(_call(item))
            case "function_call_output" | "custom_tool_call_output":
                parts = _parts(item.output, dropped)
                out.append({"role": "tool", "tool_call_id": item.call_id, "content": chat.joined(parts)})
                pictures = [part for part in parts if part["type"] != "text"]
                if pictures:
                    out.append({"role": "user", "content": pictures})
            case "reasoning" | "additional_tools":
                pass
            case kind:
                dropped[kind] = None
    if dropped:
        notes.append(f"items.dropped {chat.listed(dropped)}")
    return out


def _call(item: Item) -> dict[str, Any]:
    arguments = item.arguments or "{}"
    if item.type == "custom_tool_call":
        arguments = '{"input":' + (bytes(item.input).decode() if bodies.given(item.input) else '""') + "}"
    return {"id": item.call_id, "type": "function", "function": {"name": item.name, "arguments": arguments}}


def _parts(raw: msgspec.Raw, dropped: dict[str, None]) -> list[dict[str, Any]]:
    content = bodies.read(_CONTENT, raw, "input") if bodies.given(raw) else ""
    if not isinstance(content, list):
        return [{"type": "text", "text": content or ""}]
    out: list[dict[str, Any]] = []
    for part in content:
        match part.type:
            case "input_text" | "output_text" | "text" | "refusal":
                out.append({"type": "text", "text": part.text or part.refusal or ""})
            case "input_image" if bodies.given(part.image_url):
                out.append({"type": "image_url", "image_url": {"url": part.image_url}})
            case "input_image" | "input_file":
                raise BodyInvalid("the engine that serves this model takes text and images as data: URIs, no files")
            case kind:
                dropped[kind] = None
    return out


def _tools(asked: Asked, notes: list[str], *, obeys: bool) -> tuple[dict[str, Any], str]:
    """``tools`` and what becomes of ``tool_choice``: a field, or words for the prompt."""
    offered = asked.offered()
    foreign = [tool.name or tool.type for tool in offered if tool.type not in ("function", "custom")]
    if foreign:
        notes.append(f"tools.dropped {chat.listed(foreign)}")
    tools = [_tool(tool) for tool in offered if tool.type in ("function", "custom")]
    choice = asked.tool_choice
    name = choice.name if isinstance(choice, Named) and choice.type in ("function", "custom") else ""
    word = (choice.mode if choice.type == "allowed_tools" else "auto") if isinstance(choice, Named) else choice
    if not tools or word == "none":
        return {}, ""
    if not name and word != "required":
        return {"tools": tools}, ""
    field, order = chat.forced(name, notes, obeys=obeys)
    return {"tools": tools, **field}, order


def _tool(tool: Tool) -> dict[str, Any]:
    told: dict[str, Any] = {"name": tool.name}
    if bodies.given(tool.description):
        told["description"] = tool.description
    if tool.type == "custom":
        told["parameters"] = _FREE_TEXT
    elif bodies.given(tool.parameters):
        told["parameters"] = tool.parameters
    if tool.strict is not None:
        told["strict"] = tool.strict
    return {"type": "function", "function": told}


def _shape(told: Format | None) -> dict[str, Any]:
    """``text.format`` as a ``response_format``."""
    if told is None or told.type == "text":
        return {}
    if told.type != "json_schema":
        return {"response_format": {"type": told.type}}
    schema = {"name": told.name, "strict": told.strict is not False, "schema": told.schema}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}
