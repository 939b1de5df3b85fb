"""An Ollama without a model: a real HTTP server that speaks Ollama's routes and breaks on demand. Knows no product.

    async with FakeOllama() as fake:                      # one model, smollm2:135m, on disk and not loaded
        fake.url, fake.port
        fake.models["llama3:latest"] = FakeModel("llama3:latest", loaded=True)
        ... POST {fake.url}/api/chat -> "Hello from fake", as NDJSON; stream false: the same, folded ...
        fake.requests      every request: .method .path .headers .body .json() .at     await fake.requests.wait(2)
        fake.running, fake.peak      inference requests in work now, and at most
        fake.closed        clients that left before the end: .request .at .sent        await fake.closed.wait()

Holding it: ``fake.hold = asyncio.Event()`` stops every default answer before its first byte until it is set,
``fake.hold_last`` before its last record; ``FakeOllama(parallel=2)`` makes a third request wait inside, as Ollama does.
Breaking it (see scripted.py): ``fake.script("/api/chat", reset(), hang(), failing(503), times=1)``,
``streaming(b'{"mess', b'age":...}\\n', end="close")``; ``await fake.refuse()``, ``.accept()``, ``.cut()``.
Program: ``python tests/fakes/fake_ollama.py --port 11434 --words 40 --first 0.2 --word 0.02``.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fakes import later_dialects
from fakes.fake_store import FakeStore
from fakes.scripted import NDJSON, SSE, Answer, Piece, Request, ScriptedServer, replying

CREATED = "2026-11-24T00:00:00Z"
UNPULLED = 'model "{}" not found, try pulling it first'
INFERENCE = {
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/embeddings",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/responses",
}


@dataclass
class FakeModel:
    """A model of the fake. ``digest`` is made from the name unless given."""

    name: str
    size: int = 96_576_768
    loaded: bool = False
    context: int = 4096
    context_max: int = 8192
    capabilities: tuple[str, ...] = ("completion",)
    digest: str = ""
    family: str = "llama"
    parameters: str = "134.52M"
    quantization: str = "Q4_1"
    resident: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.digest = self.digest or hashlib.sha256(self.name.encode()).hexdigest()

    def details(self) -> dict[str, Any]:
        return {
            "parent_model": "",
            "format": "gguf",
            "family": self.family,
            "families": [self.family],
            "parameter_size": self.parameters,
            "quantization_level": self.quantization,
        }

    def listed(self) -> dict[str, Any]:
        named = {"name": self.name, "model": self.name, "size": self.size, "digest": self.digest}
        details = {**self.details(), "context_length": self.context_max}
        told = {"modified_at": CREATED, "details": details, "capabilities": list(self.capabilities)}
        return {**named, **told, **self.extra}

    def running(self) -> dict[str, Any]:
        vram = self.size if self.resident is None else self.resident
        named = {"name": self.name, "model": self.name, "size": vram, "digest": self.digest, "details": self.details()}
        return {**named, "expires_at": "2318-01-01T00:00:00Z", "size_vram": 0, "context_length": self.context}

    def shown(self) -> dict[str, Any]:
        info = {"general.architecture": self.family, f"{self.family}.context_length": self.context_max}
        blob = f"FROM /models/blobs/sha256-{self.digest}\n"
        shown = {"modelfile": blob, "details": self.details(), "model_info": info, "modified_at": CREATED}
        return {**shown, "capabilities": list(self.capabilities)}


class FakeOllama(ScriptedServer):
    """``words`` is the default answer, ``prompt_tokens`` what a prompt counts; ``store``: see fake_store.py.

    A text's vector is made of the text, and takes ``input_s``.
    ``pictures``: it has the route that makes some, as those from 0.14 to 0.32.5.
    """

    def __init__(
        self, *models: FakeModel, port: int = 0, host: str = "127.0.0.1", version: str = "0.31.0", parallel: int = 0
    ) -> None:
        super().__init__(host=host, port=port)
        self.models = {model.name: model for model in models or (FakeModel("smollm2:135m"),)}
        self.version = version
        self.words: list[str] = ["Hello", " from", " fake"]
        self.prompt_tokens = 11
        self.pictures = False
        self.store = FakeStore(self.models, self.find)
        self.hold: asyncio.Event | None = None
        self.hold_last: asyncio.Event | None = None
        self.first_s = 0.0
        self.word_s = 0.0
        self.input_s = 0.0
        self._room = asyncio.Semaphore(parallel) if parallel else None

    def counts(self, request: Request) -> bool:
        return request.path in INFERENCE

    def find(self, name: object) -> FakeModel | None:
        """A model by name, as Ollama finds it: without a tag ``:latest`` is meant, letter case does not count."""
        return next((model for known, model in self.models.items() if _key(known) == _key(str(name or ""))), None)

    def respond(self, request: Request) -> Answer:
        if request.path == "/" and request.method in ("GET", "HEAD"):
            return Answer(pieces=(b"Ollama is running",), content_type="text/plain; charset=utf-8")
        if request.path.startswith("/api/blobs/"):
            return self.store.blob(request)
        routes = self._routes()
        if self.pictures:
            routes["POST", "/v1/images/generations"] = lambda _: replying(
                {"error": {"message": "prompt is needed"}}, 400
            )
        head_too = request.method == "HEAD" and request.path in ("/api/version", "/api/tags")
        answer = routes.get(("GET" if head_too else request.method, request.path))
        if answer is None:
            if any(path == request.path for _, path in routes):
                return Answer(status=405, pieces=(b"405 method not allowed",), content_type="text/plain")
            return Answer(status=404, pieces=(b"404 page not found",), content_type="text/plain")
        if request.method in ("GET", "HEAD"):
            return answer({})
        try:
            body = request.json()
        except ValueError:
            return replying({"error": "invalid character in request body"}, 400)
        if not isinstance(body, dict):
            return replying({"error": "json: cannot unmarshal into Go value"}, 400)
        return answer(body)

    def _routes(self) -> dict[tuple[str, str], Callable[[dict[str, Any]], Answer]]:
        return {
            ("GET", "/api/version"): lambda _: replying({"version": self.version}),
            ("GET", "/api/tags"): lambda _: replying({"models": [m.listed() for m in self.models.values()]}),
            ("GET", "/api/ps"): lambda _: replying({"models": [m.running() for m in self.models.values() if m.loaded]}),
            ("GET", "/v1/models"): lambda _: replying(self._openai_models()),
            ("POST", "/api/show"): self._show,
            ("POST", "/api/chat"): self._chat,
            ("POST", "/api/generate"): self._generate,
            ("POST", "/api/embed"): self._embed,
            ("POST", "/api/embeddings"): self._embeddings,
            ("POST", "/api/pull"): self.store.pull,
            ("POST", "/api/push"): self.store.push,
            ("POST", "/api/create"): self.store.create,
            ("POST", "/api/copy"): self.store.copy,
            ("DELETE", "/api/delete"): self.store.delete,
            ("POST", "/v1/chat/completions"): self._openai_chat,
            ("POST", "/v1/completions"): self._openai_completion,
            ("POST", "/v1/embeddings"): self._openai_embeddings,
            ("POST", "/v1/messages"): self._messages,
            ("POST", "/v1/responses"): self._responses,
        }

    def _openai_models(self) -> dict[str, Any]:
        listed = [{"id": name, "object": "model", "created": 1, "owned_by": "library"} for name in self.models]
        return {"object": "list", "data": listed}

    def _show(self, body: dict[str, Any]) -> Answer:
        model = self.find(body.get("model") or body.get("name"))
        return replying(model.shown()) if model else _absent(body, tagged=True)

    def _loaded(self, body: dict[str, Any]) -> FakeModel | None:
        model = self.find(body.get("model"))
        if model is not None:
            model.loaded = body.get("keep_alive") not in (0, "0", "0s")
            options = body.get("options")
            if isinstance(options, dict) and isinstance(options.get("num_ctx"), int):
                model.context = options["num_ctx"]
        return model

    def _chat(self, body: dict[str, Any]) -> Answer:
        def shape(text: str) -> dict[str, Any]:
            return {"message": {"role": "assistant", "content": text}}

        return self._native(body, shape, empty=not body.get("messages"))

    def _generate(self, body: dict[str, Any]) -> Answer:
        return self._native(body, lambda text: {"response": text}, empty=not body.get("prompt"))

    def _native(self, body: dict[str, Any], shape: Callable[[str], dict[str, Any]], *, empty: bool) -> Answer:
        model = self._loaded(body)
        if model is None:
            return _absent(body)
        named = {"model": body.get("model"), "created_at": CREATED}
        if empty:
            reason = "load" if model.loaded else "unload"
            return replying({**named, **shape(""), "done": True, "done_reason": reason})
        last = {"done": True, "done_reason": "stop", **self._counters()}
        if body.get("stream") is False:
            whole = _line({**named, **shape("".join(self.words)), **last})
            return Answer(pieces=self._paced([], whole))
        lines = [_line({**named, **shape(word), "done": False}) for word in self.words]
        pieces = self._paced(lines, _line({**named, **shape(""), **last}))
        return Answer(pieces=pieces, content_type=NDJSON, framing="chunked")

    def _counters(self) -> dict[str, int]:
        times = {"total_duration": 500_000_000, "load_duration": 100_000_000}
        prompt = {"prompt_eval_count": self.prompt_tokens, "prompt_eval_duration": 50_000_000}
        return {**times, **prompt, "eval_count": len(self.words), "eval_duration": 300_000_000}

    async def _paced(self, pieces: list[bytes], last: bytes) -> AsyncIterator[Piece]:
        """The pieces with this fake's pauses: room first, then hold, then a pause per word, then hold_last."""
        async with AsyncExitStack() as stack:
            if self._room is not None:
                await stack.enter_async_context(self._room)
            if self.hold is not None:
                yield self.hold
            yield self.first_s
            for piece in pieces:
                yield piece
                yield self.word_s
            if self.hold_last is not None:
                yield self.hold_last
            yield last

    def _embed(self, body: dict[str, Any]) -> Answer:
        if self._loaded(body) is None:
            return _absent(body, UNPULLED)
        texts = body.get("input", [])
        texts = [texts] if isinstance(texts, str) else texts
        if not all(isinstance(text, str) for text in texts):
            return replying({"error": "invalid input type"}, 400)
        vectors = [vector_of(text)[: body.get("dimensions")] for text in texts if text]
        counted = {"prompt_eval_count": len(vectors), "total_duration": 1_000_000, "load_duration": 1_000}
        line = _line({"model": body.get("model"), "embeddings": vectors, **counted})
        return Answer(pieces=self._worked(len(vectors), line))

    def _embeddings(self, body: dict[str, Any]) -> Answer:
        if self._loaded(body) is None:
            return _absent(body, UNPULLED)
        return Answer(pieces=self._worked(1, _line({"embedding": vector_of(str(body.get("prompt", "")))})))

    def _openai_embeddings(self, body: dict[str, Any]) -> Answer:
        if self._loaded(body) is None:
            return _openai_absent(body, UNPULLED)
        told = body.get("input", "")
        single = isinstance(told, str) or (told and isinstance(told[0], int))
        vectors = [vector_of(str(text)) for text in ([told] if single else told)]
        shown: list[Any] = [packed(one) for one in vectors] if body.get("encoding_format") == "base64" else vectors
        rows = [{"object": "embedding", "index": i, "embedding": one} for i, one in enumerate(shown)]
        usage = {"prompt_tokens": len(rows), "total_tokens": len(rows)}
        whole = {"object": "list", "data": rows, "model": body.get("model"), "usage": usage}
        return Answer(pieces=self._worked(len(rows), json.dumps(whole).encode()))

    async def _worked(self, inputs: int, answer: bytes) -> AsyncIterator[Piece]:
        """The answer after the time that so many inputs take, and this fake's pauses."""
        async for piece in self._paced([], answer):
            if piece is answer:
                yield inputs * self.input_s
            yield piece

    def _messages(self, body: dict[str, Any]) -> Answer:
        if self._loaded(body) is None:
            error = {"type": "not_found_error", "message": f"model '{body.get('model')}' not found"}
            return replying({"type": "error", "error": error}, 404)
        words = later_dialects.messages(body, self.words, self.prompt_tokens)
        return self._later(body, words)

    def _responses(self, body: dict[str, Any]) -> Answer:
        if self._loaded(body) is None:
            return _openai_absent(body)
        return self._later(body, later_dialects.responses(body, self.words, self.prompt_tokens))

    def _later(self, body: dict[str, Any], pieces: list[bytes]) -> Answer:
        paced = self._paced(pieces[:-1], pieces[-1])
        if body.get("stream"):
            return Answer(pieces=paced, content_type=SSE, framing="chunked")
        return Answer(pieces=paced)

    def _openai_chat(self, body: dict[str, Any]) -> Answer:
        def whole(text: str) -> dict[str, Any]:
            return {"message": {"role": "assistant", "content": text}}

        def part(text: str) -> dict[str, Any]:
            return {"delta": {"content": text} if text else {}}

        return self._openai(body, "chat.completion", whole, part)

    def _openai_completion(self, body: dict[str, Any]) -> Answer:
        return self._openai(body, "text_completion", lambda text: {"text": text}, lambda text: {"text": text})

    def _openai(
        self,
        body: dict[str, Any],
        kind: str,
        whole: Callable[[str], dict[str, Any]],
        part: Callable[[str], dict[str, Any]],
    ) -> Answer:
        if self._loaded(body) is None:
            return _openai_absent(body)
        count = len(self.words)
        usage = {"prompt_tokens": self.prompt_tokens, "completion_tokens": count}
        usage["total_tokens"] = self.prompt_tokens + count
        base = {"id": "chatcmpl-1", "created": 1, "model": body.get("model"), "system_fingerprint": "fp_fake"}
        if not body.get("stream"):
            choice = {"index": 0, **whole("".join(self.words)), "finish_reason": "stop"}
            full = {**base, "object": kind, "choices": [choice], "usage": usage}
            return Answer(pieces=self._paced([], json.dumps(full).encode()))
        base["object"] = "chat.completion.chunk" if kind == "chat.completion" else kind
        words = [{**base, "choices": [{"index": 0, **part(w), "finish_reason": None}]} for w in self.words]
        if kind == "chat.completion" and words:
            words[0]["choices"][0]["delta"]["role"] = "assistant"
        words.append({**base, "choices": [{"index": 0, **part(""), "finish_reason": "stop"}]})
        options = body.get("stream_options")
        if isinstance(options, dict) and options.get("include_usage"):
            if kind == "text_completion":  # not in chats
                words = [{**word, "usage": dict.fromkeys(usage, 0)} for word in words]
            words.append({**base, "choices": [], "usage": usage})
        pieces = self._paced([_event(word) for word in words], b"data: [DONE]\n\n")
        return Answer(pieces=pieces, content_type=SSE, framing="chunked")


def _key(name: str) -> str:
    return name.lower() if ":" in name.rsplit("/", 1)[-1] else name.lower() + ":latest"


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _event(value: Any) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def vector_of(text: str) -> list[float]:
    """Numbers that a 32-bit float holds exactly, so that no way of writing them changes them."""
    return [byte / 256 for byte in hashlib.sha256(text.encode()).digest()[:8]]


def packed(vector: list[float]) -> str:
    """A vector as OpenAI's API writes it in base64."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _absent(body: dict[str, Any], words: str = "model '{}' not found", *, tagged: bool = False) -> Answer:
    name = str(body.get("model") or body.get("name") or "")
    if not name:
        return replying({"error": "model is required"}, 400)
    return replying({"error": words.format(name if ":" in name or not tagged else name + ":latest")}, 404)


def _openai_absent(body: dict[str, Any], words: str = "model '{}' not found") -> Answer:
    message = words.format(body.get("model"))
    return replying({"error": {"message": message, "type": "not_found_error", "param": None, "code": None}}, 404)


async def _main() -> None:
    parser = argparse.ArgumentParser(description="An Ollama without a model.")
    parser.add_argument("--port", type=int, default=11434)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--model", action="append", default=[], help="a model it has; may be repeated")
    parser.add_argument("--parallel", type=int, default=0, help="requests it serves at once; 0: any number")
    parser.add_argument("--words", type=int, default=3)
    parser.add_argument("--first", type=float, default=0.0, help="seconds before the first word")
    parser.add_argument("--word", type=float, default=0.0, help="seconds after each word")
    args = parser.parse_args()
    models = [FakeModel(name) for name in args.model]
    fake = FakeOllama(*models, port=args.port, host=args.host, parallel=args.parallel)
    fake.words = [f" word{n}" for n in range(args.words)] if args.words != 3 else fake.words
    fake.first_s, fake.word_s = args.first, args.word
    async with fake:
        print(fake.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
