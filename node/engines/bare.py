"""A server that lists no models: whisper.cpp's, AUTOMATIC1111's, others that serve just the one. Knows no process.

What it serves is found out once, and again when it was away. Its one model goes by the engine's name.
"""

import re

import httpx
import msgspec

from node.engines import routes, stable_diffusion
from node.engines.base import EngineRefused, Kind
from node.engines.http import Said, ask, is_herd
from node.engines.reading import model_name
from node.engines.stable_diffusion import checkpoints
from node.wire import EngineReport, ModelReport

WEB_PAGE = "automatic1111"
WHISPER = "whisper.cpp"
_WHISPER_PAGE = re.compile(rb"<title>\s*Whisper\.cpp Server\b")
_WHISPER_FORM = re.compile(rb'<form action="([^"]+)"')
WHISPER_PATH = "/inference"
"""Where that server takes recordings unless it was told another place."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    kind: Kind = "openai"
    modality: str
    operations: tuple[str, ...]
    dialects: tuple[str, ...] = ("openai",)


class BareServer:
    """``work`` is what its owner says that it is for, "": nothing. ``slots``, if given, is its owner's word too."""

    def __init__(
        self, name: str, url: str, http: httpx.AsyncClient, *, work: str = "", slots: int | None = None
    ) -> None:
        self.name = name
        self.url = url
        self._http = http
        self._work = work
        self._slots = slots or 1
        self._identity: Identity | None = None

    @property
    def kind(self) -> Kind:
        return self._identity.kind if self._identity is not None else "openai"

    async def start(self) -> None:
        """Nothing to start: the server is its owner's program."""

    async def aclose(self) -> None:
        """Nothing to close: the HTTP client is the caller's."""

    async def report(self) -> EngineReport:
        known, self._identity = self._identity, None
        page = await ask(self._http, self.url + "/")
        if page.status in (502, 503):
            raise EngineRefused(f"{self.url} is not ready.", page.status)
        identity = self._identity = known or await self._identify(page)
        model = ModelReport(
            name=model_name(self.name), modality=identity.modality, loaded=True, slots=self._slots
        )  # fmt: skip
        return EngineReport(
            name=self.name,
            kind=identity.kind,
            operations=identity.operations,
            dialects=identity.dialects,
            models=(model,),
        )

    async def _identify(self, page: Said) -> Identity:
        if is_whispers(page) and self._work in ("", "stt"):
            return self._whisper(page)
        if await is_herd(self._http, self.url):
            raise EngineRefused(f"{self.url} is a Herd router, not an engine.", page.status)
        found = await routes.operations_of(self._http, self.url)
        if self._work == "stt" and "transcribe" not in found and await self._takes_recordings():
            return Identity(kind=WHISPER, modality="stt", operations=("transcribe",), dialects=(WHISPER,))
        if self._work in ("", "image") and not found and await checkpoints(self._http, self.url) is not None:
            return Identity(kind=WEB_PAGE, modality="image", operations=("image",), dialects=(stable_diffusion.KIND,))
        modality, operations = routes.chosen(self.url, found, self._work)
        return Identity(modality=modality, operations=operations)

    def _whisper(self, page: Said) -> Identity:
        """By its page, which says where it takes recordings: asked there, it would answer only between two of them."""
        form = _WHISPER_FORM.search(page.body)
        path = form[1].decode("latin-1") if form else WHISPER_PATH
        place = httpx.URL(self.url).path.rstrip("/")
        dialects = {place + routes.PATHS["transcribe"]: "openai", place + WHISPER_PATH: WHISPER}
        if path not in dialects:
            raise EngineRefused(
                f"{self.url} takes recordings at {path}: start it with --inference-path {WHISPER_PATH}.", page.status
            )
        return Identity(kind=WHISPER, modality="stt", operations=("transcribe",), dialects=(dialects[path],))

    async def _takes_recordings(self) -> bool:
        """For one whose page was replaced."""
        said = await ask(
            self._http, self.url + WHISPER_PATH, method="POST", body=routes.NO_FORM, content_type=routes.FORM
        )
        return said.status == 400


def is_whispers(page: Said) -> bool:
    """Whether this is the page at the root of whisper.cpp's server."""
    return page.status == 200 and _WHISPER_PAGE.search(page.body) is not None
