"""The parts of an OpenAI answer: tool calls in pieces, logprobs, an echo, times. Pure; knows no other dialect."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from app.errors import StreamBroken
from app.modalities.llm.dialects import records

_NOTHING = msgspec.Raw(b"")


class Function(msgspec.Struct):
    name: str | None = None
    arguments: msgspec.Raw = _NOTHING


class Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: Function = msgspec.field(default_factory=Function)


class Said(msgspec.Struct):
    """A message, or a piece of one."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Call] | None = None

    @property
    def thinking(self) -> str:
        return self.reasoning_content or self.reasoning or ""


class Choice(msgspec.Struct):
    index: int = 0
    delta: Said = msgspec.field(default_factory=Said)
    message: Said = msgspec.field(default_factory=Said)
    text: str | None = None
    finish_reason: str | None = None
    stop_reason: msgspec.Raw = _NOTHING
    logprobs: msgspec.Raw = _NOTHING


class Chunk(msgspec.Struct):
    choices: list[Choice] | None = None


_decode_chunk = msgspec.json.Decoder(Chunk).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_any = msgspec.json.Decoder(dict[str, Any]).decode


def decode_chunk(record: bytes) -> Chunk:
    """Raises ``StreamBroken`` when the record is not of OpenAI's shape."""
    try:
        return _decode_chunk(record)
    except records.WRONG as error:
        raise StreamBroken(f"the engine's answer is not of its dialect's shape: {error}") from error


class Made(msgspec.Struct, frozen=True):
    """A tool call that is whole; its arguments are JSON text as the engine wrote it."""

    index: int
    id: str
    name: str
    arguments: str

    def object(self) -> msgspec.Raw | dict[str, str]:
        """The arguments as an object; what is none is kept under ``_raw``."""
        if not self.arguments.strip():
            return {}
        encoded = self.arguments.encode("utf-8", "replace")
        return {"_raw": self.arguments} if records.fields(encoded) is None else msgspec.Raw(records.one_line(encoded))


class ToolCalls:
    """Tool calls as they come, in pieces of JSON text, until they are whole."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: dict[int, list[str]] = {}

    def add(self, pieces: Iterable[Call]) -> None:
        """Pieces without an index: a piece with an id begins a call, one without goes on with the last."""
        for piece in pieces:
            index = piece.index
            if index is None:
                begins = bool(piece.id) or not self._calls
                index = len(self._calls) if begins else max(self._calls)
            call = self._calls.setdefault(index, ["", "", ""])
            call[0] = call[0] or piece.id or ""
            call[1] += piece.function.name or ""
            call[2] += _text(piece.function.arguments)

    def add_whole(self, calls: Iterable[Call]) -> None:
        for index, call in enumerate(calls):
            self._calls[index] = [call.id or "", call.function.name or "", _text(call.function.arguments)]

    def take(self) -> list[Made]:
        """The calls in their own order; none is left."""
        out = [Made(index, *told) for index, told in sorted(self._calls.items())]
        self._calls = {}
        return out


def _text(raw: msgspec.Raw) -> str:
    """Arguments as JSON text; some engines send the object itself."""
    text = bytes(raw).decode("utf-8", "replace")
    if text in ("", "null"):
        return ""
    if not text.startswith('"'):
        return text
    try:
        return _decode_text(raw)
    except records.WRONG:
        return text


def stop_of(choice: Choice) -> str | None:
    """The stop sequence that ended the answer, of engines that tell it (vLLM)."""
    return records.text({"stop": choice.stop_reason}, "stop") if choice.stop_reason else None


def logprobs_of(raw: msgspec.Raw) -> list[Any]:
    """A list of tokens with their logprobs, of either of OpenAI's two forms; empty if there is none."""
    told = records.fields(raw) if raw else None
    if not told:
        return []
    content: list[Any] = list(records.items(told, "content"))
    if content or "tokens" not in told:
        return content
    try:
        return _of_lists(_decode_any(raw))
    except (*records.WRONG, TypeError, AttributeError):
        return []


def _of_lists(told: dict[str, Any]) -> list[Any]:
    """The older form: one list of tokens, one of their logprobs, one of the alternatives."""
    out = []
    tops = told.get("top_logprobs") or []
    for index, (token, chance) in enumerate(zip(told["tokens"], told.get("token_logprobs") or [], strict=False)):
        entry: dict[str, Any] = {"token": token, "logprob": chance}
        if index < len(tops) and tops[index]:
            entry["top_logprobs"] = [{"token": other, "logprob": value} for other, value in tops[index].items()]
        out.append(entry)
    return out


class Echo:
    """Takes the repeated prefill off the start of an answer. Some engines repeat it, some without its last blanks."""

    __slots__ = ("_held", "_prefill")

    def __init__(self, prefill: str) -> None:
        self._prefill = prefill
        self._held = ""

    def strip(self, text: str) -> str:
        """What goes on of this piece; nothing while it may still be the echo."""
        if not self._prefill or not text:
            return text
        self._held += text
        if len(self._held) < len(self._prefill) and self._prefill.startswith(self._held):
            return ""
        return self.rest()

    def rest(self) -> str:
        """What was held back and is no echo."""
        held, prefill = self._held, self._prefill
        self._held = self._prefill = ""
        if prefill and held.startswith(prefill):
            return held[len(prefill) :]
        trimmed = prefill.rstrip()
        return held[len(trimmed) :] if trimmed and held.startswith(trimmed) else held


class Times:
    """When the request left, when its first token came. ``timer`` gives monotonic seconds."""

    __slots__ = ("_first", "_start", "_timer")

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._start = timer()
        self._first: float | None = None

    def token(self) -> None:
        if self._first is None:
            self._first = self._timer()

    def first_ns(self) -> int:
        """Nanoseconds up to the first token; 0 if none was seen on its way."""
        return 0 if self._first is None else max(0, round((self._first - self._start) * 1e9))

    def total_ns(self) -> int:
        return max(0, round((self._timer() - self._start) * 1e9))
