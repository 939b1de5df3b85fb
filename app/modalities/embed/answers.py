"""Answers of embedding engines: read in their dialect, checked, written in the client's. Pure; knows no node.

An answer whose vectors have the wanted form, in the client's own dialect, goes on as the very same bytes.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from app.fleet.job import Usage
from app.modalities.embed.vectors import Form, NoVector

_NANO = 1e9


class OllamaAnswer(msgspec.Struct):
    embeddings: list[msgspec.Raw]
    prompt_eval_count: int | None = None
    load_duration: int | None = None

    def vectors(self) -> list[msgspec.Raw]:
        return self.embeddings

    def usage(self) -> Usage:
        load = None if self.load_duration is None else self.load_duration / _NANO
        return Usage(prompt_tokens=self.prompt_eval_count, load_s=load)


class Item(msgspec.Struct):
    embedding: msgspec.Raw
    index: int = 0


class Cost(msgspec.Struct):
    prompt_tokens: int | None = None


class OpenAIAnswer(msgspec.Struct):
    data: list[Item]
    usage_: Cost | None = msgspec.field(name="usage", default=None)

    def vectors(self) -> list[msgspec.Raw]:
        return [item.embedding for item in sorted(self.data, key=lambda item: item.index)]

    def usage(self) -> Usage:
        return Usage(prompt_tokens=self.usage_.prompt_tokens if self.usage_ is not None else None)


class _Refusal(msgspec.Struct):
    error: str | dict[str, msgspec.Raw]


READERS: dict[str, msgspec.json.Decoder[OllamaAnswer] | msgspec.json.Decoder[OpenAIAnswer]] = {
    "ollama": msgspec.json.Decoder(OllamaAnswer),
    "openai": msgspec.json.Decoder(OpenAIAnswer),
}
_refusal = msgspec.json.Decoder(_Refusal).decode
_encode = msgspec.json.Encoder().encode
_WRONG = (msgspec.DecodeError, UnicodeError, RecursionError)

Write = Callable[[Sequence[msgspec.Raw], Usage], bytes]


class Reading:
    """The meter over one answer of ``count`` vectors. ``write`` makes what goes on; None: it goes on as it came."""

    content_type = "application/json"

    def __init__(self, dialect: str, count: int, form: Form, write: Write, *, native: bool) -> None:
        self.complete = False
        self.usage = Usage()
        self.refusal: str | None = None
        self.failed: str | None = None
        self._dialect = dialect
        self._count = count
        self._form = form
        self._write = write
        self._native = native
        self._pieces: list[bytes] = []

    def feed(self, piece: bytes) -> bytes:
        self._pieces.append(piece)
        return b""

    def finish(self) -> bytes:
        body, self._pieces = b"".join(self._pieces), []
        try:
            answer = READERS[self._dialect].decode(body)
            vectors = answer.vectors()
            if len(vectors) != self._count:
                self.refusal = f"the engine made {len(vectors)} vectors of {self._count} inputs"
                return b""
            as_it_is = self._native and self._form.has(vectors[0])
            out = body if as_it_is else self._write([self._form.of(vector) for vector in vectors], answer.usage())
        except (*_WRONG, NoVector):
            self.refusal = _refused(body)
            return b""
        self.usage = answer.usage()
        self.complete = True
        return out


class OpenAIWriter:
    """Writes a fragment of OpenAI's answer, and the whole. ``start`` is the place of a fragment's first input."""

    def __init__(self, model: str) -> None:
        self._model = _encode(model)

    def fragment(self, vectors: Sequence[msgspec.Raw], start: int) -> bytes:
        rows = enumerate(vectors, start)
        return b",".join(b'{"object":"embedding","index":%d,"embedding":%b}' % (i, bytes(raw)) for i, raw in rows)

    def whole(self, fragments: Iterable[bytes], usage: Usage) -> bytes:
        tokens = usage.prompt_tokens or 0
        head = b'{"object":"list","model":%b,"usage":{"prompt_tokens":%d,"total_tokens":%d},"data":['
        return b"".join((head % (self._model, tokens, tokens), b",".join(fragments), b"]}"))


class OllamaWriter:
    """The same in Ollama's words. ``took_s`` tells for how long the request has been under way.

    ``alone``: the one vector stands under ``embedding`` too, as the oldest clients read it.
    """

    def __init__(self, model: str, took_s: Callable[[], float], *, alone: bool) -> None:
        self._model = _encode(model)
        self._took_s = took_s
        self._alone = alone

    def fragment(self, vectors: Sequence[msgspec.Raw], start: int) -> bytes:
        return b",".join(map(bytes, vectors))

    def whole(self, fragments: Iterable[bytes], usage: Usage) -> bytes:
        vectors = b",".join(fragments)
        counted = (int(self._took_s() * _NANO), int((usage.load_s or 0.0) * _NANO), usage.prompt_tokens or 0)
        told = b'"total_duration":%d,"load_duration":%d,"prompt_eval_count":%d' % counted
        alone = b'"embedding":%b,' % vectors if self._alone else b""
        return b"".join((b'{"model":', self._model, b",", alone, b'"embeddings":[', vectors, b"],", told, b"}"))


def _refused(body: bytes) -> str:
    """Why this is no answer: the error that it is, if it is one."""
    try:
        error = _refusal(body).error
    except _WRONG:
        return "the engine's answer is not what its dialect says" if body.strip() else "the engine's answer is empty"
    told = error if isinstance(error, str) else bytes(error.get("message", b"")).decode("utf-8", "replace").strip('"')
    return "".join(c if c.isprintable() else " " for c in told)[:500] or "the engine reports an error"
