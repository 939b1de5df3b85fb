"""Anything that speaks OpenAI's API at a URL: llama.cpp's server, vLLM, LM Studio, others. Knows no process."""

from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

from node.engines import openai_models
from node.engines.base import EngineError, EngineRefused, Kind
from node.engines.http import Said, ask, is_herd
from node.engines.reading import mapping, positive, rows, text
from node.wire import EngineReport, ModelReport

BATCHING_SLOTS = 32
"""vLLM has no slots: it batches whatever comes. 32 keeps its batches full without letting its own queue grow long."""
UNKNOWN_SLOTS = 1
"""A server that says nothing about parallel requests is taken to serve one at a time: waiting here loses nothing."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What stands behind the URL. ``slots`` is what one model of it serves at once; ``props`` is llama.cpp's."""

    maker: str = ""
    version: str = ""
    slots: int = UNKNOWN_SLOTS
    operations: tuple[str, ...] = ("chat", "generate", "embed")
    dialects: tuple[str, ...] = ("openai",)
    props: Mapping[str, Any] = {}
    router: bool = False


class OpenAIEngine:
    """One OpenAI-speaking server. ``slots``, if given, is its owner's word and overrules what the server tells.

    What stands there is found out once, and again when it was away or lists other models.
    """

    kind: Kind = "openai"

    def __init__(self, name: str, url: str, http: httpx.AsyncClient, *, slots: int | None = None) -> None:
        self.name = name
        self.url = url
        self._http = http
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
        vectors = bool(models) and all(model.modality == "embed" for model in models)
        return EngineReport(
            name=self.name,
            kind=self.kind,
            version=identity.version,
            operations=("embed",) if vectors else identity.operations,
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
            slots = self._told or BATCHING_SLOTS
            return Identity(maker="vllm", version=f"vLLM {version}".strip(), slots=slots)
        if mapping(await self._value("/api/v0/models")).get("object") == "list":
            return Identity(maker="lmstudio", version="LM Studio", slots=self._told or UNKNOWN_SLOTS)
        return Identity(slots=self._told or UNKNOWN_SLOTS)

    async def _llama(self, listed: Said) -> Identity:
        props = mapping(await self._value("/props"))
        slots = positive(props.get("total_slots"))
        if slots is None:
            told = await self._value("/slots")
            slots = len(told) if isinstance(told, list) and told else UNKNOWN_SLOTS
        build = text(props.get("build_info"))
        build = build if build and "unknown" not in build else ""
        return Identity(
            maker="llama.cpp",
            version=f"llama.cpp {build.split('-')[0]}".strip(),
            slots=self._told or slots,
            operations=await self._llama_operations(),
            dialects=await self._llama_dialects(),
            props=props,
            router=props.get("role") == "router",
        )

    async def _llama_operations(self) -> tuple[str, ...]:
        """An empty request tells without work: 501 is "started without this", anything else a complaint about it."""
        chat = ("chat", "generate") if await self._has("/v1/completions") else ()
        embed = ("embed",) if await self._has("/v1/embeddings") else ()
        return (*chat, *embed)

    async def _llama_dialects(self) -> tuple[str, ...]:
        """Without Responses, though it has the path: clients break on its events, and a router translates better."""
        return ("openai", "anthropic") if await self._has("/v1/messages") else ("openai",)

    async def _has(self, path: str) -> bool:
        said = await ask(self._http, self.url + path, method="POST", body={})
        return said.status not in (404, 405, 501)

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
        return [msgspec.structs.replace(model, slots=identity.slots) for model in models]


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
