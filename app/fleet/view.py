"""Takes the snapshot that status endpoints and pages show. Pure; knows no HTTP; times are told by the caller."""

from collections.abc import Iterable

from app.fleet.admission import Admission
from app.fleet.job import Key, Lane
from app.fleet.judge import Court
from app.fleet.latency import Latency
from app.fleet.ledger import Ledger
from app.fleet.pull import Pull
from app.fleet.queue import Ticket
from app.fleet.registry import Holding, Node, Registry
from app.fleet.snapshot import FleetSnapshot, LineView, ModalityView, NodeView, PullView, WaitingView
from app.scoring.spill import wait_s
from node.wire import model_key

GIB = 1024**3


class Viewer:
    """Puts the present of registry, queue, latency and admission into one frozen picture."""

    def __init__(
        self,
        *,
        registry: Registry,
        court: Court,
        latency: Latency,
        admission: Admission,
        ledger: Ledger,
        modalities: tuple[ModalityView, ...],
    ) -> None:
        self._registry = registry
        self._queue = court.queue
        self._breaker = court.breaker
        self._latency = latency
        self._admission = admission
        self._ledger = ledger
        self._modalities = modalities

    def take(
        self,
        now: float,
        wall: float,
        *,
        pulls: Iterable[Pull] = (),
        reaped: int = 0,
        prewarmed: int = 0,
        dropped: int = 0,
    ) -> FleetSnapshot:
        """``now`` is monotonic, ``wall`` epoch seconds."""
        lines = self._lines()
        return FleetSnapshot(
            taken_at=wall,
            nodes=self._nodes(now, wall),
            lines=tuple(lines.values()),
            waiting=self._waiting(now, lines),
            modalities=self._modalities,
            pulls=tuple(_pull_view(pull) for pull in pulls),
            completed=self._ledger.completed,
            failed=self._ledger.failed,
            retried=self._ledger.retried,
            rebalanced=self._queue.rebalanced,
            reaped=reaped,
            prewarmed=prewarmed,
            traces_dropped=dropped,
        )

    def _nodes(self, now: float, wall: float) -> tuple[NodeView, ...]:
        here = [
            NodeView(
                node_id=node.node_id,
                status=node.status,
                address=node.peer,
                version=node.heartbeat.version,
                draining=node.draining,
                seen_s_ago=max(0.0, now - node.seen_at),
                machine=node.heartbeat.machine,
                engines=self._registry.engines(node),
                traffic=node.heartbeat.traffic,
                capacity=node.heartbeat.capacity,
                running=self._queue.node_running(node.node_id),
                waiting=self._queue.node_planned(node.node_id),
                link_failures=node.heartbeat.failures.count,
                links_lost=node.link_failures,
                link_lost_s_ago=None if node.link_failed_at is None else now - node.link_failed_at,
                clock_ahead_s=_clock_ahead_s(node, now, wall),
                resting=tuple(
                    engine.name
                    for engine in node.heartbeat.engines
                    if self._breaker.rest((node.node_id, engine.name), now) is not None
                ),
            )
            for node in self._registry.nodes()
        ]
        asking = [
            NodeView(node_id=record.node_id, status="offline", address=record.address, waiting_approval=True)
            for record in self._admission.waiting()
        ]
        return (*here, *asking)

    def _lines(self) -> dict[Key, LineView]:
        """A line for each (node, engine, model) that is loaded, is used, or was used."""
        queue = self._queue
        lines: dict[Key, LineView] = {}
        for holding in self._registry.all_holdings():
            key = (holding.node.node_id, holding.engine.name, holding.key)
            tally, running, waiting = queue.tallies.get(key), queue.running(key), queue.planned(key)
            if not (holding.model.loaded or tally or running or waiting) or holding.node.status == "offline":
                continue
            p75 = self._latency.p75(key[0], holding.key)
            size_gib = (self._registry.size_bytes(holding) or 0) / GIB
            slots, depth = self._shared(holding, running + waiting)
            pace_s = p75 or max(1.0, size_gib)
            lines[key] = LineView(
                node_id=key[0],
                model=holding.model.name,
                modality=holding.model.modality,
                running=running,
                waiting=waiting,
                slots=slots,
                lane=holding.engine.lane,
                completed=tally.completed if tally else 0,
                failed=tally.failed if tally else 0,
                p75_s=p75,
                pace_s=pace_s,
                estimated_wait_s=wait_s(depth - slots + 1, slots, pace_s),
            )
        return lines

    def _shared(self, holding: Holding, own: int) -> tuple[int, int]:
        """The slots of a line, and how many run and wait for them: ``own``, or all of its lane."""
        node, slots, lane = holding.node, holding.model.slots, holding.engine.lane
        if not lane:
            return slots, own
        keys = [
            (node.node_id, engine.name, model_key(model.name))
            for engine in node.heartbeat.engines
            if engine.lane == lane
            for model in engine.models
        ]
        depth = sum(self._queue.running(key) + self._queue.planned(key) for key in keys)
        return min(slots, node.lane_slots(lane)), depth

    def _waiting(self, now: float, lines: dict[Key, LineView]) -> tuple[WaitingView, ...]:
        ahead: dict[Key | Lane | None, int] = {}
        views = []
        for ticket in self._queue.tickets():
            line = lines.get(ticket.planned) if ticket.planned is not None else None
            place = (line.node_id, line.lane) if line is not None and line.lane else ticket.planned
            position = ahead[place] = ahead.get(place, 0) + 1
            views.append(self._waiting_view(ticket, position, now, lines))
        return tuple(views)

    def _waiting_view(self, ticket: Ticket, position: int, now: float, lines: dict[Key, LineView]) -> WaitingView:
        line = lines.get(ticket.planned) if ticket.planned is not None else None
        pull = ticket.pull
        where = ticket.planned[0] if ticket.planned is not None else pull.node_id if pull is not None else ""
        return WaitingView(
            request_id=ticket.job.id,
            model=model_key(ticket.job.demand.models[0]),
            position=position,
            waited_s=max(0.0, now - ticket.entered_at),
            why="busy" if ticket.planned is not None else "pulling" if pull is not None else "held",
            node_id=where,
            estimated_wait_s=None if line is None else wait_s(position, line.slots, line.pace_s),
            progress=None if pull is None else pull.progress,
        )


def _clock_ahead_s(node: Node, now: float, wall: float) -> float | None:
    """By its last heartbeat; the way here took a moment, which is not much beside a wrong clock."""
    sent_at = node.heartbeat.sent_at
    return sent_at - (wall - (now - node.seen_at)) if sent_at else None


def _pull_view(pull: Pull) -> PullView:
    return PullView(
        node_id=pull.node_id,
        model=pull.name,
        status=pull.status,
        completed_bytes=pull.completed,
        total_bytes=pull.total,
        wanted=pull.wanted,
    )
