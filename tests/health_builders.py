"""Short builders for the facts that health reads: a fleet that is well, and what is said otherwise. Knows no check."""

from typing import Any

from builders import engine, machine

from app.fleet.snapshot import FleetSnapshot, NodeView
from app.insight.types import Facts, Span
from app.modalities.plugin import discover
from app.store.usage import Use
from node.wire import ModelReport

VERSION = "1.0.0"
MODALITIES = tuple(modality.view for modality in discover())


def view(node_id: str = "mac", *models: ModelReport, **more: Any) -> NodeView:
    """A node that is online and well, half of its memory in use."""
    facts: dict[str, Any] = {
        "status": "online", "address": "192.168.1.2", "version": VERSION, "engines": (engine(*models),),
        "machine": machine(64, 30, os="linux", pressure="normal"),
    }  # fmt: skip
    return NodeView(node_id=node_id, **{**facts, **more})


def span(hour: int = 0, **day: float) -> Span:
    """What a day used; ``hour`` of each thing named, but the requests, were in its last hour."""
    lately = {name: hour for name in day if name != "requests"}
    requests = day.get("requests", 0)
    return Span(day=Use(**day), hour=Use(requests=int(requests), **lately) if hour else Use())  # type: ignore[arg-type]


def facts(*nodes: NodeView, **more: Any) -> Facts:
    """``all`` in ``more`` is the span of everything; ``dropped`` the traces that were lost."""
    shot = FleetSnapshot(
        taken_at=0.0, nodes=nodes or (view(),), modalities=MODALITIES, traces_dropped=more.pop("dropped", 0)
    )  # fmt: skip
    if "all" in more:
        more["by_modality"] = {"llm": more.pop("all")}
    return Facts(snapshot=shot, version=VERSION, **more)
