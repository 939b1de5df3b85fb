"""The store of a fake Ollama: what pull, push, create, copy, delete and blobs do to its models. Knows no socket.

fake.pulls["llama3.2:3b"] = FakeModel("llama3.2:3b")   what a pull finds in the registry
fake.pull_hold = asyncio.Event()                       a pull stops in its middle until it is set
fake.blobs["sha256:..."]                               what was uploaded
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from typing import Any, Protocol

from fakes.answers import NDJSON, Answer, Piece, Request, replying


class Model(Protocol):
    name: str
    digest: str
    size: int


class FakeStore:
    """Keeps models and blobs; ``find`` compares names as Ollama does."""

    def __init__(self, models: dict[str, Any], find: Callable[[object], Any]) -> None:
        self.models = models
        self.find = find
        self.pulls: dict[str, Any] = {}
        self.pull_hold: asyncio.Event | None = None
        self.blobs: dict[str, bytes] = {}

    def blob(self, request: Request) -> Answer:
        digest = request.path.rpartition("/")[2]
        if request.method == "HEAD":
            return Answer(status=200 if digest in self.blobs else 404)
        found = "sha256:" + hashlib.sha256(request.body).hexdigest()
        if digest in self.blobs:
            return Answer(status=200)
        if found != digest:
            return replying({"error": f'digest mismatch, expected "{digest}", got "{found}"'}, 400)
        self.blobs[digest] = request.body
        return Answer(status=201)

    def pull(self, body: dict[str, Any]) -> Answer:
        found = self.pulls.get(_named(body))
        if found is None:
            missing = [{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}]
            return _told(body, missing)
        layer = {"status": f"pulling {found.digest[:12]}", "digest": f"sha256:{found.digest}", "total": found.size}
        half = [{"status": "pulling manifest"}, layer | {"completed": 0}, layer | {"completed": found.size // 2}]
        rest = [layer | {"completed": found.size}, {"status": "verifying sha256 digest"}, {"status": "success"}]

        def arrived() -> None:
            self.models[found.name] = found

        if body.get("stream") is False:
            arrived()
            return replying({"status": "success"})

        async def pieces() -> AsyncIterator[Piece]:
            for line in half:
                yield _line(line)
            if self.pull_hold is not None:
                yield self.pull_hold
            for line in rest[:-1]:
                yield _line(line)
            arrived()
            yield _line(rest[-1])

        return Answer(pieces=pieces(), content_type=NDJSON, framing="chunked")

    def push(self, body: dict[str, Any]) -> Answer:
        if self.find(_named(body)) is None:
            return _told(body, [{"status": "retrieving manifest"}, {"error": "no such file or directory"}])
        return _told(body, [{"status": "retrieving manifest"}, {"status": "pushing manifest"}, {"status": "success"}])

    def create(self, body: dict[str, Any]) -> Answer:
        base, files = self.find(body.get("from")), body.get("files") or {}
        if not body.get("from") and not files:
            return replying({"error": "neither 'from' or 'files' was specified"}, 400)
        if any(digest not in self.blobs for digest in files.values()):
            return _told(body, [{"status": "parsing GGUF"}, {"error": "open blob: no such file or directory"}])
        if not files and base is None:
            return _told(body, [{"status": "pulling manifest"}, {"error": "pull model manifest: no such host"}])
        made = replace(base or next(iter(self.pulls.values()), None) or next(iter(self.models.values())))
        made.name, made.loaded = _tagged(_named(body)), False
        made.digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        self.models[made.name] = made
        return _told(body, [{"status": "writing manifest"}, {"status": "success"}])

    def copy(self, body: dict[str, Any]) -> Answer:
        source = self.find(body.get("source"))
        if source is None:
            return replying({"error": f'model "{body.get("source")}" not found'}, 404)
        name = _tagged(str(body.get("destination") or ""))
        self.models[name] = replace(source, name=name, loaded=False)
        return Answer(pieces=())

    def delete(self, body: dict[str, Any]) -> Answer:
        model = self.find(_named(body))
        if model is None:
            return replying({"error": f"model '{_named(body)}' not found"}, 404)
        del self.models[model.name]
        return Answer(pieces=())


def _named(body: dict[str, Any]) -> str:
    return str(body.get("model") or body.get("name") or "")


def _tagged(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else name + ":latest"


def _told(body: dict[str, Any], lines: Iterable[dict[str, Any]]) -> Answer:
    """Line by line; or only the end, if the client wants no stream."""
    lines = list(lines)
    if body.get("stream") is False:
        return replying(lines[-1], 500 if "error" in lines[-1] else 200)
    return Answer(pieces=[_line(line) for line in lines], content_type=NDJSON, framing="chunked")


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
