"""Checks of each kind of work by itself, as its modality says: what it did, who could too. Pure; knows no modality."""

from collections.abc import Iterator

from app.fleet.snapshot import ModalityView, NodeView
from app.insight import fixes
from app.insight.types import Check, Facts, Finding, Span, gb, listed, often

SPREAD_LEAST = 3
BROKEN_LEAST, BROKEN_GRAVE = 5, 25


def _done(check_id: str, facts: Facts) -> Iterator[Finding]:
    for kind in facts.snapshot.modalities:
        day = _span(facts, kind).day
        if kind.activity.done == check_id and day.requests:
            yield Finding(
                severity="warning" if day.failed else "info", title=f"{kind.title} in the last 24 hours",
                description=f"{day.completed} completed, {day.failed} failed.",
                fix="herd status  # which engine is down?" if day.failed else "# none needed",
                query=fixes.requests(modality=kind.name, **({"status": "failed"} if day.failed else {})),
                data={"completed": day.completed, "failed": day.failed, "total": day.requests},
            )  # fmt: skip


def _spread(check_id: str, facts: Facts) -> Iterator[Finding]:
    for kind in facts.snapshot.modalities:
        if kind.activity.spread != check_id or _span(facts, kind).day.completed < SPREAD_LEAST:
            continue
        able = [node for node in facts.here if _has_room(node, kind)]
        if able:
            yield Finding(
                severity="info", title=f"{kind.title}: more machines could do it",
                description=f"{listed(node.node_id for node in able)} could too: there is memory to spare, and no "
                "engine for it.",
                fix="\n".join(dict.fromkeys(_install(node, kind) for node in able)),
                node_id=able[0].node_id if len(able) == 1 else None,
                data={
                    "nodes": [
                        {"node_id": node.node_id, "available_gb": gb(node.machine.memory_available_bytes)}
                        for node in able
                    ]
                },
            )  # fmt: skip


def _broken(check_id: str, facts: Facts) -> Iterator[Finding]:
    for kind in facts.snapshot.modalities:
        span = _span(facts, kind)
        if kind.activity.broken == check_id and span.hour.failed >= BROKEN_LEAST:
            yield Finding(
                severity="critical" if span.hour.failed >= BROKEN_GRAVE else "warning", title=f"{kind.title} fail",
                description=f"{often(span.hour.failed, 'request')} of {span.hour.requests} failed in the last hour.",
                fix="herd status  # which engine is down?",
                query=fixes.requests(modality=kind.name, status="failed"),
                data={
                    "failed_1h": span.hour.failed, "total_1h": span.hour.requests, "failed_24h": span.day.failed,
                },
            )  # fmt: skip


def _has_room(node: NodeView, kind: ModalityView) -> bool:
    can = any(kind.operation in engine.operations for engine in node.engines)
    return node.status == "online" and not can and node.machine.memory_available_bytes >= kind.activity.room_bytes


def _install(node: NodeView, kind: ModalityView) -> str:
    how = kind.activity.install
    return how.get(fixes.system(node.machine.os)) or how.get("", "")


def _span(facts: Facts, kind: ModalityView) -> Span:
    return facts.by_modality.get(kind.name, Span())


CHECKS = (
    Check(
        id="image_generation", worst="warning", cost="sums", docs="Pictures were made; a warning if any failed.",
        look=lambda facts: _done("image_generation", facts),
    ),
    Check(
        id="mflux_expansion", worst="info", cost="sums",
        docs="Three pictures were made, and an online node with 8 GB to spare has no engine for them.",
        look=lambda facts: _spread("mflux_expansion", facts),
    ),
    Check(
        id="transcription_activity", worst="warning", cost="sums", docs="Speech was heard; a warning if any failed.",
        look=lambda facts: _done("transcription_activity", facts),
    ),
    Check(
        id="stt_expansion", worst="info", cost="sums",
        docs="Three recordings were heard, and an online node with 4 GB to spare has no engine for them.",
        look=lambda facts: _spread("stt_expansion", facts),
    ),
    Check(
        id="embed_error_rate", worst="critical", cost="sums",
        docs="Five requests for embeddings failed in the last hour; critical from 25 on.",
        look=lambda facts: _broken("embed_error_rate", facts),
    ),
)  # fmt: skip
