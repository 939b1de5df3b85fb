"""stable-diffusion.cpp's server: one model, one picture at a time. Knows no process.

It has OpenAI's route for pictures, takes steps and seed in words of its own, and lists its model under a name that is
the same everywhere: what the file is called stands elsewhere.
"""

import httpx

from node.engines.base import EngineError, EngineRefused, Kind
from node.engines.http import Said, ask
from node.engines.reading import mapping, model_name, rows, words
from node.wire import EngineReport, ModelReport

KIND = "stable-diffusion.cpp"
LISTED = "sd-cpp-local"
PICTURES = "img_gen"


class StableDiffusionServer:
    """It draws one picture after another, and tells nothing of how far it is."""

    kind: Kind = KIND

    def __init__(self, name: str, url: str, http: httpx.AsyncClient) -> None:
        self.name = name
        self.url = url
        self._http = http
        self._model = ""
        self._dialects: tuple[str, ...] = ()

    async def start(self) -> None:
        """Nothing to start: the server is its owner's program."""

    async def aclose(self) -> None:
        """Nothing to close: the HTTP client is the caller's."""

    async def report(self) -> EngineReport:
        known, self._model = self._model, ""
        said = await ask(self._http, self.url + "/v1/models")
        if not is_stable_diffusions(said):
            raise EngineRefused(f"{self.url}/v1/models answered {said.status}.", said.status)
        self._model = known or await self._called()
        return EngineReport(
            name=self.name,
            kind=self.kind,
            operations=("image",),
            dialects=self._dialects,
            models=(ModelReport(name=self._model, modality="image", loaded=True),),
        )

    async def _called(self) -> str:
        """The model's file name; the engine's own name where the server is too old to tell it."""
        modes = words(
            mapping((await ask(self._http, self.url + "/sdcpp/v1/capabilities")).value).get("supported_modes")
        )
        if modes and PICTURES not in modes:
            raise EngineError(f"{self.url} makes no pictures: its model is for {', '.join(modes)}.")
        served = await checkpoints(self._http, self.url)
        self._dialects = ("openai",) if served is None else ("openai", KIND)
        return next(iter(served or ()), self.name)


async def checkpoints(http: httpx.AsyncClient, url: str) -> tuple[str, ...] | None:
    """The models of a server that has the API of AUTOMATIC1111's web page, as this one has; None: it has not."""
    said = await ask(http, url + "/sdapi/v1/sd-models")
    if said.status != 200 or not isinstance(said.value, list):
        return None
    return tuple(name for row in rows(said.value) if (name := model_name(row.get("model_name"))))


def is_stable_diffusions(said: Said) -> bool:
    """Whether an answer of ``/v1/models`` is that server's."""
    listed = rows(mapping(said.value).get("data"))
    return said.status == 200 and any(row.get("id") == LISTED for row in listed)
