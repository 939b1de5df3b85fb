"""A whole router on a real loopback socket, in the test's own loop, and nodes that report engines to it.

async with running_router(hold_timeout=0.3) as router:
    await router.join("a", fake)          # a heartbeat whose engine is the fake on its port
    answer = await router.http.post("/api/chat", json={...})
"""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import httpx
import msgspec
import uvicorn

from app.api.trust import AdminKey
from app.main import Router, create_router
from app.modalities.image.settings import Painting
from app.modalities.llm.settings import LanguageModels
from app.modalities.sections import found
from app.modalities.stt.settings import Speech
from app.reception import Reception
from app.serve import listen
from app.settings.schema import Heartbeat as HeartbeatSettings
from app.settings.schema import Models, Queue, Score, Server, Settings
from app.store.database import migrate
from app.store.store import Store
from node.wire import EngineReport, Heartbeat, HeartbeatAck, Machine, ModelReport

ADMIN = "test-admin-token"
GIB = 1024**3


class Engine(Protocol):
    """What a fake engine shows: the port it listens on."""

    @property
    def port(self) -> int: ...


class RunningRouter:
    """``http`` is a client with the router's base URL; ``tokens`` are what nodes got at admission."""

    def __init__(self, router: Router, url: str, data_dir: Path) -> None:
        self.router = router
        self.url = url
        self.data_dir = data_dir
        self.http = httpx.AsyncClient(base_url=url, trust_env=False, timeout=30)
        self.admin = {"Authorization": f"Bearer {ADMIN}"}
        self.tokens: dict[str, str] = {}

    async def beat(self, heartbeat: Heartbeat) -> HeartbeatAck:
        token = self.tokens.get(heartbeat.node_id, "")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = await self.http.post("/heartbeat", content=msgspec.json.encode(heartbeat), headers=headers)
        assert answer.status_code in (200, 202), answer.text
        ack = msgspec.json.decode(answer.content, type=HeartbeatAck)
        if ack.token:
            self.tokens[heartbeat.node_id] = ack.token
        return ack

    async def join(
        self,
        node_id: str,
        engine: Engine,
        *models: ModelReport,
        kind: str = "ollama",
        healthy: bool = True,
        dialects: tuple[str, ...] = (),
        operations: tuple[str, ...] = ("chat", "generate"),
        disk_gb: float | None = None,
        memory_gb: float = 64,
        **more: Any,
    ) -> HeartbeatAck:
        """``dialects`` are spoken besides the oldest ones of the kind."""
        report = EngineReport(
            name=kind,
            kind=kind,
            version="0.31.0",
            healthy=healthy,
            stale=not healthy,
            operations=operations,
            dialects=(*(("ollama", "openai") if kind == "ollama" else ("openai",)), *dialects),
            port=engine.port,
            reach="loopback",
            models=models or (loaded(),),
        )
        machine = Machine(
            memory_total_bytes=int(memory_gb * GIB), memory_available_bytes=int(memory_gb * 0.75 * GIB),
            pressure="normal", cores=8, disk_free_bytes=None if disk_gb is None else int(disk_gb * GIB),
        )  # fmt: skip
        return await self.beat(Heartbeat(node_id=node_id, machine=machine, engines=(report,), **more))

    async def traces(self, at_least: int = 1, **query: Any) -> list[dict[str, Any]]:
        """The stored traces, newest first, once there are enough of them."""
        async with asyncio.timeout(5):
            while True:
                found = (await self.http.get("/dashboard/api/traces", params=query)).json()["traces"]
                if len(found) >= at_least:
                    return list(found)
                await asyncio.sleep(0.02)

    async def queue(self) -> dict[str, Any]:
        return dict((await self.http.get("/fleet/queue")).json())

    async def until(self, **wanted: int) -> dict[str, Any]:
        """The queue's figures once they are as wanted."""
        async with asyncio.timeout(10):
            while True:
                figures = await self.queue()
                if all(figures[name] == value for name, value in wanted.items()):
                    return figures
                await asyncio.sleep(0.01)


def loaded(name: str = "smollm2:135m", **more: Any) -> ModelReport:
    return ModelReport(name=name, **{"loaded": True, "size_bytes": GIB, "context_length": 4096, **more})


@functools.cache
def empty_database() -> bytes:
    """A migrated database, made once for all tests of a run."""
    with TemporaryDirectory() as folder:
        migrate(Path(folder))
        return (Path(folder) / "herd.db").read_bytes()


@asynccontextmanager
async def running_router(
    *, server: dict[str, Any] | None = None, heartbeat: dict[str, Any] | None = None,
    llm: dict[str, Any] | None = None, models: dict[str, Any] | None = None, data_dir: Path | None = None,
    stt: dict[str, Any] | None = None, image: dict[str, Any] | None = None,
    score: dict[str, Any] | None = None, **queue: Any,
) -> AsyncIterator[RunningRouter]:  # fmt: skip
    """A router with these settings; its data folder is new unless given."""
    with TemporaryDirectory() as folder:
        home = data_dir or Path(folder)
        if not (home / "herd.db").exists():
            (home / "herd.db").write_bytes(await asyncio.to_thread(empty_database))
        settings = Settings(
            server=replace(Server(host="127.0.0.1", port=0, data_dir=home, mdns=False), **(server or {})),
            heartbeat=replace(HeartbeatSettings(), **(heartbeat or {})),
            queue=replace(Queue(reap_interval=0.1), **queue),
            models=replace(Models(), **(models or {})),
            score=replace(Score(), **(score or {})),
            modalities={
                **found(),
                "llm": LanguageModels(**(llm or {})),
                "stt": Speech(**(stt or {})),
                "image": Painting(**(image or {})),
            },
        )
        store = await Store.open(home)
        router = await create_router(settings, store, AdminKey(ADMIN), list)
        listener = listen("127.0.0.1", 0)
        config = uvicorn.Config(
            router.app, http=Reception, ws="none", lifespan="on", log_config=None, access_log=False,  # type: ignore[arg-type]
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        web = uvicorn.Server(config)
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(web.serve(sockets=[listener]))
            try:
                while not web.started:
                    assert not serving.done(), "the router did not start"
                    await asyncio.sleep(0.005)
                running = RunningRouter(router, f"http://127.0.0.1:{listener.getsockname()[1]}", home)
                async with running.http:
                    yield running
            finally:
                router.live.stop()
                web.should_exit = True
