"""mlx-qwen3-asr as the node's own: its server, started, watched and asked on this machine's loopback. Knows no router.

That it runs on Apple silicon only is its own to say: where its program is found, it is tried.
"""

import asyncio
import re
import secrets
import socket
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec

from node.engines import command, speech
from node.engines.base import Answer, EngineError, Kind, Question
from node.engines.executables import find as find_program
from node.engines.executables import mark, package_version
from node.engines.found import Found, Tools
from node.engines.http import ask
from node.engines.kept import Kept
from node.engines.process import Child
from node.engines.reading import mapping, rows, text
from node.engines.speech import Refusal, Speech, Transcript
from node.wire import EngineReport, ModelReport

PROGRAM = "mlx-qwen3-asr"
MODEL = "qwen3-asr"
POLL_S = 0.5
START_S = 120.0
"""Seconds that a request waits for a server which starts again; the model is on this disk by then."""
MOST_S = 3600.0
SUBMIT = httpx.Timeout(60.0, connect=5.0)
STARTS = f"{PROGRAM} is being started; its first start fetches its model."
NOT_TOO_MANY = "1000000"
"""Submissions a minute: the router's queue is the limit, not the server's own of sixty."""
_AUDIOS_FAULT = re.compile(r"load audio|empty audio|audio too long|RuntimeError: transcription failed", re.IGNORECASE)
"""What the server says of a file that cannot be decoded; the last when the message would have named a path."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """One run of it. ``key`` is the secret between it and this node."""

    child: Child
    url: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}


class QwenAsrEngine:
    """The program at ``path`` and its server."""

    name = PROGRAM
    kind: Kind = PROGRAM
    url = ""

    def __init__(self, path: Path, http: httpx.AsyncClient, *, version: str) -> None:
        self._path = path
        self._http = http
        self._version = version
        self._kept = Kept(PROGRAM, self._spawn, ending=_ending)
        self._turn = asyncio.Lock()
        self._server: Server | None = None
        self._ready: Server | None = None
        self._proven = False

    @property
    def pid(self) -> int | None:
        """The process id of the whole group, while there is one."""
        return self._kept.child.pid if self._kept.child else None

    async def start(self) -> None:
        await self._kept.tend()

    async def report(self) -> EngineReport:
        """A server that was ended on purpose leaves the engine as good as it was; one that crashed does not."""
        ready = await self._look()
        serves = self._proven and not self._kept.trouble
        return EngineReport(
            name=self.name,
            kind=self.kind,
            version=f"{PROGRAM} {self._version}".strip(),
            healthy=serves,
            error="" if serves else self._kept.trouble or STARTS,
            operations=("transcribe",) if serves else (),
            dialects=("openai",),
            quarantined=self._kept.restarts.quarantined,
            models=(
                ModelReport(
                    name=MODEL, modality="stt", loaded=ready is not None, slots=1, family="qwen3-asr",
                    capabilities=("transcription",),
                ),
            ),
        )  # fmt: skip

    async def answer(self, question: Question) -> Answer:
        return await speech.answered(question, MODEL, self._transcribe, known_only=True)

    async def aclose(self) -> None:
        await self._kept.aclose()

    async def _look(self) -> Server | None:
        """The server that serves now. Raises ``EngineError`` for one that did and says nothing any more."""
        child = await self._kept.tend()
        server = self._server
        if child is None or server is None or server.child is not child:
            return None
        try:
            said = await ask(self._http, server.url + "/health")
        except EngineError:
            if server is self._ready:
                raise
            return None
        if said.status != 200 or mapping(said.value).get("status") != "ok":
            return None
        self._ready, self._proven = server, True
        self._kept.recovered()
        return server

    async def _transcribe(self, speech: Speech) -> Transcript:
        """One at a time. Whatever interrupts this, the server ends: it cannot be told to let a job be."""
        async with self._turn:
            over = True
            try:
                server = await self._serving()
                over = False
                async with asyncio.timeout(MOST_S):
                    result = await self._result(server, await self._submit(server, speech))
                over = True
                return _transcript(result)
            except TimeoutError:
                why = f"{PROGRAM} did not finish within {MOST_S:g} s."
                raise Refusal(why, status=504, code="engine_timeout") from None
            except Refusal as refusal:
                over = over or refusal.status < 500
                raise
            except (httpx.HTTPError, EngineError) as error:
                await self._kept.tend()
                why = self._kept.trouble or f"{PROGRAM} broke off: {type(error).__name__}."
                raise Refusal(why, status=500, code="engine_failed") from error
            finally:
                if not over:
                    await self._kept.end(by_force=False)

    async def _serving(self) -> Server:
        deadline = asyncio.get_running_loop().time() + START_S
        while True:
            server = await self._look()
            if server is not None:
                return server
            if self._kept.child is None or asyncio.get_running_loop().time() > deadline:
                raise Refusal(self._kept.trouble or STARTS, status=503, code="engine_unavailable")
            await asyncio.sleep(POLL_S / 2)

    async def _submit(self, server: Server, speech: Speech) -> str:
        fields = {"language": speech.language, "context": speech.prompt}
        with speech.file.open("rb") as audio:
            reply = await self._http.post(
                server.url + "/transcribe",
                headers=server.headers,
                data={name: value for name, value in fields.items() if value},
                files={"audio": (speech.file_name or "audio", audio)},
                timeout=SUBMIT,
            )
        said = mapping(_json(reply.content))
        if reply.status_code in (400, 413, 422):
            raise Refusal(text(said.get("detail")) or f"{PROGRAM} does not take this audio.", status=reply.status_code)
        job_id = text(said.get("job_id"))
        if reply.status_code != 202 or not re.fullmatch(r"\w{1,100}", job_id):
            raise Refusal(f"{PROGRAM} answered {reply.status_code} to a file.", status=500, code="engine_failed")
        return job_id

    async def _result(self, server: Server, job_id: str) -> Any:
        """What the job gave, once it is over."""
        while True:
            reply = await self._http.get(f"{server.url}/jobs/{job_id}", headers=server.headers, timeout=30.0)
            said = mapping(_json(reply.content))
            match said.get("status"):
                case "queued" | "processing":
                    await asyncio.sleep(POLL_S)
                case "completed":
                    return said.get("result")
                case "failed":
                    raise _refused(str(said.get("error") or "it did not say why"))
                case _:
                    why = f"{PROGRAM} answered {reply.status_code} for a job of its own."
                    raise Refusal(why, status=500, code="engine_failed")

    async def _spawn(self) -> Child:
        """In a folder of its own, where its uploads go too and with which they vanish, however it ends."""
        port, key = _free_port(), secrets.token_urlsafe(24)
        words = ["serve", "--port", str(port), "--host", "127.0.0.1", "--rate-limit", NOT_TOO_MANY]
        child = await command.run([str(self._path), *words], "nothing", MLX_ASR_API_KEY=key, TMPDIR="./")
        self._server = Server(child=child, url=f"http://127.0.0.1:{port}", key=key)
        return child


def find(tools: Tools) -> tuple[Found, ...]:
    """The program, wherever it lies; one that is installed anew is a new engine. Blocks."""
    path = find_program(PROGRAM)
    if path is None:
        return ()
    version = package_version(path, "mlx_qwen3_asr")
    return (Found(name=PROGRAM, key=(mark(path),), make=partial(QwenAsrEngine, path, tools.http, version=version)),)


def _ending(child: Child) -> str:
    """What the program did, not the one that watched over it."""
    code, _ = command.outcome(child.said)
    return child.ending if code is None else f"was ended by signal {-code}" if code < 0 else f"exited with {code}"


def _refused(error: str) -> Refusal:
    if _AUDIOS_FAULT.search(error):
        return Refusal(f"This audio cannot be transcribed: {error[:300]}", code="invalid_audio")
    return Refusal(f"{PROGRAM} failed: {error[:300]}", status=500, code="engine_failed")


def _transcript(result: Any) -> Transcript:
    """Its chunks are pieces of up to half a minute, cut where it is quiet: they are the segments."""
    told = mapping(result)
    words = told.get("text")
    if not isinstance(words, str):
        raise Refusal(f"{PROGRAM} answered without a text.", status=500, code="engine_failed")
    segments = tuple(
        {"id": number, **{name: chunk.get(name) for name in ("start", "end", "text")}}
        for number, chunk in enumerate(rows(told.get("chunks")))
    )
    ends = [segment["end"] for segment in segments if isinstance(segment["end"], int | float)]
    language = text(told.get("language"))
    return Transcript(text=words.strip(), language=language, duration=max(ends, default=0.0), segments=segments)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _json(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return None
