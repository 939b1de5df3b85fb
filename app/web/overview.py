"""The overview page as data: the fleet at one moment and its last requests. Pure; knows no HTTP and no HTML."""

import re
import shlex
from collections.abc import Sequence

import msgspec

from app.fleet.snapshot import FleetSnapshot, LineView, PullView, WaitingView
from app.store.records import TraceRecord
from app.web.delta import Sketch
from app.web.nodes import NodeCard, Slots, node_card, share, slots, used_of
from app.web.requests import RequestRow, request_row
from app.web.view import dom_key, seconds, whole_seconds

STATE_ORDER = {"waiting": 0, "online": 1, "draining": 2, "degraded": 3, "offline": 4}
REQUESTS_AT_MOST = 50
WAITING_AT_MOST = 50
EXAMPLE_MODEL = "llama3.2"
PASTEABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,100}")
"""Only plain names get into a command that a person is asked to paste into a shell."""


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """``models`` counts models in memory, each (node, model) once. ``dropped``: traces that could not be stored."""

    online: int
    nodes: int
    models: int
    running: int
    slots: int
    waiting: int
    completed: int
    failed: int
    retried: int
    dropped: int
    moved: int
    prewarmed: int


class LineRow(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    model: str
    modality: str
    slots: Slots
    waiting: int
    p75: str
    wait: str
    completed: int
    failed: int


class WaitingRow(msgspec.Struct, frozen=True, kw_only=True):
    position: int
    model: str
    why: str
    held: bool
    waited: str
    estimate: str


class WaitingList(msgspec.Struct, frozen=True, kw_only=True):
    """``more`` is how many further ones wait than ``rows`` shows."""

    rows: tuple[WaitingRow, ...]
    more: int


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """``moved``: waiting requests that a freer node took over. ``prewarmed``: models loaded ahead of need."""

    rows: tuple[LineRow, ...]
    moved: int = 0
    prewarmed: int = 0


class PullRow(msgspec.Struct, frozen=True, kw_only=True):
    """A model on its way to a node. ``share`` is 0 to 1; ``text`` says how far it is."""

    key: str
    node: str
    model: str
    status: str
    share: float
    text: str


class FirstSteps(msgspec.Struct, frozen=True, kw_only=True):
    """What an empty page teaches. ``body`` is that of a first request, quoted for a shell."""

    body: str


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """``now`` is Unix epoch seconds."""

    now: float
    totals: Totals
    nodes: tuple[NodeCard, ...]
    lines: tuple[LineRow, ...]
    waiting: WaitingList
    pulls: tuple[PullRow, ...]
    requests: tuple[RequestRow, ...]
    example_model: str


def view(snapshot: FleetSnapshot, traces: Sequence[TraceRecord], now: float) -> Overview:
    """The page's struct. Waiting nodes come first, then the online ones; within a state by name."""
    lines: dict[str, list[LineView]] = {}
    for line in snapshot.lines:
        lines.setdefault(line.node_id, []).append(line)
    cards = [node_card(node, tuple(lines.get(node.node_id, ())), snapshot.modalities) for node in snapshot.nodes]
    cards.sort(key=lambda card: (STATE_ORDER[card.state], card.name))
    return Overview(
        now=now,
        totals=_totals(snapshot, cards),
        nodes=tuple(cards),
        lines=tuple(_line(line) for line in sorted(snapshot.lines, key=_busiest)),
        waiting=WaitingList(
            rows=tuple(_waiting(ticket) for ticket in snapshot.waiting[:WAITING_AT_MOST]),
            more=max(0, len(snapshot.waiting) - WAITING_AT_MOST),
        ),
        pulls=tuple(_pull(pull) for pull in snapshot.pulls),
        requests=tuple(request_row(trace) for trace in traces[:REQUESTS_AT_MOST]),
        example_model=_example_model(cards, {kind.name for kind in snapshot.modalities if kind.operation == "chat"}),
    )


def _totals(snapshot: FleetSnapshot, cards: list[NodeCard]) -> Totals:
    admitted = [card for card in cards if card.state != "waiting"]
    serving = [card for card in admitted if card.state != "offline"]
    return Totals(
        online=sum(card.state == "online" for card in admitted),
        nodes=len(admitted),
        models=sum(len(engine.loaded) for card in serving for engine in card.engines if engine.healthy),
        running=snapshot.running,
        slots=sum(c.slots.total for card in serving for e in card.engines if e.healthy for c in e.loaded),
        waiting=len(snapshot.waiting),
        completed=snapshot.completed,
        failed=snapshot.failed,
        retried=snapshot.retried,
        dropped=snapshot.traces_dropped,
        moved=snapshot.rebalanced,
        prewarmed=snapshot.prewarmed,
    )


def _busiest(line: LineView) -> tuple[bool, str, str]:
    return (line.running + line.waiting == 0, line.node_id, line.model)


def _line(line: LineView) -> LineRow:
    return LineRow(
        node=line.node_id,
        model=line.model,
        modality=line.modality,
        slots=slots(line.running, line.slots),
        waiting=line.waiting,
        p75=seconds(line.p75_s),
        wait=seconds(line.estimated_wait_s),
        completed=line.completed,
        failed=line.failed,
    )


def _waiting(ticket: WaitingView) -> WaitingRow:
    held = ticket.why == "held"
    where = f" on {ticket.node_id}" if ticket.node_id else ""
    return WaitingRow(
        position=ticket.position,
        model=ticket.model,
        why="No node may take it yet" if held else f"In line{where}",
        held=held,
        waited=whole_seconds(ticket.waited_s),
        estimate="" if ticket.estimated_wait_s is None else seconds(ticket.estimated_wait_s),
    )


def _pull(pull: PullView) -> PullRow:
    known = pull.total_bytes > 0
    return PullRow(
        key=f"pull-{dom_key(f'{pull.node_id} {pull.model}')}",
        node=pull.node_id,
        model=pull.model,
        status=pull.status,
        share=share(pull.completed_bytes, pull.total_bytes),
        text=used_of(pull.completed_bytes, pull.total_bytes) if known else "",
    )


def _example_model(cards: list[NodeCard], talking: set[str]) -> str:
    """A model that the person who looks could chat with; ``talking`` are the modalities whose models chat."""
    serving = [card for card in cards if card.state in {"online", "degraded"}]
    chips = [chip for card in serving for engine in card.engines if engine.healthy for chip in engine.loaded]
    loaded = [chip.name for chip in chips if chip.modality in talking]
    stored = [name for card in serving for engine in card.engines if engine.healthy for name in engine.stored]
    return next((name for name in loaded + stored if PASTEABLE.fullmatch(name)), EXAMPLE_MODEL)


def _first_body(model: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello, herd"}]}
    return shlex.quote(msgspec.json.encode(body).decode())


def sketches(page: Overview) -> dict[str, tuple[Sketch, ...]]:
    """The page's live regions, each with its parts. An empty region has one part that teaches the next step."""
    steps = FirstSteps(body=_first_body(page.example_model))
    lines = Lines(rows=page.lines, moved=page.totals.moved, prewarmed=page.totals.prewarmed)
    nodes = tuple(Sketch(card.key, "_fragments/node.html", card) for card in page.nodes)
    requests = {row.key: Sketch(row.key, "_fragments/request.html", row) for row in page.requests}
    return {
        "totals": (Sketch("totals", "_fragments/totals.html", page.totals),),
        "nodes": nodes or (Sketch("no-nodes", "_fragments/no_nodes.html", steps),),
        "queues": (Sketch("queues", "_fragments/queues.html", lines),),
        "pulls": tuple(Sketch(pull.key, "_fragments/pull.html", pull) for pull in page.pulls),
        "waiting": (Sketch("waiting", "_fragments/waiting.html", page.waiting),),
        "requests": tuple(requests.values()) or (Sketch("no-requests", "_fragments/no_requests.html", steps),),
    }
