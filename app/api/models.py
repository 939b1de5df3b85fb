"""What models there are, in Ollama's and OpenAI's words. Knows the inventory, no engine."""

import hashlib
from typing import Any

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.api.picker import chats, picked
from app.errors import BodyInvalid, ModelAbsent, ModelMissing
from app.fleet.inventory import FleetModel, Inventory
from node.wire import ModelReport

OLLAMA_VERSION = "0.14.0"
"""What /api/version says while no Ollama is in the fleet: the first version with Responses and Messages.

Clients compare it with what they need: Codex wants 0.13.4.
"""
LONG_AGO = "1970-01-01T00:00:00Z"
NEVER = "2318-01-01T00:00:00Z"


class ShowRequest(msgspec.Struct):
    model: str = ""
    name: str = ""
    system: str = ""
    template: str = ""
    verbose: bool = False
    options: dict[str, msgspec.Raw] | None = None

    @property
    def special(self) -> bool:
        """Whether the answer depends on more than the model."""
        return bool(self.system or self.template or self.verbose or self.options)


class Models(Controller):
    @get("/", include_in_schema=False)
    async def root(self, request: Request[None, None, State]) -> Response[str]:
        """A browser is sent to the dashboard; every other client gets the text it compares."""
        if "text/html" in request.headers.get("accept", ""):
            return Response("", status_code=302, headers={"Location": "/dashboard"}, media_type="text/plain")
        return Response("Ollama is running", media_type="text/plain")

    @get("/api/version", summary="The lowest Ollama version of the fleet")
    async def version(self, inventory: NamedDependency[Inventory]) -> dict[str, str]:
        versions = inventory.engine_versions("ollama")
        return {"version": min(versions, key=_numbers) if versions else OLLAMA_VERSION}

    @get("/api/tags", summary="All models of the fleet, Ollama's way")
    async def ollama_models(self, inventory: NamedDependency[Inventory]) -> dict[str, Any]:
        return {"models": [_tag(model) for model in inventory.models()]}

    @get("/api/ps", summary="Models in memory, one entry per node")
    async def ps(self, inventory: NamedDependency[Inventory]) -> dict[str, Any]:
        return {
            "models": [
                _loaded(holding.model, holding.node.node_id)
                for model in inventory.models()
                for holding in model.holdings
                if holding.model.loaded
            ]
        }

    @post("/api/show", status_code=200, request_max_body_size=1024 * 1024, summary="All about one model")
    async def show(self, request: Request[None, None, State], inventory: NamedDependency[Inventory]) -> Response[bytes]:
        body = await request.body()
        try:
            asked = msgspec.json.decode(body, type=ShowRequest)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BodyInvalid(f"the body is not valid: {error}") from None
        name = asked.model or asked.name
        if not name:
            raise ModelMissing("model is required")
        shown = await inventory.show(name, body if asked.special else b"")
        if shown is not None:
            return Response(shown.told, media_type="application/json", headers={"X-Fleet-Node": shown.node_id})
        model = inventory.model(name)
        if model is None:
            raise ModelAbsent(f"model '{name}' not found")
        return Response(msgspec.json.encode(_shown(model.best)), media_type="application/json")

    @get("/v1/models", summary="All models of the fleet, OpenAI's way")
    async def openai_models(self, inventory: NamedDependency[Inventory]) -> dict[str, Any]:
        """Codex's model picker reads ``models``; everybody else ``data``."""
        models = inventory.models()
        return {
            "object": "list",
            "data": [_openai(model) for model in models],
            "models": [picked(model) for model in models if chats(model)],
        }

    @get("/v1/models/{model_id:path}", summary="One model, OpenAI's way")
    async def openai_model(self, model_id: FromPath[str], inventory: NamedDependency[Inventory]) -> dict[str, Any]:
        model = inventory.model(model_id.removeprefix("/"))
        if model is None:
            raise ModelAbsent(f"model '{model_id.removeprefix('/')}' not found")
        return _openai(model)


def _tag(model: FleetModel) -> dict[str, Any]:
    best = model.best
    return {
        "name": best.name,
        "model": best.name,
        "modified_at": best.modified_at or LONG_AGO,
        "size": best.size_bytes or best.resident_bytes or 0,
        "digest": _digest(best),
        "details": {
            **_details(best),
            **_trained_for(best),
            "type": best.modality,
            "fleet_nodes": model.node_ids,
            **_differing(model),
        },
        "capabilities": list(best.capabilities),
    }


def _differing(model: FleetModel) -> dict[str, Any]:
    """Nodes that hold other weights under one name are told apart: an update has not reached all of them."""
    digests = model.digests
    return {"fleet_digests": digests} if len(digests) > 1 else {}


def _loaded(model: ModelReport, node_id: str) -> dict[str, Any]:
    size = model.resident_bytes or model.size_bytes or 0
    return {
        "name": model.name,
        "model": model.name,
        "size": size,
        "digest": _digest(model),
        "details": _details(model),
        "expires_at": model.expires_at or NEVER,
        "size_vram": size if model.vram_bytes is None else model.vram_bytes,
        "context_length": model.context_length or 0,
        "fleet_node": node_id,
    }


def _details(model: ModelReport) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": model.format or "gguf",
        "family": model.family,
        "families": [model.family] if model.family else [],
        "parameter_size": model.parameters,
        "quantization_level": model.quantization,
    }


def _trained_for(model: ModelReport) -> dict[str, int]:
    return {"context_length": model.context_max} if model.context_max else {}


def _shown(model: ModelReport) -> dict[str, Any]:
    """/api/show for an engine that has no such question: what its node reports of the model, nothing made up."""
    family = model.family or "unknown"
    info: dict[str, Any] = {"general.architecture": family, "general.basename": model.name}
    context = model.context_max or model.context_length
    if context:
        info[f"{family}.context_length"] = context
    return {
        "license": "",
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": _details(model),
        "model_info": info,
        "capabilities": list(model.capabilities) or ["completion"],
        "modified_at": model.modified_at or LONG_AGO,
    }


def _openai(model: FleetModel) -> dict[str, Any]:
    return {"id": model.best.name, "object": "model", "created": 0, "owned_by": "herd"}


def _digest(model: ModelReport) -> str:
    """The engine's digest; where it has none, one of name and size, so that clients that key by digest can."""
    return model.digest or hashlib.sha256(f"{model.name}\n{model.size_bytes}".encode()).hexdigest()


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.partition("-")[0].split(".")
    return tuple(int(part) if part.isdecimal() and len(part) < 10 else 0 for part in parts)
