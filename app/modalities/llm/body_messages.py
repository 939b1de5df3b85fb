"""What the router reads of a request of Anthropic's Messages. Pure; knows no engine."""

import re
from collections.abc import Iterable, Iterator

import msgspec

from app.modalities.body import NOTHING, given, read, within
from app.modalities.llm.body import Output, View

NESTED_MOST = 3
"""Levels of blocks within blocks that are looked into: a tool's result, a document, its picture."""


class Source(msgspec.Struct):
    """Where a picture or a document comes from."""

    type: str = ""
    content: msgspec.Raw = NOTHING


class Block(msgspec.Struct):
    """One block of a message; what a type does not use is not read."""

    type: str = ""
    text: str | None = None
    source: msgspec.Raw = NOTHING
    content: msgspec.Raw = NOTHING
    input: msgspec.Raw = NOTHING


class Message(msgspec.Struct):
    role: str | None = None
    content: str | list[Block] | None = None


class Messages(View, kw_only=True):
    limits = ("max_tokens",)
    messages: list[Message]
    system: str | list[Block] | None = None
    max_tokens: Output = None
    thinking: msgspec.Raw = NOTHING

    @property
    def thinks_not(self) -> bool:
        return within(self.thinking, "type") == b'"disabled"'

    @property
    def output(self) -> Output:
        return self.max_tokens

    @property
    def pictured(self) -> bool:
        return any(block.type == "image" for block in self.blocks())

    def measure(self) -> tuple[int, int]:
        characters = sum(map(len, self.tools or ()))
        for text in (self.system, *(message.content for message in self.messages)):
            characters += len(text) if isinstance(text, str) else 0
        for block in self.blocks():
            characters += len(block.text or "") + len(block.input)
            if given(block.content) and not _is_list(block.content):
                characters += len(block.content)
        return characters, len(self.messages) + bool(self.system)

    def links(self) -> Iterable[tuple[str, msgspec.Raw]]:
        for block in self.blocks():
            source = _source(block)
            if source is not None and source.type == "url":
                yield "source", block.source

    def blocks(self) -> Iterator[Block]:
        """Every block, also those within blocks."""
        for content in (self.system, *(message.content for message in self.messages)):
            if isinstance(content, list):
                for block in content:
                    yield from _within(block, NESTED_MOST)


def _within(block: Block, levels: int) -> Iterator[Block]:
    yield block
    if not levels:
        return
    source = _source(block)
    for raw in (block.content, source.content if source is not None else NOTHING):
        if _is_list(raw):
            for inner in read(_BLOCKS, raw, "content"):
                yield from _within(inner, levels - 1)


def _source(block: Block) -> Source | None:
    try:
        return _SOURCE.decode(block.source) if given(block.source) else None
    except (msgspec.DecodeError, RecursionError):
        return None


def _is_list(raw: msgspec.Raw) -> bool:
    return len(raw) > 0 and bytes(memoryview(raw)[:1]) == b"["


def without_fingerprint(system: msgspec.Raw) -> msgspec.Raw | None:
    """The system prompt with a constant in place of a client's fingerprint of each request; None if there is none.

    The fingerprint stands at the very start of the prompt: an engine would find nothing of it in its cache again.
    """
    steady, found = _FINGERPRINT.subn(b"cch=00000;", bytes(system), count=1)
    return msgspec.Raw(steady) if found and steady != bytes(system) else None


_FINGERPRINT = re.compile(rb"\bcch=[0-9a-fA-F]+;")
_BLOCKS = msgspec.json.Decoder(list[Block])
_SOURCE = msgspec.json.Decoder(Source)
