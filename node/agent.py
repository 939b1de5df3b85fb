"""The node's life: look at engines and machine, report, let the router in by the door, drain. Knows no HTTP.

The heartbeat never waits for a look that hangs: it says what was last known. How a node leaves, repeated as numbers:
 1. The router hears "draining" at once and gives this node nothing new.
 2. Each second again, until the router says "drained" and no relay runs in the door, or the time is up.
 3. Goodbye; then the engines of this node's own end, and with them the process.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import httpx
import msgspec
import structlog

from node.capacity.owner import Asks, Owner
from node.discovery import Discovery
from node.door import Door, Passed
from node.engines.discover import WELL_KNOWN_PORTS, Engines
from node.link import Accepted, Link, Unreachable
from node.log import flush_log
from node.machine.activity import ActivityWatch
from node.machine.addresses import lan_addresses
from node.machine.clients import direct_clients
from node.machine.observe import Observer
from node.machine.probes import Probe, Probes
from node.pulse import Pulse
from node.settings import NodeSettings, Unusable
from node.state import StateFile
from node.version import own_version
from node.waking import watch
from node.wire import DirectClient, EngineReport, Heartbeat, Machine, Traffic

FIRST_LOOK_S = 5.0
"""Seconds the first heartbeat waits for a first look at the engines."""
BREATH_S = 0.05
"""Seconds between a change and the heartbeat that tells it: changes come in swarms."""
DRAIN_EVERY_S = 1.0
CLIENTS_EVERY_S = 15.0
LAST_WORD_S = 3.0
CLOSE_S = 15.0


class Looks(Protocol):
    """Who knows this machine."""

    async def observe(self) -> Machine: ...


class Agent:
    """One node. ``settings`` are completed; ``well_known`` ports are tried for engines; ``interfaces`` are for mDNS.

    Raises ``Unusable`` for an engine's address that is none, ``OSError`` if the state file cannot be read.
    """

    def __init__(
        self,
        settings: NodeSettings,
        *,
        http: httpx.AsyncClient,
        observer: Looks | None = None,
        meetings: Asks | None = None,
        well_known: tuple[int, ...] = WELL_KNOWN_PORTS,
        interfaces: Sequence[str] = (),
        addresses: Callable[[], list[str]] = lan_addresses,
    ) -> None:
        self._settings = settings
        self._secret = secrets.token_urlsafe(32)
        self._log = structlog.get_logger("node")
        self._observer = observer or Observer(settings.models)
        self._addresses = addresses
        self._engines = _engines(settings, http, well_known, addresses)
        self._machine = Machine()
        self._reports: tuple[EngineReport, ...] = ()
        self._wake = asyncio.Event()
        self._owner = Owner(
            state_file=settings.state_file, week_file=settings.week_file, learning=settings.enable_capacity_learning,
            meetings=(meetings or ActivityWatch()) if settings.detect_meetings else None,
            machine=lambda: self._machine, engines=lambda: self._reports, relays=lambda: self._door.running,
            changed=self._wake.set,
        )  # fmt: skip
        self._door = Door(
            node_id=settings.node_id, secret=self._secret, target=self._engines.target, host=settings.door_host,
            port=settings.door_port, rooms={"/capacity": self._owner.answer},
        )  # fmt: skip
        self._discovery = Discovery(
            router_url=settings.router_url, mdns=settings.mdns, service_type=settings.mdns_service_type,
            changed=self._routers_changed, interfaces=interfaces,
        )  # fmt: skip
        state_file = StateFile(settings.state_file)
        state = state_file.load()
        if state_file.damaged:
            self._log.warning("state.damaged", set_aside=str(state_file.damaged))
        self._pulse = Pulse(
            node_id=settings.node_id, link=Link(http), discovery=self._discovery, state_file=state_file, state=state,
            letter=self._letter, interval_s=settings.heartbeat_interval,
        )  # fmt: skip
        self._clients = Probes([Probe(name="clients", ask=self._direct_clients, every_s=CLIENTS_EVERY_S)])
        self._direct: Mapping[int, tuple[DirectClient, ...]] = {}
        self._looked = False
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    def stop(self) -> None:
        """Drain and end; called a second time, end at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()
        self._wake.set()

    async def run(self) -> None:
        """Live until ``stop``. Raises an ``ExceptionGroup`` with ``DoorShut`` when no port is free for the door."""
        try:
            async with asyncio.TaskGroup() as tasks:
                life = [tasks.create_task(self._door.run(), name="door")]
                await self._door.started()
                life.append(tasks.create_task(self._look(), name="look"))
                life.append(tasks.create_task(self._owner.run(), name="owner"))
                life.append(tasks.create_task(self._discovery.run(), name="discovery"))
                waking = watch(addresses=self._addresses, woke=self._woke, moved=self._moved)
                life.append(tasks.create_task(waking, name="waking"))
                beating = tasks.create_task(self._report(), name="report")
                await self._stop.wait()
                drain = tasks.create_task(self._drain(beating), name="drain")
                hurry = tasks.create_task(self._hurry.wait(), name="hurry")
                await asyncio.wait({drain, hurry}, return_when=asyncio.FIRST_COMPLETED)
                for task in (*life, beating, drain, hurry):
                    task.cancel()
        finally:
            await asyncio.shield(self._close())

    async def _look(self) -> None:
        """Look at engines and machine for ever; a look that fails leaves what was known."""
        try:
            await self._engines.start()
        except OSError as error:
            self._log.warning("engine.unstarted", error=str(error))
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                await self._look_once()
            except Exception as error:  # the top of a loop: the node lives on with what it knew
                self._log.error("look.failed", exc_info=error)
            flush_log()
            await asyncio.sleep(max(self._settings.poll_interval - (clock() - began), BREATH_S))

    async def _look_once(self) -> None:
        async with asyncio.TaskGroup() as group:
            machine = group.create_task(self._observer.observe())
            engines = group.create_task(self._engines.observe())
            clients = group.create_task(self._clients.facts())
        self._machine, self._direct = machine.result(), clients.result().get("clients", {})
        before, self._reports = self._reports, engines.result()
        if not self._looked or steady(before) != steady(self._reports):
            self._tell(before)
            self._wake.set()
        self._looked = True

    async def _report(self) -> None:
        """A heartbeat at each interval, and at once when the engines changed, until the node is told to stop."""
        await self._pause(FIRST_LOOK_S)
        while not self._stop.is_set():
            self._wake.clear()
            try:
                answer = await self._pulse.beat()
            except Exception as error:  # the top of a loop: no answer of a router ends a node
                self._log.error("heartbeat.crashed", exc_info=error)
                answer = Unreachable(repr(error))
            if isinstance(answer, Accepted):
                self._owner.fleet_runs(answer.ack.running)
            await self._pause(self._pulse.pause_s(answer))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        if not self._stop.is_set():
            await asyncio.sleep(BREATH_S)

    async def _drain(self, beating: asyncio.Task[None]) -> None:
        """Wait until nothing of the fleet's work runs here."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._settings.drain_timeout
        self._log.info("node.draining", relays=self._door.running, timeout_s=self._settings.drain_timeout)
        await asyncio.wait({beating}, timeout=1.0)  # its last word must not come after "draining"
        beating.cancel()
        missed = 0
        while True:
            answer = await self._last_words(max(deadline - clock(), 1.0))  # (1)
            missed = missed + 1 if isinstance(answer, Unreachable) else 0
            quiet = answer.ack.node_status == "drained" if isinstance(answer, Accepted) else missed != 1
            if quiet and not self._door.running:  # (2)
                self._log.info("node.drained")
                break
            if clock() >= deadline:
                self._log.warning("drain.cut", relays=self._door.running, hint="--drain-timeout gives more time")
                break
            await asyncio.sleep(min(DRAIN_EVERY_S, max(deadline - clock(), 0)))
        await self._last_words(LAST_WORD_S, goodbye=True)  # (3)

    async def _last_words(self, within_s: float, *, goodbye: bool = False) -> object:
        """A draining heartbeat. Without a router it counts as refused: nobody is there who could send work."""
        if not self._pulse.connected:
            return None
        try:
            async with asyncio.timeout(within_s):
                return await self._pulse.beat(draining=True, goodbye=goodbye)
        except TimeoutError:
            return Unreachable(f"no answer within {within_s:g} s")

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._owner.aclose()
                await self._engines.aclose()
        except TimeoutError:
            self._log.warning("engine.unclosed", budget_s=CLOSE_S)
        self._log.info("node.stopped")

    def _letter(self) -> Heartbeat:
        return Heartbeat(
            node_id=self._settings.node_id,
            version=own_version(),
            door_port=self._door.port,
            door_secret=self._secret,
            advertise_host=self._settings.advertise_host,
            machine=self._machine,
            engines=self._reports,
            capacity=self._owner.capacity,
            traffic=tuple(self._traffic(report) for report in self._reports),
        )

    def _traffic(self, report: EngineReport) -> Traffic:
        passed = self._door.passed.get(report.name, Passed())
        return Traffic(
            engine=report.name, requests=passed.requests, bytes_in=passed.bytes_in, bytes_out=passed.bytes_out,
            direct_clients=self._direct.get(report.port, ()),
        )  # fmt: skip

    def _direct_clients(self) -> dict[str, Any]:
        """Asked in a thread."""
        urls = [url for url in (self._pulse.router_url, *self._discovery.told) if url]
        return {"clients": direct_clients({report.port for report in self._reports if report.port}, urls)}

    def _routers_changed(self) -> None:
        self._pulse.doubt()
        self._wake.set()

    def _woke(self, slept_s: float) -> None:
        self._log.info("node.woke", slept_s=round(slept_s, 1))
        self._look_around()

    def _moved(self, addresses: list[str]) -> None:
        self._log.info("node.moved", addresses=addresses)
        self._look_around()

    def _look_around(self) -> None:
        """Nothing that was known of the network is sure any more."""
        self._discovery.renew()
        self._routers_changed()

    def _tell(self, before: tuple[EngineReport, ...]) -> None:
        """Log which engines came, went, fell and rose."""
        known = {report.name: report for report in before}
        for report in self._reports:
            was = known.pop(report.name, None)
            if report.healthy and (was is None or not was.healthy):
                loaded = sum(model.loaded for model in report.models)
                self._log.info(
                    "engine.up", engine=report.name, kind=report.kind, version=report.version or None,
                    models=len(report.models), loaded=loaded, reach=report.reach, port=report.port,
                )  # fmt: skip
            elif not report.healthy and (was is None or was.healthy):
                self._log.warning("engine.down", engine=report.name, kind=report.kind, error=report.error)
        for name in known:
            self._log.info("engine.gone", engine=name)
        if not self._reports:
            hint = f"start Ollama, name an engine with --engine NAME=URL, or put a model into {self._settings.models}"
            self._log.warning("engine.none", hint=hint)


def steady(reports: tuple[EngineReport, ...]) -> tuple[EngineReport, ...]:
    """The reports without what moves at each request and is no news."""
    return tuple(
        msgspec.structs.replace(
            report,
            progress=None,
            models=tuple(msgspec.structs.replace(model, expires_at="") for model in report.models),
        )
        for report in reports
    )


def _engines(
    settings: NodeSettings, http: httpx.AsyncClient, well_known: tuple[int, ...], addresses: Callable[[], list[str]]
) -> Engines:
    try:
        return Engines(
            ollama_host=settings.ollama_host,
            engine_flags=settings.engine,
            models_dir=settings.models,
            slots=settings.slots,
            image_slots=settings.image_slots,
            image_timeout_s=settings.image_timeout,
            http=http,
            lan_addresses=addresses,
            well_known=well_known,
        )
    except ValueError as error:
        raise Unusable(str(error)) from error
