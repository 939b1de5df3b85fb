"""Builds the router: the one place where the rooms are joined. Knows no request."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litestar import Litestar
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.types import ASGIApp

from app.api.account import Account
from app.api.benchmarks import Benchmarks
from app.api.errors import HANDLERS
from app.api.facts import Facts
from app.api.gate import Gate
from app.api.heartbeat import Heartbeats
from app.api.keeping import Keeping
from app.api.models import Models
from app.api.operators import Operators, keeper_where, require_admin
from app.api.status import Status
from app.api.trust import AdminKey
from app.bench.round import Fleet
from app.bench.runner import Bench
from app.catalog import Catalog
from app.fleet.admission import Admission
from app.fleet.advertise import Advertiser
from app.fleet.arrivals import Arrivals
from app.fleet.autopull import AutoPull
from app.fleet.dispatcher import Dispatcher
from app.fleet.holders import Holders
from app.fleet.intake import Intake
from app.fleet.inventory import Inventory
from app.fleet.judge import Court
from app.fleet.latency import Latency
from app.fleet.ledger import Ledger
from app.fleet.lending import Lending
from app.fleet.node_client import NodeClient
from app.fleet.placement import Placement
from app.fleet.policies import Policies
from app.fleet.prewarm import Prewarmer
from app.fleet.pulls import Pulls
from app.fleet.registry import Registry
from app.fleet.snapshot import FleetSnapshot
from app.fleet.upkeep import Upkeep
from app.fleet.view import Viewer
from app.insight import offers
from app.lifespan import lifespan
from app.modalities.base import Modality
from app.modalities.http import Entrance
from app.modalities.plugin import discover
from app.revise import Reviser
from app.scoring import speeds
from app.scoring.chain import Chain
from app.scoring.policy import load, tune
from app.settings.book import Book
from app.settings.resolve import Source
from app.settings.schema import Settings
from app.settings.weights import knobs
from app.store import queries
from app.store.records import SettingRecord, TraceRecord
from app.store.store import Store
from app.store.writer import TraceWriter
from app.web.adviser import Adviser
from app.web.checkup import Checkup
from app.web.doors.hands import hand_of
from app.web.doors.missing import for_people
from app.web.live import Live
from app.web.pages import PAGES, routers, template_config
from app.web.pages import live as live_of
from app.web.pull_board import PullBoard
from node.version import own_version
from node.wire import model_key

CONTROL_BODY_MOST = 64 * 1024
"""Largest body of a request that is neither inference nor a heartbeat, in bytes."""


GIB = 1024**3
SHOWN_TRACES = 30
"""Requests on the overview page."""


@dataclass(frozen=True, slots=True)
class Router:
    """The router, ready to be served. ``app`` is the gate with everything behind it."""

    app: ASGIApp
    dispatcher: Dispatcher
    pulls: Pulls
    live: Live
    facts: Facts


async def create_router(
    settings: Settings,
    store: Store,
    key: AdminKey,
    addresses: Callable[[], list[str]],
    sources: Mapping[str, Source] | None = None,
) -> Router:
    """Join the rooms. The database is migrated and open; nothing runs before the application's lifespan begins.

    ``sources`` says which hand set what: what was set outside cannot be changed within.
    """
    book = Book(settings, sources or {})
    await book.load(store)
    settings = book.settings
    modalities = discover()
    fleet_id, first_start = await _identity(store)
    facts = Facts(fleet_id=fleet_id, version=own_version())
    admission = Admission(
        await store.nodes(),
        join=settings.server.join,
        first_start=first_start,
        new_token=lambda: secrets.token_urlsafe(32),
    )
    registry = Registry(
        timeout_s=settings.heartbeat.heartbeat_timeout,
        offline_s=settings.heartbeat.heartbeat_offline,
        drained=admission.drained(),
    )
    latency = Latency()
    for sample in await queries.latency_samples(store):
        latency.observe(sample.node_id, model_key(sample.model), sample.latency_s)
    catalog, keeping = Catalog.joined(modality.catalog for modality in modalities), settings.models
    operations = {modality.name: modality.operation for modality in modalities}
    own = {modality.name: modality.policy for modality in modalities if modality.policy is not None}
    court = Court(
        registry=registry,
        latency=latency,
        chains={modality: Chain(policy) for modality, policy in own.items()},
        operations=operations,
        catalog=catalog,
        speeds=speeds.load((Path(__file__).parent / "scoring" / "chips.toml").read_text("utf-8")),
    )
    policies = Policies(court=court, store=store, own=own, knobs=lambda: knobs(book.settings.score))
    await policies.load()
    nodes = NodeClient(
        registry=registry,
        connect_timeout_s=settings.queue.connect_timeout,
        allowed=_listed(settings.server.engine_hosts),
    )
    writer = TraceWriter(store)
    ledger = Ledger(latency=latency, put=writer.put, clock=time.monotonic, wall=time.time)
    placement = Placement(registry=registry, catalog=catalog, chain=_placement_chain(keeping.disk_reserve_gb))
    arrivals = Arrivals(registry=registry, nodes=nodes, clock=time.monotonic)
    pulls = Pulls(
        nodes=nodes, registry=registry, placement=placement, arrivals=arrivals, reserve_gb=keeping.disk_reserve_gb,
        clock=time.monotonic,
    )  # fmt: skip
    auto_pull = AutoPull(
        pulls=pulls, catalogs={modality.name: modality.catalog for modality in modalities},
        limits=lambda: book.settings.models,
        quiet_until=time.monotonic() + 2 * settings.heartbeat.heartbeat_interval, clock=time.monotonic,
    )  # fmt: skip
    dispatcher = Dispatcher(
        court=court, registry=registry, nodes=nodes, ledger=ledger, auto_pull=auto_pull, limits=settings.queue,
        clock=time.monotonic,
    )  # fmt: skip
    intake = Intake(
        admission=admission,
        registry=registry,
        dispatcher=dispatcher,
        store=store,
        fleet_id=fleet_id,
        interval_s=settings.heartbeat.heartbeat_interval,
    )
    viewer = Viewer(
        registry=registry, court=court, latency=latency, admission=admission, ledger=ledger,
        modalities=tuple(modality.view for modality in modalities),
    )  # fmt: skip

    prewarmer = Prewarmer(
        threshold=settings.queue.pre_warm_threshold, min_availability=settings.queue.pre_warm_min_availability
    )

    def take_snapshot() -> FleetSnapshot:
        return viewer.take(
            time.monotonic(),
            time.time(),
            pulls=pulls.all(),
            reaped=dispatcher.reaped,
            prewarmed=prewarmer.done,
            dropped=writer.dropped,
        )

    async def take_traces() -> list[TraceRecord]:
        return await queries.recent_traces(store, limit=SHOWN_TRACES)

    live = live_of(take_snapshot, take_traces)
    checkup = Checkup(
        store=store, registry=registry, take_snapshot=take_snapshot, write_failures=writer.failed_at,
        overrides=lambda: _contexts_said(book.settings, modalities), version=facts.version,
        interval_s=settings.heartbeat.heartbeat_interval, disk_reserve_bytes=int(keeping.disk_reserve_gb * GIB),
    )  # fmt: skip
    bench = Bench(
        Fleet(
            dispatcher=dispatcher, court=court, registry=registry, nodes=nodes, take_snapshot=take_snapshot,
            exercises={modality.name: modality.benchmark for modality in modalities if modality.benchmark is not None},
            settings=lambda kind: book.settings.modalities[kind], new_id=lambda: secrets.token_hex(8),
        ),
        store, facts.version,
    )  # fmt: skip
    things: dict[str, Any] = {
        "dispatcher": dispatcher, "court": court, "intake": intake, "inventory": Inventory(registry, nodes, operations),
        "store": store, "facts": facts,
        "admin_key": key, "take_snapshot": take_snapshot, "pulls": pulls,
        "checkup": checkup, "bench": bench, "policies": policies, "book": book,
        "holders": Holders(registry, nodes), "lending": Lending(registry=registry, nodes=nodes),
        "entrance": Entrance(
            dispatcher, body_max=settings.server.body_max_bytes, sections=lambda: book.settings.modalities,
            folder=settings.data_dir,
        ),
        "upkeep": Upkeep(
            registry=registry, nodes=nodes, placement=placement, arrivals=arrivals, pulls=pulls, clock=time.monotonic
        ),
        "pull_board": PullBoard(pulls),
        "adviser": Adviser(
            store=store, take_snapshot=take_snapshot, catalog=catalog, clock=time.monotonic, wall=time.time,
            offers=offers.load((Path(__file__).parent / "insight" / "offers.toml").read_text("utf-8")),
        ),
    }  # fmt: skip
    app = Litestar(
        route_handlers=[
            Heartbeats, Status, Models, Keeping, Account, Operators, Benchmarks, *routers(live),
            *(controller for modality in modalities for controller in modality.controllers),
        ],
        dependencies={
            **_provided(things),
            "admin": Provide(require_admin, sync_to_thread=False),
            "hand": Provide(hand_of, sync_to_thread=False),
            "keeper": Provide(keeper_where(keeping.open_models), sync_to_thread=False),
        },
        exception_handlers=for_people(HANDLERS, PAGES),
        lifespan=[
            lifespan(
                settings=settings, store=store, writer=writer, registry=registry, dispatcher=dispatcher,
                intake=intake, court=court, prewarmer=prewarmer, nodes=nodes, pulls=pulls, live=live,
                checkup=checkup, bench=bench,
                reviser=Reviser(book=book, store=store, registry=registry, modalities=modalities),
                advertiser=_advertiser(settings, facts, addresses) if settings.server.mdns else None,
            )
        ],
        openapi_config=OpenAPIConfig(
            title="Herd", version=facts.version, path="/schema", render_plugins=[JsonRenderPlugin()]
        ),
        template_config=template_config(),
        request_max_body_size=CONTROL_BODY_MOST,
        logging_config=None,
    )  # fmt: skip
    server = settings.server
    gate = Gate(app, key=key, hosts=_listed(server.hosts), origins=_listed(server.origins))
    return Router(app=gate, dispatcher=dispatcher, pulls=pulls, live=live, facts=facts)


def _contexts_said(settings: Settings, modalities: tuple[Modality, ...]) -> dict[str, int]:
    """The context that settings say for a model, by its key."""
    return {
        model_key(name): tokens
        for modality in modalities
        if modality.contexts is not None and modality.name in settings.modalities
        for name, tokens in modality.contexts(settings.modalities[modality.name]).items()
    }


def _placement_chain(reserve_gb: float) -> Chain:
    text = (Path(__file__).parent / "fleet" / "placement.toml").read_text("utf-8")
    return Chain(tune(load(text), {"disk_fits.reserve_gb": reserve_gb}))


def _provided(things: Mapping[str, Any]) -> dict[str, Provide]:
    return {name: Provide(_always(thing), sync_to_thread=False, use_cache=True) for name, thing in things.items()}


def _always(thing: Any) -> Callable[[], Any]:
    """A provider of this very object (a lambda's default argument would be taken for a dependency)."""

    def provide() -> Any:
        return thing

    return provide


async def _identity(store: Store) -> tuple[str, float]:
    """The fleet's id and the moment of its first ever start; both are made once and kept."""
    kept = {(record.section, record.key): record.value for record in await store.settings()}
    fleet_id, first = kept.get(("fleet", "id")), kept.get(("fleet", "first_start"))
    now = time.time()
    if not isinstance(fleet_id, str):
        fleet_id = secrets.token_hex(8)
        await store.put_setting(SettingRecord(section="fleet", key="id", value=fleet_id, changed_at=now))
    if not isinstance(first, int | float):
        first = now
        await store.put_setting(SettingRecord(section="fleet", key="first_start", value=first, changed_at=now))
    return fleet_id, float(first)


def _advertiser(settings: Settings, facts: Facts, addresses: Callable[[], list[str]]) -> Advertiser:
    server = settings.server
    return Advertiser(
        service_type=server.mdns_service_type,
        name=server.mdns_service_name,
        port=server.port,
        fleet_id=facts.fleet_id,
        version=facts.version,
        interfaces=_listed(server.mdns_interfaces),
        addresses=addresses,
    )


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
