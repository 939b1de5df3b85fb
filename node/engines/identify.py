"""Which engine answers at a URL, found out by asking. Knows no list of engines and no router.

In this order: Ollama, by its version; a server that lists models as OpenAI does; stable-diffusion.cpp's, by its list;
a server that lists none.
"""

import httpx
import msgspec

from node.engines.bare import BareServer, is_whispers
from node.engines.base import Engine, EngineError, EngineRefused
from node.engines.http import ask, is_herd
from node.engines.ollama import OllamaEngine
from node.engines.openai import OpenAIEngine, is_herds, is_ollamas, speaks_openai
from node.engines.reading import mapping, text
from node.engines.stable_diffusion import StableDiffusionServer, is_stable_diffusions

UNREADY = (401, 403, 502, 503, 504)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where to look, and what the owner says: how the engine is called, what it is for ("": not told), its slots."""

    name: str
    url: str
    work: str = ""
    local: bool = True
    slots: int | None = None


async def engine_at(http: httpx.AsyncClient, place: Place) -> Engine:
    """The engine at an address that its owner told of; raises ``EngineError`` if nothing answers, or not yet."""
    listed = await ask(http, place.url + "/v1/models")
    said = await ask(http, place.url + "/api/version") if not place.work or is_ollamas(listed) else None
    if said is not None and said.status == 200 and text(mapping(said.value).get("version")):
        if place.work:
            raise EngineError(
                f"{place.url} is an Ollama, which says itself what each model is for: leave {place.work}: out."
            )
        return OllamaEngine(place.name, place.url, http, local=place.local, slots=place.slots)
    if speaks_openai(listed):
        return OpenAIEngine(place.name, place.url, http, work=place.work, slots=place.slots)
    if is_stable_diffusions(listed):
        if place.work not in ("", "image"):
            raise EngineError(f"{place.url} makes pictures: it cannot serve {place.work}.")
        return StableDiffusionServer(place.name, place.url, http)
    if listed.status in UNREADY:
        why = "wants an API key" if listed.status in (401, 403) else "is still loading its model"
        raise EngineRefused(f"{place.url} {why}.", listed.status)
    return BareServer(place.name, place.url, http, work=place.work, slots=place.slots)


async def sure_engine_at(http: httpx.AsyncClient, url: str, port: int, slots: int | None) -> Engine | None:
    """The engine at an address that nobody told of: only if it surely is one, not Herd, Ollama or any web server."""
    listed = await ask(http, url + "/v1/models", timeout_s=1.0)
    if speaks_openai(listed):
        stranger = is_herds(listed) or is_ollamas(listed) or await is_herd(http, url)
        return None if stranger else OpenAIEngine(f"openai-{port}", url, http, slots=slots)
    if is_stable_diffusions(listed):
        return StableDiffusionServer(f"stable-diffusion.cpp-{port}", url, http)
    if listed.status == 404 and is_whispers(await ask(http, url + "/", timeout_s=1.0)):
        return BareServer(f"whisper.cpp-{port}", url, http, slots=slots)
    return None
