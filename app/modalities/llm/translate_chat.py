"""What every translation into OpenAI's chat shares: contents, forced tools, lists for notes. Pure; knows no client."""

from collections.abc import Iterable
from typing import Any

Part = dict[str, Any]


def joined(parts: Iterable[Part]) -> str:
    """The text of a message's parts."""
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


def content(parts: list[Part]) -> str | list[Part]:
    """Plain text where it can be: every chat template understands that."""
    return joined(parts) if all(part["type"] == "text" for part in parts) else parts


def forced(name: str, notes: list[str], *, obeys: bool) -> tuple[dict[str, Any], str]:
    """How an engine is made to call a tool (any, if ``name`` is empty): by a field, or by words for its prompt."""
    if obeys:
        function = {"type": "function", "function": {"name": name}}
        return {"tool_choice": function if name else "required"}, ""
    notes.append("tool_choice.said")
    return {}, f"Answer with a call of the tool {name}." if name else "Answer with a call of one of the tools."


def system(*texts: str | None) -> list[dict[str, Any]]:
    """The message that stands first, if there is anything to say in it."""
    text = "\n".join(filter(None, texts))
    return [{"role": "system", "content": text}] if text else []


def led(first: list[Part], said: list[Part]) -> list[Part]:
    """The talk after its system message. What else stands as system at its start joins it: templates take but one."""
    rest = list(said)
    texts = [message["content"] for message in first]
    while rest and rest[0]["role"] == "system" and isinstance(rest[0]["content"], str):
        texts.append(rest.pop(0)["content"])
    return system(*texts) + rest


def streamed(stream: bool) -> dict[str, Any]:
    """Whether the answer comes in pieces; if so, its last one shall tell the cost."""
    return {"stream": True, "stream_options": {"include_usage": True}} if stream else {"stream": False}


def listed(names: Iterable[str]) -> str:
    """Names as a note carries them: few, short and printable."""
    return ", ".join("".join(c for c in name[:40] if c.isprintable()) for name in list(names)[:10])
