"""Ollama, asked by its own API: what it has, what is loaded, how many requests it takes. Knows no process."""

import asyncio
import contextlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import httpx
import msgspec

from node.engines import routes
from node.engines.base import EngineError, Kind
from node.engines.http import ask_object, is_herd
from node.engines.ollama_slots import OllamaSlots
from node.engines.reading import mapping, model_name, positive, rows, text, whole, words
from node.wire import EngineReport, ModelReport

SHOW_AT_ONCE = 4
SHOW_BUDGET_S = 1.2
SHOW_AGAIN_S = 60.0
_FROM = re.compile(r"^FROM\s.*sha256[-:]([0-9a-f]{64})", re.MULTILINE)
_EMBED_FAMILIES = frozenset({"bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2"})
TRANSCRIBES = (0, 20, 0)
"""The first version with ``/v1/audio/transcriptions``, which models with the capability ``audio`` answer."""
OPERATIONS = ("chat", "generate", "embed", "load", "pull", "push", "create", "copy", "delete")


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What ``/api/show`` says once and for all about a digest. ``again_at``: ask anew then (None: it is known)."""

    capabilities: tuple[str, ...] = ()
    context_max: int | None = None
    blob: str = ""
    again_at: float | None = None


class OllamaEngine:
    """One Ollama. ``local``: it runs on this machine, so its processes may be looked at for the number of slots."""

    kind: Kind = "ollama"

    def __init__(
        self, name: str, url: str, http: httpx.AsyncClient, *, local: bool = True, slots: int | None = None
    ) -> None:
        self.name = name
        self.url = url
        self._http = http
        self._shown: dict[str, Shown] = {}
        self._slots = OllamaSlots(http, httpx.URL(url).port or 80, local=local, told=slots)
        self._known = False
        self._pictures: bool | None = None

    async def start(self) -> None:
        """Nothing to start: Ollama is its owner's program."""

    async def aclose(self) -> None:
        """Nothing to close: the HTTP client is the caller's."""

    async def report(self) -> EngineReport:
        try:
            version = text((await ask_object(self._http, self.url + "/api/version")).get("version"))
            if not self._known and await is_herd(self._http, self.url):
                raise EngineError(f"{self.url} is a Herd router, not an Ollama.")
            tags = list(rows((await ask_object(self._http, self.url + "/api/tags")).get("models")))
            running = list(rows((await ask_object(self._http, self.url + "/api/ps")).get("models")))
        except EngineError:
            self._known, self._pictures = False, None
            raise
        self._known = True
        await self._learn(tags, running)
        models = await self._models(tags, running)
        images = ("image",) if await self._paints(models) else ()
        hears = any("audio" in model.capabilities for model in models) and number_of(version) >= TRANSCRIBES
        return EngineReport(
            name=self.name,
            kind=self.kind,
            version=version,
            operations=OPERATIONS + images + (("transcribe",) if hears else ()),
            dialects=dialects_of(version),
            models=models,
        )

    async def _paints(self, models: Iterable[ModelReport]) -> bool:
        """Whether it makes pictures: a newer Ollama lists such models and has lost the route and what was behind it."""
        if not any(model.modality == "image" for model in models):
            return False
        if self._pictures is None:
            self._pictures = bool(await routes.operations_of(self._http, self.url, ("image",)))
        return self._pictures

    async def _models(self, tags: list[Mapping[str, Any]], running: list[Mapping[str, Any]]) -> tuple[ModelReport, ...]:
        loaded = {name: row for row in running if (name := _name(row))}
        listed = {name: row for row in tags if (name := _name(row))}
        models = {}
        for name in [*listed, *(name for name in loaded if name not in listed)]:
            row = listed.get(name, {})
            shown = self._shown.get(_digest(row or loaded[name]), Shown())
            models[name] = model_of(name, row, loaded.get(name), shown)
        blobs = {name: self._shown.get(models[name].digest, Shown()).blob for name in loaded}
        slots = await self._slots.read({name: blobs[name] for name in loaded if models[name].modality != "embed"})
        return tuple(
            msgspec.structs.replace(model, slots=1 if model.modality == "embed" else slots.of(name))
            for name, model in models.items()
        )

    async def _learn(self, tags: list[Mapping[str, Any]], running: list[Mapping[str, Any]]) -> None:
        """Ask ``/api/show`` once for each digest, the loaded first; what the budget cuts off comes next time."""
        now = asyncio.get_running_loop().time()
        wanted: dict[str, str] = {}
        for row in (*running, *tags):
            digest, name = _digest(row), _name(row)
            known = self._shown.get(digest)
            if digest and name and (known is None or (known.again_at is not None and known.again_at <= now)):
                wanted.setdefault(digest, name)
        present = {_digest(row) for row in (*running, *tags)}
        self._shown = {digest: shown for digest, shown in self._shown.items() if digest in present}
        room = asyncio.Semaphore(SHOW_AT_ONCE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SHOW_BUDGET_S), asyncio.TaskGroup() as group:
                for digest, name in wanted.items():
                    group.create_task(self._show(digest, name, room))

    async def _show(self, digest: str, name: str, room: asyncio.Semaphore) -> None:
        async with room:
            # Noted before the answer, so that one which fails or hangs does not cost its time in every report.
            self._shown[digest] = Shown(again_at=asyncio.get_running_loop().time() + SHOW_AGAIN_S)
            with contextlib.suppress(EngineError):
                said = await ask_object(self._http, self.url + "/api/show", method="POST", body={"model": name})
                self._shown[digest] = shown_of(said)


def shown_of(said: Mapping[str, Any]) -> Shown:
    """Read an answer of ``/api/show``."""
    info = mapping(said.get("model_info"))
    contexts = (positive(value) for key, value in info.items() if key.endswith(".context_length"))
    modelfile = said.get("modelfile")
    blob = _FROM.search(modelfile) if isinstance(modelfile, str) else None
    return Shown(
        capabilities=words(said.get("capabilities")),
        context_max=next((context for context in contexts if context), None),
        blob=blob.group(1) if blob else "",
    )


def model_of(name: str, row: Mapping[str, Any], loaded: Mapping[str, Any] | None, shown: Shown) -> ModelReport:
    """One model out of its lines in ``/api/tags`` (may be empty), ``/api/ps`` (None: not loaded) and ``/api/show``."""
    running = loaded or {}
    details = mapping((row or running).get("details"))
    family = text(details.get("family"))
    capabilities = shown.capabilities or words(row.get("capabilities"))
    remote = ("remote",) if row.get("remote_host") or row.get("remote_model") else ()
    return ModelReport(
        name=name,
        modality=modality_of(capabilities, family),
        loaded=loaded is not None,
        size_bytes=positive(row.get("size")),
        resident_bytes=max(whole(running.get("size")) or 0, whole(running.get("size_vram")) or 0) or None,
        vram_bytes=whole(running.get("size_vram")),
        context_length=positive(running.get("context_length")),
        context_max=shown.context_max or positive(details.get("context_length")),
        digest=_digest(row or running),
        modified_at=text(row.get("modified_at")),
        expires_at=text(running.get("expires_at")),
        format=text(details.get("format")),
        family=family,
        parameters=text(details.get("parameter_size")),
        quantization=text(details.get("quantization_level")),
        capabilities=capabilities + remote,
    )


def modality_of(capabilities: tuple[str, ...], family: str = "") -> str:
    """ "llm", "embed", "image" or "stt". An Ollama too old to tell capabilities still tells the family."""
    if "image" in capabilities:
        return "image"
    if "embedding" in capabilities and "completion" not in capabilities:
        return "embed"
    if "audio" in capabilities and "completion" not in capabilities:
        return "stt"
    return "embed" if not capabilities and family in _EMBED_FAMILIES else "llm"


def dialects_of(version: str) -> tuple[str, ...]:
    """The dialects that an Ollama of this version speaks; an unreadable version speaks the two oldest."""
    number = number_of(version)
    responses = ("responses",) if number >= (0, 13, 3) else ()
    anthropic = ("anthropic",) if number >= (0, 14, 0) else ()
    return ("ollama", "openai", *responses, *anthropic)


def number_of(version: str) -> tuple[int, ...]:
    """``0.33.0-rc2`` -> (0, 33, 0); zeros for what cannot be read."""
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", version)
    return tuple(int(part or 0) for part in found.groups()) if found else (0, 0, 0)


def _name(row: Mapping[str, Any]) -> str:
    return model_name(row.get("model")) or model_name(row.get("name"))


def _digest(row: Mapping[str, Any]) -> str:
    return text(row.get("digest")).removeprefix("sha256:")
