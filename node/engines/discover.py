"""The engines of this node: which there are, what each reports now, and where the door reaches it. Knows no router."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import httpx
import msgspec

from node.engines import addresses, embedded
from node.engines.addresses import OLLAMA_PORT, Address, Named
from node.engines.base import Engine, EngineAway, EngineError, EngineSilent, Hosted
from node.engines.finders import FINDERS
from node.engines.found import Finder, Found, Tools
from node.engines.identify import Place, engine_at, sure_engine_at
from node.engines.lane import Lane
from node.engines.ollama import OllamaEngine
from node.engines.reach import reach_of
from node.wire import EngineReport, Reach

ASK_BUDGET_S = 3.0
REACH_AGAIN_S = 60.0
LOOK_AGAIN_S = 30.0
CLOSE_S = 5.0
"""Seconds that an engine which is gone may take to end what it still runs."""
NOWHERE = Address("http", "127.0.0.1", 0)
"""The address of an engine that is a child or lives in the node: its report says where it is reached."""
FORGET_AFTER_S = 120.0
"""An engine that nobody named and that was found by its port is reported as down for this long, then no more."""
WELL_KNOWN_PORTS = (8080, 8000, 1234)
"""Where the servers of llama.cpp and whisper.cpp, vLLM, LM Studio and stable-diffusion.cpp listen by themselves."""
_LOOKS_LIKE = {"ollama": "/api/version", "whisper.cpp": "/"}
"""What a kind of engine answers with 200; every other one lists its models."""


class _Entry:
    """One engine and what is remembered about it. ``named``: its owner told of it, so its absence is worth a word.

    Without ``engine`` it is found out what answers at the address, and anew once that was away; ``work`` is what its
    owner says that it is for ("": nothing).
    """

    def __init__(
        self, name: str, address: Address, engine: Engine | None = None, *, named: bool, work: str = ""
    ) -> None:
        self.name = name
        self.address = address
        self.engine = engine
        self.sought = engine is None
        self.work = work
        self.named = named
        self.last: EngineReport | None = None
        self.silences = 0
        self.away_since: float | None = None
        self.reach: Reach = "door"
        self.reach_at = 0.0
        self.reach_for: tuple[str, ...] = ()
        self.found: Found | None = None

    @property
    def url(self) -> str:
        return self.engine.url if self.engine is not None else self.address.url


class Engines:
    """All engines of a node. ``observe`` is to be called by one loop, not twice at once.

    ``engine_flags`` are as ``addresses.flag`` reads them; a malformed one raises ``ValueError`` with a sentence for
    people. ``slots`` is the owner's word for all engines on this machine. ``well_known`` are ports to try unasked.
    """

    def __init__(
        self,
        *,
        ollama_host: str,
        engine_flags: tuple[str, ...],
        models_dir: Path,
        slots: int | None,
        http: httpx.AsyncClient,
        lan_addresses: Callable[[], list[str]],
        well_known: tuple[int, ...] = WELL_KNOWN_PORTS,
        finders: tuple[Finder, ...] = FINDERS,
        image_slots: int = 1,
        image_timeout_s: float = 600.0,
    ) -> None:
        self._http = http
        self._slots = slots
        self._lan_addresses = lan_addresses
        self._models_dir = models_dir
        self._finders = finders
        self._tools = Tools(
            models_dir=models_dir, http=http, slots=slots, image_lane=Lane("image", image_slots),
            image_timeout_s=image_timeout_s,
        )  # fmt: skip
        self._well_known = well_known
        self._look_at = 0.0
        self._entries: dict[str, _Entry] = {}
        for told in map(addresses.flag, engine_flags):
            self._add_flag(told)
        self._add_ollama(ollama_host)

    async def start(self) -> None:
        """Start the engines that are this node's own: a llama.cpp server for each file of the models folder."""
        for engine in await embedded.engines_of(self._models_dir, self._http, slots=self._slots):
            self._entries[engine.name] = _Entry(engine.name, NOWHERE, engine, named=True)
            await engine.start()

    async def observe(self) -> tuple[EngineReport, ...]:
        """Ask every engine at once, each within its budget; one that is down is told with its last inventory."""
        lan = self._lan_addresses()
        now = asyncio.get_running_loop().time()
        if now >= self._look_at:
            self._look_at = now + LOOK_AGAIN_S
            await self._look(lan)
            await self._find()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask(entry, lan)) for entry in self._entries.values()]
        self._forget(now)
        return tuple(report for task in tasks if (report := task.result()) is not None)

    def target(self, name: str) -> str | Hosted | None:
        """What the door asks for this engine: a base URL, or the engine itself; None: no such engine, or not now."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        return entry.engine if isinstance(entry.engine, Hosted) else entry.url or None

    async def aclose(self) -> None:
        """Close every engine; those of this node's own end with it."""
        async with asyncio.TaskGroup() as group:
            for entry in self._entries.values():
                if entry.engine is not None:
                    group.create_task(entry.engine.aclose())

    def _add_flag(self, told: Named) -> None:
        """One URL may be given once for each kind of work."""
        lan = self._lan_addresses()
        same = told.address.same(lan)
        if any(entry.address.same(lan) == same and entry.work == told.kind for entry in self._entries.values()):
            return
        called = told.called(lan)
        if called in self._entries or called.startswith("embedded"):
            raise ValueError(f"--engine: another engine is called {called!r}; give each its own name, as in NAME=URL.")
        self._entries[called] = _Entry(called, told.address, named=True, work=told.kind)

    def _add_ollama(self, told: str) -> None:
        address = addresses.address_of(told, default_port=OLLAMA_PORT)
        lan = self._lan_addresses()
        if self._known(address, lan):
            return
        name = "ollama-2" if "ollama" in self._entries else "ollama"
        named = not (address.loopback and address.port == OLLAMA_PORT)
        here = address.here(lan)
        engine = OllamaEngine(name, address.url, self._http, local=here, slots=self._slots if here else None)
        self._entries[name] = _Entry(name, address, engine, named=named)

    def _known(self, address: Address, lan: Iterable[str]) -> bool:
        lan = list(lan)
        return any(entry.address.same(lan) == address.same(lan) for entry in self._entries.values())

    async def _look(self, lan: list[str]) -> None:
        """Try the well-known ports on which no engine is known yet."""
        there = [Address("http", "127.0.0.1", port) for port in self._well_known]
        async with asyncio.TaskGroup() as group:
            for address in there:
                if not self._known(address, lan):
                    group.create_task(self._try(address))

    async def _try(self, address: Address) -> None:
        """Take in what listens there only if it surely is an engine."""
        try:
            engine = await sure_engine_at(self._http, address.url, address.port, self._slots)
        except EngineError:
            return
        if engine is not None and engine.name not in self._entries:
            self._entries[engine.name] = _Entry(engine.name, address, engine, named=False)

    async def _find(self) -> None:
        """Take in the engines that can be found by looking, and close those that are there no more."""
        there: dict[str, Found] = {}
        for finder in self._finders:
            there |= {found.name: found for found in await asyncio.to_thread(finder, self._tools)}
        for name, entry in list(self._entries.items()):
            if entry.found is not None and (name not in there or there[name].key != entry.found.key):
                del self._entries[name]
                await self._close(entry)
        for name, found in there.items():
            if name not in self._entries:
                engine = found.make()
                entry = self._entries[name] = _Entry(name, NOWHERE, engine, named=True)
                entry.found = found
                await engine.start()

    async def _close(self, entry: _Entry) -> None:
        if entry.engine is None:
            return
        try:
            async with asyncio.timeout(CLOSE_S):
                await entry.engine.aclose()
        except TimeoutError:
            return

    def _forget(self, now: float) -> None:
        for name, entry in list(self._entries.items()):
            found = not entry.named and entry.address.port in self._well_known
            if found and entry.away_since is not None and now - entry.away_since > FORGET_AFTER_S:
                del self._entries[name]

    async def _ask(self, entry: _Entry, lan: list[str]) -> EngineReport | None:
        try:
            async with asyncio.timeout(ASK_BUDGET_S):
                engine = entry.engine or await self._engine_at(entry, lan)
                entry.engine = engine
                report = await engine.report()
        except TimeoutError:
            return self._down(entry, EngineSilent(f"{entry.url} did not answer within {ASK_BUDGET_S:g} s."))
        except EngineError as exc:
            return self._down(entry, exc)
        entry.silences, entry.away_since = 0, None
        entry.last = await self._reached(entry, report, lan)
        return entry.last

    def _down(self, entry: _Entry, why: EngineError) -> EngineReport | None:
        """Its last inventory, marked stale. One silence is no death: a busy engine gets a second chance."""
        now = asyncio.get_running_loop().time()
        entry.away_since = now if entry.away_since is None else entry.away_since
        entry.silences = entry.silences + 1 if isinstance(why, EngineSilent) else 2
        if entry.sought and isinstance(why, EngineAway):
            entry.engine = None  # what comes back may be another program
        if entry.last is None:
            if not entry.named:
                return None
            kind = entry.engine.kind if entry.engine is not None else "openai"
            return EngineReport(name=entry.name, kind=kind, healthy=False, error=str(why), port=entry.address.port)
        healthy = entry.last.healthy and entry.silences < 2
        return msgspec.structs.replace(entry.last, healthy=healthy, stale=True, error=str(why))

    async def _engine_at(self, entry: _Entry, lan: list[str]) -> Engine:
        here = entry.address.here(lan)
        slots = self._slots if here else None
        place = Place(name=entry.name, url=entry.address.url, work=entry.work, local=here, slots=slots)
        return await engine_at(self._http, place)

    async def _reached(self, entry: _Entry, report: EngineReport, lan: list[str]) -> EngineReport:
        """The report with port and reach; where the engine listens is looked at anew each minute."""
        if entry.address is NOWHERE:
            return report
        now = asyncio.get_running_loop().time()
        if now >= entry.reach_at or entry.reach_for != tuple(lan):
            path = _LOOKS_LIKE.get(report.kind, "/v1/models")
            entry.reach = await reach_of(self._http, entry.address, lan, path)
            entry.reach_at, entry.reach_for = now + REACH_AGAIN_S, tuple(lan)
        report = msgspec.structs.replace(report, port=entry.address.port, reach=entry.reach)
        return self._in_lane(report) if entry.address.here(lan) else report

    def _in_lane(self, report: EngineReport) -> EngineReport:
        """Who makes nothing but images here shares the machine with the others who do."""
        if not report.models or any(model.modality != "image" for model in report.models):
            return report
        lane = self._tools.image_lane
        return msgspec.structs.replace(report, lane=lane.name, lane_slots=lane.slots)
