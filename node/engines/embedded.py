"""llama.cpp's own server out of a wheel, one child process per model file of a folder. Knows no router.

Each file that fits into memory has its own child, port and report; the smallest go first. A file that is not served is
reported too, as a model on disk of an engine without operations, with the reason.
"""

import asyncio
import importlib.metadata
import importlib.util
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec

from node.engines.base import Engine, Kind
from node.engines.digest import FileDigest
from node.engines.gguf import Head, is_part, model_files, model_name_of, read_head
from node.engines.kept import Kept
from node.engines.openai import OpenAIEngine
from node.engines.process import Child, own_environment, own_program
from node.engines.reading import mapping, text
from node.machine.processes import available_bytes, physical_cores
from node.wire import EngineReport, ModelReport

PARALLEL = 2
CONTEXT_PER_SLOT = 4096
ROOM_SHARE = 0.85
"""Of the memory that is available at the start, what the models together may take."""
_CAPABILITY = {"llm": "completion", "embed": "embedding", "rerank": "rerank"}
"""What a model of a modality can do, in the word that Ollama has for it, where it has one."""
NOT_INSTALLED = "The engine is not installed: pip install 'herd-router[engine]'."


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """A model file and how it is to be served. ``refusal`` says why it is not ("" if it is)."""

    name: str
    path: Path
    size_bytes: int
    modified_at: str
    head: Head = Head()
    parallel: int = PARALLEL
    threads: int = 1
    refusal: str = ""

    @property
    def context_per_slot(self) -> int:
        return min(CONTEXT_PER_SLOT, self.head.context_max or CONTEXT_PER_SLOT)

    @property
    def need_bytes(self) -> int:
        return self.head.need_bytes(self.size_bytes, self.context_per_slot * self.parallel)

    @property
    def is_provable(self) -> bool:
        """Whether its weights are worth a digest: lists for embedding models are divided over equal ones."""
        return self.head.modality == "embed" and not is_part(self.path)

    @property
    def on_disk(self) -> ModelReport:
        return ModelReport(
            name=self.name,
            modality=self.head.modality,
            size_bytes=self.size_bytes or None,
            context_max=self.head.context_max or None,
            slots=self.parallel,
            modified_at=self.modified_at,
            format="gguf",
            family=self.head.architecture,
            capabilities=(_CAPABILITY[self.head.modality],),
        )


class EmbeddedEngine:
    """One model file and its child. ``report`` starts a crashed child again, within the rule of restarts."""

    kind: Kind = "embedded"

    def __init__(self, name: str, file: ModelFile, http: httpx.AsyncClient) -> None:
        self.name = name
        self.file = file
        self._http = http
        self._kept = Kept(f"The engine of {file.name}", self._spawn)
        self._server: OpenAIEngine | None = None
        self._served_by: Child | None = None
        self._digest = FileDigest(file.path)

    @property
    def url(self) -> str:
        """Empty while no child serves."""
        return self._server.url if self._server is not None else ""

    @property
    def pid(self) -> int | None:
        """The child's process id, while there is one."""
        return self._kept.child.pid if self._kept.child else None

    async def start(self) -> None:
        await self._tend()

    async def report(self) -> EngineReport:
        await self._tend()
        if self._server is None:
            return self._not_serving()
        told = await self._server.report()
        disk = self.file.on_disk
        models = tuple(
            msgspec.structs.replace(
                model,
                modality=disk.modality,
                size_bytes=disk.size_bytes,
                modified_at=disk.modified_at,
                digest=self._digest.told,
                family=disk.family,
                capabilities=model.capabilities if disk.modality == "llm" else disk.capabilities,
            )
            for model in told.models
        )
        port = httpx.URL(self.url).port or 0
        return msgspec.structs.replace(
            told,
            kind=self.kind,
            version=version(),
            port=port,
            reach="loopback",
            operations=told.operations if disk.modality == "llm" else (disk.modality,),
            models=models,
        )

    async def aclose(self) -> None:
        self._server = None
        self._digest.close()
        await self._kept.aclose()

    def _not_serving(self) -> EngineReport:
        why = self.file.refusal or self._kept.trouble or f"{self.file.name} is being loaded."
        return EngineReport(
            name=self.name,
            kind=self.kind,
            version=version(),
            healthy=bool(self.file.refusal),
            error=why,
            quarantined=self._kept.restarts.quarantined,
            models=(self.file.on_disk,),
        )

    async def _tend(self) -> None:
        """Notice what became of the child: it serves now, or it ended and another one is there."""
        child = None if self.file.refusal else await self._kept.tend()
        if child is not self._served_by:
            self._server = self._served_by = None
        if child is not None and self._server is None and child.line:
            address = text(mapping(_json(child.line)).get("address"))
            if address:
                self._server, self._served_by = OpenAIEngine(self.name, address, self._http), child
                self._kept.recovered()

    async def _spawn(self) -> Child:
        if self.file.is_provable:
            self._digest.look()  # at each start: it may be another file by now
        return await Child.spawn(_command(self.file), own_environment())


def available() -> bool:
    """Whether the wheel with the engine is installed; it is not imported here, because it is native code."""
    return importlib.util.find_spec("xllamacpp") is not None


def version() -> str:
    """``llama.cpp b11549``: the wheel's version ends with the number of the build inside it."""
    try:
        build = importlib.metadata.version("xllamacpp").rsplit(".", 1)[-1]
    except importlib.metadata.PackageNotFoundError:
        return ""
    return f"llama.cpp b{build}"


async def engines_of(models_dir: Path, http: httpx.AsyncClient, *, slots: int | None) -> list[Engine]:
    """An engine, not started yet, for each model file of a folder; none if there is no such folder."""
    files = await asyncio.to_thread(files_of, models_dir, slots)
    names = (f"embedded-{number}" if number > 1 else "embedded" for number in range(1, len(files) + 1))
    return [EmbeddedEngine(name, file, http) for name, file in zip(names, files, strict=True)]


def files_of(models_dir: Path, slots: int | None) -> list[ModelFile]:
    """The folder's model files by name, each with its share of this machine or the reason why it has none. Blocks."""
    found = model_files(models_dir.expanduser())
    if not found:
        return []
    threads = max(1, physical_cores() - 1)
    files = [_file(path, slots or PARALLEL, threads) for path in found]
    if not available():
        return [msgspec.structs.replace(file, refusal=file.refusal or NOT_INSTALLED) for file in files]
    return fitted(files, int(available_bytes() * ROOM_SHARE))


def fitted(files: list[ModelFile], room_bytes: int) -> list[ModelFile]:
    """Give room to the files that need least, first; the others, and namesakes, get a refusal. Keeps the order."""
    refusals: dict[Path, str] = {}
    taken: set[str] = set()
    for file in sorted(files, key=lambda file: file.need_bytes):
        if file.refusal:
            continue
        if file.name in taken:
            refusals[file.path] = f"Another file is called {file.name} too."
        elif file.need_bytes > room_bytes:
            need, left = file.need_bytes / 2**30, room_bytes / 2**30
            refusals[file.path] = f"{file.name} needs about {need:.1f} GiB of memory; {left:.1f} GiB are left for it."
        else:
            room_bytes -= file.need_bytes
            taken.add(file.name)
    return [msgspec.structs.replace(file, refusal=file.refusal or refusals.get(file.path, "")) for file in files]


def _file(path: Path, parallel: int, threads: int) -> ModelFile:
    name = model_name_of(path.name)
    try:
        told = path.stat()
        modified = datetime.fromtimestamp(told.st_mtime, UTC).isoformat(timespec="seconds")
        file = ModelFile(
            name=name, path=path, size_bytes=told.st_size, modified_at=modified, parallel=parallel, threads=threads
        )
        return msgspec.structs.replace(file, head=read_head(path))
    except (OSError, ValueError) as exc:
        return ModelFile(name=name, path=path, size_bytes=0, modified_at="", refusal=f"Not served: {exc}")


def _command(file: ModelFile) -> list[str]:
    context = file.context_per_slot * file.parallel
    words = ["--model", str(file.path.resolve()), "--name", file.name, "--context", str(context)]
    words += ["--parallel", str(file.parallel), "--threads", str(file.threads)]
    mode = {"llm": [], "embed": ["--embedding"], "rerank": ["--reranking"]}[file.head.modality]
    return own_program("node.engines.llama_child", *words, *mode)


def _json(line: bytes) -> object:
    try:
        return msgspec.json.decode(line)
    except msgspec.MsgspecError:
        return None
