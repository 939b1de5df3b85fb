"""The health report as its page shows it: ring, vitals, a card for each finding; and as JSON. Pure; knows no HTML."""

import math
from typing import Any

import msgspec

from app.insight.health import Report
from app.insight.types import Finding
from app.web.insights import Figure
from app.web.view import count, dom_key, seconds

GOOD, FAIR = 80, 50
ERRORS_BAD_PCT, ERRORS_SOME_PCT = 5.0, 1.0
COLD_MANY = 5
RING = 2 * math.pi * 52
"""Length of the ring, whose radius is 52."""
BADGES = {
    "critical": ("bad", "Critical", "triangle-alert"),
    "warning": ("warn", "Warning", "triangle-alert"),
    "info": ("accent", "Suggestion", "circle-help"),
}
DAY = "range=24h"


class Ring(msgspec.Struct, frozen=True, kw_only=True):
    """``drawn`` and ``left`` are the parts of its length."""

    score: int
    tone: str
    drawn: float
    left: float
    headline: str
    checked_at: float


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One finding. ``node_href`` leads to its node, ``docs`` is its anchor in the documentation."""

    key: str
    check_id: str
    tone: str
    badge: str
    icon: str
    title: str
    description: str
    fix: str
    node: str
    node_href: str
    requests_href: str
    resolved: bool


class Health(msgspec.Struct, frozen=True, kw_only=True):
    ring: Ring
    vitals: tuple[Figure, ...]
    cards: tuple[Card, ...]


def view(report: Report) -> Health:
    return Health(ring=_ring(report), vitals=_vitals(report.vitals), cards=_cards(report.findings))


def twin(report: Report) -> dict[str, Any]:
    """``/dashboard/api/health``, with its public names."""
    return {
        "vitals": report.vitals,
        "recommendations": [_row(found) for found in report.findings],
        "checked_at": report.checked_at,
    }


def _row(found: Finding) -> dict[str, Any]:
    return {
        "check_id": found.check_id,
        "severity": found.severity,
        "title": found.title,
        "description": found.description,
        "fix": found.fix,
        "node_id": found.node_id,
        "data": {**found.data, "resolved": True} if found.resolved else dict(found.data),
    }


def headline(report: Report) -> str:
    """``2 critical, 1 warning, 3 suggestions``."""
    critical, warnings, hints = (report.counted(severity) for severity in ("critical", "warning", "info"))
    parts = [
        f"{critical} critical" if critical else "",
        f"{warnings} warning{'s' if warnings > 1 else ''}" if warnings else "",
        f"{hints} suggestion{'s' if hints > 1 else ''}" if hints else "",
    ]
    return ", ".join(part for part in parts if part) or "All clear"


def _ring(report: Report) -> Ring:
    drawn = RING * report.score / 100
    return Ring(
        score=report.score,
        tone="ok" if report.score >= GOOD else "warn" if report.score >= FAIR else "bad",
        drawn=round(drawn, 1),
        left=round(RING - drawn + 1, 1),
        headline=headline(report),
        checked_at=report.checked_at,
    )


def _cards(findings: tuple[Finding, ...]) -> tuple[Card, ...]:
    seen: dict[str, int] = {}
    cards = []
    for found in findings:
        name = f"{found.check_id}/{found.node_id or ''}"
        number = seen[name] = seen.get(name, 0) + 1
        tone, badge, icon = ("ok", "Resolved", "check") if found.resolved else BADGES[found.severity]
        cards.append(
            Card(
                key=f"finding-{dom_key(f'{name}/{number}')}", check_id=found.check_id, tone=tone, badge=badge,
                icon=icon, title=found.title, description=found.description, fix=found.fix, node=found.node_id or "",
                node_href=f"/dashboard#node-{dom_key(found.node_id)}" if found.node_id else "",
                requests_href=f"/dashboard/requests?{found.query}" if found.query else "", resolved=found.resolved,
            )
        )  # fmt: skip
    return tuple(cards)


def _vitals(told: dict[str, Any]) -> tuple[Figure, ...]:
    """Images and whatever else a modality counts stand where they are told; breaks only if there are any."""
    nodes, online = told["nodes_total"], told["nodes_online"]
    errors, cold, first = told["overall_error_rate_pct"], told["cold_loads_24h"], told["avg_ttft_ms"]
    left, broken = told["client_disconnects_24h"], told["incomplete_streams_24h"]
    figures = [
        Figure(
            label="Nodes online", text=f"{online} / {nodes}", tone="bad" if told["nodes_offline"] else "",
            small=f"{told['nodes_degraded']} degraded" if told["nodes_degraded"] else "", href="/dashboard",
        ),
        Figure(label="Requests", text=count(told["total_requests_24h"]), href=_requests()),
        Figure(
            label="Failed", text=f"{errors:g} %", href=_requests("failed"),
            tone="bad" if errors > ERRORS_BAD_PCT else "warn" if errors > ERRORS_SOME_PCT else "",
        ),
        Figure(
            label="Cold loads", text=count(cold), small="models read from disk",
            tone="bad" if cold > COLD_MANY else "warn" if cold else "",
        ),
        Figure(label="First token", text=seconds(None if first is None else first / 1000), small="on average"),
        Figure(label="Retries", text=count(told["total_retries_24h"])),
        Figure(label="Images", text=count(told.get("image_generations_24h", 0))),
        Figure(label="Transcriptions", text=count(told.get("transcriptions_24h", 0))),
    ]  # fmt: skip
    if left:
        figures.append(Figure(label="Clients left", text=count(left), href=_requests("client_disconnected")))
    if broken:
        figures.append(Figure(label="Broken off", text=count(broken), tone="warn", href=_requests("incomplete")))
    return tuple(figures)


def _requests(status: str = "") -> str:
    return f"/dashboard/requests?{DAY}" + (f"&status={status}" if status else "")
