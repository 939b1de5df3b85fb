"""llama.cpp's server without a model: /v1/*, /props, /slots, /health, 404 on /api/*. Knows no product code.

    async with FakeLlama() as fake:             # one loaded model, smollm2:135m, two slots
        fake.loading = True                     # 503 everywhere, as while a model loads
        fake.router = True                      # router mode: models have a status
        fake.owner = "vllm"                     # another maker: no /props, no /slots, /version instead
Everything of scripted.py and the pauses of FakeOllama (hold, hold_last, words, parallel) work here too.
Program: ``python tests/fakes/fake_llama.py --port 8080``.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fakes.fake_ollama import INFERENCE, FakeModel, FakeOllama
from fakes.scripted import Answer, Request, replying

NOT = "not_supported_error"


class FakeLlama(FakeOllama):
    """``total_slots`` is what /props and /slots tell; ``embeddings`` and ``reranks`` whether it was started so.

    A text of more than ``batch`` words is too long for a vector, and is answered as llama.cpp does.
    ``writes`` false: its model makes vectors only. ``arguments`` are those with which a router starts its models.
    """

    def __init__(self, *models: FakeModel, port: int = 0, host: str = "127.0.0.1", parallel: int = 0) -> None:
        super().__init__(*models or (FakeModel("smollm2:135m", loaded=True),), port=port, host=host, parallel=parallel)
        self.owner = "llamacpp"
        self.total_slots = 2
        self.build = "b11549-0a1b2c3d"
        self.loading = False
        self.router = False
        self.embeddings = False
        self.reranks = False
        self.writes = True
        self.arguments: dict[str, list[str]] = {}
        self.messages = True
        self.batch = 512

    def find(self, name: object) -> FakeModel | None:
        """llama.cpp serves its one model under any name; only a router looks at it."""
        found = super().find(name)
        return found if found or self.router or self.owner != "llamacpp" else next(iter(self.models.values()), None)

    def respond(self, request: Request) -> Answer:
        if self.loading and request.path != "/health":
            return _refused("Loading model", "unavailable_error", 503)
        if request.path.startswith("/api/"):
            return _refused("File Not Found", "not_found_error", 404)
        answer = self._own(request)
        answer = answer if answer is not None else super().respond(request)
        if self.owner == "llamacpp":
            answer.headers = (*answer.headers, ("server", "llama.cpp"))
        return answer

    def _own(self, request: Request) -> Answer | None:
        llama = self.owner == "llamacpp"
        match request.method, request.path:
            case "GET", "/health":
                return (
                    _refused("Loading model", "unavailable_error", 503) if self.loading else replying({"status": "ok"})
                )
            case "GET", "/props" if llama:
                return replying(self._props())
            case "GET", "/slots" if llama:
                return replying([{"id": n, "n_ctx": 4096, "is_processing": False} for n in range(self.total_slots)])
            case "GET", "/version" if self.owner == "vllm":
                return replying({"version": "0.11.2"})
            case "POST", "/v1/messages" | "/v1/messages/count_tokens" if not llama or not self.messages:
                return _refused("File Not Found", "not_found_error", 404)
            case "POST", "/v1/messages" if request.body == b"{}":
                return _refused("'messages' is required", "server_error", 500)
            case "POST", "/v1/messages/count_tokens":
                return replying({"input_tokens": self.prompt_tokens})
            case "POST", "/v1/responses" if not llama:
                return _refused("File Not Found", "not_found_error", 404)
            case "POST", "/v1/embeddings" if llama and not self.embeddings:
                return _refused("This server does not support embeddings.", NOT, 501)
            case "POST", "/v1/embeddings" if llama and (words := self._longest(request)) > self.batch:
                said = f"input ({words} tokens) is too large to process. increase the physical batch size"
                return _refused(f"{said} (current batch size: {self.batch})", "server_error", 500)
            case "POST", "/v1/rerank" if llama and not self.reranks:
                return _refused("This server does not support reranking. Start it with `--reranking`", NOT, 501)
            case "POST", "/v1/rerank" if llama:
                return _reranked(request)
            case "GET", "/" | "/v1/models/":
                return _refused("File Not Found", "not_found_error", 404)
            case "POST", "/v1/completions" if llama and not self.writes and b'"prompt"' in request.body:
                return _refused(
                    "the current context does not support logits computation. skipping", "server_error", 500
                )
            case "POST", path if llama and path in INFERENCE and request.body == b"{}":
                return _refused("'prompt' is required", "invalid_request_error", 400)
        return None

    def _longest(self, request: Request) -> int:
        """Words of the longest text in a request."""
        told = request.json().get("input", "")
        return max(
            (len(text.split()) for text in ([told] if isinstance(told, str) else told) if isinstance(text, str)),
            default=0,
        )

    def _props(self) -> dict[str, Any]:
        if self.router:
            return {"role": "router", "max_instances": 1, "build_info": self.build}
        path = "/models/SmolLM2-135M-Instruct.Q4_1.gguf"
        told = {"total_slots": self.total_slots, "model_path": path, "build_info": self.build, "model_ftype": "Q4_1"}
        settings = {"default_generation_settings": {"n_ctx": 4096, "params": {}}}
        return {**told, **settings, "modalities": {"vision": False, "audio": False}, "chat_template": "{{ messages }}"}

    def _openai_models(self) -> dict[str, Any]:
        return {"object": "list", "data": [self._listed(model) for model in self.models.values()]}

    def _listed(self, model: FakeModel) -> dict[str, Any]:
        row: dict[str, Any] = {"id": model.name, "object": "model", "created": 1, "owned_by": self.owner}
        if self.owner == "vllm":
            return {**row, "max_model_len": model.context_max}
        if self.router:
            status = {"value": "loaded" if model.loaded else "unloaded", "args": self.arguments.get(model.name, [])}
            return {**row, "status": status}
        meta = {"n_ctx": model.context, "n_ctx_train": model.context_max, "n_params": 134_515_008, "size": model.size}
        return {**row, "meta": {**meta, "ftype": model.quantization}}


def _reranked(request: Request) -> Answer:
    """Each document's share of words that are in the query, in the order of the documents."""
    asked = request.json()
    if not isinstance(asked.get("query"), str):
        return _refused('"query" must be provided', "invalid_request_error", 400)
    documents = asked.get("documents")
    if not documents or not all(isinstance(one, str) for one in documents):
        return _refused('"documents" must be a non-empty string array', "invalid_request_error", 400)
    words = set(asked["query"].split())
    shares = [sum(word in words for word in one.split()) / max(1, len(one.split())) for one in documents]
    scores = [{"index": index, "relevance_score": share} for index, share in enumerate(shares)]
    usage = {"prompt_tokens": 9 * len(documents), "total_tokens": 9 * len(documents)}
    return replying({"model": asked.get("model"), "object": "list", "usage": usage, "results": scores})


def _refused(message: str, kind: str, status: int) -> Answer:
    return replying({"error": {"code": status, "message": message, "type": kind}}, status)


async def _main() -> None:
    parser = argparse.ArgumentParser(description="llama.cpp's server without a model.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--model", action="append", default=[])
    args = parser.parse_args()
    async with FakeLlama(*(FakeModel(name, loaded=True) for name in args.model), port=args.port) as fake:
        print(fake.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
