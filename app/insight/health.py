"""The fleet's health: every check is asked, the findings put in order, and the score made of them. Pure; knows "
"no page."""

from typing import Any

import msgspec

from app.insight.checks import context, kinds, loads, machines, nodes, traffic
from app.insight.types import Check, Facts, Finding, per_cent

CHECKS: tuple[Check, ...] = (
    *nodes.CHECKS, *machines.CHECKS, *loads.CHECKS, *context.CHECKS, *traffic.CHECKS, *kinds.CHECKS,
)  # fmt: skip
COSTS = {"critical": 20, "warning": 10, "info": 0}
"""Points of a hundred; what is resolved costs none."""
ORDER = ("critical", "warning", "info")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found at one moment (epoch seconds). ``vitals`` have their public names."""

    checked_at: float
    score: int
    vitals: dict[str, Any]
    findings: tuple[Finding, ...]

    def counted(self, severity: str) -> int:
        return sum(found.severity == severity and not found.resolved for found in self.findings)


def report(facts: Facts, checked_at: float) -> Report:
    findings = tuple(sorted(examined(facts), key=_gravity))
    score = max(0, 100 - sum(COSTS[found.severity] for found in findings if not found.resolved))
    return Report(
        checked_at=checked_at, score=score, vitals={**_vitals(facts), "health_score": score}, findings=findings
    )  # fmt: skip


def examined(facts: Facts) -> list[Finding]:
    """What every check found, each finding with its check's id."""
    return [
        msgspec.structs.replace(found, check_id=check.id) for check in CHECKS for found in check.look(facts)
    ]  # fmt: skip


def _gravity(found: Finding) -> tuple[bool, int]:
    return (found.resolved, ORDER.index(found.severity))


def _vitals(facts: Facts) -> dict[str, Any]:
    day = facts.whole.day
    status = [node.status for node in facts.nodes]
    first = day.avg_first_token_ms
    return {
        "nodes_total": len(status),
        "nodes_online": status.count("online"),
        "nodes_degraded": status.count("degraded"),
        "nodes_offline": status.count("offline"),
        "overall_error_rate_pct": per_cent(day.failed, day.requests),
        "cold_loads_24h": day.cold_loads,
        "avg_ttft_ms": None if first is None else round(first, 1),
        "total_requests_24h": day.requests,
        "total_retries_24h": day.retries,
        "client_disconnects_24h": day.disconnected,
        "incomplete_streams_24h": day.incomplete,
        **{
            kind.activity.vital: facts.by_modality[kind.name].day.completed if kind.name in facts.by_modality else 0
            for kind in facts.snapshot.modalities
            if kind.activity.vital
        },
    }
