"""A simulated Ollama: its routes, a plausible pace, words without sense. Knows no node and no router.

It is there for looking at Herd, not for testing it: what it says is right in form only.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from random import Random
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, delete, get, post
from litestar.response import Stream

from app.dev.profiles import Profile, Weights, book

WORDS = [
    "the",
    "herd",
    "shares",
    "its",
    "work",
    "so",
    "that",
    "nobody",
    "waits",
    "long",
    "and",
    "every",
    "sheep",
    "finds",
    "grass",
]
DIMENSIONS = 32
NDJSON = "application/x-ndjson"
SSE = "text/event-stream"
GIB_PER_S = 0.6
"""Speed of a simulated download; a model is there after some seconds."""
UNKNOWN = Weights(size_gb=4.7, parameters="7.6B", context=32768, pace=1.0, modality="")


class Pen:
    """The models of one simulated Ollama and what runs there. ``seed`` makes its answers repeatable."""

    def __init__(self, profile: Profile, seed: int = 0) -> None:
        self.profile = profile
        self.models = {name: book().model[name] for name in (*profile.loaded, *profile.stored)}
        self.loaded = set(profile.loaded)
        self.running = 0
        self._random = Random(f"{seed}-{profile.name}")  # noqa: S311 - it draws words
        self._room = asyncio.Semaphore(profile.slots)

    def find(self, name: str) -> str | None:
        return next((known for known in self.models if known in (name, f"{name}:latest")), None)

    def row(self, name: str) -> dict[str, Any]:
        weights = self.models[name]
        digest = hashlib.sha256(name.encode()).hexdigest()
        family = "llama" if weights.writes else "nomic-bert"
        details = {
            "format": "gguf", "family": family, "families": [family], "parameter_size": weights.parameters,
            "quantization_level": "Q4_K_M" if weights.writes else "F16",
        }  # fmt: skip
        capabilities = ["completion", "tools"] if weights.writes else ["embedding"]
        return {
            "name": name, "model": name, "size": weights.size_bytes, "digest": digest, "details": details,
            "modified_at": "2026-11-01T08:00:00Z", "capabilities": capabilities,
        }  # fmt: skip

    async def words(self, name: str, prompt_tokens: int, most: int) -> AsyncIterator[str]:
        """Some words, at this machine's pace, one request for each slot at a time."""
        weights, profile = self.models[name], self.profile
        async with self._room:
            self.running += 1
            try:
                if name not in self.loaded:
                    await asyncio.sleep(min(8.0, weights.size_gb * 0.25))
                    self.loaded.add(name)
                await asyncio.sleep(min(10.0, prompt_tokens / (profile.read_rate * weights.pace)))
                for _ in range(min(most, self._random.randint(40, 160))):
                    await asyncio.sleep(1 / (profile.write_rate * weights.pace))
                    yield self._random.choice(WORDS) + " "
            finally:
                self.running -= 1


def create(pen: Pen) -> Litestar:
    """The server of one simulated Ollama."""

    async def asked(request: Request[Any, Any, Any]) -> tuple[dict[str, Any], str | None]:
        body = msgspec.json.decode(await request.body() or b"{}")
        return body, pen.find(str(body.get("model") or body.get("name") or ""))

    @get("/api/version")
    async def version() -> dict[str, str]:
        return {"version": "0.12.0"}

    @get("/api/tags")
    async def tags() -> dict[str, Any]:
        return {"models": [pen.row(name) for name in pen.models]}

    @get("/api/ps")
    async def running() -> dict[str, Any]:
        later = "2318-01-01T00:00:00Z"
        return {
            "models": [
                pen.row(name)
                | {"size_vram": pen.models[name].size_bytes, "context_length": pen.models[name].context,
                   "expires_at": later}
                for name in sorted(pen.loaded)
            ]
        }  # fmt: skip

    @post("/api/show", status_code=200)
    async def show(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
        _, name = await asked(request)
        if name is None:
            return Response({"error": "model not found"}, status_code=404)
        row = pen.row(name)
        family = row["details"]["family"]
        info = {"general.architecture": family, f"{family}.context_length": pen.models[name].context}
        return Response({"details": row["details"], "model_info": info, "capabilities": row["capabilities"]})

    @post(["/api/chat", "/api/generate"], status_code=200)
    async def write(request: Request[Any, Any, Any]) -> Any:
        body, name = await asked(request)
        if name is None:
            return Response({"error": "model not found, try pulling it first"}, status_code=404)
        chat = request.url.path == "/api/chat"
        tokens = len(str(body.get("messages") or body.get("prompt") or "")) // 4 + 1
        most = int((body.get("options") or {}).get("num_predict") or 200)

        async def lines() -> AsyncIterator[bytes]:
            began, first, count = time.monotonic(), 0.0, 0
            text: list[str] = []
            empty = not (body.get("messages") or body.get("prompt"))
            async for word in pen.words(name, tokens, 0 if empty else most):
                first, count = first or time.monotonic(), count + 1
                text.append(word)
                if body.get("stream") is not False:
                    yield _line(name, chat, word)
            now = time.monotonic()
            yield _line(
                name, chat, "" if body.get("stream") is not False else "".join(text), done=True, done_reason="stop",
                total_duration=_ns(now - began), load_duration=0, prompt_eval_count=tokens,
                prompt_eval_duration=_ns((first or now) - began), eval_count=count,
                eval_duration=_ns(now - (first or now)),
            )  # fmt: skip

        return Stream(lines(), media_type=NDJSON)

    @post("/v1/chat/completions", status_code=200)
    async def complete(request: Request[Any, Any, Any]) -> Any:
        body, name = await asked(request)
        if name is None:
            return Response({"error": {"message": "model not found", "type": "not_found"}}, status_code=404)
        tokens = len(str(body.get("messages"))) // 4 + 1
        most = int(body.get("max_tokens") or 200)
        head = {"id": "chatcmpl-dev", "created": int(time.time()), "model": name}

        def usage(count: int) -> dict[str, int]:
            return {"prompt_tokens": tokens, "completion_tokens": count, "total_tokens": tokens + count}

        if not body.get("stream"):
            said = [word async for word in pen.words(name, tokens, most)]
            choice = {
                "index": 0,
                "message": {"role": "assistant", "content": "".join(said)},
                "finish_reason": "stop",
            }
            return Response({**head, "object": "chat.completion", "choices": [choice], "usage": usage(len(said))})

        async def events() -> AsyncIterator[bytes]:
            count = 0
            chunk = {**head, "object": "chat.completion.chunk"}
            async for word in pen.words(name, tokens, most):
                count += 1
                yield _event({**chunk, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
            yield _event({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            yield _event({**chunk, "choices": [], "usage": usage(count)})
            yield b"data: [DONE]\n\n"

        return Stream(events(), media_type=SSE)

    @post(["/api/embed", "/v1/embeddings"], status_code=200)
    async def embed(request: Request[Any, Any, Any]) -> Any:
        body, name = await asked(request)
        if name is None:
            return Response({"error": "model not found"}, status_code=404)
        told = body.get("input") or ""
        texts = [told] if isinstance(told, str) else list(told)
        await asyncio.sleep(len(texts) * 20 / pen.profile.read_rate)
        vectors = [_vector(str(text)) for text in texts]
        count = sum(len(str(text)) // 4 + 1 for text in texts)
        if request.url.path == "/api/embed":
            return Response({"model": name, "embeddings": vectors, "total_duration": 1, "prompt_eval_count": count})
        rows = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
        used = {"prompt_tokens": count, "total_tokens": count}
        return Response({"object": "list", "model": name, "data": rows, "usage": used})

    @post("/api/pull", status_code=200)
    async def pull(request: Request[Any, Any, Any]) -> Stream:
        body = msgspec.json.decode(await request.body())
        name = str(body.get("model") or body.get("name"))
        weights = book().model.get(name, UNKNOWN)

        async def lines() -> AsyncIterator[bytes]:
            yield _json({"status": "pulling manifest"})
            seconds = min(15.0, weights.size_gb / GIB_PER_S)
            for step in range(1, 31):
                await asyncio.sleep(seconds / 30)
                done = weights.size_bytes * step // 30
                yield _json(
                    {"status": "pulling", "digest": "sha256:dev", "total": weights.size_bytes, "completed": done}
                )
            pen.models[name] = weights
            yield _json({"status": "success"})

        return Stream(lines(), media_type=NDJSON)

    @delete("/api/delete", status_code=200)
    async def remove(request: Request[Any, Any, Any]) -> Response[None]:
        _, name = await asked(request)
        if name is None:
            return Response(None, status_code=404)
        del pen.models[name]
        pen.loaded.discard(name)
        return Response(None)

    @get("/")
    async def here() -> str:
        return "A simulated Ollama is running"

    return Litestar(
        [version, tags, running, show, write, complete, embed, pull, remove, here],
        openapi_config=None,
        logging_config=None,
    )


def _line(model: str, chat: bool, word: str, **more: Any) -> bytes:
    said = {"message": {"role": "assistant", "content": word}} if chat else {"response": word}
    now = datetime.now(UTC).isoformat()
    return _json({"model": model, "created_at": now, **said, "done": False, **more})


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value) + b"\n"


def _event(value: Any) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)


def _vector(text: str) -> list[float]:
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    length = sum((byte - 127.5) ** 2 for byte in digest) ** 0.5
    return [(byte - 127.5) / length for byte in digest[:DIMENSIONS]]
