"""An Anthropic request for an engine that speaks only OpenAI's chat. Pure; knows no answer and no node.

What has no word there is dropped and noted; what cannot be dropped without changing the answer's nature is refused.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from app.errors import BodyInvalid
from app.modalities import body as bodies
from app.modalities.body import NOTHING, Fields
from app.modalities.llm import translate_chat as chat
from app.modalities.llm import translate_options as knobs
from app.modalities.llm.translate_request import Outgoing

_AS_THEY_ARE = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop_sequences": "stop",
}
"""Anthropic's field and OpenAI's; the value goes on as written."""
_KNOWN = frozenset(
    ("model", "messages", "system", "stream", "tools", "tool_choice", "thinking", "output_config", "metadata",
     "fallback_models", "fallback", "user", *_AS_THEY_ARE)
)  # fmt: skip


class Source(msgspec.Struct):
    type: str = ""
    media_type: str = "image/png"
    data: str = ""
    content: str | list["Block"] | None = None


class Block(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    source: msgspec.Raw = NOTHING
    id: str = ""
    name: str = ""
    input: msgspec.Raw = NOTHING
    tool_use_id: str = ""
    content: msgspec.Raw = NOTHING


class Message(msgspec.Struct):
    role: str = "user"
    content: str | list[Block] = ""


class Tool(msgspec.Struct):
    name: str = ""
    description: msgspec.Raw = NOTHING
    input_schema: msgspec.Raw = NOTHING


class ToolChoice(msgspec.Struct):
    type: str = "auto"
    name: str = ""
    disable_parallel_tool_use: bool | None = None


class Thinking(msgspec.Struct):
    type: str = ""


class Shape(msgspec.Struct):
    type: str = ""
    schema: msgspec.Raw = NOTHING


class OutputConfig(msgspec.Struct):
    effort: str | None = None
    format: Shape | None = None


class Asked(msgspec.Struct):
    """The fields of an Anthropic request that are translated."""

    messages: list[Message]
    system: str | list[Block] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    stop_sequences: list[str] | None = None

    @property
    def thinks(self) -> bool:
        """Whether the client wants to see the thinking."""
        return self.thinking is not None and self.thinking.type in ("enabled", "adaptive")


_ASKED = msgspec.json.Decoder(Asked)
_CONTENT: msgspec.json.Decoder[str | list[Block] | None] = msgspec.json.Decoder(str | list[Block] | None)
_SOURCE = msgspec.json.Decoder(Source)


def read(body: bytes) -> Asked:
    """Raises ``BodyInvalid``."""
    return bodies.read(_ASKED, body)


def outgoing(asked: Asked, fields: Fields, *, model: str, stream: bool, obeys: bool) -> Outgoing:
    """The request in OpenAI's words. ``obeys``: the engine knows ``tool_choice``; else it is told in the prompt.

    Raises ``BodyInvalid`` for what cannot be said in them.
    """
    notes = ["dialect.translated"]
    dropped = [key for key in fields if key not in _KNOWN and bodies.given(fields[key])]
    if dropped:
        notes.append(f"fields.dropped {chat.listed(dropped)}")
    talk = _Talk()
    wish, order = _tools(asked, notes, obeys=obeys)
    messages = chat.system(chat.joined(talk.parts(asked.system or "")), order)
    for message in asked.messages:
        messages += talk.message(message)
    if talk.dropped:
        notes.append(f"blocks.dropped {chat.listed(talk.dropped)}")
    out: dict[str, Any] = {"model": model, "messages": messages, **wish}
    out.update({known: fields[key] for key, known in _AS_THEY_ARE.items() if bodies.given(fields.get(key, NOTHING))})
    out.update(_thinking(asked))
    out.update(chat.streamed(stream))
    last = messages[-1] if messages else {}
    begun = last.get("role") == "assistant" and "tool_calls" not in last
    prefill = str(last["content"]) if begun else ""
    return Outgoing("/v1/chat/completions", msgspec.json.encode(out), tuple(notes), prefill)


class _Talk:
    """The messages one by one, and the types of blocks that no engine would understand."""

    def __init__(self) -> None:
        self.dropped: dict[str, None] = {}

    def message(self, message: Message) -> Iterable[dict[str, Any]]:
        """OpenAI's messages for one of Anthropic's: the tools' results first, as they answer what was said before."""
        if isinstance(message.content, str):
            return [{"role": message.role, "content": message.content}]
        results: list[dict[str, Any]] = []
        parts: list[dict[str, Any]] = []
        calls = []
        thoughts = []
        for block in message.content:
            if block.type == "tool_use":
                calls.append(_call(block))
            elif block.type == "thinking":
                thoughts.append(block.thinking)
            elif block.type == "tool_result":
                content = bodies.read(_CONTENT, block.content, "content") if bodies.given(block.content) else ""
                inner = self.parts(content or "")
                results.append({"role": "tool", "tool_call_id": block.tool_use_id, "content": chat.joined(inner)})
                parts += [part for part in inner if part["type"] != "text"]
            else:
                parts += self.parts([block])
        line: dict[str, Any] = {"role": message.role, "content": chat.content(parts)}
        if thoughts:
            line["reasoning_content"] = "\n".join(thoughts)
        if calls:
            line["tool_calls"] = calls
        return [*results, line] if parts or calls or not results else results

    def parts(self, content: str | list[Block]) -> list[dict[str, Any]]:
        """What a person would see, as OpenAI's parts."""
        if isinstance(content, str):
            return [{"type": "text", "text": content}]
        out: list[dict[str, Any]] = []
        for block in content:
            match block.type:
                case "text":
                    out.append({"type": "text", "text": block.text})
                case "image":
                    source = _source(block)
                    if source.type != "base64":
                        raise BodyInvalid(f"the engine that serves this model takes no image from a {source.type!r}")
                    url = f"data:{source.media_type};base64,{source.data}"
                    out.append({"type": "image_url", "image_url": {"url": url}})
                case "document":
                    out += self._document(_source(block))
                case kind:
                    self.dropped[kind] = None
        return out

    def _document(self, source: Source) -> list[dict[str, Any]]:
        if source.type == "text":
            return [{"type": "text", "text": source.data}]
        if source.type == "content":
            return self.parts(source.content or "")
        raise BodyInvalid("the engine that serves this model reads no documents but plain text")


def _call(block: Block) -> dict[str, Any]:
    arguments = bytes(block.input).decode() if bodies.given(block.input) else "{}"
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": arguments}}


def _source(block: Block) -> Source:
    return bodies.read(_SOURCE, block.source, "source") if bodies.given(block.source) else Source()


def _tools(asked: Asked, notes: list[str], *, obeys: bool) -> tuple[dict[str, Any], str]:
    """``tools`` and what becomes of ``tool_choice``: a field, or words for the prompt."""
    choice = asked.tool_choice or ToolChoice()
    foreign = [tool.name for tool in asked.tools or () if not bodies.given(tool.input_schema)]
    if foreign:
        notes.append(f"tools.dropped {chat.listed(foreign)}")
    tools = [_tool(tool) for tool in asked.tools or () if bodies.given(tool.input_schema)]
    if not tools or choice.type == "none":
        return {}, ""
    out: dict[str, Any] = {"tools": tools}
    if choice.disable_parallel_tool_use:
        out["parallel_tool_calls"] = False
    if choice.type not in ("any", "tool"):
        return out, ""
    field, order = chat.forced(choice.name if choice.type == "tool" else "", notes, obeys=obeys)
    return {**out, **field}, order


def _tool(tool: Tool) -> dict[str, Any]:
    told: dict[str, Any] = {"name": tool.name}
    if bodies.given(tool.description):
        told["description"] = tool.description
    return {"type": "function", "function": {**told, "parameters": tool.input_schema}}


def _thinking(asked: Asked) -> dict[str, Any]:
    """Whether and how hard to think, and the shape of the answer."""
    config = asked.output_config or OutputConfig()
    out: dict[str, Any] = {}
    if asked.thinking is not None and asked.thinking.type == "disabled":
        out.update(knobs.thinking(msgspec.Raw(b"false")))
    elif config.effort is not None:
        out.update(knobs.effort(config.effort))
    elif asked.thinking is not None and asked.thinking.type == "enabled":
        out.update(knobs.thinking(msgspec.Raw(b"true")))
    if config.format is not None and config.format.type == "json_schema":
        out["response_format"] = knobs.response_format(config.format.schema)
    return out
