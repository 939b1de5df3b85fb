"""faster-whisper as the node's own: a child process for each speech model of the models folder. Knows no router.

A child imports the library when its engine starts, which proves that it works here, and loads the weights at the first
request. While it transcribes for nobody any more it is killed: native code cannot be asked to stop.
"""

import asyncio
import importlib
import importlib.util
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from node.engines import speech
from node.engines.base import Answer, Kind, Question
from node.engines.found import Found, Tools
from node.engines.kept import Kept
from node.engines.process import own_environment, own_program
from node.engines.reading import mapping, text
from node.engines.speech import Refusal, Speech, Transcript
from node.engines.talk import Talker
from node.machine.processes import physical_cores
from node.wire import EngineReport, ModelReport

MOST_THREADS = 8
"""More make a Whisper model no faster."""
SILENCE_S = 600.0
"""Seconds without a word from the child after which it hangs; a window of sound is 30 s long."""
CONFIG_LIMIT = 1024 * 1024
WHISPERS = frozenset({"alignment_heads", "lang_ids", "suppress_ids"})
"""What only the configuration of a Whisper model has."""
NOT_INSTALLED = "faster-whisper is not installed: pip install 'herd-router[stt]'."
NO_TOKENIZER = "tokenizer.json is missing in this folder, and nothing is downloaded."


class ModelFolder(msgspec.Struct, frozen=True, kw_only=True):
    """A Whisper model for CTranslate2. ``refusal`` says why it is not served ("": it is)."""

    name: str
    path: Path
    size_bytes: int
    modified_at: str
    refusal: str = ""


class WhisperEngine:
    """One model folder and its child."""

    kind: Kind = "faster-whisper"
    url = ""

    def __init__(self, name: str, folder: ModelFolder) -> None:
        self.name = name
        self._folder = folder
        self._kept = Kept(f"The engine of {folder.name}", self._spawn)
        self._turn = asyncio.Lock()
        self._facts: Mapping[str, Any] = {}
        self._met: Talker | None = None
        self._loaded_by: Talker | None = None
        self._progress: float | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id, while there is one."""
        return self._kept.child.pid if self._kept.child else None

    async def start(self) -> None:
        if not self._folder.refusal:
            await self._kept.tend()

    async def report(self) -> EngineReport:
        """A child that was ended on purpose leaves the engine as good as it was; one that crashed does not."""
        child = None if self._folder.refusal else await self._kept.tend()
        if child is not None and child.line and child is not self._met:
            self._learn(child, child.line)
        serves = bool(self._facts) and not self._kept.trouble
        error = "" if serves else self._folder.refusal or self._kept.trouble or f"{self._folder.name} is being started."
        version, device = text(self._facts.get("version")), text(self._facts.get("device"))
        return EngineReport(
            name=self.name,
            kind=self.kind,
            version=f"faster-whisper {version} ({device})" if version else "",
            healthy=serves or bool(self._folder.refusal),
            error=error,
            operations=("transcribe",) if serves else (),
            dialects=("openai",),
            progress=self._progress,
            quarantined=self._kept.restarts.quarantined,
            models=(self._model(loaded=child is not None and child is self._loaded_by),),
        )

    async def answer(self, question: Question) -> Answer:
        return await speech.answered(question, self._folder.name, self._transcribe)

    async def aclose(self) -> None:
        await self._kept.aclose()

    def _model(self, *, loaded: bool) -> ModelReport:
        folder = self._folder
        return ModelReport(
            name=folder.name,
            modality="stt",
            loaded=loaded,
            size_bytes=folder.size_bytes or None,
            slots=1,
            modified_at=folder.modified_at,
            format="ctranslate2",
            family="whisper",
            quantization=text(self._facts.get("computes")) if loaded else "",
            capabilities=("transcription",),
        )

    async def _transcribe(self, speech: Speech) -> Transcript:
        """One at a time. Whatever interrupts this, the child that is at it ends at once."""
        if self._folder.refusal:
            raise Refusal(self._folder.refusal, status=503, code="engine_unavailable")
        async with self._turn:
            child = await self._kept.tend()
            if child is None:
                raise Refusal(self._kept.trouble or "The engine ends.", status=503, code="engine_unavailable")
            over = False
            try:
                child.say(_request(speech))
                transcript = await self._heard(child)
                over = True
                return transcript
            except Refusal as refusal:
                over = refusal.status < 500
                raise
            finally:
                self._progress = None
                if not over:
                    await self._kept.end()

    async def _heard(self, child: Talker) -> Transcript:
        """What the child says to the request, put together."""
        transcript = Transcript(text="")
        while True:
            try:
                async with asyncio.timeout(SILENCE_S):
                    line = await child.hear()
            except TimeoutError:
                raise Refusal(
                    f"{self._folder.name} said nothing for {SILENCE_S:g} s.", status=504, code="engine_timeout"
                ) from None
            if line is None:
                await self._kept.tend()
                raise Refusal(self._kept.trouble or "The engine ended.", status=500, code="engine_failed")
            match _json(line):
                case {"segment": {"text": str(words), "end": float(end)} as segment}:
                    self._progress = min(end / transcript.duration, 1.0) if transcript.duration else None
                    timed = segment.pop("words", [])
                    transcript = msgspec.structs.replace(
                        transcript,
                        text=transcript.text + words,
                        segments=(*transcript.segments, segment),
                        words=(*transcript.words, *timed),
                    )
                case {"duration": float(duration)}:
                    self._progress = 0.0
                    transcript = msgspec.structs.replace(transcript, duration=duration)
                case {"language": str(language)}:
                    transcript = msgspec.structs.replace(transcript, language=language)
                case {"version": _}:
                    self._learn(child, line)
                case {"refused": str(why)}:
                    raise Refusal(why, code="invalid_audio")
                case {"failed": str(why)}:
                    raise Refusal(f"{self._folder.name} failed: {why[:300]}", status=500, code="engine_failed")
                case {"done": _}:
                    return msgspec.structs.replace(transcript, text=transcript.text.strip())

    def _learn(self, child: Talker, line: bytes) -> None:
        """A child that tells of itself does well."""
        self._met, self._facts = child, mapping(_json(line))
        if self._facts.get("loaded"):
            self._loaded_by = child
        self._kept.recovered()

    async def _spawn(self) -> Talker:
        """After a crash, a child must load the weights before it counts as there."""
        command = _command(self._folder.path, load=bool(self._kept.trouble))
        return await Talker.spawn(command, own_environment(HF_HUB_OFFLINE="1"))


def find(tools: Tools) -> tuple[Found, ...]:
    """An engine for each speech model of the models folder; of two that are called the same, the first. Blocks."""
    found: dict[str, Found] = {}
    for folder in folders_of(tools.models_dir.expanduser()):
        name = "stt-" + re.sub(r"[^a-z0-9._-]+", "-", folder.name)
        key = (str(folder.path), folder.modified_at, str(folder.size_bytes), folder.refusal)
        found.setdefault(name, Found(name=name, key=key, make=partial(WhisperEngine, name, folder)))
    return tuple(found.values())


def folders_of(models_dir: Path) -> list[ModelFolder]:
    """The speech models of a folder by name, in it or one folder deeper. Blocks."""
    near = _inner(models_dir)
    folders = [
        folder for path in (*near, *(deeper for path in near for deeper in _inner(path))) if (folder := _folder(path))
    ]
    if not folders or installed():
        return folders
    return [msgspec.structs.replace(folder, refusal=folder.refusal or NOT_INSTALLED) for folder in folders]


def installed() -> bool:
    """Whether the extra is installed by now; it is not imported here, because it is native code."""
    importlib.invalidate_caches()
    return importlib.util.find_spec("faster_whisper") is not None


def _inner(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []


def _folder(path: Path) -> ModelFolder | None:
    """What lies there, if it is a Whisper model for CTranslate2: other models of CTranslate2 have such files too."""
    try:
        with (path / "config.json").open("rb") as file:
            config = mapping(_json(file.read(CONFIG_LIMIT)))
        told = (path / "model.bin").stat()
        size = sum(inner.stat().st_size for inner in path.iterdir() if inner.is_file())
    except OSError:
        return None
    if not WHISPERS & config.keys():
        return None
    return ModelFolder(
        name=path.name.lower(),
        path=path,
        size_bytes=size,
        modified_at=datetime.fromtimestamp(told.st_mtime, UTC).isoformat(timespec="seconds"),
        refusal="" if (path / "tokenizer.json").is_file() else NO_TOKENIZER,
    )


def _command(folder: Path, *, load: bool) -> list[str]:
    threads = min(MOST_THREADS, max(1, physical_cores() - 1))
    words = ["--model", str(folder.resolve()), "--threads", str(threads), *(["--load"] if load else [])]
    return own_program("node.engines.whisper_child", *words)


def _request(speech: Speech) -> bytes:
    asked = {"audio": str(speech.file), "language": speech.language, "prompt": speech.prompt}
    return msgspec.json.encode({**asked, "temperature": speech.temperature, "words": speech.words})


def _json(line: bytes) -> object:
    try:
        return msgspec.json.decode(line)
    except msgspec.MsgspecError:
        return None
