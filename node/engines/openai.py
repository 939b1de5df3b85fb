"""Anything that speaks OpenAI's API at a URL: llama.cpp's server, vLLM, LM Studio, others. Knows no process."""

from collections.abc import Iterable, Mapping
from typing import Any

import httpx
import msgspec

from node.engines import openai_models, routes
from node.engines.base import EngineError, EngineRefused, Kind
from node.engines.http import Said, ask, is_herd
from node.engines.reading import mapping, positive, rows, text
from node.wire import EngineReport, ModelReport

BATCHING_SLOTS = 32
"""vLLM has no slots: it batches whatever comes. 32 keeps its batches full without letting its own queue grow long."""
UNKNOWN_SLOTS = 1
"""A server that says nothing about parallel requests is taken to serve one at a time: waiting here loses nothing."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What stands behind the URL. ``slots`` is what one model of it serves at once; ``props`` is llama.cpp's.

    ``modality`` is what all its models are for, "": the list of models says so of each, and with that which operations
    there are.
    """

    maker: str = ""
    version: str = ""
    slots: int = UNKNOWN_SLOTS
    modality: str = ""
    operations: tuple[str, ...] = ()
    dialects: tuple[str, ...] = ("openai",)
    props: Mapping[str, Any] = {}
    router: bool = False


class OpenAIEngine:
    """One OpenAI-speaking server. ``slots``, if given, is its owner's word and overrules what the server tells.

    ``work`` is that too: what the server is for, "": not told.

    What stands there is found out once, and again when it was away or lists other models.
    """

    kind: Kind = "openai"

    def __init__(
        self, name: str, url: str, http: httpx.AsyncClient, *, work: str = "", slots: int | None = None
    ) -> None:
        self.name = name
        self.url = url
        self._http = http
        self._work = work
        self._told = slots
        self._identity: Identity | None = None
        self._identified: frozenset[str] = frozenset()

    async def start(self) -> None:
        """Nothing to start: the server is its owner's program."""

    async def aclose(self) -> None:
        """Nothing to close: the HTTP client is the caller's."""

    async def report(self) -> EngineReport:
        try:
            listed = await self._listed()
            ids = frozenset(text(row.get("id")) for row in rows(listed.value["data"]))
            if self._identity is None or self._identified != ids:
                self._identity, self._identified = await self._identify(listed), ids
        except EngineError:
            self._identity = None
            raise
        identity = self._identity
        models = await self._models(listed, identity)
        return EngineReport(
            name=self.name,
            kind=self.kind,
            version=identity.version,
            operations=identity.operations or operations_of(models),
            dialects=identity.dialects,
            models=tuple(models),
        )

    async def _listed(self) -> Said:
        said = await ask(self._http, self.url + "/v1/models")
        if said.status == 503:
            raise EngineRefused(f"{self.url} is still loading its model.", 503)
        if said.status in (401, 403):
            raise EngineRefused(f"{self.url} wants an API key.", said.status)
        if said.status != 200:
            raise EngineRefused(f"{self.url}/v1/models answered {said.status}.", said.status)
        if not speaks_openai(said):
            raise EngineError(f"{self.url}/v1/models is no list of models.")
        if is_herds(said):
            raise EngineError(f"{self.url} is a Herd router, not an engine.")
        return said

    async def _identify(self, listed: Said) -> Identity:
        owners = {text(row.get("owned_by")) for row in rows(listed.value["data"])}
        if "llamacpp" in owners or listed.headers.get("server") == "llama.cpp":
            return await self._llama(listed)
        if await is_herd(self._http, self.url):
            raise EngineError(f"{self.url} is a Herd router, not an engine.")
        if "vllm" in owners:
            version = text(mapping(await self._value("/version")).get("version"))
            modality, operations = routes.chosen(self.url, await self._vllm_operations(listed), self._work)
            return Identity(
                maker="vllm",
                version=f"vLLM {version}".strip(),
                slots=self._told or BATCHING_SLOTS,
                modality=modality,
                operations=operations,
            )
        if not self._work and mapping(await self._value("/api/v0/models")).get("object") == "list":
            return Identity(maker="lmstudio", version="LM Studio", slots=self._told or UNKNOWN_SLOTS)
        found = await routes.operations_of(self._http, self.url)
        modality, operations = routes.chosen(self.url, found, self._work)
        return Identity(slots=self._told or UNKNOWN_SLOTS, modality=modality, operations=operations)

    async def _vllm_operations(self, listed: Said) -> tuple[str, ...]:
        """vLLM has had routes for everything and says by its model what it serves. Nothing of this can be computed."""
        model = next((row["id"] for row in rows(listed.value["data"])), "")
        asked: dict[str, dict[str, Any]] = {
            "chat": {"messages": [], "max_tokens": 0},
            "embed": {"input": []},
            "rerank": {"query": "", "documents": []},
        }
        there = [name for name, body in asked.items() if await self._has(routes.PATHS[name], {"model": model, **body})]
        speech = await routes.operations_of(self._http, self.url, ("transcribe",)) if not there else ()
        return (*there, *(("generate",) if "chat" in there else ()), *speech)

    async def _llama(self, listed: Said) -> Identity:
        props = mapping(await self._value("/props"))
        slots = positive(props.get("total_slots"))
        if slots is None:
            told = await self._value("/slots")
            slots = len(told) if isinstance(told, list) and told else UNKNOWN_SLOTS
        build = text(props.get("build_info"))
        build = build if build and "unknown" not in build else ""
        router = props.get("role") == "router"
        modality, operations = (self._work, ()) if router else await self._llama_work(listed)
        return Identity(
            maker="llama.cpp",
            version=f"llama.cpp {build.split('-')[0]}".strip(),
            slots=self._told or slots,
            modality=modality,
            operations=operations,
            dialects=await self._llama_dialects(),
            props=props,
            router=router,
        )

    async def _llama_work(self, listed: Said) -> tuple[str, tuple[str, ...]]:
        """What it was started for, and its operations; an empty request tells what it was started without (501).

        One that ranks has a route for vectors too, and one that makes vectors has one for words. So the last is asked
        to write nothing at all, which a model that only makes vectors cannot.
        """
        ranks, embeds = await self._has("/v1/rerank"), await self._has("/v1/embeddings")
        words = not ranks and not any(map(openai_models.makes_vectors, rows(listed.value["data"])))
        if words and embeds:
            said = await ask(
                self._http, self.url + "/v1/completions", method="POST", body={"prompt": "", "max_tokens": 0}
            )
            words = said.status == 200
        found = ("chat", "generate") if words and await self._has("/v1/completions") else ()
        return self._chosen_of_one((*found, *(("rerank",) if ranks else ("embed",) if embeds else ())))

    def _chosen_of_one(self, operations: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        """Of a server with one model all that this model can do, unless its owner said what it is for."""
        modality, of_it = routes.chosen(self.url, operations, self._work)
        return modality, of_it if self._work else operations

    async def _llama_dialects(self) -> tuple[str, ...]:
        """Without Responses, though it has the path: clients break on its events, and a router translates better."""
        return ("openai", "anthropic") if await self._has("/v1/messages") else ("openai",)

    async def _has(self, path: str, body: Mapping[str, Any] = {}) -> bool:
        return routes.serves(await ask(self._http, self.url + path, method="POST", body=body))

    async def _value(self, path: str) -> Any:
        try:
            said = await ask(self._http, self.url + path)
        except EngineError:
            return None
        return said.value if said.status == 200 else None

    async def _models(self, listed: Said, identity: Identity) -> list[ModelReport]:
        listing = rows(listed.value["data"])
        match identity.maker:
            case "llama.cpp":
                models = openai_models.llama(listing, identity.props, router=identity.router)
            case "lmstudio":
                told = mapping(await self._value("/api/v0/models"))
                models = openai_models.lm_studio(rows(told.get("data"))) or openai_models.plain(listing)
            case _:
                models = openai_models.plain(listing)
        return [
            msgspec.structs.replace(model, slots=identity.slots, modality=identity.modality or model.modality)
            for model in models
        ]


def operations_of(models: Iterable[ModelReport]) -> tuple[str, ...]:
    """What can be asked of a server whose list says what each model is for."""
    kinds = {model.modality for model in models}
    return tuple(operation for operation, kind in routes.KIND_OF.items() if kind in kinds)


def speaks_openai(said: Said) -> bool:
    """Whether an answer of ``/v1/models`` is what OpenAI's API says: a list of objects that have ids."""
    value = mapping(said.value)
    data = value.get("data")
    if said.status != 200 or value.get("object") != "list" or not isinstance(data, list):
        return False
    return all(isinstance(row, dict) and isinstance(row.get("id"), str) for row in data)


def is_herds(said: Said) -> bool:
    """Whether that answer is a Herd router's: its headers or its models say so."""
    if any(name.startswith(("x-fleet-", "x-herd-")) for name in said.headers):
        return True
    return any(row.get("owned_by") == "herd" for row in rows(mapping(said.value).get("data")))


def is_ollamas(said: Said) -> bool:
    """Whether that answer is Ollama's own, which is asked better by its own API."""
    return any(row.get("owned_by") == "library" for row in rows(mapping(said.value).get("data")))
