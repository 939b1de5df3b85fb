"""A court over heartbeats that tests write by hand, and jobs for it. Knows no HTTP."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from app.catalog import Catalog
from app.fleet.admission import Admission
from app.fleet.job import Call, Job
from app.fleet.judge import Court
from app.fleet.latency import Latency
from app.fleet.ledger import Ledger
from app.fleet.queue import Lease, Queue, Ticket
from app.fleet.registry import Registry
from app.fleet.snapshot import FleetSnapshot
from app.fleet.view import Viewer
from app.scoring import policy
from app.scoring.chain import Chain
from app.scoring.types import Demand
from node.wire import Heartbeat

POLICY = Path(__file__).parents[1] / "app" / "modalities" / "llm" / "policy.toml"


def court(*heartbeats: Heartbeat) -> tuple[Court, Registry, Latency]:
    """The default policy of language models over these nodes, in order of arrival."""
    registry, latency = Registry(timeout_s=15, offline_s=30), Latency()
    for heartbeat in heartbeats:
        registry.apply(heartbeat, "127.0.0.1", 0.0)
    chain = Chain(policy.load(POLICY.read_text("utf-8")))
    built = Court(
        registry=registry, latency=latency, chains={"llm": chain}, operations={"llm": "chat"}, catalog=Catalog.empty()
    )
    return built, registry, latency


def job(*models: str, request_id: str = "r", needs: Iterable[str] = ()) -> Job:
    return Job(
        id=request_id,
        demand=Demand(modality="llm", operation="chat", models=models or ("m:1",), needs=tuple(needs)),
        prepare=_never,
        error_body=lambda error: error.text.encode(),
        error_event=lambda error: error.text.encode(),
        dialect="ollama",
        endpoint="/api/chat",
        stream=True,
        loads_by="/api/generate",
    )


def arrive(queue: Queue, *models: str, now: float = 0.0, request_id: str = "r") -> tuple[Ticket, Lease | None]:
    """A job comes in: its lease if a slot is free, else it waits."""
    ticket = queue.enter(job(*models, request_id=request_id), now)
    lease = queue.try_now(ticket, now)
    if lease is None:
        queue.wait(ticket)
    return ticket, lease


def seen(*heartbeats: Heartbeat, asked: Iterable[str], p75_s: Mapping[str, float]) -> FleetSnapshot:
    """What is seen when requests have come for these models, in turn. ``p75_s`` is the history of node a."""
    bench, registry, latency = court(*heartbeats)
    for name, lasted_s in p75_s.items():
        latency.observe("a", name, lasted_s)
    for number, name in enumerate(asked):
        arrive(bench.queue, name, now=float(number), request_id=f"r{number}")
    admission = Admission((), join="open", first_start=0.0, new_token=str)
    ledger = Ledger(latency=latency, put=lambda _: None, clock=lambda: 0.0, wall=lambda: 0.0)
    viewer = Viewer(registry=registry, court=bench, latency=latency, admission=admission, ledger=ledger, modalities=())
    return viewer.take(100.0, 0.0)


def _never(route: object) -> Call:
    raise AssertionError("nobody sends this job")
